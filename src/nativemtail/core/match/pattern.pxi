# A pattern: `Pattern` is the immutable part in the plan, `PatternState` the part that each engine has.
#
# A pattern has three forms (compiler/regex/dialects.py): bytes for ASCII subjects, UTF for others, and RE2's.  Each is
# compiled at its first match, because most are never used.

cdef enum:
    FORM_NEW = 0            # not compiled yet
    FORM_READY = 1
    FORM_NONE = 2           # does not compile: use RE2

cdef enum:
    WARM_UP = 4             # matches before the first that is timed, because the first one compiles
    EARLY = 8               # matches that look-ahead may keep (run/lookahead.pxi); a power of two

cdef struct Programs:       # a word of a bit set of programs
    uint32_t word
    uint64_t mask

cdef struct Fields:         # a field pattern
    int format
    int n                   # fields
    const FieldSpec* specs
    const Str* paths
    const FieldTable* tables    # the last one has the elements that `every` goes through
    int table_n

cdef struct PatternTexts:   # apart, because it is seldom read
    const Fields* fields    # NULL: a regular expression
    Str bytes               # the three forms
    Str utf
    Str re2
    Automaton automaton     # for replacing

cdef struct Pattern:        # fits one cache line
    OnePass onepass         # for ASCII texts; no operations: not a one-pass pattern
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

cdef struct EarlyMatch:     # made by look-ahead for a later line
    uint64_t serial         # its number
    int matched
    uint32_t h              # hash of the label values that will be looked up
    uint32_t slot           # where their series probably is
    size_t key              # approximate length of their key
    size_t* ov

cdef struct PatternState:   # three cache lines; the first has all that is used on every line
    uint64_t serial         # the line that `matched` and `ov` belong to
    uint64_t found_on       # the last line with one of its required literals
    size_t* ov              # pairs of offsets into the line
    const Pattern* pattern
    EarlyMatch* early       # by line number modulo EARLY; NULL: no look-ahead
    int64_t tried           # lines that it was matched against
    int64_t matches         # lines that it matched
    uint32_t untimed        # matches left before one is timed
    int8_t matched
    uint8_t prefiltered     # copied from the pattern, so that skipping it touches one cache line only
    uint8_t onepass         # whether the one-pass matcher is used
    Form bytes
    Form utf
    void* re2
    int re2_state
    int hits                # times that PCRE2 was slow or reached its limit
    int64_t last_hit        # Matcher.searches at the last of them
    OnePassTrial trial
    Timed timed             # a sample of those that were tried
    size_t* scratch         # offsets for matches of texts other than the line
    uint64_t unused         # pads to whole cache lines


cdef pcre2_code* form_compile(const Str* text, uint32_t options) noexcept nogil:
    """Compile without JIT; NULL on failure."""
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
    cdef pcre2_code* code
    cdef void* re2
    if p.texts.fields != NULL:
        return True
    code = form_compile(&p.texts.bytes, 0)
    if code != NULL:
        pcre2_code_free(code)
        return True
    re2 = re2_compile(p.texts.re2.p, p.texts.re2.n)
    if re2 != NULL:
        re2_free(re2)
    return re2 != NULL


cdef bint pattern_state_init(PatternState* p, const Pattern* pattern) noexcept nogil:
    """False without memory; pattern_state_free() must be called in either case."""
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
    """Compile the RE2 form unless that is done; false without memory."""
    if p.re2_state == FORM_NEW:
        p.re2 = re2_compile(p.pattern.texts.re2.p, p.pattern.texts.re2.n)
        p.re2_state = FORM_READY if p.re2 != NULL else FORM_NONE
    return p.re2_state == FORM_READY


