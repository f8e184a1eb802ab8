# Records (beyond README §5): what programs with a `record` statement see as their line.
#
# For each log and each record statement there is an Assembler, with one open record for the log or for each of its
# streams.  A record whose lines lie side by side in the block is not copied; what is left open at the end of a piece is.
# Completed records wait in a Batch until the programs run over them (recordruns.pxi).

cdef enum:
    MAX_STREAMS = 16            # of one log that are kept apart
    KEPT_ROOM = 4096            # larger buffers are freed when a record is complete
    FIRST_NO = 0                # verdicts of regex/firstbyte.py
    FIRST_PERHAPS = 1
    FIRST_YES = 2

cdef struct OpenRecord:
    Buf stream                  # of a container: its name, if it has one
    bint has_stream
    Buf message                 # the parts of a container's message
    int64_t parts
    Buf part_time               # of its last part
    bint has_part_time
    Buf logtime                 # of the record's last message
    bint has_logtime
    const char* in_place        # the record in the block; NULL: it is in `text`
    size_t first                # the lines that it has there
    size_t last
    Buf text
    size_t n                    # its length
    int64_t lines               # 0: none is open
    bint quoted                 # csv: a quote is open
    int64_t read_at             # the clock when its last line was read
    int64_t touched             # the same in monotonic time
    uint64_t begun              # its number among all of the log

cdef struct Assembler:
    OpenRecord* open
    int n
    uint64_t begun
    size_t held                 # bytes

cdef struct Record:             # a completed record
    const char* p               # in the block; NULL: `at` in the copies
    size_t at
    size_t n
    size_t first                # its lines in the block
    size_t last
    int64_t read_at             # 0: now
    size_t stream               # offset in `given`, SIZE_MAX: undefined
    size_t stream_n
    size_t logtime
    size_t logtime_n

cdef struct Batch:
    Record* list
    size_t n
    size_t cap
    Buf copies                  # of records that are not side by side in the block, a newline after each
    Buf given                   # streams and times

cdef struct Assembly:           # what assembling needs
    RunState* rs
    const Framing* framing
    Assembler* assembler
    Batch* batch
    size_t longest              # bytes of a record
    int64_t read_at
    int64_t touched
    int64_t* cuts
    Buf* scratch                # of the text of a docker line
    Buf* names                  # and of its stream and time


cdef void open_free(OpenRecord* o) noexcept nogil:
    buf_free(&o.stream)
    buf_free(&o.message)
    buf_free(&o.part_time)
    buf_free(&o.logtime)
    buf_free(&o.text)


cdef void assembler_free(Assembler* a) noexcept nogil:
    cdef int i
    for i in range(a.n):
        open_free(&a.open[i])
    free(a.open)
    memset(a, 0, sizeof(Assembler))


cdef inline void buf_copy(Buf* to, const Buf* source) noexcept nogil:
    memset(to, 0, sizeof(Buf))
    buf_put(to, source.p, source.n)


cdef bint assembler_copy(Assembler* to, const Assembler* source) noexcept nogil:
    """False without memory."""
    cdef int i
    cdef OpenRecord* o
    to[0] = source[0]
    to.open = <OpenRecord*>calloc(source.n + 1, sizeof(OpenRecord))
    if to.open == NULL:
        to.n = 0
        return False
    for i in range(source.n):
        o = &to.open[i]
        o[0] = source.open[i]
        buf_copy(&o.stream, &source.open[i].stream)
        buf_copy(&o.message, &source.open[i].message)
        buf_copy(&o.part_time, &source.open[i].part_time)
        buf_copy(&o.logtime, &source.open[i].logtime)
        buf_copy(&o.text, &source.open[i].text)
    return True


cdef void batch_free(Batch* b) noexcept nogil:
    free(b.list)
    buf_free(&b.copies)
    buf_free(&b.given)


cdef inline void batch_clear(Batch* b) noexcept nogil:
    b.n = 0
    buf_clear(&b.copies)
    buf_clear(&b.given)


cdef Record* batch_add(Batch* b) noexcept nogil:
    """NULL without memory."""
    cdef size_t cap
    cdef Record* grown
    if b.n == b.cap:
        cap = 2 * b.cap if b.cap else 1024
        grown = <Record*>realloc(b.list, cap * sizeof(Record))
        if grown == NULL:
            return NULL
        b.list = grown
        b.cap = cap
    b.n += 1
    return &b.list[b.n - 1]


cdef inline void note_given(Batch* b, bint has, const char* p, size_t n, size_t* at, size_t* length) noexcept nogil:
    at[0] = SIZE_MAX
    length[0] = 0
    if has:
        at[0] = b.given.n
        length[0] = n
        buf_put(&b.given, p, n)
        if b.given.failed:
            at[0] = SIZE_MAX


cdef inline Record* complete(Assembly* m, const char* p, size_t n, int64_t read_at, bint stays) noexcept nogil:
    """Add a completed record to the batch; NULL without memory.  `stays`: it need not be copied."""
    cdef Batch* b = m.batch
    cdef Record* r
    if not stays and not buf_reserve(&b.copies, n + 1):
        return NULL
    r = batch_add(b)
    if r == NULL:
        return NULL
    r.p = p if stays else NULL
    r.at = b.copies.n
    r.n = n
    r.read_at = 0 if read_at == m.read_at else read_at
    r.stream = r.logtime = SIZE_MAX
    if not stays:
        buf_put(&b.copies, p, n)
        buf_char(&b.copies, 10)
    return r


cdef inline bint is_idle(const OpenRecord* o) noexcept nogil:
    return o.lines == 0 and o.parts == 0


cdef inline void buf_trim(Buf* b) noexcept nogil:
    buf_clear(b)
    if b.cap > KEPT_ROOM:
        buf_free(b)


cdef inline void finish_record(Assembly* m, OpenRecord* o) noexcept nogil:
    """Complete the open record."""
    cdef const char* p = o.in_place
    cdef size_t n = o.n
    cdef Record* r
    if p == NULL:
        p = o.text.p
    n -= n > 0 and p[n - 1] == 10
    r = complete(m, p, n, o.read_at, o.in_place != NULL)
    if r != NULL:
        r.first = o.first
        r.last = o.last
        if m.framing.container:
            note_given(m.batch, o.has_stream, o.stream.p, o.stream.n, &r.stream, &r.stream_n)
            note_given(m.batch, o.has_logtime, o.logtime.p, o.logtime.n, &r.logtime, &r.logtime_n)
    o.lines = 0
    o.n = 0
    o.in_place = NULL
    o.quoted = False
    buf_trim(&o.text)


# --- framings ------------------------------------------------------------------------------------------------------

cdef bint leaves_quote_open(const char* p, size_t n, char separator, bint quoted) noexcept nogil:
    """Whether a quote of CSV is open after the line; `quoted`: one is open before it."""
    cdef size_t at = 0
    cdef const char* found
    while True:
        if not quoted:
            if at < n and p[at] == c'"':
                at += 1
                quoted = True
            else:
                found = <const char*>memchr(p + at, separator, n - at) if at < n else NULL
                if found == NULL:
                    return False
                at = found - p + 1
                continue
        found = <const char*>memchr(p + at, c'"', n - at) if at < n else NULL
        if found == NULL:
            return True
        at = found - p + 1
        if at < n and p[at] == c'"':
            at += 1
            continue
        quoted = False
        found = <const char*>memchr(p + at, separator, n - at) if at < n else NULL
        if found == NULL:
            return False
        at = found - p + 1


cdef inline bint fits_pattern(Assembly* m, const char* p, size_t n, size_t room, bint ascii) noexcept nogil:
    """Whether the statement's pattern matches a line."""
    cdef RunState* rs = m.rs
    cdef PatternState* state
    cdef const uint8_t* first = m.framing.first
    if first != NULL and (n == 0 or first[<uint8_t>p[0]] != FIRST_PERHAPS):
        return n > 0 and first[<uint8_t>p[0]] == FIRST_YES
    subject_set(&rs.line, p, n)
    rs.line.room = room
    if ascii:
        rs.line.state = TEXT_ASCII
    state = &rs.patterns[m.framing.pattern]
    return match_at(&rs.matcher, state, &rs.line, 0, state.ov) == 1


cdef inline bint is_too_much(Assembly* m, const OpenRecord* o, size_t n) noexcept nogil:
    return o.lines >= m.framing.most or o.n + 1 + n > m.longest


cdef inline void add_line(OpenRecord* o, const char* p, size_t n, size_t line, bint stays) noexcept nogil:
    """`stays`: the line is in the block, until the end of the piece."""
    if o.lines == 0 and stays:
        o.in_place = p
        o.n = n
        o.first = line
    elif stays and o.in_place != NULL and p == o.in_place + o.n + 1:
        o.n += 1 + n
    else:
        if o.in_place != NULL:
            buf_put(&o.text, o.in_place, o.n)
            o.in_place = NULL
        if o.lines:
            buf_char(&o.text, 10)
        buf_put(&o.text, p, n)
        o.n = o.text.n
    o.last = line
    o.lines += 1


cdef inline void take_line(Assembly* m, OpenRecord* o, const char* p, size_t n, size_t room, size_t line, bint stays,
                           bint ascii) noexcept nogil:
    """Give a line, or a message of a container, to the framing that joins them."""
    cdef const Framing* f = m.framing
    cdef int joined = f.joined
    cdef bint fits = False
    if joined in (JOINED_START, JOINED_CONTINUE, JOINED_END):
        fits = fits_pattern(m, p, n, room, ascii)
    if o.lines:
        if (joined == JOINED_START and fits) or (joined == JOINED_CONTINUE and not fits):
            finish_record(m, o)
        elif is_too_much(m, o, n):
            m.cuts[0] += 1
            finish_record(m, o)
    add_line(o, p, n, line, stays)
    o.read_at = m.read_at
    if f.container:
        o.logtime, o.part_time = o.part_time, o.logtime
        o.has_logtime = o.has_part_time
    if joined == JOINED_CSV:
        o.quoted = leaves_quote_open(p, n, <char>f.separator, o.quoted)
        fits = not o.quoted
    elif joined == JOINED_LINES:
        fits = o.lines >= f.count
    if fits and joined not in (JOINED_START, JOINED_CONTINUE):
        finish_record(m, o)


cdef OpenRecord* only_one(Assembler* a) noexcept nogil:
    """The open record of a log without streams; NULL without memory."""
    if a.n == 0:
        if a.open == NULL:
            a.open = <OpenRecord*>calloc(1, sizeof(OpenRecord))
        if a.open == NULL:
            return NULL
        a.n = 1
    return a.open


cdef size_t join_lines(Assembly* m, OpenRecord* o, Piece* s, size_t line) noexcept nogil:
    """Add the lines to an open record in the block that by their first bytes belong to it; the next line."""
    cdef const Framing* f = m.framing
    cdef uint8_t verdict = FIRST_YES if f.joined == JOINED_CONTINUE else FIRST_NO
    cdef int64_t most = min(f.most - o.lines, <int64_t>(s.lines - line))
    cdef size_t stop, start, n
    if most <= 0 or s.base + line_start(s, line) != o.in_place + o.n + 1:
        return line
    stop = pass_lines(s.base, s.ends, line, line + most, f.passed, verdict)
    if stop == line:
        return line
    start = line_start(s, stop - 1)
    n = s.base + start + line_length(s, start, s.ends[stop - 1]) - o.in_place
    if n > m.longest:
        return line
    o.n = n
    o.last = stop - 1
    o.lines += stop - line
    return stop


cdef void assemble_lines(Assembly* m, Piece* s) noexcept nogil:
    cdef OpenRecord* o = only_one(m.assembler)
    cdef size_t line = 0, start, n
    if o == NULL:
        return
    while line < s.lines:
        if o.in_place != NULL and m.framing.passed != NULL:
            line = join_lines(m, o, s, line)
            if line == s.lines:
                break
        start = line_start(s, line)
        n = line_length(s, start, s.ends[line])
        take_line(m, o, s.base + start, n, s.n - start, line, True, m.rs.ascii)
        line += 1
    o.touched = m.touched
    if o.in_place != NULL:
        buf_put(&o.text, o.in_place, o.n)
        o.in_place = NULL
        if o.text.failed:
            o.lines = 0
            buf_free(&o.text)
