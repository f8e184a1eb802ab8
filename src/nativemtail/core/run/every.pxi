# `every`: the matches of a pattern in a text, or the elements of an array, one after another (beyond README §4).

cdef enum:
    MAX_ROUNDS = 2000000    # of all `every` of a program on one line
    MAX_TEXTS = 268435456   # bytes of all texts that the program looks at in these rounds
    TOO_MANY = 3            # results of a round, beside 1, 0, -1 and WRONG_TYPE
    TOO_LONG = 4


cdef inline Subject* subject_of(RunState* rs, Loop* loop) noexcept nogil:
    return &rs.line if loop.of_line else &loop.text


cdef inline const char* searched_text(const Subject* s, size_t* n) noexcept nogil:
    if s.state == TEXT_REPAIRED:
        n[0] = s.fixed.n
        return s.fixed.p
    n[0] = s.n
    return s.p


cdef void start_walking(Loop* loop, const Automaton* a, const char* text, size_t n) noexcept nogil:
    cdef int32_t i
    loop.ahead = False
    if a.states == NULL or not walk_begin(&loop.walk, a, text, n, loop.at):
        return
    loop.walking = True
    loop.searched = 0
    for i in range(a.n):
        if a.states[i].op == AUTOMATON_ASSERT and a.states[i].x not in (ASSERT_BEGIN_TEXT, ASSERT_BEGIN_LINE):
            loop.ahead = True


cdef int match_within(RunState* rs, PatternState* p, Subject* s, Loop* loop, size_t* ov) noexcept nogil:
    """The groups of a match whose ends are known: 1, TOO_LONG, or -1 without memory.

    The text is cut after the match.  Where its pattern looks ahead, some more is left; if that makes another match, too
    little was.
    """
    cdef size_t* n = &s.fixed.n if s.state == TEXT_REPAIRED else &s.n
    cdef size_t whole, start = ov[0], end = ov[1], more = loop.ahead
    cdef const char* text = searched_text(s, &whole)
    cdef int rc = 1
    while rc == 1:
        n[0] = min(whole, end + more)
        while n[0] < whole and (<uint8_t>text[n[0]] & 0xC0) == 0x80:
            n[0] += 1
        loop.searched += n[0] - start
        rc = match_search(&rs.matcher, p, s, start, ov)
        if ov[1] == end or n[0] == whole:
            break
        more = 2 * more + 1
        if loop.searched > SEARCHED_MOST:
            rc = TOO_LONG
    n[0] = whole
    return rc


cdef int find_match(RunState* rs, PatternState* p, Subject* s, Loop* loop, size_t* ov) noexcept nogil:
    """The first match at or after loop.at, in time linear in the text for all of them (match/automaton.pxi)."""
    cdef size_t n
    cdef const char* text = searched_text(s, &n)
    if not loop.walking and loop.searched > SEARCHED_LEAST + SEARCHED_TIMES * n:
        start_walking(loop, &p.pattern.texts.automaton, text, n)
        if not loop.walking:
            rs.texts += n - loop.at
            if loop.searched > SEARCHED_MOST:
                return TOO_LONG
    if loop.walking:
        if not walk_next(&loop.walk, loop.at, ov):
            return 0
        return 1 if p.pattern.pairs <= 1 else match_within(rs, p, s, loop, ov)
    loop.searched += n - loop.at
    return match_at(&rs.matcher, p, s, loop.at, ov)


cdef int next_match(RunState* rs, PatternState* p, Captures* slot) noexcept nogil:
    """As Go's FindAll: no two matches overlap, and an empty one right after another does not count."""
    cdef Loop* loop = slot.loop
    cdef Subject* s = subject_of(rs, loop)
    cdef const char* text
    cdef size_t n, start, end, width
    cdef uint32_t rune
    cdef bint counts = False
    cdef int rc = 1
    while not counts:
        text = searched_text(s, &n)
        rc = find_match(rs, p, s, loop, slot.own) if loop.at <= n else 0
        if rc != 1:
            stop_walking(loop)
            return rc
        start, end = slot.own[0], slot.own[1]
        counts = True
        if end == loop.at:
            counts = <int64_t>start != loop.before
            text = searched_text(s, &n)
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
    """1, 0 if there is none, WRONG_TYPE, TOO_MANY, TOO_LONG, or -1 without memory."""
    cdef const Fields* f = p.pattern.texts.fields
    cdef int rc = next_match(rs, p, slot) if f == NULL else next_element(rs, f, slot)
    if rc == 1:
        if rs.rounds == 0:
            rs.texts = 0
        rs.rounds += 1
        p.matches += 1
        if rs.rounds > MAX_ROUNDS:
            return TOO_MANY
        if rs.texts > MAX_TEXTS:
            return TOO_LONG
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
    stop_walking(loop)
    loop.searched = 0
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
    else:
        rs.texts += whole.n
    if rc == 1:
        rc = next_round(rs, p, slot)
    if rc == 0:
        slot.serial = 0
    return rc
