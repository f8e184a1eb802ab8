# Matching a pattern, by the engine that strategy.pxi chooses.

cdef enum:
    MATCH_LIMIT = 2000      # constant part of PCRE2's match limit; STEPS_PER_BYTE is added per byte
    STEPS_PER_BYTE = 8
    SLOW_TICKS = 60000      # PCRE2 applies its limit to each starting position, so a search as a whole may take
    SLOW_TICKS_PER_BYTE = 300   # far longer: one that takes more ticks than this counts as slow
    HITS_WINDOW = 10000     # matches after which hits expire, since an interrupted process looks slow too

slow_ticks = SLOW_TICKS

cdef struct Matcher:        # state that all patterns of an engine share
    pcre2_match_context* context
    pcre2_jit_stack* stack
    int jit                 # whether JIT may be used
    bint onepass            # whether the one-pass matcher may be used
    int64_t searches        # by PCRE2 of patterns that are not proven linear
    int64_t limit_hits
    int64_t re2_runs


cdef int matcher_init(Matcher* m, bint allow_jit) noexcept nogil:
    memset(m, 0, sizeof(Matcher))
    m.context = pcre2_match_context_create(NULL)
    if m.context == NULL:
        return -1
    m.stack = pcre2_jit_stack_create(32 * 1024, 1024 * 1024, NULL)
    if m.stack != NULL:
        pcre2_jit_stack_assign(m.context, NULL, m.stack)
    m.jit = allow_jit and m.stack != NULL
    m.onepass = allow_jit and onepass_works()
    return 0


cdef void matcher_free(Matcher* m) noexcept nogil:
    if m.stack != NULL:
        pcre2_jit_stack_free(m.stack)
    if m.context != NULL:
        pcre2_match_context_free(m.context)
    memset(m, 0, sizeof(Matcher))


cdef void note_hit(Matcher* m, PatternState* p) noexcept nogil:
    """Count that PCRE2 was slow or reached its limit.  It changes which engine is used, not the result."""
    if p.hits < HITS_TO_DEMOTE and m.searches - p.last_hit > HITS_WINDOW:
        p.hits = 0
    p.hits += 1
    p.last_hit = m.searches


cdef int match_pcre2(Matcher* m, PatternState* p, Form* form, const Str* source, uint32_t options, const char* text,
                     size_t n, size_t start, size_t* ov) noexcept nogil:
    """1 matched, 0 no match, -1 undecided: try RE2."""
    cdef int rc
    cdef uint64_t begun
    if form.state == FORM_NEW and form_prepare(form, source, options, p.pattern.pairs) != FORM_READY:
        return -1
    pcre2_set_match_limit(m.context, <uint32_t>(MATCH_LIMIT + STEPS_PER_BYTE * n))
    if p.pattern.flags & PATTERN_LINEAR:
        rc = pcre2_jit_match(form.code, <const unsigned char*>text, n, start, 0, form.data, m.context)
    else:
        m.searches += 1
        begun = cpu_ticks()
        rc = pcre2_jit_match(form.code, <const unsigned char*>text, n, start, 0, form.data, m.context)
        if cpu_ticks() - begun > slow_ticks + SLOW_TICKS_PER_BYTE * n:
            note_hit(m, p)
    if rc >= 0:
        memcpy(ov, pcre2_get_ovector_pointer(form.data), <size_t>p.pattern.pairs * 2 * sizeof(size_t))
        return 1
    if rc == PCRE2_ERROR_NOMATCH:
        return 0
    note_hit(m, p)
    m.limit_hits += 1
    return -1


cdef inline int match_onepass(Matcher* m, PatternState* p, Subject* s, size_t* ov) noexcept nogil:
    """Match an ASCII subject: 1, 0, or -1 where the one-pass matcher is not used or cannot decide."""
    cdef int rc
    if not m.onepass or not p.onepass:
        return -1
    rc = onepass_match(p.pattern.onepass, s.p, s.n, s.room, ov, p.pattern.pairs)
    p.onepass = onepass_pays(&p.trial, rc)
    return rc


cdef int match_at(Matcher* m, PatternState* p, Subject* s, size_t start, size_t* ov) noexcept nogil:
    """Match `p` against the subject from offset `start` of its (repaired) text: 1, 0, or -1 without memory.

    `ov` gets the pattern's pairs of offsets into that text.
    """
    cdef int rc
    if s.state == TEXT_UNKNOWN and not subject_examine(s):
        return -1
    if s.state == TEXT_ASCII and start == 0:
        rc = match_onepass(m, p, s, ov)
        if rc >= 0:
            return rc
    return match_search(m, p, s, start, ov)


cdef int match_search(Matcher* m, PatternState* p, Subject* s, size_t start, size_t* ov) noexcept nogil:
    """The same without the one-pass matcher; the subject has been examined."""
    cdef const char* text = s.p
    cdef size_t n = s.n
    cdef int rc = -1
    if s.state == TEXT_REPAIRED:
        text = s.fixed.p
        n = s.fixed.n
    if m.jit and search_engine(p.pattern.flags, n, p.hits) == ENGINE_PCRE2:
        if s.state == TEXT_ASCII:
            if p.bytes.state != FORM_NONE:
                rc = match_pcre2(m, p, &p.bytes, &p.pattern.texts.bytes, 0, text, n, start, ov)
        elif p.utf.state != FORM_NONE:
            rc = match_pcre2(m, p, &p.utf, &p.pattern.texts.utf, PCRE2_UTF | PCRE2_NO_UTF_CHECK, text, n, start, ov)
        if rc >= 0:
            return rc
    if not pattern_re2(p):
        return -1
    m.re2_runs += 1
    return re2_match(p.re2, text, n, start, ov, p.pattern.pairs, p.pattern.flags & PATTERN_STEPPED)


cdef int match_subject(Matcher* m, PatternState* p, Subject* s, size_t* ov) noexcept nogil:
    """Match `p` anywhere in the subject: 1, 0, or -1 without memory; offsets into the subject's own bytes."""
    cdef int rc = match_at(m, p, s, 0, ov)
    if rc == 1 and s.state == TEXT_REPAIRED:
        offsets_to_origin(s, ov, p.pattern.pairs)
    return rc
