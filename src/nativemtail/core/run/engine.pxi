# The engine: takes blocks of lines from sources and runs a plan over them.  Two locks are taken: the engine's (`turn`)
# for a whole block or a change of plan or sources; within it the store's, while metrics, counts and errors change, with
# hand-over to readers between lines.

cdef enum:
    PIECE = 1024 * 1024         # bytes of a block that are processed at once; the last line is completed

cdef struct Source:             # a source of lines, by number
    uint64_t* allowed           # bit sets of the programs whose log_filter accepts it; NULL: not computed.  First of
                                # those that see lines, then of those of each framing


cdef size_t piece_length(const char* base, const char* end) noexcept nogil:
    """Bytes of the next piece, which ends at the end of a line."""
    cdef size_t n = end - base
    if n > PIECE:
        n = find_newline(base + PIECE - 1, end) - base
        n += base + n < end
    return n


cdef size_t replay_source(Piece* s, const char* p, size_t n, size_t at, uint32_t source) noexcept nogil:
    """Run the program over the frames of a source from `at` on; where those of another begin, or a bad one."""
    cdef RunState* rs = s.rs
    cdef Frame frame
    cdef uint32_t end
    cdef const char* text
    s.ends = &end
    s.lock.acquire()
    s.locked = cpu_ticks()
    while n - at >= sizeof(Frame):
        memcpy(&frame, p + at, sizeof(Frame))
        text = p + at + sizeof(Frame)
        if frame.source != source or n - at - sizeof(Frame) < frame_texts(&frame):
            break
        rs.given[0] = frame_given(text + frame.n, frame.stream)
        rs.given[1] = frame_given(text + frame.n + given_length(frame.stream), frame.logtime)
        rs.prefiltered = rs.ascii = False
        s.base = text
        s.n = end = frame.n
        run_line(s, 0, NULL, 0, True)
        at += sizeof(Frame) + frame_texts(&frame)
    rs.given[0].p = rs.given[1].p = NULL
    s.lock.release()
    return at if n - at < sizeof(Frame) or frame.source != source else n + 1


cdef class Log:
    """The open records of a log or connection, an Assembler for each framing of the running plan."""

    cdef Assembler* assemblers
    cdef list keys              # of the framings

    def __cinit__(self, list framings):
        self.keys = [framing.key for framing in framings]
        self.assemblers = <Assembler*>zeroed(len(framings), sizeof(Assembler))

    def __dealloc__(self):
        if self.assemblers != NULL:
            for i in range(len(self.keys)):
                assembler_free(&self.assemblers[i])
        free(self.assemblers)

    cdef Log carried(self, list framings):
        """The same for the framings of another plan; those that it does not have are gone."""
        cdef Log log = Log(framings)
        cdef int i
        for i, key in enumerate(log.keys):
            if key in self.keys:
                log.assemblers[i], self.assemblers[<int>self.keys.index(key)] = (
                    self.assemblers[<int>self.keys.index(key)], log.assemblers[i])
        return log


cdef class Engine:
    """Runs a plan over blocks of lines, writing to the metrics that the plan names."""

    cdef Run running            # None: no plan yet
    cdef Run prepared           # of the next plan, if one of its `begin` blocks has run already
    cdef Source* sources
    cdef int source_n
    cdef list source_names      # bytes by number; None: closed
    cdef dict source_numbers    # number by name
    cdef list free_sources      # numbers of closed sources, for reuse
    cdef Store store
    cdef Events events
    cdef uint32_t* ends         # large enough for a piece of newlines only
    cdef uint32_t* must_run     # likewise
    cdef TicketLock* turn        # see above; FIFO
    cdef dict past_lines        # by program: totals of the plans that ran before
    cdef dict past_faults
    cdef dict past_times
    cdef dict past_last         # the last error of each program
    cdef list kept_faults       # errors of these plans that have not been fetched
    cdef dict more_faults
    cdef int64_t total
    cdef dict logs              # by number of source, by connection: Log
    cdef public size_t max_record
    cdef Batch batch
    cdef Copies copies
    cdef Buf scratch
    cdef Buf names
    cdef size_t held            # bytes of all open records
    cdef int64_t cuts

    def __cinit__(self, Store store):
        self.store = store
        self.logs = {}
        self.max_record = 1024 * 1024
        self.source_names = []
        self.past_lines = {}
        self.past_faults = {}
        self.past_times = {}
        self.past_last = {}
        self.source_numbers = {}
        self.free_sources = []
        self.kept_faults = []
        self.more_faults = {}
        self.turn = new_lock()
        self.ends = <uint32_t*>malloc((PIECE + 1) * sizeof(uint32_t))
        self.must_run = <uint32_t*>malloc((PIECE + 1) * sizeof(uint32_t))
        if self.turn == NULL or self.ends == NULL or self.must_run == NULL:
            raise MemoryError()

    def __dealloc__(self):
        cdef int i
        delete_lock(self.turn)
        free(self.ends)
        free(self.must_run)
        free(self.events.list)
        free(self.copies.ends)
        free(self.copies.events.list)
        batch_free(&self.batch)
        buf_free(&self.scratch)
        buf_free(&self.names)
        for i in range(self.source_n):
            free(self.sources[i].allowed)
        free(self.sources)

    # --- plans ---------------------------------------------------------------------------------------------

    def swap(self, Plan plan not None):
        """Make `plan` the running one, between two blocks."""
        self.exchange(plan, (), ())

    def exchange(self, Plan plan not None, old, new, inherit=()):
        """See _core.pyi."""
        new = list(new)
        self._check_store(plan, {id(metric) for metric in new})
        self._wait_for_turn()
        try:
            self._finish_changed(plan)
            if old or new or inherit:
                self.store.replace(old, new, inherit)
            self._swap(plan)
        finally:
            self.turn.release()

    cdef int _check_store(self, Plan plan, added) except -1:
        """Raise ValueError if the plan writes to another store: nobody would hold that one's lock.

        `added`: the ids of metrics that are not in a store yet, but will be; None allows all that are in none.
        """
        cdef Metric metric
        for metric in plan.metrics:
            if metric.table.store != self.store.table and (
                    metric.table.store != NULL or (added is not None and id(metric) not in added)):
                raise ValueError(f"{metric!r} of the plan is not in the engine's store")
        return 0

    cdef void _wait_for_turn(self) noexcept:
        with nogil:
            self.turn.acquire()

    cdef _swap(self, Plan plan):
        cdef Run run = self._run_of(plan)
        if run is self.running:  # swapping in the same plan resets its state
            run = Run(plan)
        self._fold_counts()
        if self.running is not None:
            run.state.clock.now = max(run.state.clock.now, self.running.state.clock.now)
        self.running = run
        self.prepared = None
        self._carry_records()
        for i in range(self.source_n):
            free(self.sources[i].allowed)
            self.sources[i].allowed = NULL

    cdef Run _run_of(self, Plan plan):
        """The running one, the prepared one, or a new one."""
        for run in (self.running, self.prepared):
            if run is not None and (<Run>run).plan is plan:
                return run
        return Run(plan)

    cdef _fold_counts(self):
        """Add the running plan's counts to the totals before its state is dropped."""
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
        self._check_store(plan, None)
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
        rs.prefiltered = False
        clock_advance(&rs.clock)
        subject_set(&rs.line, b"<init>", 6)
        with nogil:
            self.store.table.lock.acquire()
            run_code(rs, prog, prog.prog.begin, False)
            arena_reset(&rs.arena, False)
            self.store.table.lock.release()

    # --- histories -----------------------------------------------------------------------------------------

    def fix_clock(self, int64_t now, *, int year=0, bint assumed=False):
        """See _core.pyi."""
        cdef RunState* rs = &self.running.state
        cdef int64_t newest = now // 1000000000 + DAY_SECONDS
        self._wait_for_turn()
        if year:
            clock_fix(&rs.clock, now, YEAR_CURRENT, (year_start(year) + 181) * DAY_SECONDS, assumed)
        else:
            clock_fix(&rs.clock, now, YEAR_LATEST, newest, assumed)
        rs.lines_before = 0
        self.turn.release()

    def take_frames(self, int source):
        """See _core.pyi."""
        cdef RunState* rs = &self.running.state
        self._wait_for_turn()
        try:
            if rs.frames.failed:
                raise MemoryError
            taken = PyBytes_FromStringAndSize(rs.frames.p, rs.frames.n) if rs.frames.n else b""
            rs.source_number = <uint32_t>source
            buf_clear(&rs.frames)
            return taken
        finally:
            self.turn.release()

    def replay(self, bytes frames not None, changed, *, int year=0, bint assumed=False):
        """See _core.pyi."""
        cdef const char* p = PyBytes_AS_STRING(frames)
        cdef size_t n = PyBytes_GET_SIZE(frames), at = 0
        cdef Frame frame
        cdef Piece s
        while at < n:
            if n - at < sizeof(Frame):
                raise ValueError("no such frame")
            memcpy(&frame, p + at, sizeof(Frame))
            if self.running.state.clock.fixed != changed[frame.source] or not self.running.state.clock.is_fixed:
                self.fix_clock(changed[frame.source], year=year, assumed=assumed)
            self._wait_for_turn()
            try:
                self._check_source(<int>frame.source)
                self._begin_piece(&s, <int>frame.source)
                if s.rs.tables.framing_n:
                    s.allowed += s.prefilter.words
                with nogil:
                    at = replay_source(&s, p, n, at, frame.source)
                if at > n:
                    raise ValueError("no such frame")
            finally:
                self.turn.release()

    def untimed(self):
        """See _core.pyi."""
        cdef RunState* rs = &self.running.state
        cdef Untimed* untimed
        cdef int i, k
        found = {}
        self._wait_for_turn()
        for i in range(rs.tables.prog_n):
            untimed = &rs.progs[i].untimed
            if untimed.n:
                lines = [untimed.lines[k] for k in range(min(untimed.n, UNTIMED_NAMED))]
                found[self.running.plan.names[i]] = untimed.n, lines
                untimed.n = 0
        self.turn.release()
        return found

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
        cdef Source* grown = <Source*>realloc(self.sources, (self.source_n + 1) * sizeof(Source))
        if grown == NULL:
            raise MemoryError()
        self.sources = grown
        memset(&self.sources[self.source_n], 0, sizeof(Source))
        self.source_names.append(None)
        self.source_n += 1
        return self.source_n - 1

    def close(self, int source):
        """Release the number of a source for reuse."""
        self._wait_for_turn()
        try:
            self._check_source(source)
            for connection in list(self.logs.get(source, ())):
                self._finish(source, connection)
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
        """Compute which programs read a source (spec successor.md §2.1)."""
        cdef Plan plan = self.running.plan
        cdef uint32_t words = plan.tables.prefilter.words, word
        cdef uint64_t* allowed = <uint64_t*>zeroed(words * (1 + plan.tables.framing_n), sizeof(uint64_t))
        cdef int k
        name = self.source_names[number].decode("utf-8", "surrogateescape")
        for i, log_filter in enumerate(plan.filters):
            if log_filter is None or log_filter.fits(name):
                allowed[i // 64] |= <uint64_t>1 << (i % 64)
        for word in range(words):
            for k in range(plan.tables.framing_n):
                allowed[words * (k + 1) + word] = allowed[word] & plan.tables.framings[k].programs[word]
            allowed[word] &= plan.tables.of_lines[word]
        self.sources[number].allowed = allowed

    # --- lines ---------------------------------------------------------------------------------------------

    def scan(self, int source, block, Py_ssize_t start=0, Py_ssize_t end=-1, connection=0):
        """See _core.pyi."""
        cdef Py_buffer view
        PyObject_GetBuffer(block, &view, PyBUF_SIMPLE)
        try:
            if end < 0:
                end = view.len
            if not 0 <= start <= end <= view.len or end - start > 0x7FFFFFFF:
                raise ValueError("no such part of the block")
            self._wait_for_turn()
            try:
                return self._scan_block(source, <const char*>view.buf + start, end - start, connection)
            finally:
                self.turn.release()
        finally:
            PyBuffer_Release(&view)

    cdef _scan_block(self, int source, const char* block, Py_ssize_t n, connection):
        cdef Piece s
        cdef Log log
        cdef Assembler* assemblers = NULL
        cdef int64_t lines
        self._check_source(source)
        if self.running is None:
            raise ValueError("no plan")
        if n == 0:
            return 0
        self._begin_piece(&s, source)
        s.base = block
        s.ends = self.ends
        s.must_run = self.must_run
        if s.rs.tables.framing_n:
            log = self._log(source, connection)
            assemblers = log.assemblers
        s.rs.block.p = block
        s.rs.block.n = n
        with nogil:
            lines = self._scan(&s, block + n, assemblers)
        self.total += lines
        s.rs.lines_before += lines
        return lines

    cdef int _begin_piece(self, Piece* s, int source) except -1:
        if self.sources[source].allowed == NULL:
            self._allow(source)
        name = self.source_names[source]
        memset(s, 0, sizeof(Piece))
        s.rs = &self.running.state
        s.rs.source = borrow(name)
        s.rs.block.n = 0
        clock_advance(&s.rs.clock)
        s.prefilter = &s.rs.tables.prefilter
        s.lock = self.store.table.lock
        s.allowed = self.sources[source].allowed
        return 0

    cdef int64_t _scan(self, Piece* s, const char* end, Assembler* assemblers) noexcept nogil:
        """Scan the block in pieces."""
        cdef RunState* rs = s.rs
        cdef int64_t lines = 0
        cdef int i
        cdef int64_t start = thread_ns()
        cdef bint prefiltered = s.prefilter.usable and rs.back_off == 0
        cdef bint searched
        cdef bint sees_lines = rs.tables.framing_n == 0 or has_programs(s, s.allowed)
        s.searchable = prefiltered
        if assemblers != NULL:
            prefiltered = prefiltered and (sees_lines or has_records_in_block(s))
        rs.passed = rs.stopped = 0
        while s.base < end:
            rs.prefiltered = prefiltered
            s.n = piece_length(s.base, end)
            index_piece(s, &self.events)
            s.lookahead = worth_lookahead(s)
            searched = rs.prefiltered
            if rs.tables.prog_n and sees_lines:
                run_piece(s, &self.events)
            if assemblers != NULL:
                self._run_framings(s, assemblers, searched)
            s.chances += <int64_t>s.lines * rs.tables.of_line_n
            lines += <int64_t>s.lines
            s.base += s.n
        for i in range(rs.tables.prog_n):
            if s.allowed[i >> 6] >> (i & 63) & 1:
                relaxed_add(&rs.progs[i].lines, lines)
        weigh_prefilter(s, lines)
        relaxed_add(&rs.scan_ns, thread_ns() - start)
        relaxed_add(&rs.lines, lines)
        return lines

    # --- records -------------------------------------------------------------------------------------------

    cdef Log _log(self, int source, connection):
        cdef dict connections = self.logs.setdefault(source, {})
        log = connections.get(connection)
        if log is None:
            log = connections[connection] = Log(self.running.plan.framings)
        return log

    cdef void _begin_assembly(self, Assembly* m, RunState* rs, int framing, Assembler* assembler) noexcept nogil:
        m.rs = rs
        m.framing = &rs.tables.framings[framing]
        m.assembler = assembler
        m.batch = &self.batch
        m.longest = self.max_record
        m.read_at = rs.clock.now
        m.touched = monotonic_ns()
        m.cuts = &self.cuts
        m.scratch = &self.scratch
        m.names = &self.names

    cdef void _run_framings(self, Piece* s, Assembler* assemblers, bint searched) noexcept nogil:
        """Put the lines of the piece together by each framing, and run its programs."""
        cdef RunState* rs = s.rs
        cdef const uint64_t* of_lines = s.allowed
        cdef bint prefiltered = rs.prefiltered
        cdef Assembly m
        cdef int i
        for i in range(rs.tables.framing_n):
            s.allowed = of_lines + (i + 1) * s.prefilter.words
            if has_programs(s, s.allowed):
                self._begin_assembly(&m, rs, i, &assemblers[i])
                run_records(s, &m, &self.events, &self.copies, searched)
                self._bound_held(s, &m)
        s.allowed = of_lines
        rs.prefiltered = prefiltered

    cdef void _bound_held(self, Piece* s, Assembly* m) noexcept nogil:
        """Complete the log's records if all open ones have too many bytes."""
        cdef size_t held = bytes_held(m.assembler)
        if self.held - m.assembler.held + held > MAX_HELD and held > KEPT_ROOM:
            self.cuts += 1
            batch_clear(m.batch)
            finish_silent(m, INT64_MAX)
            run_completed(s, m.framing, m.batch)
            held = bytes_held(m.assembler)
        self.held += held - m.assembler.held
        m.assembler.held = held

    cdef _complete(self, int source, int framing, const uint64_t* programs, Assembler* assembler, int64_t since):
        """Complete the records of a log that had no line since then, for those of `programs` that read it."""
        cdef Piece s
        cdef Assembly m
        cdef uint32_t word
        self._begin_piece(&s, source)
        cdef uint64_t* allowed = <uint64_t*>zeroed(s.prefilter.words, sizeof(uint64_t))
        for word in range(s.prefilter.words):
            allowed[word] = s.allowed[s.prefilter.words * (framing + 1) + word] & programs[word]
        s.allowed = allowed
        s.rs.prefiltered = s.rs.ascii = False
        with nogil:
            self._begin_assembly(&m, s.rs, framing, assembler)
            batch_clear(&self.batch)
            finish_silent(&m, since)
            if self.batch.n:
                run_completed(&s, m.framing, &self.batch)
        free(allowed)

    cdef _finish(self, int source, connection):
        """The log has ended: complete what is open."""
        cdef Log log = self.logs[source].pop(connection)
        cdef int i
        if not self.logs[source]:
            del self.logs[source]
        for i in range(self.running.state.tables.framing_n):
            if log.assemblers[i].n:
                self._complete(source, i, self.running.state.tables.framings[i].programs, &log.assemblers[i], INT64_MAX)
            self.held -= log.assemblers[i].held
            log.assemblers[i].held = 0

    cdef _finish_changed(self, Plan plan):
        """Complete open records for the programs whose record statement is another one in `plan`."""
        cdef Log log
        cdef Assembler copy
        cdef uint64_t* programs
        cdef uint32_t words
        cdef int i
        if self.running is None or not self.logs:
            return
        words = self.running.state.tables.prefilter.words
        names = self.running.plan.names
        new = {plan.names[number]: framing.key for framing in plan.framings for number in framing.programs}
        for i, framing in enumerate(self.running.plan.framings):
            changed = [number for number in framing.programs if new.get(names[number]) != framing.key]
            if not changed:
                continue
            programs = <uint64_t*>zeroed(words, sizeof(uint64_t))
            try:
                for number in changed:
                    programs[number // 64] |= <uint64_t>1 << (number % 64)
                for source, connections in self.logs.items():
                    for log in connections.values():
                        if assembler_copy(&copy, &log.assemblers[i]):
                            self._complete(source, i, programs, &copy, INT64_MAX)
                        assembler_free(&copy)
            finally:
                free(programs)

    cdef _carry_records(self):
        cdef Log log
        cdef int i
        for connections in self.logs.values():
            for connection, log in connections.items():
                connections[connection] = log.carried(self.running.plan.framings)
                for i in range(len(log.keys)):
                    self.held -= log.assemblers[i].held

    @property
    def has_records(self):
        """Whether a program has a record statement."""
        return self.running is not None and self.running.state.tables.framing_n > 0

    def finish(self, int source, connection=0):
        """See _core.pyi."""
        self._wait_for_turn()
        try:
            if connection in self.logs.get(source, ()):
                self._finish(source, connection)
        finally:
            self.turn.release()

    def finish_all(self):
        """See _core.pyi."""
        self._wait_for_turn()
        try:
            for source in list(self.logs):
                for connection in list(self.logs[source]):
                    self._finish(source, connection)
        finally:
            self.turn.release()

    def finish_silent(self):
        """See _core.pyi."""
        cdef Log log
        cdef const Framing* framing
        cdef int64_t now = monotonic_ns(), left, first = INT64_MAX
        cdef int i
        self._wait_for_turn()
        try:
            for source, connections in self.logs.items():
                for log in connections.values():
                    for i in range(len(log.keys)):
                        framing = &self.running.state.tables.framings[i]
                        left = until_silent(&log.assemblers[i], framing.timeout, now)
                        if left <= 0:
                            self._complete(source, i, framing.programs, &log.assemblers[i], now - framing.timeout)
                            left = until_silent(&log.assemblers[i], framing.timeout, now)
                        first = min(first, left)
        finally:
            self.turn.release()
        return None if first == INT64_MAX else first / 1e9

    def fix(self, Delta delta not None, *, bint wait=True):
        """See _core.pyi."""
        self._wait_for_turn()
        try:
            return self._kept_records() if delta.fix(wait=wait) else None
        finally:
            self.turn.release()

    cdef list _kept_records(self):
        cdef Log log
        cdef int i
        kept = []
        for source, connections in self.logs.items():
            for connection, log in connections.items():
                for i in range(len(log.keys)):
                    for record in kept_records(&log.assemblers[i]):
                        record["log"] = self.source_names[source].decode("utf-8", "surrogateescape")
                        record["connection"] = connection
                        record["statement"] = log.keys[i]
                        kept.append(record)
        return kept

    def restore_records(self, records):
        """See _core.pyi."""
        statements = [framing.key for framing in self.running.plan.framings]
        known = [record for record in records if record["statement"] in statements]
        names = {record["log"]: None for record in known}
        gone = [name for name in names if name.encode("utf-8", "surrogateescape") not in self.source_numbers]
        numbers = {name: self.open(name) for name in names}
        connections = {}
        self._wait_for_turn()
        try:
            for record in known:
                connection = record["log"], record["connection"]
                if record["connection"]:  # it is gone, and new ones get the same numbers
                    connections.setdefault(connection, -1 - len(connections))
                self._restore_record(numbers[record["log"]], connections.get(connection, 0), record)
        finally:
            self.turn.release()
        for name in gone:
            self.close(numbers[name])
        return len(records) - len(known)

    cdef int _restore_record(self, int source, int connection, dict record) except -1:
        cdef Log log = self._log(source, connection)
        cdef int framing = log.keys.index(record["statement"])
        cdef Assembler* assembler = &log.assemblers[framing]
        cdef size_t held
        restore_record(assembler, self.running.state.tables.framings[framing].container != 0, record)
        held = bytes_held(assembler)
        self.held += held - assembler.held
        assembler.held = held
        return 0

    def records_cut(self):
        """How many records were cut by their limits."""
        return self.cuts

    # --- counts and errors ----------------------------------------------------------------------------------

    def lines_total(self):
        return self.total

    def program_lines(self):
        """Lines handed to each program after its filter, since the engine was made."""
        return self._counts(self.past_lines, False)

    def program_faults(self):
        """Run-time errors of each program since the engine was made."""
        return self._counts(self.past_faults, True)

    def forget_programs(self, names):
        """Drop the counts of programs that no longer run, see _core.pyi."""
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
                now = [before + relaxed_load(&prog.times[k]) for k, before in enumerate(counts)]
                if any(now):
                    times[name] = now, seconds + relaxed_load(&prog.time_ns) / 1e9
        return times

    def profile(self):
        """What the running plan cost so far, see _core.pyi."""
        if self.running is None:
            return Profile(0, 0.0, 0.0, 0.0, {}, {})
        return profile_of(self.running, self.store.table.lock)

    cdef dict _counts(self, dict past, bint faults):
        cdef Run run = self.running
        cdef dict counts = dict(past)
        if run is not None:
            for i, name in enumerate(run.plan.names):
                now = relaxed_load(&run.state.progs[i].faults.n) if faults else relaxed_load(&run.state.progs[i].lines)
                counts[name] = counts.get(name, 0) + now
        return counts

    def faults(self):
        """Run-time errors since the last call: the first hundred of each program, and how many more each had."""
        cdef Run run = self.running
        cdef list kept = self.kept_faults
        cdef dict more = self.more_faults
        cdef FaultBatch* batches
        cdef FaultBatch* batch
        cdef int i
        self.kept_faults, self.more_faults = [], {}
        if run is None:
            return kept, more
        room = {name: FAULTS_KEPT for name in run.plan.names}
        for fault in kept:
            room[fault.program] = room.get(fault.program, FAULTS_KEPT) - 1
        batches = <FaultBatch*>zeroed(run.state.tables.prog_n, sizeof(FaultBatch))
        try:
            with nogil:
                self.store.table.lock.acquire()
                for i in range(run.state.tables.prog_n):
                    faults_fetch(&run.state.progs[i].faults, &batches[i])
                self.store.table.lock.release()
            for i in range(run.state.tables.prog_n):
                name = run.plan.names[i]
                batch = &batches[i]
                count = min(batch.kept_n, room[name])
                if batch.n > count:
                    more[name] = more.get(name, 0) + batch.n - count
                for k in range(count):
                    kept.append(make_fault(name, run.plan.lines[i], &batch.kept[k]))
        finally:
            for i in range(run.state.tables.prog_n):
                faults_free(batches[i].kept)
            free(batches)
        return kept, more

    def last_faults(self):
        """The last run-time error of each program that had one."""
        cdef Run run = self.running
        cdef FaultRecord* last
        cdef int i
        cdef dict faults = dict(self.past_last)
        if run is None:
            return faults
        last = <FaultRecord*>zeroed(run.state.tables.prog_n, sizeof(FaultRecord))
        try:
            with nogil:
                self.store.table.lock.acquire()
                for i in range(run.state.tables.prog_n):
                    if run.state.progs[i].faults.last.text != NULL:
                        fault_copy(&last[i], &run.state.progs[i].faults.last)
                self.store.table.lock.release()
            for i in range(run.state.tables.prog_n):
                name = run.plan.names[i]
                if last[i].text != NULL:
                    faults[name] = make_fault(name, run.plan.lines[i], &last[i])
        finally:
            for i in range(run.state.tables.prog_n):
                fault_free(&last[i])
            free(last)
        return faults
