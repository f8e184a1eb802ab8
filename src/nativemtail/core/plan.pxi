# A plan: all loaded programs as C tables, made once from what compiler/plan.py computed and then only read (but for
# the scratch of its patterns, slots and error records: one engine runs one plan).

cdef struct Run:                # as many characters of an ASCII set as there are, within bounds
    uint64_t low                # the set's characters below 64
    uint64_t high               # and the others
    uint32_t least
    uint32_t most

cdef enum:
    MAX_AHEAD = 16                  # label values of a set that is looked up ahead of time

cdef struct Leading:            # a time at the start of the line, for residues that do no more than parse it
    Run* runs
    int run_n                   # 0: the residue is of another kind
    bint by_digit               # the time's extent may depend on which digits are there
    Moment memo                 # the last time that was good, and others of its minute
    uint64_t memo_epoch

cdef struct Gates:              # one Hyperscan database for all programs
    hs_database_t* database
    hs_scratch_t* scratch
    Seeker seeker               # finds the same, if it has keys
    uint32_t* first             # factor → the first of its patterns; one more cell than factors
    int32_t* patterns
    uint32_t words              # of bits, one for each program
    uint64_t* always            # programs that run on every line, as words
    Prog* residues              # what runs dry on every line (compiler/prefilter/guards.py)
    Leading* leading            # for each of them what decides most lines without it
    uint64_t* failing           # for each of them the programs that run if it fails, as words
    int residue_n
    bint any_always
    bint every_line             # whether there are programs or residues that every line concerns
    bint usable

cdef struct Ahead:              # a label set that a program asks for on each line that its first pattern matches
    int32_t program
    int32_t pattern
    MetricTable* metric
    int group_n
    int32_t groups[MAX_AHEAD]   # of the pattern, whose texts are the label values

cdef void* zeroed(size_t count, size_t size) except NULL:
    cdef void* p = calloc(count if count else 1, size)
    if p == NULL:
        raise MemoryError()
    return p


cdef void* zeroed_lines(size_t count, size_t size) except NULL:
    """From the start of a cache line on."""
    cdef size_t n = (count * size // CACHE_LINE + 1) * CACHE_LINE
    cdef void* p = aligned_alloc(CACHE_LINE, n)
    if p == NULL:
        raise MemoryError()
    memset(p, 0, n)
    return p


cdef Str borrow(bytes text):
    """The bytes of an object that the plan keeps alive."""
    cdef Str s
    s.p = text
    s.n = len(text)
    return s


cdef class Plan:
    """Immutable tables that the engine reads: patterns, gates, code.  Built from `compiler.tables.Tables`.

    `gated` False runs every program on every line, `vector` False leaves all gates to Hyperscan, `jit` False makes all
    captures with RE2.  All give the same results, which the tests rely on.  `database` is what another plan of the same
    tables gave, whose patterns need not be tried again.  Raises ValueError when a pattern or the gates cannot be compiled.
    """

    cdef Pattern* patterns
    cdef int pattern_n
    cdef Prog* progs
    cdef int prog_n
    cdef Gates gates
    cdef Ahead* aheads
    cdef int ahead_n
    cdef int registers
    cdef bint patch_year
    cdef bint allow_jit
    cdef list kept              # what the C tables point into
    cdef dict layouts           # text → Strptime
    cdef list filters           # per program: names of the sources it listens to, or None
    cdef TimeZone zone
    cdef Str zone_name
    cdef readonly tuple names   # of the programs
    cdef list texts             # of the patterns
    cdef int64_t lines_n        # that the plan has seen, how long that took in all, and in the gates
    cdef int64_t scan_ns
    cdef int64_t gate_ns
    cdef list lines             # per program: lines of code, lines of begin
    cdef readonly list warnings

    def __cinit__(self, tables, *, TimeZone zone, bint patch_year=True, bint gated=True, bint vector=True,
                  bint jit=True, bytes database=b""):
        self.kept = []
        self.layouts = {}
        self.warnings = []
        self.zone = zone
        self.zone_name = self.keep(zone.name.encode())
        self.patch_year = patch_year
        self.allow_jit = jit
        self.names = tuple(program.name for program in tables.programs)
        self.filters = [program.log_filter for program in tables.programs]
        self.lines = [(program.lines, program.begin_lines) for program in tables.programs]
        self.texts = [pattern.text for pattern in tables.patterns]
        self._add_patterns(tables.patterns)
        if not database:
            self._try_patterns()
        self._add_programs(tables.programs)
        self._add_aheads(tables.programs)
        self._add_residues(tables.residues)
        self._add_gates(tables)
        if gated:
            if vector:
                seeker_make(&self.gates.seeker, tables.seek, tables.factors, self.kept)
            self._compile_gates(tables.factors, database)

    def __dealloc__(self):
        cdef int i
        if self.patterns != NULL:
            for i in range(self.pattern_n):
                pattern_free(&self.patterns[i])
        if self.progs != NULL:
            for i in range(self.prog_n):
                prog_free(&self.progs[i])
        if self.gates.residues != NULL:
            for i in range(self.gates.residue_n):
                prog_free(&self.gates.residues[i])
                free(self.gates.leading[i].runs)
        free(self.aheads)
        free(self.gates.residues)
        free(self.gates.leading)
        free(self.gates.failing)
        free(self.patterns)
        free(self.progs)
        if self.gates.scratch != NULL:
            hs_free_scratch(self.gates.scratch)
        if self.gates.database != NULL:
            hs_free_database(self.gates.database)
        seeker_free(&self.gates.seeker)
        free(self.gates.first)
        free(self.gates.patterns)
        free(self.gates.always)

    cdef Str keep(self, bytes text):
        self.kept.append(text)
        return borrow(text)

    cdef _add_patterns(self, list specs):
        cdef Pattern* p
        self.patterns = <Pattern*> zeroed_lines(len(specs), sizeof(Pattern))
        self.pattern_n = len(specs)
        for i, spec in enumerate(specs):
            p = &self.patterns[i]
            p.bytes.text = self.keep(spec.bytes_form)
            p.utf.text = self.keep(spec.utf_form)
            p.re2_text = self.keep(spec.re2_form)
            p.flags = spec.flags
            p.pairs = spec.captures + 1
            p.gated = spec.gated
            p.untimed = WARM_UP
            p.ov = <size_t*> zeroed(2 * p.pairs, sizeof(size_t))
            p.scratch = <size_t*> zeroed(2 * p.pairs, sizeof(size_t))
            if spec.chain is not None:
                p.chain.ops = <const ChainOp*> self.keep(spec.chain.ops).p
                p.chain.pool = <const uint8_t*> self.keep(spec.chain.pool).p
                p.chain.seek = spec.chain.seek
                p.chain.known = spec.chain.known
                p.chain.sure = spec.chain.sure
                p.chain.optional = spec.chain.optional
            if spec.automaton is not None:
                self._add_automaton(&p.automaton, spec.automaton)

    cdef _try_patterns(self):
        cdef Pattern* p
        for i, text in enumerate(self.texts):
            p = &self.patterns[i]
            if form_compile(&p.bytes, 0) == FORM_NONE and not pattern_re2(p):
                raise ValueError(f"pattern too large for this machine: /{text.decode('utf-8', 'replace')}/")

    cdef _add_automaton(self, Automaton* a, spec):
        a.start = spec.start
        a.n = <int32_t> (len(spec.states) // sizeof(State))
        a.classes = <const uint32_t*> self.keep(spec.classes).p
        a.ranges = <const uint32_t*> self.keep(spec.ranges).p
        a.edges = <const uint32_t*> self.keep(spec.edges).p
        a.sources = <const uint32_t*> self.keep(spec.sources).p
        a.states = <const State*> self.keep(spec.states).p

    cdef _add_programs(self, list specs):
        self.progs = <Prog*> zeroed(len(specs), sizeof(Prog))
        self.prog_n = len(specs)
        for i, spec in enumerate(specs):
            self.registers = max(self.registers, spec.registers)
            self._add_program(&self.progs[i], spec)

    cdef _add_program(self, Prog* prog, spec):
        cdef Py_ssize_t i
        prog.name = self.keep(spec.name.encode())
        prog.code = <Instr*> self.keep(spec.code).p
        prog.code_n = <int32_t> (len(spec.code) // sizeof(Instr))
        prog.begin = <Instr*> self.keep(spec.begin).p
        prog.begin_n = <int32_t> (len(spec.begin) // sizeof(Instr))
        prog.ints = <int64_t*> zeroed(len(spec.ints), sizeof(int64_t))
        for i, number in enumerate(spec.ints):
            prog.ints[i] = number
        prog.floats = <double*> zeroed(len(spec.floats), sizeof(double))
        for i, number in enumerate(spec.floats):
            prog.floats[i] = number
        prog.strings = <Str*> zeroed(len(spec.strings), sizeof(Str))
        for i, text in enumerate(spec.strings):
            prog.strings[i] = self.keep(text)
        prog.layouts = <Strptime**> zeroed(len(spec.layouts), sizeof(Strptime*))
        for i, (text, steps) in enumerate(spec.layouts):
            prog.layouts[i] = self._layout(text, steps)
        prog.metrics = <MetricTable**> zeroed(len(spec.metrics), sizeof(MetricTable*))
        for i, metric in enumerate(spec.metrics):
            self.kept.append(metric)
            prog.metrics[i] = (<Metric?> metric).table
        prog.slots = <Slot*> zeroed(len(spec.slot_pairs), sizeof(Slot))
        prog.slot_n = len(spec.slot_pairs)
        for i, pairs in enumerate(spec.slot_pairs):
            if pairs:
                prog.slots[i].own = <size_t*> zeroed(2 * pairs, sizeof(size_t))

    cdef _add_aheads(self, list specs):
        cdef Ahead* ahead
        cdef Pattern* p
        self.aheads = <Ahead*> zeroed(sum(len(spec.ahead) for spec in specs), sizeof(Ahead))
        for i, spec in enumerate(specs):
            for metric, groups in spec.ahead:
                p = &self.patterns[spec.patterns[0]]
                if len(groups) > MAX_AHEAD or p.chain.ops == NULL:
                    continue
                ahead = &self.aheads[self.ahead_n]
                ahead.program = <int32_t> i
                ahead.pattern = spec.patterns[0]
                ahead.metric = self.progs[i].metrics[metric]
                ahead.group_n = <int> len(groups)
                for k, group in enumerate(groups):
                    ahead.groups[k] = group
                self._add_early(p)
                self.ahead_n += 1

    cdef _add_early(self, Pattern* p):
        cdef int k
        if p.early == NULL:
            p.early = <Early*> zeroed(EARLY, sizeof(Early))
            for k in range(EARLY):
                p.early[k].ov = <size_t*> zeroed(2 * p.pairs, sizeof(size_t))

    cdef Strptime* _layout(self, bytes text, bytes steps) except NULL:
        """The one of this text, which remembers the last time for all programs that have it."""
        cdef Strptime* layout
        if text in self.layouts:
            return <Strptime*> <char*> <bytearray> self.layouts[text]
        if not layout_check(steps, len(steps)):
            raise ValueError("not a compiled layout")
        memory = self.layouts[text] = bytearray(sizeof(Strptime))
        layout = <Strptime*> <char*> <bytearray> memory
        layout.text = self.keep(text)
        layout.steps = self.keep(steps)
        return layout

    cdef _add_residues(self, list residues):
        cdef Gates* g = &self.gates
        cdef size_t words = (self.prog_n + 63) // 64
        g.residues = <Prog*> zeroed(len(residues), sizeof(Prog))
        g.failing = <uint64_t*> zeroed(len(residues) * words, sizeof(uint64_t))
        g.leading = <Leading*> zeroed(len(residues), sizeof(Leading))
        g.residue_n = len(residues)
        for i, residue in enumerate(residues):
            self._add_program(&g.residues[i], residue.code)
            self._add_leading(&g.leading[i], residue.runs or [])
            self.registers = max(self.registers, residue.code.registers)
            for number in residue.programs:
                g.failing[i * words + number // 64] |= <uint64_t> 1 << (number % 64)

    cdef _add_leading(self, Leading* leading, list runs):
        cdef Run* run
        leading.runs = <Run*> zeroed(len(runs), sizeof(Run))
        leading.run_n = len(runs)
        for i, (bits, least, most) in enumerate(runs):
            run = &leading.runs[i]
            run.low = bits & 0xFFFFFFFFFFFFFFFF
            run.high = bits >> 64
            run.least = least
            run.most = most
            leading.by_digit |= least != most and (run.low >> 48 & 0x3FF) not in (0, 0x3FF)

    cdef _add_gates(self, tables):
        cdef Gates* g = &self.gates
        cdef Py_ssize_t at = 0, i
        g.words = (self.prog_n + 63) // 64
        g.always = <uint64_t*> zeroed(g.words, sizeof(uint64_t))
        for i in tables.always:
            g.always[i // 64] |= <uint64_t> 1 << (i % 64)
        g.any_always = bool(tables.always)
        g.every_line = bool(tables.always or tables.residues)
        g.first = <uint32_t*> zeroed(len(tables.factors) + 1, sizeof(uint32_t))
        g.patterns = <int32_t*> zeroed(sum(len(factor.patterns) for factor in tables.factors), sizeof(int32_t))
        for i, factor in enumerate(tables.factors):
            g.first[i] = <uint32_t> at
            for number in factor.patterns:
                g.patterns[at] = number
                at += 1
        g.first[len(tables.factors)] = <uint32_t> at
        self._add_openers(tables.programs)

    cdef _add_openers(self, list specs):
        """For each pattern that opens programs which ones, by words."""
        cdef Pattern* p
        cdef dict words
        cdef dict opened = {}
        for program, spec in enumerate(specs):
            for number in spec.gate or ():
                words = opened.setdefault(number, {})
                words[program // 64] = words.get(program // 64, 0) | 1 << program % 64
        for number, words in opened.items():
            p = &self.patterns[<int> number]
            p.opens = <Programs*> zeroed(len(words), sizeof(Programs))
            for word, mask in words.items():
                p.opens[p.opens_n].word = word
                p.opens[p.opens_n].mask = mask
                p.opens_n += 1

    cdef _compile_gates(self, list factors, bytes database):
        if not factors:
            return
        if hs_valid_platform() != HS_SUCCESS:
            self.warnings.append("this processor lacks SSSE3, so every program runs on every line")
            return
        if hs_deserialize_database(database, len(database), &self.gates.database) != HS_SUCCESS:
            self._compile_database(factors)
        if hs_alloc_scratch(self.gates.database, &self.gates.scratch) != HS_SUCCESS:
            raise MemoryError()
        self.gates.usable = self._test_gates(factors)
        if not self.gates.usable:
            self.warnings.append("the Hyperscan library misses matches here, so every program runs on every line")

    cdef _compile_database(self, list factors):
        cdef unsigned int n = <unsigned int> len(factors)
        cdef const char** texts = NULL
        cdef unsigned int* flags = NULL
        cdef unsigned int* ids = NULL
        cdef hs_compile_error_t* error = NULL
        cdef int rc
        try:
            texts = <const char**> zeroed(n, sizeof(char*))
            flags = <unsigned int*> zeroed(n, sizeof(int))
            ids = <unsigned int*> zeroed(n, sizeof(int))
            for i, factor in enumerate(factors):
                texts[i] = self.keep(factor.expression).p
                flags[i] = HS_FLAG_CASELESS if factor.caseless else 0
                ids[i] = <unsigned int> i
            with nogil:
                rc = hs_compile_multi(texts, flags, ids, n, HS_MODE_BLOCK, NULL, &self.gates.database, &error)
            if rc != HS_SUCCESS:
                message = "out of memory" if error == NULL else error.message.decode("utf-8", "replace")
                if error != NULL:
                    hs_free_compile_error(error)
                raise ValueError(f"Hyperscan cannot compile the gates: {message}")
        finally:
            free(texts)
            free(flags)
            free(ids)

    cdef bint _test_gates(self, list factors) except -1:
        """Look for each literal at several alignments in a text made of them; any that is missed spoils the gates.

        Vectorscan up to 5.4.12 has missed true matches (VectorCamp/vectorscan#382).
        """
        cdef bytes text
        cdef bytearray found = bytearray(len(factors))
        cdef int rc
        literals = [(i, factor.literal) for i, factor in enumerate(factors) if factor.literal is not None]
        for pad in (0, 1, 7, 30):
            text = b"\n".join(b"." * (pad * (at % 3)) + literal for at, (_, literal) in enumerate(literals))
            found[:] = bytes(len(factors))
            rc = hs_scan(self.gates.database, text, <unsigned int> len(text), 0, self.gates.scratch, note_factor,
                         <void*> <char*> found)
            if rc != HS_SUCCESS or not all(found[i] for i, _ in literals):
                return False
        return True

    def database(self):
        """Hyperscan's database of the gates as bytes, for this version of it and this kind of processor."""
        cdef char* data = NULL
        cdef size_t n = 0
        if self.gates.database == NULL:
            return b""
        if hs_serialize_database(self.gates.database, &data, &n) != HS_SUCCESS:
            raise MemoryError()
        try:
            return data[:n]
        finally:
            free(data)

    @property
    def gated(self):
        """Whether lines pass the gates before programs run on them."""
        return bool(self.gates.usable)

    @property
    def vector(self):
        """Whether the vector scan finds all factors, so that Hyperscan is not asked."""
        return self.gates.seeker.keys != NULL


cdef int note_factor(unsigned int id, unsigned long long start, unsigned long long to, unsigned int flags,
                     void* found) noexcept nogil:
    (<char*> found)[id] = 1
    return 0


cdef void prog_free(Prog* prog) noexcept:
    cdef int i
    free(prog.ints)
    free(prog.floats)
    free(prog.strings)
    free(prog.layouts)
    free(prog.metrics)
    if prog.slots != NULL:
        for i in range(prog.slot_n):
            free(prog.slots[i].own)
    free(prog.slots)
    if prog.kept != NULL:
        for i in range(FAULTS_KEPT):
            fault_free(&prog.kept[i])
    free(prog.kept)
    fault_free(&prog.last)
