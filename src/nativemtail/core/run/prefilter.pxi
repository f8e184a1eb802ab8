# Prefilter: a piece is searched once for the required literals of all patterns.  Only lines with a literal, and
# must-run lines, are then processed one by one.  All of this runs without the GIL; programs run under the store's lock.

cdef enum:
    WORTH_LINES = 256           # smaller blocks do not count when judging whether the prefilter pays
    BACK_OFF = 32               # blocks that run without the prefilter after it did not pay (back-off)
    CROWDED = 24                # bytes for each position to confirm, below which Hyperscan is at least as fast
    MAX_EVENTS = 1 << 20        # of one piece; a piece with more runs without the prefilter
    TURN_TICKS = 300000         # about 0.1 ms: how long the lock is kept while a reader waits

cdef struct Events:             # of one piece: line << 32 | literal, in the order of lines
    uint64_t* list
    size_t n
    size_t cap
    uint64_t last
    bint unordered


# --- finding literals ----------------------------------------------------------------------------------------------

cdef int note_event(unsigned int literal, unsigned long long start, unsigned long long to, unsigned int flags,
                    void* data) noexcept nogil:
    """Note an event.  `to`: from Hyperscan the offset after it, from Teddy the line.  Not 0 stops the search."""
    cdef Events* e = <Events*>data
    cdef uint64_t event = to << 32 | literal
    if e.n == e.cap and not events_grow(e):
        return 1
    e.unordered |= event < e.last
    e.last = event
    e.list[e.n] = event
    e.n += 1
    return 0


cdef bint events_grow(Events* e) noexcept nogil:
    cdef size_t cap = 2 * e.cap if e.cap else 4096
    cdef uint64_t* grown
    if cap > MAX_EVENTS:
        return False
    grown = <uint64_t*>realloc(e.list, cap * sizeof(uint64_t))
    if grown == NULL:
        return False
    e.list = grown
    e.cap = cap
    return True


cdef bint find_by_hyperscan(Piece* s, Events* e) noexcept nogil:
    """Find events with Hyperscan, and turn offsets into lines; false if there are too many to keep."""
    if hs_scan(s.prefilter.database, s.base, <unsigned int>s.n, 0, s.rs.scratch, note_event, e) != HS_SUCCESS:
        return False
    if e.unordered:  # Hyperscan promises no order
        sort_words(e.list, e.n)
    return True


cdef void lines_for_offsets(Piece* s, Events* e) noexcept nogil:
    cdef size_t line = 0, i
    for i in range(e.n):
        while s.ends[line] < e.list[i] >> 32:
            line += 1
        e.list[i] = line << 32 | <uint32_t>e.list[i]


cdef void index_piece(Piece* s, Events* e) noexcept nogil:
    """Find the ends of the piece's lines and, if it is to be prefiltered, its events."""
    cdef RunState* rs = s.rs
    cdef CBool ascii = True
    cdef bint by_teddy = rs.prefiltered and s.prefilter.teddy.keys != NULL and rs.by_hyperscan == 0
    cdef int64_t start = thread_ns()
    e.n = 0
    e.last = 0
    e.unordered = False
    if by_teddy:
        s.lines = teddy_lines(s.prefilter.teddy, s.base, s.n, s.ends, &ascii, note_event, e, &rs.confirmed)
        rs.prefiltered = rs.confirmed != SIZE_MAX
        if rs.confirmed > s.n // CROWDED:
            rs.by_hyperscan = BACK_OFF
    else:
        rs.by_hyperscan -= rs.by_hyperscan > 0
        s.lines = index_lines(s.base, s.n, s.ends, &ascii)
        rs.prefiltered = rs.prefiltered and find_by_hyperscan(s, e)
    relaxed_add(&rs.prefilter_ns, thread_ns() - start)
    rs.ascii = ascii
    if s.base[s.n - 1] != 10:
        s.ends[s.lines] = <uint32_t>s.n
        s.lines += 1
    if rs.prefiltered and not by_teddy:
        lines_for_offsets(s, e)


cdef void weigh_prefilter(Piece* s, int64_t lines) noexcept nogil:
    """Back off for BACK_OFF blocks if most lines, programs and patterns passed the prefilter."""
    cdef RunState* rs = s.rs
    if rs.back_off > 0:
        rs.back_off -= 1
    elif (rs.prefiltered and lines >= WORTH_LINES and 2 * s.program_runs > s.chances
            and rs.passed >= rs.stopped):
        rs.back_off = BACK_OFF


# --- candidates ----------------------------------------------------------------------------------------------------

cdef inline void let_readers_in(Piece* s) noexcept nogil:
    """Yield to waiting readers, but not so often that handing over costs more than the lines."""
    if lock_wanted(s.lock) and cpu_ticks() - s.locked > TURN_TICKS:
        s.lock.release()
        s.lock.acquire()
        s.locked = cpu_ticks()


cdef inline void note_found(Piece* s, uint32_t literal) noexcept nogil:
    """Note for all patterns that require the literal that the next line has it."""
    cdef const Prefilter* f = s.prefilter
    cdef uint32_t i
    for i in range(f.first[literal], f.first[literal + 1]):
        s.rs.patterns[f.patterns[i]].found_on = s.rs.serial + 1


cdef inline void choose_programs(Piece* s, const uint64_t* event, size_t events) noexcept nogil:
    """Select the programs of which a trigger matches, or may match, the line; the matches are kept for them."""
    cdef const Prefilter* f = s.prefilter
    cdef const Pattern* pattern
    cdef PatternState* state
    cdef uint32_t literal, i
    cdef int k
    while events:
        literal = <uint32_t>event[0]
        for i in range(f.first[literal], f.first[literal + 1]):
            pattern = &s.rs.tables.patterns[f.patterns[i]]
            state = &s.rs.patterns[f.patterns[i]]
            if pattern.trigger_n and is_candidate(s.rs, state) and match_line(s.rs, state) != 0:
                for k in range(pattern.trigger_n):
                    s.rs.chosen[pattern.triggers[k].word] |= pattern.triggers[k].mask
        event += 1
        events -= 1


cdef inline void run_program(Piece* s, ProgState* prog) noexcept nogil:
    s.program_runs += 1
    prog.runs += 1
    if prog.unsampled:
        prog.unsampled -= 1
        run_code(s.rs, prog, prog.prog.code, False)
    else:
        run_timed(s.rs, prog)


cdef void run_line(Piece* s, size_t line, const uint64_t* event, size_t events, bint must_run) noexcept nogil:
    """Run on a line the programs that its events or guard slices select; without the prefilter, all."""
    cdef RunState* rs = s.rs
    cdef const Prefilter* f = s.prefilter
    cdef uint64_t todo
    cdef uint32_t word
    cdef size_t start = line_start(s, line)
    cdef const char* first = s.base + start
    cdef size_t n = line_length(s, start, s.ends[line])
    rs.serial += 1
    subject_set(&rs.line, first, n)
    rs.line.room = s.n - start
    if rs.ascii:
        rs.line.state = TEXT_ASCII
    if rs.prefiltered:
        choose_programs(s, event, events)
        if must_run and f.guard_n:
            run_guards(s, first, n)
    for word in range(f.words):
        todo = s.allowed[word]
        if rs.prefiltered:
            todo &= rs.chosen[word] | f.always[word]
            rs.chosen[word] = 0
        while todo:
            run_program(s, &rs.progs[64 * word + lowest_bit(todo)])
            todo &= todo - 1
    if rs.arena.chunks != NULL:
        arena_reset(&rs.arena, False)
    let_readers_in(s)


cdef inline void prefetch_candidate(Piece* s, uint64_t event) noexcept nogil:
    """Prefetch the next candidate's text, and the first pattern that requires its literal."""
    cdef const Prefilter* f = s.prefilter
    cdef int32_t number = f.patterns[f.first[<uint32_t>event]]
    prefetch(s.base + line_start(s, event >> 32), CACHE_LINE)
    prefetch(&s.rs.patterns[number], CACHE_LINE)
    prefetch(&s.rs.tables.patterns[number], CACHE_LINE)


cdef void run_candidates(Piece* s, Events* e) noexcept nogil:
    """Process the candidate lines and the must-run lines, in order."""
    cdef size_t line, i = 0, k = 0, first
    cdef bint must_run
    while i < e.n or k < s.must_run_n:
        line = e.list[i] >> 32 if i < e.n else s.lines
        must_run = k < s.must_run_n and s.must_run[k] <= line
        if must_run:
            k += 1
            if s.must_run[k - 1] < line:
                run_line(s, s.must_run[k - 1], NULL, 0, True)
                continue
        first = i
        while i < e.n and e.list[i] >> 32 == line:
            note_found(s, <uint32_t>e.list[i])
            i += 1
        if i < e.n:
            prefetch_candidate(s, e.list[i])
        run_line(s, line, e.list + first, i - first, must_run)


cdef void run_piece(Piece* s, Events* e) noexcept nogil:
    """Process a piece under the store's lock, which waiting readers get between two lines.

    Must-run lines are searched for first, so that readers need not wait for that.
    """
    cdef size_t line
    if s.rs.prefiltered:
        find_must_run(s)
    s.lock.acquire()
    s.locked = cpu_ticks()
    if s.rs.prefiltered:
        run_candidates(s, e)
    elif s.lookahead == NULL:
        for line in range(s.lines):
            run_line(s, line, NULL, 0, True)
    else:
        for line in range(s.lines):
            look_ahead(s, line)
            run_line(s, line, NULL, 0, True)
    s.lock.release()
