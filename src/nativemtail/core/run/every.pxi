# `every`: the matches of a pattern in a text, or the elements of an array, one after another (beyond README §4).

cdef enum:
    MAX_ROUNDS = 2000000    # of all `every` of a program on one line
    TOO_MANY = 3            # result of a round, beside 1, 0, -1 and WRONG_TYPE


cdef inline Subject* subject_of(RunState* rs, Loop* loop) noexcept nogil:
    return &rs.line if loop.of_line else &loop.text


cdef int next_match(RunState* rs, PatternState* p, Captures* slot) noexcept nogil:
    """As Go's FindAll: no two matches overlap, and an empty one right behind another does not count."""
    cdef Loop* loop = slot.loop
    cdef Subject* s = subject_of(rs, loop)
    cdef const char* text
    cdef size_t n, start, end, width
    cdef uint32_t rune
    cdef bint counts = False
    cdef int rc = 1
    while not counts:
        n = s.fixed.n if s.state == TEXT_REPAIRED else s.n
        if loop.at > n:
            return 0
        rc = match_at(&rs.matcher, p, s, loop.at, slot.own)
        if rc != 1:
            return rc
        start, end = slot.own[0], slot.own[1]
        counts = True
        if end == loop.at:
            counts = <int64_t>start != loop.before
            text, n = s.p, s.n
            if s.state == TEXT_REPAIRED:
                text, n = s.fixed.p, s.fixed.n
            width = utf8_decode(text + end, n - end, &rune) if end < n else 1
            loop.at = end + (width if width else 1)
        else:
            loop.at = end
        loop.before = <int64_t>end
    if s.state == TEXT_REPAIRED:
        offsets_to_origin(s, slot.own, p.pattern.pairs)
    return 1


cdef int begin_elements(RunState* rs, const Fields* f, Captures* slot, Str text) noexcept nogil:
    cdef Loop* loop = slot.loop
    cdef size_t common = f.tables[0].common
    cdef char* room
    cdef FieldSpan* copy
    cdef int rc = find_fields(rs, f, text)
    loop.row = loop.end = 0
    if rc != 1:
        return rc
    room = arena_get(&rs.arena, (common + rs.rows.n + 1) * sizeof(FieldSpan))
    if room == NULL:
        return -1
    copy = <FieldSpan*>(<size_t>room + sizeof(uint32_t) - 1 & ~(sizeof(uint32_t) - 1))
    memcpy(copy, rs.spans, common * sizeof(FieldSpan))
    memcpy(copy + common, rs.rows.p, rs.rows.n * sizeof(FieldSpan))
    loop.spans = copy
    loop.row = common
    loop.end = common + rs.rows.n
    return 1


cdef inline int next_element(RunState* rs, const Fields* f, Captures* slot) noexcept nogil:
    cdef Loop* loop = slot.loop
    cdef size_t row = loop.row
    cdef Str text
    if row >= loop.end:
        return 0
    loop.row += f.tables[f.table_n - 1].each + 1
    text.p = slot.base
    text.n = 0
    return take_fields(rs, f, text, loop.spans, loop.spans + row, slot.own)


cdef int next_round(RunState* rs, PatternState* p, Captures* slot) noexcept nogil:
    """1, 0 if there is none, WRONG_TYPE, TOO_MANY, or -1 without memory."""
    cdef const Fields* f = p.pattern.texts.fields
    cdef int rc = next_match(rs, p, slot) if f == NULL else next_element(rs, f, slot)
    if rc == 1:
        rs.rounds += 1
        p.matches += 1
        if rs.rounds > MAX_ROUNDS:
            return TOO_MANY
    return rc


cdef int first_round(RunState* rs, PatternState* p, Captures* slot, const Str* text) noexcept nogil:
    """`text`: NULL is the line."""
    cdef Loop* loop = slot.loop
    cdef const Fields* f = p.pattern.texts.fields
    cdef Str whole
    cdef int rc = 1
    if loop == NULL:
        loop = slot.loop = <Loop*>calloc(1, sizeof(Loop))
        if loop == NULL:
            return -1
    p.tried += 1
    loop.pattern = p
    loop.of_line = text == NULL
    loop.at = 0
    loop.before = -1
    whole.p, whole.n = rs.line.p, rs.line.n
    if text != NULL:
        whole = text[0]
        subject_set(&loop.text, whole.p, whole.n)
    note_captures(slot, rs.serial, whole.p, slot.own)
    if f != NULL:
        rc = begin_elements(rs, f, slot, whole)
    if rc == 1:
        rc = next_round(rs, p, slot)
    if rc == 0:
        slot.serial = 0
    return rc
