# A pattern: what does not change is the plan's, what does is each engine's.
#
# A pattern has three forms (compiler/regex/dialects.py): bytes for ASCII subjects, UTF for others, and RE2's.  They are
# compiled with their first match; most patterns of a plan never need one.

cdef enum:
    FORM_NEW = 0            # not compiled yet
    FORM_READY = 1
    FORM_NONE = 2           # cannot be had: use RE2

cdef enum:
    WARM_UP = 4             # matches before the first that is timed: the first compiles
    EARLY = 8               # lines that a pattern may be matched ahead (run/lookahead.pxi); a power of two

cdef struct Programs:       # some of 64
    uint32_t word
    uint64_t mask

cdef struct PatternTexts:   # what is seldom read
    Str bytes               # the three forms
    Str utf
    Str re2
    Automaton automaton     # for replacing

cdef struct Pattern:        # what does not change; one cache line
    OnePass onepass         # how to match it in ASCII texts without PCRE2; no operations: not at all
    int flags
    int pairs               # capture offsets wanted, group 0 included; 0: only whether it matches
    const Programs* triggers    # programs that run where it matches
    int trigger_n
    bint prefiltered        # only tried on lines with one of its required literals
    const PatternTexts* texts

cdef struct Form:
    pcre2_code* code
    pcre2_match_data* data
    int state

cdef struct EarlyMatch:     # of a line that is to come
    uint64_t serial         # its number
    int matched
    uint32_t h              # hash of the label values that will be asked for
    uint32_t slot           # where they probably are
    size_t key              # bytes of their key, about
    size_t* ov

cdef struct PatternState:   # three cache lines, the first with what each line of the log asks for
    uint64_t serial         # the line that `matched` and `ov` are about
    uint64_t found_on       # the last line with one of its required literals
    size_t* ov              # pairs of offsets into the line
    const Pattern* pattern
    EarlyMatch* early       # by line number, modulo EARLY; NULL: never matched ahead
    int64_t tried           # lines that it was matched against
    int64_t matches         # and those that it matched
    uint32_t untimed        # matches to go until one is timed
    int8_t matched
    uint8_t prefiltered     # as the pattern has it, so that one that is not tried costs one cache line
    uint8_t onepass         # whether the one-pass matcher is used
    Form bytes
    Form utf
    void* re2
    int re2_state
    int hits                # times that PCRE2 was slow or reached its limit
    int64_t last_hit        # when, as Matcher.searches
    OnePassTrial trial
    Timed timed             # a sample of those that were tried
    size_t* scratch         # as many offsets for matches of other texts
    uint64_t unused         # fills the line


cdef pcre2_code* form_compile(const Str* text, uint32_t options) noexcept nogil:
    """Without JIT, which comes with the first use; NULL: cannot be had."""
    cdef int error = 0
    cdef size_t offset = 0
    return pcre2_compile(<const unsigned char*>text.p, text.n, options, &error, &offset, NULL)


cdef int form_prepare(Form* form, const Str* text, uint32_t options, int pairs) noexcept nogil:
    form.state = FORM_NONE
    form.code = form_compile(text, options)
    if form.code == NULL:
        return FORM_NONE
    form.data = pcre2_match_data_create(<uint32_t>(pairs if pairs > 0 else 1), NULL)
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
    p.prefiltered = pattern.prefiltered
    p.onepass = pattern.onepass.ops != NULL
    p.untimed = WARM_UP
    p.ov = <size_t*>calloc(2 * pattern.pairs + 1, sizeof(size_t))
    p.scratch = <size_t*>calloc(2 * pattern.pairs + 1, sizeof(size_t))
    return p.ov != NULL and p.scratch != NULL


cdef bint pattern_early_init(PatternState* p) noexcept nogil:
    cdef int k
    if p.early != NULL:
        return True
    p.early = <EarlyMatch*>calloc(EARLY, sizeof(EarlyMatch))
    if p.early == NULL:
        return False
    for k in range(EARLY):
        p.early[k].ov = <size_t*>calloc(2 * p.pattern.pairs + 1, sizeof(size_t))
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


