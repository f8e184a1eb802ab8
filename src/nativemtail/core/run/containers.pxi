# Records of containers (beyond README §5): lines of the CRI and of docker say which part of a message they are.

cdef struct MessagePart:
    Str stream
    bint has_stream
    Str time
    bint has_time
    Str text
    bint is_last


cdef inline bint take_word(const char* p, size_t n, const char* word, size_t length) noexcept nogil:
    return n > length and memcmp(p, word, length) == 0 and p[length] == c" "


cdef bint read_cri(const char* p, size_t n, MessagePart* part) noexcept nogil:
    """`TIME stdout|stderr P|F[:…] TEXT`; false for another line."""
    cdef const char* blank = <const char*>memchr(p, c" ", n) if n else NULL
    cdef size_t at
    if blank == NULL or blank == p:
        return False
    part.time.p, part.time.n = p, blank - p
    part.has_time = True
    at = part.time.n + 1
    if not take_word(p + at, n - at, b"stdout", 6) and not take_word(p + at, n - at, b"stderr", 6):
        return False
    part.stream.p, part.stream.n = p + at, 6
    part.has_stream = True
    at += 7
    if at >= n or (p[at] != c"F" and p[at] != c"P"):
        return False
    part.is_last = p[at] == c"F"
    at += 1
    if at < n and p[at] != c" " and p[at] != c":":
        return False
    blank = <const char*>memchr(p + at, c" ", n - at) if at < n else NULL
    at = n if blank == NULL else blank - p + 1
    part.text.p, part.text.n = p + at, n - at
    return True


cdef bint text_of_string(const FieldSpan* span, const char* p, Buf* out, Str* text) noexcept nogil:
    """The text of a JSON string; false if the span is none, or without memory.  `out` holds it if it has escapes."""
    cdef size_t n = span.end - span.start
    text.p, text.n = p + span.start, n
    if span.kind == SPAN_TEXT:
        return True
    if span.kind != SPAN_ESCAPED or not buf_reserve(out, n):
        return False
    text.p = out.p + out.n
    text.n = field_text(span.kind, p + span.start, n, out.p + out.n)
    out.n += text.n
    return True


cdef bint read_docker(Assembly* m, const char* p, size_t n, MessagePart* part) noexcept nogil:
    """`{"log":…,"stream":…,"time":…}`; false for another line."""
    cdef RunState* rs = m.rs
    cdef const Fields* f = rs.tables.patterns[m.framing.docker].texts.fields
    cdef const FieldTable* table = &f.tables[0]
    if n == 0 or n >> 31:
        return False
    rs.read_fields = NULL
    rs.rows.n = rs.rows.count = 0
    memset(rs.spans, 0, table.common * sizeof(FieldSpan))
    if read_json(table[0], p, n, rs.spans, &rs.rows) != 1:
        return False
    buf_clear(m.scratch)
    buf_clear(m.names)
    buf_reserve(m.names, n)  # for both, so that it does not move
    if not text_of_string(&rs.spans[f.specs[0].span], p, m.scratch, &part.text):
        return False
    part.has_stream = text_of_string(&rs.spans[f.specs[1].span], p, m.names, &part.stream)
    part.has_time = text_of_string(&rs.spans[f.specs[2].span], p, m.names, &part.time)
    part.is_last = part.text.n > 0 and part.text.p[part.text.n - 1] == 10
    return True


cdef inline bint is_stream(const OpenRecord* o, const MessagePart* part) noexcept nogil:
    if o.has_stream != part.has_stream:
        return False
    return not o.has_stream or (o.stream.n == part.stream.n and memcmp(o.stream.p, part.stream.p, o.stream.n) == 0)


cdef void finish_message(Assembly* m, OpenRecord* o) noexcept nogil:
    """The message is complete: it is the record, or a line for the framing that joins further."""
    cdef size_t n = o.message.n
    cdef Record* r
    if m.framing.container == CONTAINER_DOCKER and n and o.message.p[n - 1] == 10:
        n -= 1
        n -= n > 0 and o.message.p[n - 1] == 13
    o.parts = 0
    if m.framing.joined:
        take_line(m, o, o.message.p, n, n, 0, False, False)
    else:
        r = complete(m, o.message.p, n, o.read_at, False)
        if r != NULL:
            note_given(m.batch, o.has_stream, o.stream.p, o.stream.n, &r.stream, &r.stream_n)
            note_given(m.batch, o.has_part_time, o.part_time.p, o.part_time.n, &r.logtime, &r.logtime_n)
    buf_trim(&o.message)


cdef void finish_open(Assembly* m, OpenRecord* o) noexcept nogil:
    """Complete what is open."""
    if o.parts:
        finish_message(m, o)
    if o.lines:
        finish_record(m, o)


cdef OpenRecord* stream_of(Assembly* m, const MessagePart* part) noexcept nogil:
    """The open record of the part's stream; NULL without memory.  With too many the oldest one is completed."""
    cdef Assembler* a = m.assembler
    cdef OpenRecord* oldest = NULL
    cdef OpenRecord* o
    cdef int i
    for i in range(a.n):
        o = &a.open[i]
        if is_stream(o, part):
            return o
        if oldest == NULL or is_idle(o) or (not is_idle(oldest) and o.touched < oldest.touched):
            oldest = o
    if a.open == NULL:
        a.open = <OpenRecord*>calloc(MAX_STREAMS, sizeof(OpenRecord))
        if a.open == NULL:
            return NULL
    if a.n < MAX_STREAMS:
        o = &a.open[a.n]
        a.n += 1
    else:
        o = oldest
        m.cuts[0] += not is_idle(o)
        finish_open(m, o)
    buf_clear(&o.stream)
    buf_put(&o.stream, part.stream.p, part.stream.n if part.has_stream else 0)
    o.has_stream = part.has_stream
    return o


cdef void take_part(Assembly* m, const MessagePart* part) noexcept nogil:
    cdef OpenRecord* o = stream_of(m, part)
    if o == NULL:
        return
    if o.parts and (o.parts >= m.framing.most or o.message.n + part.text.n > m.longest):
        m.cuts[0] += 1
        finish_message(m, o)
    if is_idle(o):
        m.assembler.begun += 1
        o.begun = m.assembler.begun
    buf_put(&o.message, part.text.p, part.text.n)
    o.parts += 1
    buf_clear(&o.part_time)
    buf_put(&o.part_time, part.time.p, part.time.n if part.has_time else 0)
    o.has_part_time = part.has_time
    o.read_at = m.read_at
    o.touched = m.touched
    if part.is_last:
        finish_message(m, o)


cdef void assemble_messages(Assembly* m, Piece* s) noexcept nogil:
    cdef MessagePart part
    cdef size_t line, start, n
    cdef const char* p
    cdef bint is_part
    for line in range(s.lines):
        start = line_start(s, line)
        n = line_length(s, start, s.ends[line])
        p = s.base + start
        memset(&part, 0, sizeof(MessagePart))
        if m.framing.container == CONTAINER_CRI:
            is_part = read_cri(p, n, &part)
        else:
            is_part = read_docker(m, p, n, &part)
        if is_part:
            take_part(m, &part)
        else:
            complete(m, p, n, m.read_at, False)


cdef inline bint is_silent(const OpenRecord* o, int64_t since) noexcept nogil:
    return not is_idle(o) and o.touched <= since


cdef void finish_silent(Assembly* m, int64_t since) noexcept nogil:
    """Complete what has had no line since then, in the order in which it was begun."""
    cdef Assembler* a = m.assembler
    cdef OpenRecord* first
    cdef int i
    while True:
        first = NULL
        for i in range(a.n):
            if is_silent(&a.open[i], since) and (first == NULL or a.open[i].begun < first.begun):
                first = &a.open[i]
        if first == NULL:
            return
        finish_open(m, first)
        if not is_idle(first):  # without memory
            first.lines = first.parts = 0


cdef size_t bytes_held(const Assembler* a) noexcept nogil:
    cdef size_t n = 0
    cdef int i
    for i in range(a.n):
        n += a.open[i].message.cap + a.open[i].text.cap + a.open[i].stream.cap
    return n


cdef int64_t until_silent(const Assembler* a, int64_t timeout, int64_t now) noexcept nogil:
    """Nanoseconds until a record of it has been silent for so long; INT64_MAX if none is open."""
    cdef int64_t first = INT64_MAX
    cdef int i
    for i in range(a.n):
        if not is_idle(&a.open[i]):
            first = min(first, a.open[i].touched - now + timeout)
    return first
