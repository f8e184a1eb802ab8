# A plan: all loaded programs as C tables, made once from what compiler/plan.py computed and then only read.  What
# changes while lines run is in state.pxi, so that engines in several threads may share a plan.

cdef struct CharRun:             # as many characters of an ASCII set as there are, within bounds
    uint64_t low                # the set's characters below 64
    uint64_t high               # and the others
    uint32_t least
    uint32_t most

cdef enum:
    MAX_AHEAD = 16                  # label values of a set that is looked up ahead of time

cdef struct Leading:            # a time at the start of the line, for residues that do no more than parse it
    const CharRun* runs
    int run_n                   # 0: the residue is of another kind
    bint by_digit               # the time's extent may depend on which digits are there

cdef struct Gates:              # one Hyperscan database for all programs
    hs_database_t* database
    Seeker seeker               # finds the same, if it has keys
    const uint32_t* first       # factor → the first of its patterns; one more cell than factors
    const int32_t* patterns
    uint32_t words              # of bits, one for each program
    const uint64_t* always      # programs that run on every line, as words
    const Prog* residues        # what runs dry on every line (compiler/prefilter/guards.py)
    const Leading* leading      # for each of them what decides most lines without it
    const uint64_t* failing     # for each of them the programs that run if it fails, as words
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

cdef struct PlanTables:
    const Pattern* patterns
    int pattern_n
    const Prog* progs
    int prog_n
    Gates gates
    const Ahead* aheads
    int ahead_n
    const TimeLayout* layouts
    int layout_n
    int registers
    bint patch_year
    bint allow_jit
    const Zone* zone
    Str zone_name


cdef class Plan:
    """Immutable tables that engines read: patterns, gates, code.  Built from `compiler.tables.Tables`.

    `gated` False runs every program on every line, `vector` False leaves all gates to Hyperscan, `jit` False makes all
    captures with RE2.  All give the same results, which the tests rely on.  `database` is what another plan of the same
    tables gave, whose patterns need not be tried again.  Raises ValueError when a pattern or the gates cannot be compiled.
    """

    cdef PlanTables tables
    cdef list kept              # what the C tables are, and point into
    cdef list filters           # per program: names of the sources it listens to, or None
    cdef readonly tuple names   # of the programs
    cdef list texts             # of the patterns
    cdef list lines             # per program: lines of code, lines of begin
    cdef readonly list warnings

    def __cinit__(self, tables, *, TimeZone zone, bint patch_year=True, bint gated=True, bint vector=True,
                  bint jit=True, bytes database=b""):
        self.kept = [zone]
        self.warnings = []
        self.tables.zone = &zone.zone
        self.tables.zone_name = self.keep(zone.name.encode())
        self.tables.patch_year = patch_year
        self.tables.allow_jit = jit
        self.names = tuple(program.name for program in tables.programs)
        self.filters = [program.log_filter for program in tables.programs]
        self.lines = [(program.lines, program.begin_lines) for program in tables.programs]
        self.texts = [pattern.text for pattern in tables.patterns]
        self._add_patterns(tables.patterns, self._openers(tables.programs))
        if not database:
            self._try_patterns()
        self._add_programs(tables.programs, tables.guard_slices)
        self._add_aheads(tables.programs)
        self._add_gates(tables)
        if gated:
            if vector:
                seeker_make(&self.tables.gates.seeker, tables.teddy, tables.literals, self.kept)
            self._compile_gates(tables.literals, database)

    def __dealloc__(self):
        if self.tables.gates.database != NULL:
            hs_free_database(self.tables.gates.database)
        seeker_free(&self.tables.gates.seeker)

    cdef Str keep(self, bytes text):
        self.kept.append(text)
        return borrow(text)

    cdef void* room(self, size_t count, size_t size) except NULL:
        """Zeros that live as long as the plan, from the start of a cache line on."""
        memory = bytearray(count * size + CACHE_LINE)
        self.kept.append(memory)
        return <void*> (<size_t> <char*> <bytearray> memory + CACHE_LINE - 1 & -CACHE_LINE)

    cdef int32_t* numbers(self, list numbers) except NULL:
        cdef int32_t* cells = <int32_t*> self.room(len(numbers), sizeof(int32_t))
        for i, number in enumerate(numbers):
            cells[i] = number
        return cells

    cdef _add_patterns(self, list specs, dict openers):
        cdef Pattern* patterns = <Pattern*> self.room(len(specs), sizeof(Pattern))
        self.tables.patterns = patterns
        self.tables.pattern_n = <int> len(specs)
        for i, spec in enumerate(specs):
            self._add_pattern(&patterns[i], spec, openers.get(i, {}))

    cdef _add_pattern(self, Pattern* p, spec, dict opens):
        cdef PatternTexts* texts = <PatternTexts*> self.room(1, sizeof(PatternTexts))
        cdef Programs* programs = <Programs*> self.room(len(opens), sizeof(Programs))
        texts.bytes = self.keep(spec.bytes_form)
        texts.utf = self.keep(spec.utf_form)
        texts.re2 = self.keep(spec.re2_form)
        if spec.automaton is not None:
            self._add_automaton(&texts.automaton, spec.automaton)
        p.texts = texts
        p.flags = spec.flags
        p.pairs = spec.captures + 1
        p.gated = spec.prefiltered
        for word, mask in opens.items():
            programs[p.opens_n].word = word
            programs[p.opens_n].mask = mask
            p.opens_n += 1
        p.opens = programs
        if spec.onepass is not None:
            p.chain.ops = <const ChainOp*> self.keep(spec.onepass.ops).p
            p.chain.pool = <const uint8_t*> self.keep(spec.onepass.pool).p
            p.chain.seek = spec.onepass.prefix_length
            p.chain.known = spec.onepass.known
            p.chain.sure = spec.onepass.sure
            p.chain.optional = spec.onepass.optional

    cdef _try_patterns(self):
        for i, text in enumerate(self.texts):
            if not pattern_try(&self.tables.patterns[i]):
                raise ValueError(f"pattern too large for this machine: /{text.decode('utf-8', 'replace')}/")

    cdef _add_automaton(self, Automaton* a, spec):
        a.start = spec.start
        a.n = <int32_t> (len(spec.states) // sizeof(AutomatonState))
        a.classes = <const uint32_t*> self.keep(spec.classes).p
        a.ranges = <const uint32_t*> self.keep(spec.ranges).p
        a.edges = <const uint32_t*> self.keep(spec.edges).p
        a.sources = <const uint32_t*> self.keep(spec.sources).p
        a.states = <const AutomatonState*> self.keep(spec.states).p

    cdef _add_programs(self, list specs, list residues):
        cdef Prog* progs = <Prog*> self.room(len(specs), sizeof(Prog))
        cdef Prog* dry = <Prog*> self.room(len(residues), sizeof(Prog))
        cdef dict numbers = {}
        for i, spec in enumerate(specs):
            self._add_program(&progs[i], spec, numbers)
        for i, residue in enumerate(residues):
            self._add_program(&dry[i], residue.code, numbers)
        self.tables.progs = progs
        self.tables.prog_n = <int> len(specs)
        self.tables.gates.residues = dry
        self.tables.gates.residue_n = <int> len(residues)
        self._add_layouts(list(numbers))

    cdef _add_program(self, Prog* prog, spec, dict layouts):
        cdef int64_t* ints = <int64_t*> self.room(len(spec.ints), sizeof(int64_t))
        cdef double* floats = <double*> self.room(len(spec.floats), sizeof(double))
        cdef Str* strings = <Str*> self.room(len(spec.strings), sizeof(Str))
        cdef MetricTable** metrics = <MetricTable**> self.room(len(spec.metrics), sizeof(MetricTable*))
        self.tables.registers = max(self.tables.registers, spec.registers)
        prog.name = self.keep(spec.name.encode())
        prog.code = <const Instr*> self.keep(spec.code).p
        prog.code_n = <int32_t> (len(spec.code) // sizeof(Instr))
        prog.begin = <const Instr*> self.keep(spec.begin).p
        prog.begin_n = <int32_t> (len(spec.begin) // sizeof(Instr))
        for i, number in enumerate(spec.ints):
            ints[i] = number
        for i, number in enumerate(spec.floats):
            floats[i] = number
        for i, text in enumerate(spec.strings):
            strings[i] = self.keep(text)
        for i, metric in enumerate(spec.metrics):
            self.kept.append(metric)
            metrics[i] = (<Metric?> metric).table
        prog.ints = ints
        prog.floats = floats
        prog.strings = strings
        prog.metrics = metrics
        # Programs that have the same layout share what is remembered of it.
        prog.layouts = self.numbers([layouts.setdefault(layout, len(layouts)) for layout in spec.layouts])
        prog.layout_n = <int32_t> len(spec.layouts)
        prog.slot_pairs = self.numbers(list(spec.slot_pairs))
        prog.slot_n = <int32_t> len(spec.slot_pairs)

    cdef _add_layouts(self, list specs):
        cdef TimeLayout* layouts = <TimeLayout*> self.room(len(specs), sizeof(TimeLayout))
        for i, (text, steps) in enumerate(specs):
            if not layout_check(steps, len(steps)):
                raise ValueError("not a compiled layout")
            layouts[i].text = self.keep(text)
            layouts[i].steps = self.keep(steps)
        self.tables.layouts = layouts
        self.tables.layout_n = <int> len(specs)

    cdef _add_aheads(self, list specs):
        cdef Ahead* aheads = <Ahead*> self.room(sum(len(spec.lookahead) for spec in specs), sizeof(Ahead))
        cdef Ahead* ahead = aheads
        cdef int number
        for i, spec in enumerate(specs):
            for metric, groups in spec.lookahead:
                number = spec.patterns[0]
                if len(groups) > MAX_AHEAD or self.tables.patterns[number].chain.ops == NULL:
                    continue
                ahead.program = <int32_t> i
                ahead.pattern = number
                ahead.metric = self.tables.progs[i].metrics[<int> metric]
                ahead.group_n = <int> len(groups)
                for k, group in enumerate(groups):
                    ahead.groups[k] = group
                ahead += 1
        self.tables.aheads = aheads
        self.tables.ahead_n = <int> (ahead - aheads)

    cdef _add_leading(self, Leading* leading, list specs):
        cdef CharRun* runs = <CharRun*> self.room(len(specs), sizeof(CharRun))
        cdef CharRun* run
        for i, (bits, least, most) in enumerate(specs):
            run = &runs[i]
            run.low = bits & 0xFFFFFFFFFFFFFFFF
            run.high = bits >> 64
            run.least = least
            run.most = most
            leading.by_digit |= least != most and (run.low >> 48 & 0x3FF) not in (0, 0x3FF)
        leading.runs = runs
        leading.run_n = <int> len(specs)

    cdef _add_gates(self, tables):
        cdef Gates* g = &self.tables.gates
        cdef size_t words = (len(tables.programs) + 63) // 64
        cdef uint64_t* failing = <uint64_t*> self.room(len(tables.guard_slices) * words, sizeof(uint64_t))
        cdef uint64_t* always = <uint64_t*> self.room(words, sizeof(uint64_t))
        cdef Leading* leading = <Leading*> self.room(len(tables.guard_slices), sizeof(Leading))
        g.words = <uint32_t> words
        for i in tables.always:
            always[i // 64] |= <uint64_t> 1 << (i % 64)
        for i, residue in enumerate(tables.guard_slices):
            self._add_leading(&leading[i], residue.runs or [])
            for number in residue.programs:
                failing[i * words + number // 64] |= <uint64_t> 1 << (number % 64)
        g.always = always
        g.failing = failing
        g.leading = leading
        g.any_always = bool(tables.always)
        g.every_line = bool(tables.always or tables.guard_slices)
        self._add_factors(tables.literals)

    cdef _add_factors(self, list factors):
        firsts, patterns = [0], []
        for factor in factors:
            patterns += factor.patterns
            firsts.append(len(patterns))
        self.tables.gates.first = <const uint32_t*> self.numbers(firsts)
        self.tables.gates.patterns = self.numbers(patterns)

    cdef dict _openers(self, list specs):
        """For each pattern that opens programs which ones, by words."""
        cdef dict words
        cdef dict opened = {}
        for program, spec in enumerate(specs):
            for number in spec.triggers or ():
                words = opened.setdefault(number, {})
                words[program // 64] = words.get(program // 64, 0) | 1 << program % 64
        return opened

    cdef _compile_gates(self, list factors, bytes database):
        cdef Gates* g = &self.tables.gates
        if not factors:
            return
        if hs_valid_platform() != HS_SUCCESS:
            self.warnings.append("this processor lacks SSSE3, so every program runs on every line")
            return
        if hs_deserialize_database(database, len(database), &g.database) != HS_SUCCESS:
            self._compile_database(factors)
        g.usable = self._test_gates(factors)
        if not g.usable:
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
                rc = hs_compile_multi(texts, flags, ids, n, HS_MODE_BLOCK, NULL, &self.tables.gates.database, &error)
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
        cdef hs_scratch_t* scratch = NULL
        cdef int rc
        literals = [(i, factor.literal) for i, factor in enumerate(factors) if factor.literal is not None]
        if hs_alloc_scratch(self.tables.gates.database, &scratch) != HS_SUCCESS:
            raise MemoryError()
        try:
            for pad in (0, 1, 7, 30):
                text = b"\n".join(b"." * (pad * (at % 3)) + literal for at, (_, literal) in enumerate(literals))
                found[:] = bytes(len(factors))
                rc = hs_scan(self.tables.gates.database, text, <unsigned int> len(text), 0, scratch, note_factor,
                             <void*> <char*> found)
                if rc != HS_SUCCESS or not all(found[i] for i, _ in literals):
                    return False
            return True
        finally:
            hs_free_scratch(scratch)

    def database(self):
        """Hyperscan's database of the gates as bytes, for this version of it and this kind of processor."""
        cdef char* data = NULL
        cdef size_t n = 0
        if self.tables.gates.database == NULL:
            return b""
        if hs_serialize_database(self.tables.gates.database, &data, &n) != HS_SUCCESS:
            raise MemoryError()
        try:
            return data[:n]
        finally:
            free(data)

    @property
    def gated(self):
        """Whether lines pass the gates before programs run on them."""
        return bool(self.tables.gates.usable)

    @property
    def vector(self):
        """Whether the vector scan finds all factors, so that Hyperscan is not asked."""
        return self.tables.gates.seeker.keys != NULL


cdef int note_factor(unsigned int id, unsigned long long start, unsigned long long to, unsigned int flags,
                     void* found) noexcept nogil:
    (<char*> found)[id] = 1
    return 0
