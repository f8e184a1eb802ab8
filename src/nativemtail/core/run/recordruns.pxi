# Runs programs over completed records.  Those that lie in the block have the events of the piece; the others are copied
# side by side, and searched as a piece of their own.

cdef enum:
    MAX_HELD = 64 * 1024 * 1024     # bytes of all open records; what makes them more is completed

cdef struct Copies:             # room to search copied records
    uint32_t* ends
    size_t room
    Events events

cdef struct Found:              # where the events of a piece are, and what is known of it
    const Piece* piece
    const Events* events
    size_t next                 # event
    size_t line                 # where the next record begins
    bint prefiltered
    bint ascii


cdef bint copies_room(Copies* c, size_t n) noexcept nogil:
    cdef uint32_t* grown
    if c.room >= n:
        return True
    grown = <uint32_t*>realloc(c.ends, n * sizeof(uint32_t))
    if grown == NULL:
        return False
    c.ends = grown
    c.room = n
    return True


cdef inline size_t take_events(Piece* s, Found* found, size_t first, size_t last) noexcept nogil:
    """Note the events of these lines; how many.  `found.next` is after them."""
    cdef const Events* e = found.events
    cdef size_t start
    if not found.prefiltered:
        return 0
    while found.next < e.n and e.list[found.next] >> 32 < first:
        found.next += 1
    start = found.next
    while found.next < e.n and e.list[found.next] >> 32 <= last:
        note_found(s, <uint32_t>e.list[found.next])
        found.next += 1
    return found.next - start


cdef inline Str given_text(const Batch* b, size_t at, size_t n) noexcept nogil:
    cdef Str text
    text.p = NULL
    text.n = n
    if at != SIZE_MAX:
        text.p = b""
        if n:
            text.p = b.given.p + at
    return text


cdef bint has_programs(Piece* s, const uint64_t* programs) noexcept nogil:
    cdef uint32_t word
    for word in range(s.prefilter.words):
        if programs[word]:
            return True
    return False


cdef bint has_records_in_block(Piece* s) noexcept nogil:
    """Whether some record may lie in the block, so that this must be searched."""
    cdef int i
    for i in range(s.rs.tables.framing_n):
        if not s.rs.tables.framings[i].container and has_programs(s, s.allowed + (i + 1) * s.prefilter.words):
            return True
    return False


cdef void run_record(Piece* s, const Framing* f, const Batch* b, const Record* r, Found* found) noexcept nogil:
    """`s`: a piece for the record alone, as its only line."""
    cdef RunState* rs = s.rs
    cdef const char* p = r.p
    cdef size_t first = r.first, last = r.last, events
    cdef int64_t now = rs.clock.now
    if p == NULL:
        p = b.copies.p + r.at
        first = last = found.line
        if found.prefiltered:
            while found.piece.ends[last] < r.at + r.n:
                last += 1
            found.line = last + 1
    events = take_events(s, found, first, last)
    if found.prefiltered and events == 0 and not f.any_always and s.prefilter.guard_n == 0:
        return
    rs.prefiltered = found.prefiltered
    rs.ascii = found.ascii
    rs.given[0] = given_text(b, r.stream, r.stream_n)
    rs.given[1] = given_text(b, r.logtime, r.logtime_n)
    if r.read_at:
        clock_set(&rs.clock, r.read_at)
    s.base = p
    s.n = s.ends[0] = <uint32_t>r.n
    run_line(s, 0, found.events.list + found.next - events, events, True)
    if r.read_at:
        clock_set(&rs.clock, max(now, rs.clock.now))


cdef void run_batch(Piece* s, const Framing* f, const Batch* b, Found* block, Found* copies) noexcept nogil:
    """Run the programs that s.allowed has over the records of a batch."""
    cdef Piece alone = s[0]
    cdef uint32_t end
    cdef size_t i
    cdef int k
    cdef const Record* r
    alone.ends = &end
    s.lock.acquire()
    alone.locked = cpu_ticks()
    for i in range(b.n):
        r = &b.list[i]
        run_record(&alone, f, b, r, block if r.p != NULL else copies)
    s.lock.release()
    s.program_runs = alone.program_runs
    for k in range(s.rs.tables.prog_n):
        if s.allowed[k >> 6] >> (k & 63) & 1:
            relaxed_add(&s.rs.progs[k].lines, <int64_t>b.n)
    s.chances += <int64_t>b.n * f.program_n


cdef void search_copies(Piece* s, Piece* piece, const Batch* b, Copies* c, bint search, Found* found) noexcept nogil:
    """Find the events of the copied records."""
    cdef RunState* rs = s.rs
    memset(found, 0, sizeof(Found))
    piece[0] = s[0]
    piece.base = b.copies.p
    piece.n = b.copies.n
    piece.ends = c.ends
    found.piece = piece
    found.events = &c.events
    if piece.n == 0 or not search:
        return
    if not copies_room(c, piece.n + 1):
        return
    piece.ends = c.ends
    rs.prefiltered = True
    index_piece(piece, &c.events)
    found.prefiltered = rs.prefiltered
    found.ascii = rs.ascii


cdef void run_completed(Piece* s, const Framing* f, const Batch* b) noexcept nogil:
    """Run programs over records that no block completed."""
    cdef Piece copies
    cdef Events none
    cdef Found found
    memset(&found, 0, sizeof(Found))
    memset(&none, 0, sizeof(Events))
    copies = s[0]
    copies.base = b.copies.p
    copies.n = b.copies.n
    found.piece = &copies
    found.events = &none
    run_batch(s, f, b, &found, &found)


cdef void run_records(Piece* s, Assembly* m, Events* e, Copies* c, bint prefiltered) noexcept nogil:
    """Put the lines of a piece together to records, and run the programs of the framing over those that are complete.

    `prefiltered`: the piece was searched.
    """
    cdef const Framing* f = m.framing
    cdef RunState* rs = s.rs
    cdef Piece piece
    cdef Found block, copies
    cdef bint ascii = rs.ascii
    batch_clear(m.batch)
    if f.container:
        assemble_messages(m, s)
    else:
        assemble_lines(m, s)
    if m.batch.n == 0:
        return
    memset(&block, 0, sizeof(Found))
    block.piece = s
    block.events = e
    block.prefiltered = prefiltered
    block.ascii = ascii
    search_copies(s, &piece, m.batch, c, prefiltered or s.searchable, &copies)
    run_batch(s, f, m.batch, &block, &copies)
    rs.ascii = ascii
