# Blocks to candidate lines: the gates scan a whole block, and only lines that an event marked, or that some program
# must see, are looked at one by one.  All of it runs without the GIL, the programs with the store's lock.

cdef enum:
    WORTH_LINES = 256           # lines that a block must have to tell whether the gates pay
    REST_BLOCKS = 32            # blocks that run without gates when they did not
    CROWDED = 24                # bytes to a place that the vector scan looks up, from which on Hyperscan is as fast
    MAX_EVENTS = 1 << 20        # of one piece; a piece with more runs without gates
    PIECE = 1024 * 1024         # bytes of a block that are worked on at once, and the rest of the last line in them
    MANY_SERIES = 4096          # label sets that do not all stay in the processor's nearer caches
    AHEAD_MATCH = 6             # lines that a pattern is matched ahead, and steps of looking its label set up
    AHEAD_DATUM = 4
    AHEAD_KEY = 2
    TURN_TICKS = 300000         # about a tenth of a millisecond that lines run before a waiting reader is let in
    FIRST_RANGE_NS = 20000      # of run times; each further range is twice as wide

cdef struct Source:             # a source of lines, by number
    uint64_t* allowed           # programs whose log_filter lets it through, as words; NULL: ask again

cdef struct Events:             # of one piece: line << 32 | factor, in the order of lines
    uint64_t* list
    size_t n
    size_t cap
    uint64_t last
    bint unordered

cdef struct Scan:               # one block on its way
    RunState* rs
    const Gates* gates
    TicketLock* lock
    const uint64_t* allowed
    const char* base            # of the piece at hand
    size_t n                    # its length
    const uint32_t* ends        # where its lines end
    size_t lines
    uint32_t* loud              # those that may matter without an event
    size_t loud_n
    const Ahead* ahead          # what to look up ahead of time; NULL: nothing
    uint64_t locked             # when the store's lock was taken, as nm_ticks()
    int64_t program_runs


cdef inline size_t line_start(Scan* s, size_t line) noexcept nogil:
    return s.ends[line - 1] + 1 if line else 0


cdef inline size_t line_length(Scan* s, size_t start, size_t end) noexcept nogil:
    """Of a line that ends at `end`, without the carriage return before its newline."""
    return end - start - (end > start and end < s.n and s.base[end - 1] == 13)


cdef void run_timed(RunState* rs, ProgState* prog) noexcept nogil:
    """Run the program over the line and note how long that took; the first run is timed, then about 1 in 256."""
    cdef int64_t cpu = thread_ns()
    cdef int64_t start = monotonic_ns()
    cdef int64_t took
    cdef int range = 0
    run(rs, prog, prog.prog.code, False)
    took = monotonic_ns() - start
    cpu = thread_ns() - cpu
    while range < TIME_RANGES - 1 and took > <int64_t> FIRST_RANGE_NS << range:
        range += 1
    if prog.time_ns:
        note_time(&prog.timed, cpu)
    nm_add(&prog.times[range], <int64_t>1)
    nm_add(&prog.time_ns, took)
    prog.unsampled = until_next_sample(start)


cdef bint leading_scan(const Leading* leading, const char* p, size_t n, size_t* length) noexcept nogil:
    """Find the time's extent; false when bytes beyond ASCII leave it open.  SIZE_MAX: it is not there."""
    cdef size_t at = 0, first
    cdef uint64_t bits
    cdef uint8_t c
    cdef int i
    for i in range(leading.run_n):
        first = at
        while at < n and at - first < leading.runs[i].most:
            c = <uint8_t> p[at]
            if c >= 0x80:
                return False
            bits = leading.runs[i].high if c & 64 else leading.runs[i].low
            if not bits >> (c & 63) & 1:
                break
            at += 1
        if at - first < leading.runs[i].least:
            length[0] = SIZE_MAX
            return True
    length[0] = at
    return at == n or <uint8_t> p[at] < 0x80


cdef bint leading_parsed(RunState* rs, int number, const char* p, size_t n) noexcept nogil:
    cdef const Leading* leading = &rs.tables.gates.leading[number]
    cdef LeadingMemo* memo = &rs.leading[number]
    cdef TimeMemo* times = rs.residues[number].memos[0]
    cdef size_t length, seconds
    cdef Str text
    if not leading_scan(leading, p, n, &length):
        return False
    if length == SIZE_MAX:
        return True
    text.p = p
    text.n = length
    if parse_time(rs, times, text) != 0:
        return False
    if 3 <= length < n:
        seconds = length - 2 if not leading.by_digit and ends_with_seconds(times.layout.text, text) else 0
        if moment_set(&memo.moment, p, length + 1, seconds):
            memo.epoch = rs.epoch
    return True


cdef inline bint leading_good(RunState* rs, int number, const char* p, size_t n) noexcept nogil:
    """Whether the line has a good time at its start, or none that the residue's pattern could match."""
    cdef LeadingMemo* memo = &rs.leading[number]
    if memo.moment.n and n >= memo.moment.n and memo.epoch == rs.epoch and moment_is(memo.moment, p):
        return True
    return leading_parsed(rs, number, p, n)


cdef inline bint passes_residue(Scan* s, int number, const char* first, size_t n) noexcept nogil:
    """Whether a residue does not fail on the line, as far as its leading time tells."""
    return s.gates.leading[number].run_n and leading_good(s.rs, number, first, n)


cdef inline bint is_quiet(Scan* s, size_t line) noexcept nogil:
    """Whether a line on which no gate fired needs no further look."""
    cdef size_t first = line_start(s, line)
    cdef int i
    if s.gates.any_always:
        return False
    for i in range(s.gates.residue_n):
        if not passes_residue(s, i, s.base + first, line_length(s, first, s.ends[line])):
            return False
    return True


cdef inline size_t skip_quiet(Scan* s, size_t line) noexcept nogil:
    """Past the lines that are quickly seen to be quiet."""
    cdef LeadingMemo* memo = s.rs.leading
    if (s.gates.any_always or s.gates.residue_n != 1 or not s.gates.leading.run_n or memo.moment.n == 0
            or memo.epoch != s.rs.epoch):
        return line
    return skip_moments(s.base, s.n, s.ends, line, s.lines, memo.moment)


cdef void find_loud(Scan* s) noexcept nogil:
    """Note the lines that some program must see whatever the gates say, or may have to."""
    cdef size_t line = 0
    s.loud_n = 0
    if not s.gates.every_line:
        return
    while line < s.lines:
        if not is_quiet(s, line):
            s.loud[s.loud_n] = <uint32_t> line
            s.loud_n += 1
        line = skip_quiet(s, line + 1)


cdef void run_residues(Scan* s, const char* first, size_t n) noexcept nogil:
    """Choose the programs that might fail on the line though nothing else of them concerns it."""
    cdef const Gates* g = s.gates
    cdef uint64_t* chosen = s.rs.chosen
    cdef const uint64_t* failing = g.failing
    cdef ProgState* residue
    cdef uint64_t undecided
    cdef uint32_t word
    cdef int i
    for i in range(g.residue_n):
        undecided = 0
        for word in range(g.words):
            undecided |= failing[word] & s.allowed[word] & ~chosen[word]
        if undecided and not passes_residue(s, i, first, n):
            residue = &s.rs.residues[i]
            if not run(s.rs, residue, residue.prog.code, True):
                for word in range(g.words):
                    chosen[word] |= failing[word]
        failing += g.words


cdef inline void let_readers_in(Scan* s) noexcept nogil:
    """Between two lines, but not so often that waking each other up is all that both do."""
    if lock_wanted(s.lock) and nm_ticks() - s.locked > TURN_TICKS:
        s.lock.release()
        s.lock.acquire()
        s.locked = nm_ticks()


cdef inline void open_gate(Scan* s, uint32_t factor) noexcept nogil:
    """For the next line, on which the factor was found."""
    cdef const Gates* g = s.gates
    cdef uint32_t i
    for i in range(g.first[factor], g.first[factor + 1]):
        s.rs.patterns[g.patterns[i]].opened = s.rs.serial + 1


cdef inline void choose_programs(Scan* s, const uint64_t* event, size_t events) noexcept nogil:
    """Those of which an opening pattern matches the line, or may; what was found is kept for them."""
    cdef const Gates* g = s.gates
    cdef const Pattern* pattern
    cdef PatternState* state
    cdef uint32_t factor, i
    cdef int k
    while events:
        factor = <uint32_t> event[0]
        for i in range(g.first[factor], g.first[factor + 1]):
            pattern = &s.rs.tables.patterns[g.patterns[i]]
            state = &s.rs.patterns[g.patterns[i]]
            if pattern.opens_n and gate_open(s.rs, state) and match_line(s.rs, state) != 0:
                for k in range(pattern.opens_n):
                    s.rs.chosen[pattern.opens[k].word] |= pattern.opens[k].mask
        event += 1
        events -= 1


cdef void run_line(Scan* s, size_t line, const uint64_t* event, size_t events, bint loud) noexcept nogil:
    """Run over a line the programs that its events, its being loud, or no gates, select."""
    cdef RunState* rs = s.rs
    cdef const Gates* g = s.gates
    cdef uint64_t todo
    cdef uint32_t word
    cdef size_t start = line_start(s, line)
    cdef const char* first = s.base + start
    cdef size_t n = line_length(s, start, s.ends[line])
    cdef ProgState* prog
    rs.serial += 1
    subject_set(&rs.line, first, n)
    rs.line.room = s.n - start
    if rs.ascii:
        rs.line.state = TEXT_ASCII
    if rs.gated:
        choose_programs(s, event, events)
        if loud and g.residue_n:
            run_residues(s, first, n)
    for word in range(g.words):
        todo = s.allowed[word]
        if rs.gated:
            todo &= rs.chosen[word] | g.always[word]
            rs.chosen[word] = 0
        while todo:
            prog = &rs.progs[64 * word + lowest_bit(todo)]
            todo &= todo - 1
            s.program_runs += 1
            prog.runs += 1
            if prog.unsampled:
                prog.unsampled -= 1
                run(rs, prog, prog.prog.code, False)
            else:
                run_timed(rs, prog)
    if rs.arena != NULL:
        arena_reset(rs, False)
    let_readers_in(s)


cdef int note_event(unsigned int factor, unsigned long long start, unsigned long long to, unsigned int flags,
                    void* data) noexcept nogil:
    """Hyperscan found `factor`, ending before offset `to`; or the vector scan, on line `to`.  Not 0 stops: too many."""
    cdef Events* e = <Events*> data
    cdef uint64_t event = to << 32 | factor
    if e.n == e.cap and not events_grow(e):
        return 1
    e.unordered |= event < e.last
    e.last = event
    e.list[e.n] = event
    e.n += 1
    return 0


cdef bint events_grow(Events* e) noexcept nogil:
    cdef size_t cap = 2 * e.cap if e.cap else 4096
    cdef uint64_t* grown
    if cap > MAX_EVENTS:
        return False
    grown = <uint64_t*> realloc(e.list, cap * sizeof(uint64_t))
    if grown == NULL:
        return False
    e.list = grown
    e.cap = cap
    return True


cdef bint find_events(Scan* s, Events* e) noexcept nogil:
    """By Hyperscan, with offsets; false when there are too many events to keep."""
    if hs_scan(s.gates.database, s.base, <unsigned int> s.n, 0, s.rs.scratch, note_event, e) != HS_SUCCESS:
        return False
    if e.unordered:  # Hyperscan promises no order
        sort_words(e.list, e.n)
    return True


cdef void lines_for_offsets(Scan* s, Events* e) noexcept nogil:
    cdef size_t line = 0, i
    for i in range(e.n):
        while s.ends[line] < e.list[i] >> 32:
            line += 1
        e.list[i] = line << 32 | <uint32_t> e.list[i]


cdef inline void expect(Scan* s, uint64_t event) noexcept nogil:
    """Have what the next candidate needs come nearer: its text, and the first of the event's patterns."""
    cdef const Gates* g = s.gates
    cdef int32_t number = g.patterns[g.first[<uint32_t> event]]
    nm_prefetch(s.base + line_start(s, event >> 32), CACHE_LINE)
    nm_prefetch(&s.rs.patterns[number], CACHE_LINE)
    nm_prefetch(&s.rs.tables.patterns[number], CACHE_LINE)


cdef void run_candidates(Scan* s, Events* e) noexcept nogil:
    """Run over the lines that have events, or are loud."""
    cdef size_t line, i = 0, k = 0, first
    cdef bint loud
    while i < e.n or k < s.loud_n:
        line = e.list[i] >> 32 if i < e.n else s.lines
        loud = k < s.loud_n and s.loud[k] <= line
        if loud:
            k += 1
            if s.loud[k - 1] < line:
                run_line(s, s.loud[k - 1], NULL, 0, True)
                continue
        first = i
        while i < e.n and e.list[i] >> 32 == line:
            open_gate(s, <uint32_t> e.list[i])
            i += 1
        if i < e.n:
            expect(s, e.list[i])
        run_line(s, line, e.list + first, i - first, loud)


cdef void early_match(Scan* s, size_t line, Early* early) noexcept nogil:
    """Match a line ahead of its turn and begin to look its label set up."""
    cdef const Ahead* ahead = s.ahead
    cdef PatternState* pattern = &s.rs.patterns[ahead.pattern]
    cdef size_t start = line_start(s, line)
    cdef size_t n = line_length(s, start, s.ends[line])
    cdef uint64_t serial = early.serial
    cdef Str labels[MAX_AHEAD]
    cdef size_t first
    cdef int i
    early.serial = 0
    early.slot = NO_SLOT
    early.key = ahead.group_n
    early.matched = chain_match(pattern.pattern.chain, s.base + start, n, s.n - start, early.ov, pattern.pattern.pairs)
    pattern.chained = chain_pays(&pattern.trial, early.matched)
    if early.matched < 0:
        return
    early.serial = serial
    if early.matched == 0:
        return
    for i in range(ahead.group_n):
        first = early.ov[2 * ahead.groups[i]]
        labels[i].p = s.base + start
        labels[i].n = 0
        if first != <size_t> -1:
            labels[i].p += first
            labels[i].n = early.ov[2 * ahead.groups[i] + 1] - first
        early.key += labels[i].n
    early.h = hash_keys(labels, ahead.group_n).h
    prefetch_cell(ahead.metric, early.h)


cdef void look_ahead(Scan* s, size_t line) noexcept nogil:
    """Before `line` runs: each line behind it comes by at AHEAD_MATCH, then nearer."""
    cdef const Ahead* ahead = s.ahead
    cdef PatternState* pattern = &s.rs.patterns[ahead.pattern]
    cdef uint64_t serial = s.rs.serial + 1
    cdef Early* early
    if line + AHEAD_MATCH < s.lines and pattern.chained:
        early = &pattern.early[(serial + AHEAD_MATCH) % EARLY]
        early.serial = serial + AHEAD_MATCH
        early_match(s, line + AHEAD_MATCH, early)
    early = &pattern.early[(serial + AHEAD_DATUM) % EARLY]
    if early.serial == serial + AHEAD_DATUM and early.matched:
        early.slot = prefetch_datum(ahead.metric, early.h)
    early = &pattern.early[(serial + AHEAD_KEY) % EARLY]
    if early.serial == serial + AHEAD_KEY and early.matched:
        prefetch_key(ahead.metric, early.slot, early.key)


cdef const Ahead* worth_ahead(Scan* s) noexcept nogil:
    """The label set whose metric has most of them, if it pays to look it up ahead of time."""
    cdef const Ahead* aheads = s.rs.tables.aheads
    cdef const Ahead* best = NULL
    cdef uint32_t most = MANY_SERIES
    cdef uint32_t count
    cdef int i
    if not (s.rs.ascii and s.rs.matcher.chains):
        return NULL
    for i in range(s.rs.tables.ahead_n):
        count = nm_load(&aheads[i].metric.count)  # without the store's lock
        if count >= most and s.allowed[aheads[i].program >> 6] >> (aheads[i].program & 63) & 1:
            best = &aheads[i]
            most = count
    return best


cdef void scan_piece(Scan* s, Events* e) noexcept nogil:
    """With the store's lock held, but for the readers that wait between two lines."""
    cdef size_t line
    if s.rs.gated:
        find_loud(s)
    s.lock.acquire()
    s.locked = nm_ticks()
    if s.rs.gated:
        run_candidates(s, e)
    elif s.ahead == NULL:
        for line in range(s.lines):
            run_line(s, line, NULL, 0, True)
    else:
        for line in range(s.lines):
            look_ahead(s, line)
            run_line(s, line, NULL, 0, True)
    s.lock.release()


cdef void weigh_gates(Scan* s, int64_t lines) noexcept nogil:
    """Go without the gates for a while when they let most lines, programs and patterns through."""
    cdef RunState* rs = s.rs
    if rs.rest > 0:
        rs.rest -= 1
    elif (rs.gated and lines >= WORTH_LINES and 2 * s.program_runs > lines * rs.tables.prog_n
            and rs.matcher.gate_open >= rs.matcher.gate_shut):
        rs.rest = REST_BLOCKS


cdef struct FaultBatch:         # of one program, since they were last fetched
    FaultRecord* kept
    int kept_n
    uint64_t n                  # all of them

cdef void fetch_faults(RunState* rs, FaultBatch* batches) noexcept nogil:
    """Under the store's lock; Python objects are made of them without it."""
    cdef ProgState* prog
    cdef int i
    for i in range(rs.tables.prog_n):
        prog = &rs.progs[i]
        batches[i].n = prog.faults - prog.told
        batches[i].kept = prog.kept
        batches[i].kept_n = prog.kept_n
        prog.told = prog.faults
        prog.kept = NULL
        prog.kept_n = 0


cdef void copy_last_faults(RunState* rs, FaultRecord* last) noexcept nogil:
    """Likewise."""
    cdef FaultRecord* record
    cdef int i
    for i in range(rs.tables.prog_n):
        record = &rs.progs[i].last
        if record.text != NULL:
            fault_copy(&last[i], record)


cdef struct Spent:              # by a program, or on a pattern
    int64_t lines
    int64_t runs
    int64_t matches
    Timed timed

cdef void note_spent(RunState* rs, Spent* spent) noexcept nogil:
    """Of the programs, then of the patterns; under the store's lock."""
    cdef int i
    for i in range(rs.tables.prog_n):
        spent[0] = Spent(nm_load(&rs.progs[i].lines), rs.progs[i].runs, -1, rs.progs[i].timed)
        spent += 1
    for i in range(rs.tables.pattern_n):
        spent[0] = Spent(0, rs.patterns[i].tried, rs.patterns[i].found, rs.patterns[i].timed)
        spent += 1


# Lines are counted when their block is through, runs at once.
cdef dict costs_of(names, const Spent* spent, int64_t clock_ns):
    cdef dict costs = {}
    for name in names:
        took = estimated(&spent.timed, clock_ns, spent.runs)
        costs[name] = Cost(max(spent.lines, spent.runs), spent.runs, spent.matches, spent.timed.n, took)
        spent += 1
    return costs


cdef class Engine:
    """Runs a plan over blocks of lines, writing to the metrics that the plan names."""

    cdef Run running            # None: no plan yet
    cdef Run prepared           # of the plan that is to run next, if its initialisation has run
    cdef Source* sources
    cdef int source_n
    cdef list source_names      # bytes by number, None where forgotten
    cdef dict source_numbers    # the other way round
    cdef list free_sources      # numbers of what is forgotten
    cdef Store store
    cdef Events events
    cdef uint32_t* ends         # room for a piece that is all newlines
    cdef uint32_t* loud         # likewise
    cdef TicketLock* turn        # held while a block runs, and while plans and sources change; fair
    cdef dict past_lines        # of programs, from plans before this one
    cdef dict past_faults
    cdef dict past_times
    cdef dict past_last         # the last error of each program
    cdef list kept_faults       # of such plans, not fetched yet
    cdef dict more_faults
    cdef int64_t total

    def __cinit__(self, Store store):
        self.store = store
        self.source_names = []
        self.past_lines = {}
        self.past_faults = {}
        self.past_times = {}
        self.past_last = {}
        self.source_numbers = {}
        self.free_sources = []
        self.kept_faults = []
        self.more_faults = {}
        self.turn = nm_new_lock()
        self.ends = <uint32_t*> malloc((PIECE + 1) * sizeof(uint32_t))
        self.loud = <uint32_t*> malloc((PIECE + 1) * sizeof(uint32_t))
        if self.turn == NULL or self.ends == NULL or self.loud == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef int i
        nm_delete_lock(self.turn)
        free(self.ends)
        free(self.loud)
        free(self.events.list)
        for i in range(self.source_n):
            free(self.sources[i].allowed)
        free(self.sources)

    # --- plans ---------------------------------------------------------------------------------------------

    def swap(self, Plan plan not None):
        """Make `plan` the running one, between two blocks."""
        self.exchange(plan, (), ())

    def exchange(self, Plan plan not None, old, new, inherit=()):
        """`Store.replace` and `swap` between the same two blocks; raises what `Store.replace` raises."""
        self._wait_for_turn()
        try:
            if old or new or inherit:
                self.store.replace(old, new, inherit)
            self._swap(plan)
        finally:
            self.turn.release()

    cdef void _wait_for_turn(self) noexcept:
        with nogil:
            self.turn.acquire()

    cdef _swap(self, Plan plan):
        cdef Run run = self._run_of(plan)
        if run is self.running:  # it starts anew
            run = Run(plan)
        self._fold_counts()
        if self.running is not None:
            run.state.now = max(run.state.now, self.running.state.now)
        self.running = run
        self.prepared = None
        for i in range(self.source_n):
            free(self.sources[i].allowed)
            self.sources[i].allowed = NULL

    cdef Run _run_of(self, Plan plan):
        """The running one, the prepared one, or a new one."""
        for run in (self.running, self.prepared):
            if run is not None and (<Run> run).plan is plan:
                return run
        return Run(plan)

    cdef _fold_counts(self):
        """Keep what the running plan has counted, which nobody else knows."""
        if self.running is None:
            return
        past = self.program_lines(), self.program_faults(), self.program_times()
        self.past_last = self.last_faults()
        self.kept_faults, self.more_faults = self.faults()
        # Readers of the counts hold no lock: no Python code may run in between.
        self.past_lines, self.past_faults, self.past_times = past

    def begin(self, Plan plan not None, int program):
        """Run the `begin` blocks of a program once (spec successor.md §2.3); `plan` runs already, or next."""
        cdef Run run
        if not 0 <= program < plan.tables.prog_n:
            raise ValueError("no such program")
        self._wait_for_turn()
        try:
            run = self._run_of(plan)
            if run is not self.running:
                self.prepared = run
            self._run_begin(&run.state, &run.state.progs[program])
        finally:
            self.turn.release()

    cdef _run_begin(self, RunState* rs, ProgState* prog):
        rs.source = prog.prog.name
        rs.serial += 1
        rs.gated = False
        run_clock(rs)
        subject_set(&rs.line, b"<init>", 6)
        with nogil:
            self.store.table.lock.acquire()
            run(rs, prog, prog.prog.begin, False)
            arena_reset(rs, False)
            self.store.table.lock.release()

    # --- sources -------------------------------------------------------------------------------------------

    def open(self, str name not None):
        """The number that stands for the source `name` (what `getfilename()` gives) in `scan`."""
        text = name.encode("utf-8", "surrogateescape")
        self._wait_for_turn()
        try:
            if text not in self.source_numbers:
                number = self.free_sources.pop() if self.free_sources else self._new_source()
                self.source_names[number] = text
                self.source_numbers[text] = number
            return self.source_numbers[text]
        finally:
            self.turn.release()

    cdef int _new_source(self) except -1:
        cdef Source* grown = <Source*> realloc(self.sources, (self.source_n + 1) * sizeof(Source))
        if grown == NULL:
            raise MemoryError()
        self.sources = grown
        memset(&self.sources[self.source_n], 0, sizeof(Source))
        self.source_names.append(None)
        self.source_n += 1
        return self.source_n - 1

    def close(self, int source):
        """Give the number of a source back."""
        self._wait_for_turn()
        try:
            self._check_source(source)
            free(self.sources[source].allowed)
            self.sources[source].allowed = NULL
            del self.source_numbers[self.source_names[source]]
            self.source_names[source] = None
            self.free_sources.append(source)
        finally:
            self.turn.release()

    cdef int _check_source(self, int source) except -1:
        if source < 0 or source >= self.source_n or self.source_names[source] is None:
            raise ValueError(f"no source has the number {source}")
        return 0

    cdef _allow(self, int number):
        """Work out which programs listen to a source (spec successor.md §2.1)."""
        cdef Plan plan = self.running.plan
        cdef uint64_t* allowed = <uint64_t*> zeroed(plan.tables.gates.words, sizeof(uint64_t))
        name = self.source_names[number].decode("utf-8", "surrogateescape")
        for i, names in enumerate(plan.filters):
            if names is None or name in names:
                allowed[i // 64] |= <uint64_t> 1 << (i % 64)
        self.sources[number].allowed = allowed

    # --- lines ---------------------------------------------------------------------------------------------

    def scan(self, int source, block, Py_ssize_t start=0, Py_ssize_t end=-1):
        """Run every program over the lines in block[start:end]; the number of lines.

        Lines end at `\\n`, one `\\r` before it is dropped; the last line may lack its end.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(block, &view, PyBUF_SIMPLE)
        try:
            if end < 0:
                end = view.len
            if not 0 <= start <= end <= view.len or end - start > 0x7FFFFFFF:
                raise ValueError("no such part of the block")
            self._wait_for_turn()
            try:
                return self._scan_block(source, <const char*> view.buf + start, end - start)
            finally:
                self.turn.release()
        finally:
            PyBuffer_Release(&view)

    cdef _scan_block(self, int source, const char* block, Py_ssize_t n):
        cdef Scan s
        cdef int64_t lines
        self._check_source(source)
        if self.running is None:
            raise ValueError("no plan")
        if n == 0:
            return 0
        if self.sources[source].allowed == NULL:
            self._allow(source)
        name = self.source_names[source]
        memset(&s, 0, sizeof(Scan))
        s.rs = &self.running.state
        s.rs.source = borrow(name)
        run_clock(s.rs)
        s.gates = &s.rs.tables.gates
        s.lock = self.store.table.lock
        s.allowed = self.sources[source].allowed
        s.base = block
        s.ends = self.ends
        s.loud = self.loud
        with nogil:
            lines = self._scan(&s, block + n)
        self.total += lines
        return lines

    cdef int64_t _scan(self, Scan* s, const char* end) noexcept nogil:
        cdef RunState* rs = s.rs
        cdef int64_t lines = 0
        cdef int i
        cdef int64_t start = thread_ns()
        cdef bint gated = s.gates.usable and rs.rest == 0
        rs.matcher.gate_open = rs.matcher.gate_shut = 0
        while s.base < end:
            rs.gated = gated
            self._index_piece(s, end)
            s.ahead = worth_ahead(s)
            if rs.tables.prog_n:
                scan_piece(s, &self.events)
            lines += <int64_t> s.lines
            s.base += s.n
        for i in range(rs.tables.prog_n):
            if s.allowed[i >> 6] >> (i & 63) & 1:
                nm_add(&rs.progs[i].lines, lines)
        weigh_gates(s, lines)
        nm_add(&rs.scan_ns, thread_ns() - start)
        nm_add(&rs.lines_n, lines)
        return lines

    cdef void _index_piece(self, Scan* s, const char* end) noexcept nogil:
        """Take the next whole lines from s.base on, and find their ends and, if they are gated, events."""
        cdef RunState* rs = s.rs
        cdef CBool ascii = True
        cdef bint by_vector = rs.gated and s.gates.seeker.keys != NULL and rs.by_hyperscan == 0
        cdef int64_t start
        s.n = end - s.base
        if s.n > PIECE:
            s.n = find_newline(s.base + PIECE - 1, end) - s.base
            s.n += s.base + s.n < end
        self.events.n = 0
        self.events.last = 0
        self.events.unordered = False
        start = thread_ns()
        if by_vector:
            s.lines = seek_lines(s.gates.seeker, s.base, s.n, self.ends, &ascii, note_event, &self.events,
                                 &rs.looked_up)
            rs.gated = rs.looked_up != SIZE_MAX
            if rs.looked_up > s.n // CROWDED:
                rs.by_hyperscan = REST_BLOCKS
        else:
            rs.by_hyperscan -= rs.by_hyperscan > 0
            s.lines = index_lines(s.base, s.n, self.ends, &ascii)
            rs.gated = rs.gated and find_events(s, &self.events)
        nm_add(&rs.gate_ns, thread_ns() - start)
        rs.ascii = ascii
        if s.base[s.n - 1] != 10:
            self.ends[s.lines] = <uint32_t> s.n
            s.lines += 1
        if rs.gated and not by_vector:
            lines_for_offsets(s, &self.events)

    # --- what happened -------------------------------------------------------------------------------------

    def lines_total(self):
        return self.total

    def program_lines(self):
        """Lines handed to each program after its filter, since the engine was made."""
        return self._counts(self.past_lines, False)

    def program_faults(self):
        """Run-time errors of each program since the engine was made."""
        return self._counts(self.past_faults, True)

    def forget_programs(self, names):
        """Drop the counts of programs that run no more, see _core.pyi."""
        for past in (self.past_lines, self.past_faults, self.past_times, self.past_last):
            for name in names:
                past.pop(name, None)

    def program_times(self):
        """A sample of the run times per line of each program, see _core.pyi."""
        cdef Run run = self.running
        cdef ProgState* prog
        times = dict(self.past_times)
        if run is not None:
            for i, name in enumerate(run.plan.names):
                prog = &run.state.progs[i]
                counts, seconds = times.get(name, ([0] * TIME_RANGES, 0.0))
                now = [before + nm_load(&prog.times[k]) for k, before in enumerate(counts)]
                if any(now):
                    times[name] = now, seconds + nm_load(&prog.time_ns) / 1e9
        return times

    def profile(self):
        """What the running plan cost so far, see _core.pyi."""
        cdef Run run = self.running
        cdef Spent* spent
        cdef int64_t lines
        cdef double gates, room
        if run is None:
            return Profile(0, 0.0, 0.0, 0.0, {}, {})
        spent = <Spent*> zeroed(run.state.tables.prog_n + run.state.tables.pattern_n, sizeof(Spent))
        try:
            with nogil:
                self.store.table.lock.acquire()
                note_spent(&run.state, spent)
                self.store.table.lock.release()
            lines = nm_load(&run.state.lines_n)
            gates = nm_load(&run.state.gate_ns) / 1e9
            room = max(nm_load(&run.state.scan_ns) / 1e9 - gates, 0.0)
            programs = costs_of(run.plan.names, spent, CLOCKS_NS)
            patterns = costs_of(run.plan.texts, spent + run.state.tables.prog_n, CLOCK_NS)
        finally:
            free(spent)
        for cost in patterns.values():
            cost.lines = max(lines, cost.runs)
        fit(patterns.values(), room)
        rest = room - fit(programs.values(), room)
        return Profile(lines, gates + room, gates, rest, programs, patterns)

    cdef dict _counts(self, dict past, bint faults):
        cdef Run run = self.running
        cdef dict counts = dict(past)
        if run is not None:
            for i, name in enumerate(run.plan.names):
                now = nm_load(&run.state.progs[i].faults) if faults else nm_load(&run.state.progs[i].lines)
                counts[name] = counts.get(name, 0) + now
        return counts

    def faults(self):
        """Run-time errors since the last call: the first hundred of each program, and how many more each had."""
        cdef Run run = self.running
        cdef list kept = self.kept_faults
        cdef dict more = self.more_faults
        cdef FaultBatch* batches
        cdef FaultBatch* batch
        self.kept_faults, self.more_faults = [], {}
        if run is None:
            return kept, more
        room = {name: FAULTS_KEPT for name in run.plan.names}
        for fault in kept:
            room[fault.program] = room.get(fault.program, FAULTS_KEPT) - 1
        batches = <FaultBatch*> zeroed(run.state.tables.prog_n, sizeof(FaultBatch))
        try:
            with nogil:
                self.store.table.lock.acquire()
                fetch_faults(&run.state, batches)
                self.store.table.lock.release()
            for i, name in enumerate(run.plan.names):
                batch = &batches[i]
                count = min(batch.kept_n, room[name])
                if batch.n > count:
                    more[name] = more.get(name, 0) + batch.n - count
                for k in range(count):
                    kept.append(make_fault(run.plan, i, &batch.kept[k]))
        finally:
            for i in range(run.state.tables.prog_n):
                faults_free(batches[i].kept)
            free(batches)
        return kept, more

    def last_faults(self):
        """The last run-time error of each program that had one."""
        cdef Run run = self.running
        cdef FaultRecord* last
        cdef dict faults = dict(self.past_last)
        if run is None:
            return faults
        last = <FaultRecord*> zeroed(run.state.tables.prog_n, sizeof(FaultRecord))
        try:
            with nogil:
                self.store.table.lock.acquire()
                copy_last_faults(&run.state, last)
                self.store.table.lock.release()
            for i, name in enumerate(run.plan.names):
                if last[i].text != NULL:
                    faults[name] = make_fault(run.plan, i, &last[i])
        finally:
            for i in range(run.state.tables.prog_n):
                fault_free(&last[i])
            free(last)
        return faults


cdef enum:
    TRIMMED = 4                 # samples beyond which the longest does not count

cdef int64_t CLOCK_NS = 10000   # what a clock adds to each time that is measured
cdef int64_t CLOCKS_NS = 10000  # what both do in run_timed()


cdef time_clocks():
    global CLOCK_NS, CLOCKS_NS
    cdef int64_t start
    for _ in range(100):
        start = thread_ns()
        CLOCK_NS = min(CLOCK_NS, thread_ns() - start)
        start = thread_ns()
        monotonic_ns()
        monotonic_ns()
        CLOCKS_NS = min(CLOCKS_NS, thread_ns() - start)

time_clocks()


cdef double estimated(const Timed* timed, int64_t clock_ns, int64_t runs):
    """Seconds of all runs, from a sample of them; the longest of it may have met an interrupt or a page fault."""
    cdef int64_t n = timed.n
    cdef int64_t ns = timed.ns
    if n > TRIMMED:
        n -= 1
        ns -= timed.longest
    return max(ns - n * clock_ns, 0) / 1e9 * runs / n if n > 0 else 0.0


cdef double fit(costs, double room):
    """Shrink estimates so that all together take no longer than they can have taken; how long that is."""
    cdef double seconds = sum([cost.seconds for cost in costs])
    if seconds > room:
        for cost in costs:
            cost.seconds *= room / seconds
    return min(seconds, room)


class Cost:
    """Of a program or a pattern, see _core.pyi."""

    __slots__ = ("lines", "matches", "runs", "samples", "seconds")

    def __init__(self, lines, runs, matches, samples, seconds):
        self.lines = lines
        self.runs = runs
        self.matches = matches
        self.samples = samples
        self.seconds = seconds


class Profile:
    """What a plan cost, see _core.pyi."""

    __slots__ = ("gate_seconds", "lines", "patterns", "programs", "rest_seconds", "seconds")

    def __init__(self, lines, seconds, gate_seconds, rest_seconds, programs, patterns):
        self.lines = lines
        self.seconds = seconds
        self.gate_seconds = gate_seconds
        self.rest_seconds = rest_seconds
        self.programs = programs
        self.patterns = patterns


class Fault:
    """A run-time error of `program` (spec runtime.md §4); `line` is the program's line, `input` the log's."""

    __slots__ = ("input", "line", "message", "program", "source")

    def __init__(self, program, message, line, source, input):
        self.program = program
        self.message = message
        self.line = line
        self.source = source
        self.input = input

    def __str__(self):
        return (f"{self.message}\nError occurred, originating in {self.program} at line {self.line}\n"
                f"Full input text from {quoted_str(self.source)} was {quoted_str(self.input)}")


cdef make_fault(Plan plan, int number, const FaultRecord* record):
    cdef bytes text = record.text[: record.operand_n + record.input_n + record.source_n]
    operand = text[: record.operand_n]
    input = text[record.operand_n : record.operand_n + record.input_n]
    source = text[record.operand_n + record.input_n :]
    cdef bytes lines = plan.lines[number][1 if record.begin else 0]
    line = (<const int32_t*> <const char*> lines)[record.pc]
    return Fault(plan.names[number], fault_message(record, operand), line,
                 source.decode("utf-8", "surrogateescape"), input)


cdef str fault_message(const FaultRecord* record, bytes operand):
    code = record.code
    if code == FAULT_STATIC or code == FAULT_TIME:
        return operand.decode("utf-8", "replace")
    if code == FAULT_NO_MATCH:
        return f"No match result for regex index {record.x}"
    if code == FAULT_DIVIDE:
        return f"Divide by zero {record.x} % {record.y}"
    if code == FAULT_SHIFT:
        return "shift int out of range"
    if code == FAULT_BASE_RANGE:
        return "int32 out of range"
    if code == FAULT_NO_DATUM:
        return f"No datum for given labelvalues [{operand.decode('utf-8', 'replace')}]"
    if code == FAULT_COMPARE:
        return f"cannot compare float64 %!q(float64={bits_to_float(record.x):g}) with string {quoted_str(operand)}"
    if code == FAULT_MEMORY:
        return "out of memory: a limit on texts, series or the whole process is reached"
    integer = FAULT_INT_SYNTAX <= code <= FAULT_INT_BASE
    rc = code - (FAULT_INT_SYNTAX if integer else FAULT_FLOAT_SYNTAX) + 1
    text = number_error(integer, rc, operand, record.x)
    if record.wrapped:
        return f"conversion of {quoted_str(operand)} to {'int' if integer else 'float'} failed: {text}"
    return text


cdef double bits_to_float(int64_t bits):
    cdef double number
    memcpy(&number, &bits, sizeof(double))
    return number


cdef str number_error(bint integer, int rc, bytes text, int64_t base):
    cdef Buf out = Buf(NULL, 0, 0, False)
    put_number_error(&out, b"ParseInt" if integer else b"ParseFloat", rc, text, len(text), base)
    return buf_bytes(&out).decode("utf-8", "replace")
