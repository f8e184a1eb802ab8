# A plan: all loaded programs as C tables, made once from what compiler/plan.py computed and then only read.  What
# changes while lines run is in state.pxi, so that engines in several threads may share a plan.

cdef enum:
    MAX_LOOKAHEAD_KEYS = 16     # label values of a series that look-ahead can handle

cdef struct Prog:               # one program's code, or a guard slice
    Str name
    const Instr* code
    const Instr* begin
    int32_t code_n
    int32_t begin_n
    const int64_t* ints
    const double* floats
    const Str* strings
    const int32_t* layouts      # numbers of the plan's
    int32_t layout_n
    MetricTable** metrics       # the store's, which changes
    const int32_t* slot_pairs   # by slot: pairs of offsets for matches of texts other than the line
    int32_t slot_n

cdef struct CharRun:            # a greedy run of characters of an ASCII set, within bounds
    uint64_t low                # bit set of the characters below 64
    uint64_t high               # and of 64 to 127
    uint32_t least
    uint32_t most

cdef struct Guard:              # what is run dry on lines that the prefilter skips (compiler/prefilter/guards.py)
    Prog slice                  # its code, which writes nothing
    const uint64_t* programs    # bit set of the programs to run if it fails
    const CharRun* runs         # of the time at the start of the line, if parsing it is all that the slice does
    int run_n                   # 0: the slice does more
    bint by_digit               # the values of digits may decide where the time ends

cdef struct Prefilter:          # selects the programs that a line may concern
    hs_database_t* database     # of all required literals
    Teddy teddy                 # finds the same literals; no keys: not used
    const uint32_t* first       # literal → the first of its patterns; one more cell than literals
    const int32_t* patterns
    uint32_t words              # 64-bit words of a bit set of programs
    const uint64_t* always      # bit set of the programs that run on every line
    const Guard* guards
    int guard_n
    bint any_always
    bint must_run               # whether lines without a literal may be must-run
    bint usable

cdef struct Lookahead:          # a series that a program looks up whenever its first pattern matches
    int32_t program
    int32_t pattern
    MetricTable* metric
    int group_n
    int32_t groups[MAX_LOOKAHEAD_KEYS]  # of the pattern, whose texts are the label values

cdef struct Framing:            # a record statement
    int container
    int joined
    int32_t pattern             # that single lines or messages are tried with; -1: none
    int32_t docker              # the pattern that reads lines of docker; -1: none
    const uint8_t* first        # what the first byte of a line says about the pattern; NULL: nothing
    const uint8_t* passed       # the same, if the line may be empty
    int64_t count
    int64_t most                # lines
    int64_t timeout             # nanoseconds
    uint8_t separator
    const uint64_t* programs    # bit set of those that have it
    int program_n
    bint any_always

cdef struct PlanTables:
    const Pattern* patterns
    int pattern_n
    const Prog* progs
    int prog_n
    Prefilter prefilter
    const Lookahead* lookaheads
    int lookahead_n
    const Framing* framings
    int framing_n
    const uint64_t* of_lines    # bit set of the programs that see lines
    int of_line_n
    const TimeLayout* layouts
    int layout_n
    int registers
    int spans                   # most of a field pattern
    bint patch_year
    bint allow_jit
    const Zone* zone
    Str zone_name


cdef class Plan:
    """Immutable tables that engines read, see _core.pyi."""

    cdef PlanTables tables
    cdef list kept              # objects that own the memory of the C tables
    cdef list metrics           # what the programs write
    cdef list filters           # per program: compiler.logfilter.LogFilter, or None
    cdef readonly tuple names   # of the programs
    cdef list framings          # FramingSpecs
    cdef list texts             # of the patterns
    cdef list lines             # per program: lines of code, lines of begin, names of included files
    cdef readonly list warnings

    def __cinit__(self, tables, *, TimeZone zone, bint patch_year=True, bint prefiltered=True, bint teddy=True,
                  bint jit=True, bytes database=b""):
        self.kept = [zone]
        self.metrics = []
        self.warnings = []
        self.tables.zone = &zone.zone
        self.tables.zone_name = self.keep(zone.name.encode())
        self.tables.patch_year = patch_year
        self.tables.allow_jit = jit
        self.names = tuple(program.name for program in tables.programs)
        self.filters = [program.log_filter for program in tables.programs]
        self.lines = [(program.lines, program.begin_lines, program.places) for program in tables.programs]
        self.texts = [pattern.text for pattern in tables.patterns]
        self._add_patterns(tables.patterns, self._triggers(tables.programs))
        if not database:
            self._try_patterns()
        self._add_programs(tables.programs, tables.guard_slices)
        self._add_lookaheads(tables.programs)
        self._add_framings(tables)
        self._add_prefilter(tables)
        if prefiltered:
            if teddy:
                teddy_make(&self.tables.prefilter.teddy, tables.teddy, tables.literals, self.kept)
            self._compile_prefilter(tables.literals, database)

    def __dealloc__(self):
        if self.tables.prefilter.database != NULL:
            hs_free_database(self.tables.prefilter.database)
        teddy_free(&self.tables.prefilter.teddy)

    cdef Str keep(self, bytes text):
        self.kept.append(text)
        return borrow(text)

    cdef void* room(self, size_t count, size_t size) except NULL:
        """Zeroed memory that lives as long as the plan; starts at a cache line."""
        memory = bytearray(count * size + CACHE_LINE)
        self.kept.append(memory)
        return <void*>(<size_t> <char*> <bytearray>memory + CACHE_LINE - 1 & -CACHE_LINE)

    cdef int32_t* numbers(self, list numbers) except NULL:
        cdef int32_t* cells = <int32_t*>self.room(len(numbers), sizeof(int32_t))
        for i, number in enumerate(numbers):
            cells[i] = number
        return cells

    cdef _add_patterns(self, list specs, dict triggers):
        cdef Pattern* patterns = <Pattern*>self.room(len(specs), sizeof(Pattern))
        self.tables.patterns = patterns
        self.tables.pattern_n = <int>len(specs)
        for i, spec in enumerate(specs):
            self._add_pattern(&patterns[i], spec, triggers.get(i, {}))

    cdef _add_pattern(self, Pattern* p, spec, dict triggers):
        cdef PatternTexts* texts = <PatternTexts*>self.room(1, sizeof(PatternTexts))
        cdef Programs* programs = <Programs*>self.room(len(triggers), sizeof(Programs))
        texts.bytes = self.keep(spec.bytes_form)
        texts.utf = self.keep(spec.utf_form)
        texts.re2 = self.keep(spec.re2_form)
        if spec.fields is not None:
            texts.fields = self._fields(spec.fields)
        if spec.automaton is not None:
            self._add_automaton(&texts.automaton, spec.automaton)
        p.texts = texts
        p.flags = spec.flags
        p.pairs = spec.captures + 1
        p.prefiltered = spec.prefiltered
        for word, mask in triggers.items():
            programs[p.trigger_n].word = word
            programs[p.trigger_n].mask = mask
            p.trigger_n += 1
        p.triggers = programs
        if spec.onepass is not None:
            p.onepass.ops = <const OnePassOp*>self.keep(spec.onepass.ops).p
            p.onepass.pool = <const uint8_t*>self.keep(spec.onepass.pool).p
            p.onepass.prefix_length = spec.onepass.prefix_length
            p.onepass.known = spec.onepass.known
            p.onepass.sure = spec.onepass.sure
            p.onepass.optional = spec.onepass.optional

    cdef const Fields* _fields(self, spec) except NULL:
        cdef Fields* fields = <Fields*>self.room(1, sizeof(Fields))
        cdef FieldTable* tables = <FieldTable*>self.room(len(spec.tables), sizeof(FieldTable))
        cdef Str* paths = <Str*>self.room(len(spec.paths), sizeof(Str))
        for i, table in enumerate(spec.tables):
            tables[i].nodes = <const FieldNode*>self.keep(table.nodes).p
            tables[i].edges = <const FieldEdge*>self.keep(table.edges).p
            tables[i].leaves = <const uint32_t*>self.keep(table.leaves).p
            tables[i].pool = <const uint8_t*>self.keep(table.pool).p
            tables[i].needed = <const uint8_t*>self.keep(table.needed).p
            tables[i].common = table.common
            tables[i].each = table.each
            tables[i].separator = spec.separator
            self.tables.spans = max(self.tables.spans, table.common)
        for i, path in enumerate(spec.paths):
            paths[i] = self.keep(path)
        fields.format = spec.format
        fields.n = <int>len(spec.paths)
        fields.specs = <const FieldSpec*>self.keep(spec.fields).p
        fields.paths = paths
        fields.tables = tables
        fields.table_n = <int>len(spec.tables)
        return fields

    cdef _try_patterns(self):
        for i, text in enumerate(self.texts):
            if not pattern_try(&self.tables.patterns[i]):
                raise ValueError(f"pattern too large for this machine: /{text.decode('utf-8', 'replace')}/")

    cdef _add_automaton(self, Automaton* a, spec):
        a.start = spec.start
        a.n = <int32_t>(len(spec.states) // sizeof(AutomatonState))
        a.classes = <const uint32_t*>self.keep(spec.classes).p
        a.ranges = <const uint32_t*>self.keep(spec.ranges).p
        a.edges = <const uint32_t*>self.keep(spec.edges).p
        a.sources = <const uint32_t*>self.keep(spec.sources).p
        a.states = <const AutomatonState*>self.keep(spec.states).p

    cdef _add_programs(self, list specs, list guards):
        cdef Prog* progs = <Prog*>self.room(len(specs), sizeof(Prog))
        cdef dict layouts = {}
        for i, spec in enumerate(specs):
            self._add_program(&progs[i], spec, layouts)
        self.tables.progs = progs
        self.tables.prog_n = <int>len(specs)
        self._add_guards(guards, layouts)
        self._add_layouts(list(layouts))

    cdef _add_guards(self, list specs, dict layouts):
        cdef size_t words = (self.tables.prog_n + 63) // 64
        cdef Guard* guards = <Guard*>self.room(len(specs), sizeof(Guard))
        cdef uint64_t* programs
        for i, spec in enumerate(specs):
            self._add_program(&guards[i].slice, spec.code, layouts)
            self._add_timestamp(&guards[i], spec.runs or [])
            programs = <uint64_t*>self.room(words, sizeof(uint64_t))
            for number in spec.programs:
                programs[number // 64] |= <uint64_t>1 << (number % 64)
            guards[i].programs = programs
        self.tables.prefilter.guards = guards
        self.tables.prefilter.guard_n = <int>len(specs)

    cdef _add_timestamp(self, Guard* guard, list specs):
        cdef CharRun* runs = <CharRun*>self.room(len(specs), sizeof(CharRun))
        cdef CharRun* run
        for i, (bits, least, most) in enumerate(specs):
            run = &runs[i]
            run.low = bits & 0xFFFFFFFFFFFFFFFF
            run.high = bits >> 64
            run.least = least
            run.most = most
            guard.by_digit |= least != most and (run.low >> 48 & 0x3FF) not in (0, 0x3FF)
        guard.runs = runs
        guard.run_n = <int>len(specs)

    cdef _add_program(self, Prog* prog, spec, dict layouts):
        cdef int64_t* ints = <int64_t*>self.room(len(spec.ints), sizeof(int64_t))
        cdef double* floats = <double*>self.room(len(spec.floats), sizeof(double))
        cdef Str* strings = <Str*>self.room(len(spec.strings), sizeof(Str))
        cdef MetricTable** metrics = <MetricTable**>self.room(len(spec.metrics), sizeof(MetricTable*))
        self.tables.registers = max(self.tables.registers, spec.registers)
        prog.name = self.keep(spec.name.encode())
        prog.code = <const Instr*>self.keep(spec.code).p
        prog.code_n = <int32_t>(len(spec.code) // sizeof(Instr))
        prog.begin = <const Instr*>self.keep(spec.begin).p
        prog.begin_n = <int32_t>(len(spec.begin) // sizeof(Instr))
        for i, number in enumerate(spec.ints):
            ints[i] = number
        for i, number in enumerate(spec.floats):
            floats[i] = number
        for i, text in enumerate(spec.strings):
            strings[i] = self.keep(text)
        for i, metric in enumerate(spec.metrics):
            self.metrics.append(metric)
            metrics[i] = (<Metric?>metric).table
        prog.ints = ints
        prog.floats = floats
        prog.strings = strings
        prog.metrics = metrics
        # Programs with the same layout share its timestamp memo.
        prog.layouts = self.numbers([layouts.setdefault(layout, len(layouts)) for layout in spec.layouts])
        prog.layout_n = <int32_t>len(spec.layouts)
        prog.slot_pairs = self.numbers(list(spec.slot_pairs))
        prog.slot_n = <int32_t>len(spec.slot_pairs)

    cdef _add_layouts(self, list specs):
        cdef TimeLayout* layouts = <TimeLayout*>self.room(len(specs), sizeof(TimeLayout))
        for i, (text, steps) in enumerate(specs):
            if not layout_check(steps, len(steps)):
                raise ValueError("not a compiled layout")
            layouts[i].text = self.keep(text)
            layouts[i].steps = self.keep(steps)
        self.tables.layouts = layouts
        self.tables.layout_n = <int>len(specs)

    cdef _add_lookaheads(self, list specs):
        cdef Lookahead* lookaheads = <Lookahead*>self.room(
            sum(len(spec.lookahead) for spec in specs), sizeof(Lookahead))
        cdef Lookahead* ahead = lookaheads
        cdef int number
        for i, spec in enumerate(specs):
            for metric, groups in spec.lookahead:
                number = spec.patterns[0]
                if len(groups) > MAX_LOOKAHEAD_KEYS or self.tables.patterns[number].onepass.ops == NULL:
                    continue
                ahead.program = <int32_t>i
                ahead.pattern = number
                ahead.metric = self.tables.progs[i].metrics[<int>metric]
                ahead.group_n = <int>len(groups)
                for k, group in enumerate(groups):
                    ahead.groups[k] = group
                ahead += 1
        self.tables.lookaheads = lookaheads
        self.tables.lookahead_n = <int>(ahead - lookaheads)

    cdef uint64_t* program_set(self, numbers) except NULL:
        cdef uint64_t* programs = <uint64_t*>self.room((self.tables.prog_n + 63) // 64, sizeof(uint64_t))
        for number in numbers:
            programs[number // 64] |= <uint64_t>1 << (number % 64)
        return programs

    cdef const uint8_t* _passed(self, bytes first) except NULL:
        """The verdicts of first bytes where an empty line has the byte of its end."""
        table = bytearray(first)
        for byte in b"\r\n":
            table[byte] = 1
        return <const uint8_t*>self.keep(bytes(table)).p

    cdef _add_framings(self, tables):
        cdef Framing* framings = <Framing*>self.room(len(tables.framings), sizeof(Framing))
        always = set(tables.always)
        of_lines = set(range(self.tables.prog_n))
        self.framings = tables.framings
        for i, spec in enumerate(tables.framings):
            framings[i].container = spec.container
            framings[i].joined = spec.joined
            framings[i].pattern = spec.pattern
            framings[i].docker = spec.docker
            if spec.first:
                framings[i].first = <const uint8_t*>self.keep(spec.first).p
                framings[i].passed = self._passed(spec.first)
            framings[i].count = spec.size
            framings[i].most = spec.most
            framings[i].timeout = spec.timeout
            framings[i].separator = spec.separator
            framings[i].programs = self.program_set(spec.programs)
            framings[i].program_n = <int>len(spec.programs)
            framings[i].any_always = not always.isdisjoint(spec.programs)
            of_lines.difference_update(spec.programs)
        self.tables.framings = framings
        self.tables.framing_n = <int>len(tables.framings)
        self.tables.of_lines = self.program_set(of_lines)
        self.tables.of_line_n = <int>len(of_lines)

    cdef _add_prefilter(self, tables):
        cdef Prefilter* f = &self.tables.prefilter
        cdef uint64_t* always
        cdef bint any_always
        f.words = <uint32_t>((len(tables.programs) + 63) // 64)
        always = self.program_set(tables.always)
        of_records = {number for spec in tables.framings for number in spec.programs}
        any_always = not of_records.issuperset(tables.always)
        f.always = always
        f.any_always = any_always
        f.must_run = any_always or any(not of_records.issuperset(guard.programs) for guard in tables.guard_slices)
        firsts, patterns = [0], []
        for literal in tables.literals:
            patterns += literal.patterns
            firsts.append(len(patterns))
        f.first = <const uint32_t*>self.numbers(firsts)
        f.patterns = self.numbers(patterns)

    cdef dict _triggers(self, list specs):
        """For each trigger, the programs that it selects, in words of 64."""
        cdef dict words
        cdef dict triggers = {}
        for program, spec in enumerate(specs):
            for number in spec.triggers or ():
                words = triggers.setdefault(number, {})
                words[program // 64] = words.get(program // 64, 0) | 1 << program % 64
        return triggers

    cdef _compile_prefilter(self, list literals, bytes database):
        cdef Prefilter* f = &self.tables.prefilter
        if not literals:
            return
        if hs_valid_platform() != HS_SUCCESS:
            self.warnings.append("this processor lacks SSSE3, so every program runs on every line")
            return
        if hs_deserialize_database(database, len(database), &f.database) != HS_SUCCESS:
            self._compile_database(literals)
        f.usable = self._test_prefilter(literals)
        if not f.usable:
            self.warnings.append("the Hyperscan library misses matches here, so every program runs on every line")

    cdef _compile_database(self, list literals):
        cdef unsigned int n = <unsigned int>len(literals)
        cdef const char** texts = NULL
        cdef unsigned int* flags = NULL
        cdef unsigned int* ids = NULL
        cdef hs_compile_error_t* error = NULL
        cdef int rc
        try:
            texts = <const char**>zeroed(n, sizeof(char*))
            flags = <unsigned int*>zeroed(n, sizeof(int))
            ids = <unsigned int*>zeroed(n, sizeof(int))
            for i, literal in enumerate(literals):
                texts[i] = self.keep(literal.expression).p
                flags[i] = HS_FLAG_CASELESS if literal.caseless else 0
                ids[i] = <unsigned int>i
            with nogil:
                rc = hs_compile_multi(texts, flags, ids, n, HS_MODE_BLOCK, NULL, &self.tables.prefilter.database, &error)
            if rc != HS_SUCCESS:
                message = "out of memory" if error == NULL else error.message.decode("utf-8", "replace")
                if error != NULL:
                    hs_free_compile_error(error)
                raise ValueError(f"Hyperscan cannot compile the prefilter: {message}")
        finally:
            free(texts)
            free(flags)
            free(ids)

    cdef bint _test_prefilter(self, list specs) except -1:
        """Look for each literal at several alignments in a text made of them; none may be missed.

        Vectorscan up to 5.4.12 has missed true matches (VectorCamp/vectorscan#382).
        """
        cdef bytes text
        cdef bytearray found = bytearray(len(specs))
        cdef hs_scratch_t* scratch = NULL
        cdef int rc
        literals = [(i, spec.literal) for i, spec in enumerate(specs) if spec.literal is not None]
        if hs_alloc_scratch(self.tables.prefilter.database, &scratch) != HS_SUCCESS:
            raise MemoryError()
        try:
            for pad in (0, 1, 7, 30):
                text = b"\n".join(b"." * (pad * (at % 3)) + literal for at, (_, literal) in enumerate(literals))
                found[:] = bytes(len(specs))
                rc = hs_scan(self.tables.prefilter.database, text, <unsigned int>len(text), 0, scratch, note_literal,
                             <void*> <char*>found)
                if rc != HS_SUCCESS or not all(found[i] for i, _ in literals):
                    return False
            return True
        finally:
            hs_free_scratch(scratch)

    def database(self):
        """Hyperscan's database of the required literals as bytes, for this version of it and this kind of processor."""
        cdef char* data = NULL
        cdef size_t n = 0
        if self.tables.prefilter.database == NULL:
            return b""
        if hs_serialize_database(self.tables.prefilter.database, &data, &n) != HS_SUCCESS:
            raise MemoryError()
        try:
            return data[:n]
        finally:
            free(data)

    @property
    def prefiltered(self):
        """Whether there is a usable prefilter."""
        return bool(self.tables.prefilter.usable)

    @property
    def teddy(self):
        """Whether the multi-literal matcher finds all required literals, so that Hyperscan is not asked."""
        return self.tables.prefilter.teddy.keys != NULL


cdef int note_literal(unsigned int id, unsigned long long start, unsigned long long to, unsigned int flags,
                     void* found) noexcept nogil:
    (<char*>found)[id] = 1
    return 0
