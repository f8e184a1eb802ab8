# The action tables: one program's instructions run over one line.
#
# Code has no loops, so a line costs at most the length of the program.  Texts made on the way live in an arena that
# is reset after each line; texts cut from the line point into it.

cdef enum:
    ARENA_CHUNK = 64 * 1024
    MAX_TEXT = 16 * 1024 * 1024     # bytes of one text that a program makes
    MAX_ARENA = 64 * 1024 * 1024    # bytes of all texts that programs make for one line
    FAULTS_KEPT = 100               # run-time errors kept per program until they are fetched
    FAULT_TEXT = 4096               # bytes kept of each text in one
    TIME_RANGES = 11                # of run times: 20 µs, 40 µs, … 10.24 ms, and more
    TIME_MEMO = 40                  # bytes of a time that is remembered
    SAMPLE_LEAST = 192              # runs between two that are timed: this many and up to SAMPLE_MORE more, so that
    SAMPLE_MORE = 127               # no rhythm of the log is met

cdef union Reg:
    int64_t i
    double f
    Str s
    Datum* datum

cdef struct Captures:           # what one occurrence of a pattern matched
    uint64_t serial             # the line that it is about
    const char* base
    size_t* ov
    size_t* own                 # for matches of other texts than the line

cdef struct TimeLayout:             # of a time
    Str text
    Str steps

cdef struct TimeMemo:           # what is remembered of a layout, for all programs that have it
    const TimeLayout* layout
    char text[TIME_MEMO]        # the last text that was parsed, and its instant
    size_t n
    uint64_t epoch
    Time time
    size_t seconds              # where its last two bytes are the seconds of a minute without leaps; 0: nowhere

cdef struct FaultRecord:        # a run-time error, as raw as it can be; Python makes the text
    int code
    int32_t pc
    bint begin                  # in the initialisation
    bint wrapped
    int64_t x
    int64_t y
    char* text                  # operand, then input line, then source name; lengths below
    uint32_t operand_n
    uint32_t input_n
    uint32_t source_n

cdef struct Prog:               # what does not change
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
    const int32_t* slot_pairs   # offsets that each occurrence of a pattern needs for other texts than the line
    int32_t slot_n

cdef struct ProgState:          # what one engine knows of a program, since it runs the plan
    const Prog* prog
    Captures* slots
    TimeMemo** memos            # of its layouts
    int64_t lines               # handed to it
    int64_t runs                # lines that it ran on
    uint32_t unsampled          # runs to go until one is timed
    int kept_n
    uint64_t faults
    uint64_t told               # those that were fetched
    FaultRecord* kept
    FaultRecord last
    int64_t times[TIME_RANGES]  # timed runs by how long they took, see engine.pxi
    int64_t time_ns             # and all of them together
    Timed timed                 # likewise, but by the thread's clock, and without the first, which compiles regexes

cdef struct Chunk:
    Chunk* next
    size_t n
    size_t cap

cdef struct LeadingMemo:        # the last time that was good at the start of a line, and others of its minute
    Moment moment
    uint64_t epoch

cdef struct PlanTables          # see plan.pxi

cdef struct RunState:           # all that changes while lines run; one for each engine, and for each plan that it runs
    const PlanTables* tables
    Reg* regs
    PatternState* patterns      # by the numbers of the plan's
    ProgState* progs
    ProgState* residues
    LeadingMemo* leading        # of the residues
    TimeMemo* memos             # of the layouts
    uint64_t* chosen            # programs to run on the line, as words
    bint gated
    bint ascii                  # all bytes of the piece are
    Matcher matcher
    Subject line
    Subject other               # subject of =~ and subst
    Str source
    uint64_t serial             # number of the line
    bint has_time
    Time time
    int64_t time_ns
    int64_t now                 # nanoseconds; grows with every write, so that newer writes have later times
    uint64_t epoch              # changes when results of strptime may change: a new year
    Chunk* arena
    size_t arena_n
    Buf text                    # scratch
    TimeError time_error
    hs_scratch_t* scratch
    int rest                    # blocks to go without the gates
    int by_hyperscan            # pieces to go without the vector scan
    size_t looked_up            # places of the last piece that the vector scan looked up
    int64_t lines_n             # that were seen, how long that took in all, and in the gates
    int64_t scan_ns
    int64_t gate_ns


# --- the arena -------------------------------------------------------------------------------------------------

cdef char* arena_get(RunState* rs, size_t n) noexcept nogil:
    """Room for `n` bytes until the end of the line; NULL when a limit is reached."""
    cdef Chunk* chunk = rs.arena
    cdef char* p
    cdef size_t cap
    if chunk == NULL or chunk.cap - chunk.n < n:
        if n > MAX_TEXT or rs.arena_n + n > MAX_ARENA:
            return NULL
        cap = n if n > ARENA_CHUNK else ARENA_CHUNK
        chunk = <Chunk*> malloc(sizeof(Chunk) + cap)
        if chunk == NULL:
            return NULL
        chunk.next = rs.arena
        chunk.n = 0
        chunk.cap = cap
        rs.arena = chunk
        rs.arena_n += cap
    p = <char*> (chunk + 1) + chunk.n
    chunk.n += n
    return p


cdef void arena_reset(RunState* rs, bint everything) noexcept nogil:
    """Forget all texts; one chunk is kept for the next line."""
    cdef Chunk* chunk = rs.arena
    cdef Chunk* next
    while chunk != NULL and (everything or chunk.next != NULL):
        next = chunk.next
        rs.arena_n -= chunk.cap
        free(chunk)
        chunk = next
    rs.arena = chunk
    if chunk != NULL:
        chunk.n = 0


cdef bint arena_text(RunState* rs, Reg* reg, const char* p, size_t n) noexcept nogil:
    cdef char* copy = arena_get(rs, n)
    if copy == NULL:
        return False
    if n:
        memcpy(copy, p, n)
    reg.s.p = copy
    reg.s.n = n
    return True


cdef bint arena_buf(RunState* rs, Reg* reg) noexcept nogil:
    """The scratch buffer's content as a text."""
    if rs.text.failed or rs.text.n > MAX_TEXT:
        buf_free(&rs.text)
        return False
    return arena_text(rs, reg, rs.text.p, rs.text.n)


# --- run-time errors -------------------------------------------------------------------------------------------

cdef void fault_free(FaultRecord* record) noexcept nogil:
    free(record.text)
    memset(record, 0, sizeof(FaultRecord))


cdef size_t fault_put(FaultRecord* record, size_t at, Str text) noexcept nogil:
    cdef size_t n = text.n if text.n < FAULT_TEXT else FAULT_TEXT
    if n:
        memcpy(record.text + at, text.p, n)
    return n


cdef void fault_keep(FaultRecord* record, const FaultRecord* what, Str operand, Str input, Str source) noexcept nogil:
    cdef char* text = record.text
    if text == NULL:
        text = <char*> malloc(3 * FAULT_TEXT)
        if text == NULL:
            return
    record[0] = what[0]
    record.text = text
    record.operand_n = <uint32_t> fault_put(record, 0, operand)
    record.input_n = <uint32_t> fault_put(record, record.operand_n, input)
    record.source_n = <uint32_t> fault_put(record, record.operand_n + record.input_n, source)


cdef void fault_copy(FaultRecord* copy, const FaultRecord* record) noexcept nogil:
    """Into an empty one, which stays empty without memory."""
    cdef size_t n = <size_t> record.operand_n + record.input_n + record.source_n
    cdef char* text = <char*> malloc(n + 1)
    if text != NULL:
        memcpy(text, record.text, n)
        copy[0] = record[0]
        copy.text = text


cdef void faults_free(FaultRecord* kept) noexcept nogil:
    cdef int i
    if kept != NULL:
        for i in range(FAULTS_KEPT):
            fault_free(&kept[i])
    free(kept)


cdef void fault(RunState* rs, ProgState* prog, FaultRecord* what, Str operand) noexcept nogil:
    """Count an error and keep what its text needs (spec runtime.md §4)."""
    cdef Str input
    input.p = rs.line.p
    input.n = rs.line.n
    nm_add(&prog.faults, <uint64_t>1)
    fault_keep(&prog.last, what, operand, input, rs.source)
    if prog.kept == NULL:
        prog.kept = <FaultRecord*> calloc(FAULTS_KEPT, sizeof(FaultRecord))
    if prog.kept != NULL and prog.kept_n < FAULTS_KEPT:
        fault_keep(&prog.kept[prog.kept_n], what, operand, input, rs.source)
        prog.kept_n += 1


# --- captures --------------------------------------------------------------------------------------------------

cdef inline Str slot_group(Captures* slot, int group) noexcept nogil:
    """The text of a group; empty where it took no part."""
    cdef Str text
    cdef size_t first = slot.ov[2 * group]
    text.p = slot.base
    text.n = 0
    if first != <size_t> -1:
        text.p = slot.base + first
        text.n = slot.ov[2 * group + 1] - first
    return text


cdef inline bint is_int_text(Str text) noexcept nogil:
    """Whether a number would be written just so: at most 18 digits, and no needless zero in front."""
    cdef size_t i
    if text.n - 1 >= 18 or (text.p[0] == 48 and text.n > 1):
        return False
    for i in range(text.n):
        if <uint8_t> (text.p[i] - 48) > 9:
            return False
    return True


cdef inline bint gate_open(RunState* rs, PatternState* pattern) noexcept nogil:
    if not rs.gated or not pattern.gated:
        return True
    if pattern.opened != rs.serial:
        rs.matcher.gate_shut += 1
        return False
    rs.matcher.gate_open += 1
    return True


cdef inline bint take_early(PatternState* pattern, uint64_t serial) noexcept nogil:
    """Make the match that was made ahead of time the line's, if there is one."""
    cdef Early* early = &pattern.early[serial % EARLY]
    if early.serial != serial:
        return False
    pattern.matched = <int8_t> early.matched
    pattern.ov, early.ov = early.ov, pattern.ov
    return True


cdef inline int match_now(RunState* rs, PatternState* pattern) noexcept nogil:
    cdef int rc
    if rs.line.state != TEXT_ASCII:
        return match_subject(&rs.matcher, pattern, &rs.line, pattern.ov)
    rc = match_chain(&rs.matcher, pattern, &rs.line, pattern.ov)
    return rc if rc >= 0 else match_search(&rs.matcher, pattern, &rs.line, 0, pattern.ov)


cdef inline int match_line(RunState* rs, PatternState* pattern) noexcept nogil:
    """Match the line, once for all programs that have the pattern; its gate is open."""
    if pattern.serial == rs.serial:
        return pattern.matched
    pattern.serial = rs.serial
    if pattern.pattern.pairs == 0 and pattern.pattern.flags & PATTERN_ALWAYS:
        pattern.matched = 1
    elif rs.gated and pattern.gated and pattern.pattern.pairs == 0 and pattern.pattern.flags & PATTERN_LITERAL:
        pattern.matched = 1
    elif pattern.untimed:
        pattern.untimed -= 1
        if pattern.early == NULL or not take_early(pattern, rs.serial):
            pattern.matched = <int8_t> match_now(rs, pattern)
    else:
        match_timed(rs, pattern)
    pattern.tried += 1
    pattern.found += pattern.matched == 1
    return pattern.matched


cdef int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef inline int64_t thread_ns() noexcept nogil:
    """Processor time of the thread: who is preempted, or waits, does not pay for it."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void note_time(Timed* timed, int64_t ns) noexcept nogil:
    timed.n += 1
    timed.ns += ns
    timed.longest = max(timed.longest, ns)


cdef inline uint32_t until_next_sample(int64_t now) noexcept nogil:
    return SAMPLE_LEAST + <uint32_t> ((now ^ now >> 7) & SAMPLE_MORE)


cdef void match_timed(RunState* rs, PatternState* pattern) noexcept nogil:
    cdef int64_t start = thread_ns()
    pattern.matched = <int8_t> match_now(rs, pattern)
    note_time(&pattern.timed, thread_ns() - start)
    pattern.untimed = until_next_sample(start)


# --- arithmetic ------------------------------------------------------------------------------------------------

cdef inline int64_t wrap_add(int64_t a, int64_t b) noexcept nogil:
    return <int64_t> (<uint64_t> a + <uint64_t> b)


cdef inline int64_t wrap_sub(int64_t a, int64_t b) noexcept nogil:
    return <int64_t> (<uint64_t> a - <uint64_t> b)


cdef inline int64_t wrap_mul(int64_t a, int64_t b) noexcept nogil:
    return <int64_t> (<uint64_t> a * <uint64_t> b)


cdef inline int64_t divide(int64_t a, int64_t b) noexcept nogil:
    return wrap_sub(0, a) if b == -1 else a / b


cdef inline int64_t modulo(int64_t a, int64_t b) noexcept nogil:
    return 0 if b == -1 else a % b


cdef inline int64_t power(int64_t a, int64_t b) noexcept nogil:
    """Through doubles, truncated; out of range as on amd64 (runtime.md §2.5)."""
    cdef double x = nm_power(<double> a, <double> b)
    if x >= -9223372036854775808.0 and x < 9223372036854775808.0:
        return <int64_t> x
    return INT64_MIN


cdef inline int64_t shift_left(int64_t a, int64_t b) noexcept nogil:
    return 0 if b >= 64 else <int64_t> (<uint64_t> a << b)


cdef inline int64_t shift_right(int64_t a, int64_t b) noexcept nogil:
    return a >> (63 if b >= 64 else b)


cdef inline int compare_text(Str a, Str b) noexcept nogil:
    cdef size_t n = a.n if a.n < b.n else b.n
    cdef int order = memcmp(a.p, b.p, n) if n else 0
    if order:
        return order
    return (a.n > b.n) - (a.n < b.n)


cdef enum:
    UNORDERED = 2               # one is NaN
    INCOMPARABLE = 3


cdef inline int compare_guessing(Str a, Str b, double* left) noexcept nogil:
    """-1, 0 or 1: as numbers if `a` is one, else as texts."""
    cdef double right
    cdef int order
    if parse_float(a.p, a.n, left) != 0:
        order = compare_text(a, b)
        return (order > 0) - (order < 0)
    if parse_float(b.p, b.n, &right) != 0:
        return INCOMPARABLE
    if left[0] != left[0] or right != right:
        return UNORDERED
    return (left[0] > right) - (left[0] < right)


cdef bint concatenate(RunState* rs, Reg* out, Str a, Str b) noexcept nogil:
    cdef char* p = arena_get(rs, a.n + b.n)
    if p == NULL:
        return False
    if a.n:
        memcpy(p, a.p, a.n)
    if b.n:
        memcpy(p + a.n, b.p, b.n)
    out.s.p = p
    out.s.n = a.n + b.n
    return True


# --- time ------------------------------------------------------------------------------------------------------

cdef inline int64_t stamp(RunState* rs) noexcept nogil:
    """The time of a write: the time register, else the wall clock."""
    if rs.has_time:
        return rs.time_ns
    rs.now += 1
    return rs.now


cdef inline bint ends_with_seconds(Str layout, Str text) noexcept nogil:
    """Whether the text's last two bytes are its seconds; the time may have a fraction that its layout lacks."""
    return layout.n > 3 and memcmp(layout.p + layout.n - 3, b":05", 3) == 0 and text.p[text.n - 3] == 58


cdef inline int two_digits(const char* p) noexcept nogil:
    """Their value, or 100 if that is no second of a minute."""
    cdef uint8_t tens = <uint8_t> (p[0] - 48), ones = <uint8_t> (p[1] - 48)
    return 10 * tens + ones if tens < 6 and ones < 10 else 100


cdef inline int parse_anew(RunState* rs, const TimeLayout* layout, Str text, Time* time) noexcept nogil:
    return time_parse(<const uint8_t*> layout.steps.p, layout.steps.n, text.p, text.n, rs.tables.zone, rs.tables.patch_year,
                      rs.now // 1000000000, time, &rs.time_error)


cdef bint is_steady(RunState* rs, TimeMemo* memo) noexcept nogil:
    """Whether the minute of the memo has 60 seconds one after the other: no change of the zone's offset is in it."""
    cdef Str text
    cdef Time first, last
    cdef char copy[TIME_MEMO]
    text.p = copy
    text.n = memo.n
    memcpy(copy, memo.text, text.n)
    memcpy(copy + text.n - 2, b"00", 2)
    if parse_anew(rs, memo.layout, text, &first) != 0:
        return False
    memcpy(copy + text.n - 2, b"59", 2)
    return parse_anew(rs, memo.layout, text, &last) == 0 and last.sec - first.sec == 59 and first.nsec == last.nsec


cdef inline bint is_remembered(RunState* rs, TimeMemo* memo, Str text) noexcept nogil:
    """Set the time register from the memo, if the text is the same, or another second of that minute.

    The memo cannot be seen: the same text with the same layout in the same epoch is the same instant.
    """
    cdef int second
    if text.n != memo.n or memo.epoch != rs.epoch or not text.n:
        return False
    if memo.seconds:
        second = two_digits(text.p + memo.seconds)
        if second == 100 or not nm_same(text.p, memo.text, memo.seconds):
            return False
        rs.time.sec = memo.time.sec + second - two_digits(memo.text + memo.seconds)
        rs.time.nsec = memo.time.nsec
        return True
    if memcmp(text.p, memo.text, text.n) != 0:
        return False
    rs.time = memo.time
    return True


cdef void remember(RunState* rs, TimeMemo* memo, Str text) noexcept nogil:
    """That the text is the time in the time register."""
    memcpy(memo.text, text.p, text.n)
    memo.n = text.n
    memo.epoch = rs.epoch
    memo.time = rs.time
    memo.seconds = 0
    if text.n > 8 and ends_with_seconds(memo.layout.text, text) and is_steady(rs, memo):
        memo.seconds = text.n - 2


cdef int parse_time(RunState* rs, TimeMemo* memo, Str text) noexcept nogil:
    """Set the time register; not 0 on failure, with the cause in rs.time_error."""
    cdef int rc
    if not is_remembered(rs, memo, text):
        rc = parse_anew(rs, memo.layout, text, &rs.time)
        if rc != 0:
            return rc
        if text.n <= TIME_MEMO:
            remember(rs, memo, text)
    rs.time_ns = time_to_ns_saturated(rs.time)
    rs.has_time = True
    return 0


cdef void set_time(RunState* rs, int64_t seconds) noexcept nogil:
    rs.time.sec = seconds
    rs.time.nsec = 0
    rs.time_ns = time_to_ns_saturated(rs.time)
    rs.has_time = True


# --- the interpreter -------------------------------------------------------------------------------------------

cdef bint run(RunState* rs, ProgState* state, const Instr* code, bint dry) noexcept nogil:
    """Run `code` (of the program) over the line in `rs`.  Stops at END, true, or at the first run-time error, false.

    `dry`: the error is not counted; `code` is a residue, which writes nothing.
    """
    cdef const Prog* prog = state.prog
    cdef Captures* slots = state.slots
    cdef Reg* r = rs.regs
    cdef const Instr* i = code
    cdef const Instr* at = code
    cdef Captures* slot
    cdef PatternState* pattern
    cdef Datum* datum
    cdef MetricTable* metric
    cdef TimeMemo* memo
    cdef Str text
    cdef bint matched = False, is_open
    cdef FaultRecord what
    cdef int code_of_fault = FAULT_OK
    cdef bint wrapped = False
    cdef int64_t x = 0, y = 0
    cdef double left = 0
    cdef int op, rc
    cdef Hashed hashed
    cdef char number[32]
    hashed.h = 0
    hashed.seen = 0
    text.p = NULL
    text.n = 0
    rs.has_time = False
    while True:
        i = at
        at += 1
        op = i.op
        # --- control
        if op == OP_END:
            return True
        elif op == OP_JMP:
            at = code + i.d
        elif op == OP_JF:
            if r[i.a].i == 0:
                at = code + i.d
        elif op == OP_JT:
            if r[i.a].i != 0:
                at = code + i.d
        elif op == OP_JMATCHED:
            if matched:
                at = code + i.d
        elif op == OP_SETM:
            matched = i.a
        elif op == OP_FAIL:
            text = prog.strings[i.d]
            code_of_fault = FAULT_STATIC
            break
        # --- patterns
        elif op == OP_MATCH:
            pattern = &rs.patterns[i.d]
            is_open = gate_open(rs, pattern)
            while not is_open and code[i.e].op == OP_MATCH:  # most often several are shut, one behind the other
                i = code + i.e
                pattern = &rs.patterns[i.d]
                is_open = gate_open(rs, pattern)
            rc = match_line(rs, pattern) if is_open else 0
            if rc == 1:
                at = i + 1
                slot = &slots[i.a]
                slot.serial = rs.serial
                slot.base = rs.line.p
                slot.ov = pattern.ov
            elif rc == 0:
                at = code + i.e
            else:
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_MATCHS:
            pattern = &rs.patterns[i.d]
            slot = &slots[i.a]
            subject_set(&rs.other, r[i.b].s.p, r[i.b].s.n)
            rc = match_subject(&rs.matcher, pattern, &rs.other, slot.own)
            if rc == 1:
                slot.serial = rs.serial
                slot.base = r[i.b].s.p
                slot.ov = slot.own
            elif rc == 0:
                at = code + i.e
            else:
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_DEFINED:
            slot = &slots[i.b]
            r[i.a].i = slot.serial == rs.serial and slot.ov[2 * i.c] != <size_t> -1
        # --- captures
        elif op == OP_CAPSM:
            r[i.a].s = slot_group(&slots[i.b], i.c)
            if at.op == OP_STRPTIME:  # as in most decorators: one step less to choose
                i = at
                at += 1
                memo = state.memos[i.d]
                if parse_time(rs, memo, r[i.a].s) != 0:
                    text = r[i.a].s
                    code_of_fault = time_fault(rs, memo.layout, &text)
                    break
        elif op == OP_CAPS:
            slot = &slots[i.b]
            if slot.serial != rs.serial:
                x = i.b
                code_of_fault = FAULT_NO_MATCH
                break
            r[i.a].s = slot_group(slot, i.c)
        elif op == OP_CAPI or op == OP_CAPIM:
            slot = &slots[i.b]
            if slot.serial != rs.serial:
                x = i.b
                code_of_fault = FAULT_NO_MATCH
                break
            text = slot_group(slot, i.c)
            rc = parse_int(text.p, text.n, 10, &r[i.a].i)
            if rc != 0:
                code_of_fault = FAULT_INT_SYNTAX + rc - 1
                break
        elif op == OP_CAPIS:
            slot = &slots[i.b]
            if slot.serial != rs.serial:
                x = i.b
                code_of_fault = FAULT_NO_MATCH
                break
            text = slot_group(slot, i.c)
            if is_int_text(text):
                r[i.a].s = text
            else:
                rc = parse_int(text.p, text.n, 10, &x)
                if rc != 0:
                    code_of_fault = FAULT_INT_SYNTAX + rc - 1
                    break
                if not arena_text(rs, &r[i.a], number, fmt_int(x, number)):
                    code_of_fault = FAULT_MEMORY
                    break
        elif op == OP_CAPF or op == OP_CAPFM:
            slot = &slots[i.b]
            if slot.serial != rs.serial:
                x = i.b
                code_of_fault = FAULT_NO_MATCH
                break
            text = slot_group(slot, i.c)
            rc = parse_float(text.p, text.n, &r[i.a].f)
            if rc != 0:
                code_of_fault = FAULT_FLOAT_SYNTAX + rc - 1
                break
        # --- constants
        elif op == OP_LDI:
            r[i.a].i = prog.ints[i.d]
        elif op == OP_LDF:
            r[i.a].f = prog.floats[i.d]
        elif op == OP_LDS:
            r[i.a].s = prog.strings[i.d]
        elif op == OP_MOV:
            r[i.a] = r[i.b]
        # --- conversions
        elif op == OP_I2F:
            r[i.a].f = <double> r[i.b].i
        elif op == OP_I2S:
            if not arena_text(rs, &r[i.a], number, fmt_int(r[i.b].i, number)):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_F2S:
            if not arena_text(rs, &r[i.a], number, fmt_g(r[i.b].f, number)):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_F2SG:
            if not arena_text(rs, &r[i.a], number, fmt_G(r[i.b].f, number)):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_S2I:
            text = r[i.b].s
            rc = parse_int(text.p, text.n, 10, &r[i.a].i)
            if rc != 0:
                wrapped = i.c
                code_of_fault = FAULT_INT_SYNTAX + rc - 1
                break
        elif op == OP_S2F:
            text = r[i.b].s
            rc = parse_float(text.p, text.n, &r[i.a].f)
            if rc != 0:
                wrapped = i.c
                code_of_fault = FAULT_FLOAT_SYNTAX + rc - 1
                break
        elif op == OP_STRTOL:
            x = r[i.c].i
            if x <= 0 or x >= 2147483647:
                code_of_fault = FAULT_BASE_RANGE
                break
            text = r[i.b].s
            rc = parse_int(text.p, text.n, <int> x, &r[i.a].i)
            if rc != 0:
                code_of_fault = FAULT_INT_SYNTAX + rc - 1
                break
        # --- integers
        elif op == OP_ADDI:
            r[i.a].i = wrap_add(r[i.b].i, r[i.c].i)
        elif op == OP_SUBI:
            r[i.a].i = wrap_sub(r[i.b].i, r[i.c].i)
        elif op == OP_MULI:
            r[i.a].i = wrap_mul(r[i.b].i, r[i.c].i)
        elif op == OP_DIVI or op == OP_MODI:
            x = r[i.b].i
            y = r[i.c].i
            if y == 0:
                code_of_fault = FAULT_DIVIDE
                break
            r[i.a].i = divide(x, y) if op == OP_DIVI else modulo(x, y)
        elif op == OP_POWI:
            r[i.a].i = power(r[i.b].i, r[i.c].i)
        elif op == OP_SHLI or op == OP_SHRI:
            y = r[i.c].i
            if y < 0 or y >= 2147483647:
                code_of_fault = FAULT_SHIFT
                break
            r[i.a].i = shift_left(r[i.b].i, y) if op == OP_SHLI else shift_right(r[i.b].i, y)
        elif op == OP_ANDI:
            r[i.a].i = r[i.b].i & r[i.c].i
        elif op == OP_ORI:
            r[i.a].i = r[i.b].i | r[i.c].i
        elif op == OP_XORI:
            r[i.a].i = r[i.b].i ^ r[i.c].i
        elif op == OP_NOTI:
            r[i.a].i = ~r[i.b].i
        elif op == OP_NOTB:
            r[i.a].i = r[i.b].i == 0
        # --- floats
        elif op == OP_ADDF:
            r[i.a].f = r[i.b].f + r[i.c].f
        elif op == OP_SUBF:
            r[i.a].f = r[i.b].f - r[i.c].f
        elif op == OP_MULF:
            r[i.a].f = r[i.b].f * r[i.c].f
        elif op == OP_DIVF:
            r[i.a].f = r[i.b].f / r[i.c].f
        elif op == OP_MODF:
            r[i.a].f = fmod(r[i.b].f, r[i.c].f)
        elif op == OP_POWF:
            r[i.a].f = nm_power(r[i.b].f, r[i.c].f)
        # --- texts
        elif op == OP_CAT:
            if not concatenate(rs, &r[i.a], r[i.b].s, r[i.c].s):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_LEN:
            r[i.a].i = <int64_t> r[i.b].s.n
        elif op == OP_LOWER:
            buf_clear(&rs.text)
            to_lower(&rs.text, r[i.b].s.p, r[i.b].s.n)
            if not arena_buf(rs, &r[i.a]):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_SUBST:
            buf_clear(&rs.text)
            subst(&rs.text, r[i.b].s, r[i.b + 1].s, r[i.b + 2].s, MAX_TEXT)
            if not arena_buf(rs, &r[i.a]):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_SUBSTRE:
            buf_clear(&rs.text)
            subject_set(&rs.other, r[i.b + 1].s.p, r[i.b + 1].s.n)
            substitute(&rs.matcher, &rs.patterns[i.d], &rs.other, r[i.b].s, &rs.text,
                       MAX_TEXT)
            if not arena_buf(rs, &r[i.a]):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_FNAME:
            r[i.a].s = rs.source
        # --- comparisons
        elif op == OP_LTI:
            r[i.a].i = r[i.b].i < r[i.c].i
        elif op == OP_GTI:
            r[i.a].i = r[i.b].i > r[i.c].i
        elif op == OP_EQI:
            r[i.a].i = r[i.b].i == r[i.c].i
        elif op == OP_LTF:
            r[i.a].i = r[i.b].f < r[i.c].f
        elif op == OP_GTF:
            r[i.a].i = r[i.b].f > r[i.c].f
        elif op == OP_EQF:
            r[i.a].i = r[i.b].f == r[i.c].f
        elif op == OP_LTS:
            r[i.a].i = compare_text(r[i.b].s, r[i.c].s) < 0
        elif op == OP_GTS:
            r[i.a].i = compare_text(r[i.b].s, r[i.c].s) > 0
        elif op == OP_EQS:
            r[i.a].i = r[i.b].s.n == r[i.c].s.n and compare_text(r[i.b].s, r[i.c].s) == 0
        elif op == OP_LTN or op == OP_GTN or op == OP_EQN:
            rc = compare_guessing(r[i.b].s, r[i.c].s, &left)
            if rc == INCOMPARABLE:
                memcpy(&x, &left, sizeof(double))
                text = r[i.c].s
                code_of_fault = FAULT_COMPARE
                break
            r[i.a].i = rc == (-1 if op == OP_LTN else 1 if op == OP_GTN else 0)
        # --- metrics
        elif op == OP_DATUM:
            rs.now += 1
            if not i.e:
                hashed = hash_keys(<Str*> &r[i.b], i.c)
            datum = metric_get_hashed(prog.metrics[i.d], <Str*> &r[i.b], hashed, rs.now)
            if datum == NULL:
                code_of_fault = FAULT_MEMORY
                break
            r[i.a].datum = datum
            if at.op == OP_INC:  # as most often
                i = at
                at += 1
                datum = r[i.b].datum
                datum_add_int(prog.metrics[i.d], datum, 1, stamp(rs))
                r[i.a].i = datum.v.i
        elif op == OP_GETI:
            r[i.a].i = r[i.b].datum.v.i
        elif op == OP_GETF:
            r[i.a].f = r[i.b].datum.v.f
        elif op == OP_GETS:
            text = datum_text(r[i.b].datum)
            if not arena_text(rs, &r[i.a], text.p, text.n):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_INC:
            datum = r[i.b].datum
            datum_add_int(prog.metrics[i.d], datum, 1, stamp(rs))
            r[i.a].i = datum.v.i
        elif op == OP_DEC:
            datum = r[i.b].datum
            datum_add_int(prog.metrics[i.d], datum, -1, stamp(rs))
            r[i.a].i = datum.v.i
        elif op == OP_INCBY:
            datum_add_int(prog.metrics[i.d], r[i.a].datum, r[i.b].i, stamp(rs))
        elif op == OP_SETI:
            datum_set_int(prog.metrics[i.d], r[i.a].datum, r[i.b].i, stamp(rs))
        elif op == OP_SETF:
            datum_set_float(prog.metrics[i.d], r[i.a].datum, r[i.b].f, stamp(rs))
        elif op == OP_SETS:
            if not datum_set_text(prog.metrics[i.d], r[i.a].datum, r[i.b].s, stamp(rs)):
                code_of_fault = FAULT_MEMORY
                break
        elif op == OP_OBSERVE:
            datum_observe(prog.metrics[i.d], r[i.a].datum, r[i.b].f, stamp(rs))
        elif op == OP_DEL:
            metric_del(prog.metrics[i.d], <Str*> &r[i.b])
        elif op == OP_EXPIRE:
            if not metric_expire(prog.metrics[i.d], <Str*> &r[i.b], prog.ints[i.e]):
                code_of_fault = no_datum(rs, &r[i.b], i.c, &text)
                break
        # --- time
        elif op == OP_SETTIME:
            set_time(rs, r[i.a].i)
        elif op == OP_STRPTIME:
            memo = state.memos[i.d]
            if parse_time(rs, memo, r[i.a].s) != 0:
                text = r[i.a].s
                code_of_fault = time_fault(rs, memo.layout, &text)
                break
        elif op == OP_TSTAMP:
            r[i.a].i = rs.time.sec if rs.has_time else rs.now // 1000000000
        else:
            return True
    if dry:
        return False
    if not has_operand(code_of_fault):
        text.n = 0  # `text` is of an earlier instruction, and may be gone
    memset(&what, 0, sizeof(FaultRecord))
    what.code = code_of_fault
    what.pc = <int32_t> (i - code)
    what.begin = code == prog.begin
    what.wrapped = wrapped
    what.x = x
    what.y = y
    fault(rs, state, &what, text)
    return False


cdef inline bint has_operand(int fault) noexcept nogil:
    return (fault == FAULT_STATIC or fault == FAULT_TIME or fault == FAULT_NO_DATUM
            or FAULT_INT_SYNTAX <= fault <= FAULT_FLOAT_RANGE)


cdef int no_datum(RunState* rs, const Reg* keys, int n, Str* text) noexcept nogil:
    """The label values of a missing datum, Go-quoted, as the error's operand."""
    cdef int k
    buf_clear(&rs.text)
    for k in range(n):
        if k:
            buf_char(&rs.text, 32)
        quote(&rs.text, keys[k].s.p, min(keys[k].s.n, <size_t> FAULT_TEXT))
        if rs.text.n > FAULT_TEXT:
            break
    text.p = rs.text.p
    text.n = 0 if rs.text.failed else rs.text.n
    return FAULT_NO_DATUM


cdef int time_fault(RunState* rs, const TimeLayout* layout, Str* text) noexcept nogil:
    """Go's text of a failed parse, as the error's operand."""
    cdef Buf* out = &rs.text
    cdef TimeError error = rs.time_error
    cdef size_t n = min(text.n, <size_t> FAULT_TEXT)
    error.at = min(error.at, n)
    buf_clear(out)
    buf_text(out, b"strptime (")
    buf_put(out, layout.text.p, layout.text.n)
    buf_text(out, b", ")
    buf_put(out, text.p, n)
    buf_text(out, b", ")
    buf_put(out, rs.tables.zone_name.p, rs.tables.zone_name.n)
    buf_text(out, b") failed: ")
    put_time_error(out, <const uint8_t*> layout.steps.p, layout.steps.n, text.p, n, &error)
    text.p = out.p
    text.n = 0 if out.failed else out.n
    return FAULT_TIME
