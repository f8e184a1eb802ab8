# Replacing all matches in a text, in time linear in the text (automaton.pxi).

cdef enum:                  # also for `every` (run/every.pxi): the automaton takes over once the searches may have read
    SEARCHED_LEAST = 262144     # this many bytes,
    SEARCHED_TIMES = 64         # and this many times the text
    SEARCHED_MOST = 67108864    # limit in bytes if there is no automaton


cdef void substitute(Matcher* m, PatternState* p, Subject* s, Str new, Buf* out, size_t limit) noexcept nogil:
    """Replace every leftmost-first match by `new`, literally; an empty match right after a match does not count.

    `limit` is the most bytes that `out` may have; beyond it, or without memory, `out.failed` is set.
    """
    cdef const char* text
    cdef size_t n, at = 0, copied = 0, width
    cdef size_t* ov = p.scratch
    cdef size_t searched = 0
    cdef const Automaton* automaton = &p.pattern.texts.automaton
    cdef Walk walk
    cdef bint walking = False
    cdef int rc = 1
    if s.state == TEXT_UNKNOWN and not subject_examine(s):
        out.failed = True
        return
    text = s.p
    n = s.n
    if s.state == TEXT_REPAIRED:
        text = s.fixed.p
        n = s.fixed.n
    while at <= n and out.n <= limit and not out.failed:
        if not walking and searched > SEARCHED_LEAST + SEARCHED_TIMES * n:
            walking = automaton.states != NULL and walk_begin(&walk, automaton, text, n, at)
            if not walking and searched > SEARCHED_MOST:
                out.failed = True
                break
        if walking:
            rc = walk_next(&walk, at, ov)
        else:
            rc = match_at(m, p, s, at, ov)
            searched += n - at
        if rc != 1:
            break
        put_origin(s, out, copied, ov[0])
        if ov[1] > copied or ov[0] == 0:
            buf_put(out, new.p, new.n)
        copied = ov[1]
        width = 1
        while at + width < n and (<unsigned char>text[at + width] & 0xC0) == 0x80:
            width += 1
        at = at + width if at + width > ov[1] else ov[1]
    if walking:
        walk_end(&walk)
    put_origin(s, out, copied, n)
    if rc < 0 or out.n > limit:
        out.failed = True


cdef void put_origin(Subject* s, Buf* out, size_t first, size_t last) noexcept nogil:
    """The subject's own bytes between two offsets into its (repaired) text."""
    if s.state == TEXT_REPAIRED:
        first = subject_origin(s, first)
        last = subject_origin(s, last)
    buf_put(out, s.p + first, last - first)
