# Everything that changes while lines run: one RunState per engine and plan.  The plan itself stays unchanged.

cdef enum:
    TIME_RANGES = 11            # of run times, up to 20 µs, 40 µs, … 10.24 ms, and above

cdef union Reg:
    int64_t i
    double f
    Str s
    Datum* datum

cdef struct Loop:               # where an `every` is
    Subject text                # that it goes through, unless that is the line
    bint of_line
    PatternState* pattern
    size_t at                   # where the next search begins
    int64_t before              # end of the match before; -1: none
    size_t searched             # bytes that the searches may have read
    bint walking                # the automaton has taken over
    bint ahead                  # and its pattern looks at what follows a match
    Walk walk
    const FieldSpan* spans      # of a field pattern: those of the text, then rows of elements
    size_t row                  # the next row's first span
    size_t end

cdef struct Captures:           # what one occurrence of a pattern matched
    uint64_t serial             # number of the line matched
    const char* base
    size_t* ov
    size_t* own                 # offsets for matches of texts other than the line, and in loops
    Loop* loop                  # NULL until an `every` runs

cdef enum:
    UNTIMED_NAMED = 10          # lines without a time that are named, in a history

cdef struct Untimed:            # lines whose writes are left out of a history
    uint64_t serial             # of the last one
    int64_t n
    int64_t lines[UNTIMED_NAMED]    # numbers of the first ones in their log, from 1; -1: unknown

cdef struct ProgState:          # of one program since the plan was started
    const Prog* prog
    Captures* slots
    TimeMemo** memos            # by layout of the program
    int64_t lines               # that the program was given
    int64_t runs                # lines that it ran on
    uint32_t unsampled          # runs left before one is timed
    FaultLog faults
    Untimed untimed
    int64_t times[TIME_RANGES]  # timed runs by how long they took, see profile.pxi
    int64_t time_ns             # their sum
    Timed timed                 # the same by the thread's CPU clock, without the first run, which compiles regexes

cdef struct GuardState:
    ProgState slice
    TimestampMemo timestamp     # the last time at the start of a line that parsed, any second of its minute
    uint64_t epoch              # Clock.epoch when it was parsed

cdef struct RunState:
    const PlanTables* tables
    Reg* regs
    PatternState* patterns      # this and the next three are indexed by the plan's numbers
    ProgState* progs
    GuardState* guards
    TimeMemo* memos
    uint64_t* chosen            # bit set of the programs to run on the line
    bint prefiltered            # the piece was searched for required literals
    bint ascii                  # the whole piece is ASCII
    Matcher matcher
    Subject line
    Subject other               # subject of =~ and subst
    Str source
    uint64_t serial             # number of the line
    uint32_t source_number
    Buf frames                  # lines gathered with their times (replay.pxi)
    Str block                   # that is scanned
    int64_t lines_before        # it, since the clock was fixed
    Clock clock
    Arena arena
    FieldSpan* spans            # what a reader of fields found
    FieldRows rows
    const Fields* read_fields   # whose they are, in which text, of which line
    Str read_text
    uint64_t read_on
    Str given[2]                # what a container's lines say of the record: stream, logtime; p NULL: undefined
    int read_result
    int64_t rounds              # of all `every` of the program on the line
    int64_t texts               # bytes of the texts that it went through, matched or replaced since the first of these
    hs_scratch_t* scratch
    int64_t passed              # tests of a pattern's literals in this block that found one
    int64_t stopped             # and that found none
    int back_off                # blocks still to run without the prefilter
    int by_hyperscan            # pieces still to search with Hyperscan instead of the multi-literal matcher
    size_t confirmed            # candidate positions that it had in the last piece
    int64_t lines               # lines scanned; the time for that in all, and in the prefilter
    int64_t scan_ns
    int64_t prefilter_ns


@cython.final
@cython.internal
cdef class Run:
    """A plan, and the state in which one engine runs it."""

    cdef Plan plan
    cdef RunState state

    def __cinit__(self, Plan plan not None):
        cdef const PlanTables* tables = &plan.tables
        cdef RunState* rs = &self.state
        self.plan = plan
        rs.tables = tables
        rs.spans = <FieldSpan*>zeroed(tables.spans + 1, sizeof(FieldSpan))
        rs.rows.limit = MAX_ARENA // (4 * sizeof(FieldSpan))
        rs.regs = <Reg*>zeroed(tables.registers + 4, sizeof(Reg))
        rs.chosen = <uint64_t*>zeroed(tables.prefilter.words, sizeof(uint64_t))
        rs.memos = <TimeMemo*>zeroed(tables.layout_n, sizeof(TimeMemo))
        rs.patterns = <PatternState*>zeroed_lines(tables.pattern_n, sizeof(PatternState))
        rs.progs = <ProgState*>zeroed(tables.prog_n, sizeof(ProgState))
        rs.guards = <GuardState*>zeroed(tables.prefilter.guard_n, sizeof(GuardState))
        rs.clock.zone = tables.zone
        rs.clock.patch_year = tables.patch_year
        if not run_state_fill(rs) or matcher_init(&rs.matcher, tables.allow_jit) != 0:
            raise MemoryError()
        if tables.prefilter.usable and hs_alloc_scratch(tables.prefilter.database, &rs.scratch) != HS_SUCCESS:
            raise MemoryError()

    def __dealloc__(self):
        run_state_free(&self.state)


cdef bint run_state_fill(RunState* rs) noexcept nogil:
    """False without memory."""
    cdef const PlanTables* tables = rs.tables
    cdef int i
    for i in range(tables.layout_n):
        rs.memos[i].layout = &tables.layouts[i]
    for i in range(tables.pattern_n):
        if not pattern_state_init(&rs.patterns[i], &tables.patterns[i]):
            return False
    for i in range(tables.lookahead_n):
        if not pattern_early_init(&rs.patterns[tables.lookaheads[i].pattern]):
            return False
    for i in range(tables.prog_n):
        if not prog_state_init(&rs.progs[i], &tables.progs[i], rs.memos):
            return False
    for i in range(tables.prefilter.guard_n):
        if not prog_state_init(&rs.guards[i].slice, &tables.prefilter.guards[i].slice, rs.memos):
            return False
    return True


cdef void run_state_free(RunState* rs) noexcept nogil:
    cdef const PlanTables* tables = rs.tables
    cdef int i
    if rs.patterns != NULL:
        for i in range(tables.pattern_n):
            pattern_state_free(&rs.patterns[i])
    if rs.progs != NULL:
        for i in range(tables.prog_n):
            prog_state_free(&rs.progs[i])
    if rs.guards != NULL:
        for i in range(tables.prefilter.guard_n):
            prog_state_free(&rs.guards[i].slice)
    free(rs.patterns)
    free(rs.progs)
    free(rs.guards)
    free(rs.memos)
    free(rs.chosen)
    free(rs.spans)
    free(rs.rows.p)
    free(rs.regs)
    matcher_free(&rs.matcher)
    subject_free(&rs.line)
    subject_free(&rs.other)
    arena_free(&rs.arena)
    buf_free(&rs.frames)
    if rs.scratch != NULL:
        hs_free_scratch(rs.scratch)


cdef bint prog_state_init(ProgState* state, const Prog* prog, TimeMemo* memos) noexcept nogil:
    cdef int i
    state.prog = prog
    state.memos = <TimeMemo**>calloc(prog.layout_n + 1, sizeof(TimeMemo*))
    state.slots = <Captures*>calloc(prog.slot_n + 1, sizeof(Captures))
    if state.memos == NULL or state.slots == NULL:
        return False
    for i in range(prog.layout_n):
        state.memos[i] = &memos[prog.layouts[i]]
    for i in range(prog.slot_n):
        if prog.slot_pairs[i]:
            state.slots[i].own = <size_t*>calloc(2 * prog.slot_pairs[i], sizeof(size_t))
            if state.slots[i].own == NULL:
                return False
    return True


cdef void stop_walking(Loop* loop) noexcept nogil:
    if loop.walking:
        walk_end(&loop.walk)
    loop.walking = False


cdef void prog_state_free(ProgState* state) noexcept nogil:
    cdef int i
    if state.slots != NULL:
        for i in range(state.prog.slot_n):
            free(state.slots[i].own)
            if state.slots[i].loop != NULL:
                stop_walking(state.slots[i].loop)
                subject_free(&state.slots[i].loop.text)
                free(state.slots[i].loop)
    free(state.slots)
    free(state.memos)
    faults_free(state.faults.kept)
    fault_free(&state.faults.last)
