# Matching the line: once for all programs that share the pattern, and not at all if the prefilter excludes it.


cdef inline bint is_candidate(RunState* rs, PatternState* p) noexcept nogil:
    """Whether the line has one of the pattern's required literals, if it has any."""
    if not rs.prefiltered or not p.prefiltered:
        return True
    if p.found_on != rs.serial:
        rs.stopped += 1
        return False
    rs.passed += 1
    return True


cdef inline bint take_early_match(PatternState* p, uint64_t serial) noexcept nogil:
    """Use the result of the look-ahead for this line, if there is one."""
    cdef EarlyMatch* early = &p.early[serial % EARLY]
    if early.serial != serial:
        return False
    p.matched = <int8_t>early.matched
    p.ov, early.ov = early.ov, p.ov
    return True


cdef inline int match_now(RunState* rs, PatternState* p) noexcept nogil:
    cdef int rc
    cdef Str line
    if p.pattern.flags & PATTERN_FIELDS:
        if p.pattern.texts.fields.format == FIELDS_RECORD:
            place_texts(rs.given, 2, rs.line.p, p.ov)
            return 1
        line.p, line.n = rs.line.p, rs.line.n
        return match_fields(rs, p.pattern.texts.fields, line, p.ov)
    if rs.line.state != TEXT_ASCII:
        return match_subject(&rs.matcher, p, &rs.line, p.ov)
    rc = match_onepass(&rs.matcher, p, &rs.line, p.ov)
    return rc if rc >= 0 else match_search(&rs.matcher, p, &rs.line, 0, p.ov)


cdef void match_timed(RunState* rs, PatternState* p) noexcept nogil:
    cdef int64_t start = thread_ns()
    p.matched = <int8_t>match_now(rs, p)
    note_time(&p.timed, thread_ns() - start)
    p.untimed = until_next_sample(start)


cdef void match_anew(RunState* rs, PatternState* p) noexcept nogil:
    if p.untimed:
        p.untimed -= 1
        if p.early == NULL or not take_early_match(p, rs.serial):
            p.matched = <int8_t>match_now(rs, p)
    else:
        match_timed(rs, p)


cdef inline int match_line(RunState* rs, PatternState* p) noexcept nogil:
    """The line is a candidate: 1 matched, 0 not, -1 without memory."""
    if p.serial == rs.serial:
        return p.matched
    p.serial = rs.serial
    if needs_no_match(p.pattern.flags, p.pattern.pairs, rs.prefiltered and p.prefiltered):
        p.matched = 1
    else:
        match_anew(rs, p)
    p.tried += 1
    p.matches += p.matched == 1
    return p.matched


cdef inline void note_captures(Captures* slot, uint64_t serial, const char* base, size_t* ov) noexcept nogil:
    slot.serial = serial
    slot.base = base
    slot.ov = ov


cdef inline Str captured(Captures* slot, int group) noexcept nogil:
    """The text of a group; empty if it took no part in the match."""
    cdef Str text
    cdef size_t first = slot.ov[2 * group]
    text.p = slot.base
    text.n = 0
    if first != <size_t> -1:
        text.p = slot.base + first
        text.n = slot.ov[2 * group + 1] - first
    return text
