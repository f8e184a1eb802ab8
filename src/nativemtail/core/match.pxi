# Captures: a plain scan where the pattern is a chain (compiler/regex/onepass/) and the text ASCII, PCRE2's JIT where
# that is exact and bounded, RE2 everywhere else.
#
# A pattern has three forms (compiler/regex/dialects.py): bytes for ASCII subjects, UTF for the others, RE2 for
# subjects on which PCRE2 reached its limit, patterns on which the two differ, long lines of patterns that are not
# proven linear, and machines that allow no JIT.  Invalid UTF-8 becomes U+FFFD first, as Go reads it, and the
# offsets are mapped back.

cdef enum:
    FORM_NEW = 0            # not compiled yet
    FORM_READY = 1
    FORM_NONE = 2           # cannot be had: use RE2

cdef enum:
    LONG_LINE = 1024        # bytes from which on only proven-linear patterns run in PCRE2
    MATCH_LIMIT = 2000      # PCRE2's limit for a match, beside STEPS_PER_BYTE
    STEPS_PER_BYTE = 8
    WARM_UP = 4             # matches before the first that is timed: the first compiles
    SLOW_TICKS = 60000      # PCRE2's limit holds for each place where a match may begin, so that in all a match may
    SLOW_TICKS_PER_BYTE = 300   # take far longer: one that takes more than this is slow
    HITS_TO_DEMOTE = 8      # a pattern that was slow or reached the limit so often starts with RE2
    HITS_WINDOW = 10000     # within so many matches; a process that is interrupted seems slow, too

slow_ticks = SLOW_TICKS

cdef enum:                  # a text is replaced with the automaton when searches for matches may have gone over
    SEARCHED_LEAST = 262144     # so many bytes
    SEARCHED_TIMES = 64         # and so many times its length
    SEARCHED_MOST = 67108864    # without an automaton it is given up beyond this

cdef enum:                  # what is known of a subject's bytes
    TEXT_UNKNOWN = 0
    TEXT_ASCII = 1
    TEXT_UTF8 = 2
    TEXT_REPAIRED = 3

cdef struct Form:           # of a pattern, compiled with its first match
    pcre2_code* code
    pcre2_match_data* data
    int state

cdef enum:
    EARLY = 8               # lines that a pattern may be matched ahead, see engine.pxi; a power of two

cdef struct Early:          # a match ahead of time
    uint64_t serial         # the line that it is about
    int matched
    uint32_t h              # hash of the label values that will be asked for
    uint32_t slot           # where they probably are
    size_t key              # bytes of their key, about
    size_t* ov

cdef struct Programs:       # some of 64
    uint32_t word
    uint64_t mask

cdef struct PatternTexts:   # what is seldom read
    Str bytes               # the three forms
    Str utf
    Str re2
    Automaton automaton     # for `substitute`

cdef struct Pattern:        # what does not change; one cache line
    Chain chain             # how to match it in ASCII texts without PCRE2
    int flags
    int pairs               # capture offsets wanted, group 0 included; 0: only whether it matches
    const Programs* opens   # that run where it matches
    int opens_n
    bint gated              # only tried on lines with one of its factors
    const PatternTexts* texts

cdef struct PatternState:   # what one engine knows of a pattern; three cache lines, the first with what each line asks for
    uint64_t serial         # the line that `matched` and `ov` are about
    uint64_t opened         # the last line with one of its factors
    size_t* ov              # pairs of offsets into the line
    const Pattern* pattern
    Early* early            # by line number, modulo EARLY; NULL: never matched ahead
    int64_t tried           # lines that it was matched against
    int64_t found           # and those that it matched
    uint32_t untimed        # matches to go until one is timed
    int8_t matched
    uint8_t gated           # as the pattern has it, so that a shut gate costs one cache line
    uint8_t chained         # whether the pattern's chain is used
    Form bytes
    Form utf
    void* re2
    int re2_state
    int hits                # times that PCRE2 was slow or reached its limit
    int64_t last_hit        # when, as Matcher.searches
    ChainTrial trial
    Timed timed             # a sample of those that were tried
    size_t* scratch         # as many offsets for matches of other texts
    uint64_t unused         # fills the line

cdef struct Subject:
    const char* p
    size_t n
    size_t room             # bytes that may be read, `n` at least
    int state
    Buf fixed               # the repaired text, if state is TEXT_REPAIRED
    Buf origin              # and for each offset into it the offset into the subject, as uint32_t

cdef struct Matcher:        # what matching needs besides the pattern; one per engine
    pcre2_match_context* context
    pcre2_jit_stack* stack
    int jit                 # whether JIT may be used
    bint chains             # likewise the plain scans of core/onepass.hpp
    int64_t searches        # by PCRE2 of patterns that are not proven linear
    int64_t limit_hits
    int64_t re2_runs
    int64_t gate_open       # patterns whose gate was asked in this block, and was open
    int64_t gate_shut       # and was not


cdef int matcher_init(Matcher* m, bint allow_jit) noexcept nogil:
    memset(m, 0, sizeof(Matcher))
    m.context = pcre2_match_context_create(NULL)
    if m.context == NULL:
        return -1
    m.stack = pcre2_jit_stack_create(32 * 1024, 1024 * 1024, NULL)
    if m.stack != NULL:
        pcre2_jit_stack_assign(m.context, NULL, m.stack)
    m.jit = allow_jit and m.stack != NULL
    m.chains = allow_jit and chains_work()
    return 0


cdef void matcher_free(Matcher* m) noexcept nogil:
    if m.stack != NULL:
        pcre2_jit_stack_free(m.stack)
    if m.context != NULL:
        pcre2_match_context_free(m.context)
    memset(m, 0, sizeof(Matcher))


cdef pcre2_code* form_compile(const Str* text, uint32_t options) noexcept nogil:
    """Without JIT, which comes with the first use; NULL: cannot be had."""
    cdef int error = 0
    cdef size_t offset = 0
    return pcre2_compile(<const unsigned char*> text.p, text.n, options, &error, &offset, NULL)


cdef int form_prepare(Form* form, const Str* text, uint32_t options, int pairs) noexcept nogil:
    form.state = FORM_NONE
    form.code = form_compile(text, options)
    if form.code == NULL:
        return FORM_NONE
    form.data = pcre2_match_data_create(<uint32_t> (pairs if pairs > 0 else 1), NULL)
    if form.data != NULL and pcre2_jit_compile(form.code, PCRE2_JIT_COMPLETE) == 0:
        form.state = FORM_READY
    return form.state


cdef void form_free(Form* form) noexcept nogil:
    if form.data != NULL:
        pcre2_match_data_free(form.data)
    if form.code != NULL:
        pcre2_code_free(form.code)


cdef bint pattern_try(const Pattern* p) noexcept nogil:
    """Whether PCRE2 or RE2 can compile it."""
    cdef pcre2_code* code = form_compile(&p.texts.bytes, 0)
    cdef void* re2
    if code != NULL:
        pcre2_code_free(code)
        return True
    re2 = re2_compile(p.texts.re2.p, p.texts.re2.n)
    if re2 != NULL:
        re2_free(re2)
    return re2 != NULL


cdef bint pattern_state_init(PatternState* p, const Pattern* pattern) noexcept nogil:
    """False without memory; pattern_state_free() is due in either case."""
    p.pattern = pattern
    p.gated = pattern.gated
    p.chained = pattern.chain.ops != NULL
    p.untimed = WARM_UP
    p.ov = <size_t*> calloc(2 * pattern.pairs + 1, sizeof(size_t))
    p.scratch = <size_t*> calloc(2 * pattern.pairs + 1, sizeof(size_t))
    return p.ov != NULL and p.scratch != NULL


cdef bint pattern_early_init(PatternState* p) noexcept nogil:
    cdef int k
    if p.early != NULL:
        return True
    p.early = <Early*> calloc(EARLY, sizeof(Early))
    if p.early == NULL:
        return False
    for k in range(EARLY):
        p.early[k].ov = <size_t*> calloc(2 * p.pattern.pairs + 1, sizeof(size_t))
        if p.early[k].ov == NULL:
            return False
    return True


cdef void pattern_state_free(PatternState* p) noexcept nogil:
    cdef int k
    form_free(&p.bytes)
    form_free(&p.utf)
    if p.re2 != NULL:
        re2_free(p.re2)
    free(p.ov)
    free(p.scratch)
    if p.early != NULL:
        for k in range(EARLY):
            free(p.early[k].ov)
    free(p.early)


cdef bint pattern_re2(PatternState* p) noexcept nogil:
    """Have the RE2 form ready; false when there is no memory for it."""
    if p.re2_state == FORM_NEW:
        p.re2 = re2_compile(p.pattern.texts.re2.p, p.pattern.texts.re2.n)
        p.re2_state = FORM_READY if p.re2 != NULL else FORM_NONE
    return p.re2_state == FORM_READY


cdef inline void subject_set(Subject* s, const char* p, size_t n) noexcept nogil:
    s.p = p
    s.n = s.room = n
    s.state = TEXT_UNKNOWN


cdef void subject_free(Subject* s) noexcept nogil:
    buf_free(&s.fixed)
    buf_free(&s.origin)


cdef bint subject_repair(Subject* s) noexcept nogil:
    buf_clear(&s.fixed)
    buf_clear(&s.origin)
    utf8_repair(&s.fixed, s.p, s.n, &s.origin)
    return not (s.fixed.failed or s.origin.failed)


cdef inline size_t subject_origin(Subject* s, size_t offset) noexcept nogil:
    return (<uint32_t*> s.origin.p)[offset]


cdef bint subject_examine(Subject* s) noexcept nogil:
    """Find out what the bytes are; false when there is no memory."""
    if is_ascii(s.p, s.n):
        s.state = TEXT_ASCII
    elif is_utf8(s.p, s.n):
        s.state = TEXT_UTF8
    else:
        s.state = TEXT_REPAIRED
        return subject_repair(s)
    return True


cdef void note_hit(Matcher* m, PatternState* p) noexcept nogil:
    """PCRE2 was slow or reached its limit; results do not depend on it."""
    if p.hits < HITS_TO_DEMOTE and m.searches - p.last_hit > HITS_WINDOW:
        p.hits = 0
    p.hits += 1
    p.last_hit = m.searches


cdef int match_pcre2(Matcher* m, PatternState* p, Form* form, const Str* source, uint32_t options, const char* text,
                     size_t n, size_t start, size_t* ov) noexcept nogil:
    """1 matched, 0 not, -1 PCRE2 cannot say."""
    cdef int rc
    cdef uint64_t begun
    if form.state == FORM_NEW and form_prepare(form, source, options, p.pattern.pairs) != FORM_READY:
        return -1
    pcre2_set_match_limit(m.context, <uint32_t> (MATCH_LIMIT + STEPS_PER_BYTE * n))
    if p.pattern.flags & PATTERN_LINEAR:
        rc = pcre2_jit_match(form.code, <const unsigned char*> text, n, start, 0, form.data, m.context)
    else:
        m.searches += 1
        begun = nm_ticks()
        rc = pcre2_jit_match(form.code, <const unsigned char*> text, n, start, 0, form.data, m.context)
        if nm_ticks() - begun > slow_ticks + SLOW_TICKS_PER_BYTE * n:
            note_hit(m, p)
    if rc >= 0:
        memcpy(ov, pcre2_get_ovector_pointer(form.data), <size_t> p.pattern.pairs * 2 * sizeof(size_t))
        return 1
    if rc == PCRE2_ERROR_NOMATCH:
        return 0
    note_hit(m, p)
    m.limit_hits += 1
    return -1


cdef bint uses_pcre2(Matcher* m, PatternState* p, size_t n) noexcept nogil:
    if not m.jit or not p.pattern.flags & PATTERN_PCRE2:
        return False
    return p.pattern.flags & PATTERN_LINEAR or (n < LONG_LINE and p.hits < HITS_TO_DEMOTE)


cdef inline int match_chain(Matcher* m, PatternState* p, Subject* s, size_t* ov) noexcept nogil:
    """Match an ASCII subject by a plain scan: 1, 0, or -1 where that is not possible or cannot say."""
    cdef int rc
    if not m.chains or not p.chained:
        return -1
    rc = chain_match(p.pattern.chain, s.p, s.n, s.room, ov, p.pattern.pairs)
    p.chained = chain_pays(&p.trial, rc)
    return rc


cdef int match_at(Matcher* m, PatternState* p, Subject* s, size_t start, size_t* ov) noexcept nogil:
    """Match `p` against the subject from offset `start` of its (repaired) text: 1, 0, or -1 without memory.

    `ov` gets the pattern's pairs of offsets into that text.
    """
    cdef int rc
    if s.state == TEXT_UNKNOWN and not subject_examine(s):
        return -1
    if s.state == TEXT_ASCII and start == 0:
        rc = match_chain(m, p, s, ov)
        if rc >= 0:
            return rc
    return match_search(m, p, s, start, ov)


cdef int match_search(Matcher* m, PatternState* p, Subject* s, size_t start, size_t* ov) noexcept nogil:
    """Likewise, of a subject that was examined, and not by a plain scan."""
    cdef const char* text = s.p
    cdef size_t n = s.n
    cdef int rc = -1
    if s.state == TEXT_REPAIRED:
        text = s.fixed.p
        n = s.fixed.n
    if uses_pcre2(m, p, n):
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


cdef void offsets_to_origin(Subject* s, size_t* ov, int pairs) noexcept nogil:
    cdef int i
    for i in range(2 * pairs):
        if ov[i] != <size_t> -1:
            ov[i] = subject_origin(s, ov[i])


cdef int match_subject(Matcher* m, PatternState* p, Subject* s, size_t* ov) noexcept nogil:
    """Match `p` anywhere in the subject: 1, 0, or -1 without memory; offsets into the subject's own bytes."""
    cdef int rc = match_at(m, p, s, 0, ov)
    if rc == 1 and s.state == TEXT_REPAIRED:
        offsets_to_origin(s, ov, p.pattern.pairs)
    return rc


cdef void substitute(Matcher* m, PatternState* p, Subject* s, Str new, Buf* out, size_t limit) noexcept nogil:
    """Every leftmost-first match replaced by `new` literally; an empty match right behind a match is none.

    `limit` bounds what may be in `out`: beyond it, and without memory, `out.failed` is set.
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
        while at + width < n and (<unsigned char> text[at + width] & 0xC0) == 0x80:
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
