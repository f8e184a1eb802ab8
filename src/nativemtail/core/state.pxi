# What changes while lines run: one RunState for each engine, and for each plan that it runs.  A plan has none of it.

cdef enum:
    EPOCH_NS = 900000000000     # a quarter of an hour: in every zone the year begins with one

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
        rs.regs = <Reg*> zeroed(tables.registers + 4, sizeof(Reg))
        rs.chosen = <uint64_t*> zeroed(tables.gates.words, sizeof(uint64_t))
        rs.leading = <LeadingMemo*> zeroed(tables.gates.residue_n, sizeof(LeadingMemo))
        rs.memos = <TimeMemo*> zeroed(tables.layout_n, sizeof(TimeMemo))
        rs.patterns = <PatternState*> zeroed_lines(tables.pattern_n, sizeof(PatternState))
        rs.progs = <ProgState*> zeroed(tables.prog_n, sizeof(ProgState))
        rs.residues = <ProgState*> zeroed(tables.gates.residue_n, sizeof(ProgState))
        if not run_state_fill(rs) or matcher_init(&rs.matcher, tables.allow_jit) != 0:
            raise MemoryError()
        if tables.gates.usable and hs_alloc_scratch(tables.gates.database, &rs.scratch) != HS_SUCCESS:
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
    for i in range(tables.ahead_n):
        if not pattern_early_init(&rs.patterns[tables.aheads[i].pattern]):
            return False
    for i in range(tables.prog_n):
        if not prog_state_init(&rs.progs[i], &tables.progs[i], rs.memos):
            return False
    for i in range(tables.gates.residue_n):
        if not prog_state_init(&rs.residues[i], &tables.gates.residues[i], rs.memos):
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
    if rs.residues != NULL:
        for i in range(tables.gates.residue_n):
            prog_state_free(&rs.residues[i])
    free(rs.patterns)
    free(rs.progs)
    free(rs.residues)
    free(rs.memos)
    free(rs.leading)
    free(rs.chosen)
    free(rs.regs)
    matcher_free(&rs.matcher)
    subject_free(&rs.line)
    subject_free(&rs.other)
    arena_reset(rs, True)
    buf_free(&rs.text)
    if rs.scratch != NULL:
        hs_free_scratch(rs.scratch)


cdef bint prog_state_init(ProgState* state, const Prog* prog, TimeMemo* memos) noexcept nogil:
    cdef int i
    state.prog = prog
    state.memos = <TimeMemo**> calloc(prog.layout_n + 1, sizeof(TimeMemo*))
    state.slots = <Captures*> calloc(prog.slot_n + 1, sizeof(Captures))
    if state.memos == NULL or state.slots == NULL:
        return False
    for i in range(prog.layout_n):
        state.memos[i] = &memos[prog.layouts[i]]
    for i in range(prog.slot_n):
        if prog.slot_pairs[i]:
            state.slots[i].own = <size_t*> calloc(2 * prog.slot_pairs[i], sizeof(size_t))
            if state.slots[i].own == NULL:
                return False
    return True


cdef void prog_state_free(ProgState* state) noexcept nogil:
    cdef int i
    if state.slots != NULL:
        for i in range(state.prog.slot_n):
            free(state.slots[i].own)
    free(state.slots)
    free(state.memos)
    faults_free(state.kept)
    fault_free(&state.last)


cdef void run_clock(RunState* rs) noexcept nogil:
    """Take the wall clock for what follows; never behind what was already given out."""
    cdef timespec now
    cdef int64_t ns
    clock_gettime(CLOCK_REALTIME, &now)
    ns = <int64_t> now.tv_sec * 1000000000 + now.tv_nsec
    if ns // EPOCH_NS != rs.now // EPOCH_NS:
        rs.epoch += 1
    if ns > rs.now:
        rs.now = ns
