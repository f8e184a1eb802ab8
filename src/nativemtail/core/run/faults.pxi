# Run-time errors (spec runtime.md §4): recorded raw while lines run, formatted when Python fetches them.

cdef enum:
    FAULTS_KEPT = 100               # run-time errors kept per program until they are fetched
    FAULT_TEXT = 4096               # bytes kept of each text in one

cdef struct FaultRecord:            # not formatted yet
    int code
    int32_t pc
    bint begin                      # in a `begin` block
    bint wrapped
    int64_t x
    int64_t y
    char* text                      # operand, then input line, then source name; lengths below
    uint32_t operand_n
    uint32_t input_n
    uint32_t source_n

cdef struct FaultLog:               # of one program
    uint64_t n
    uint64_t fetched                # how many of the `n` were fetched
    FaultRecord* kept               # FAULTS_KEPT of them, or NULL
    int kept_n
    FaultRecord last

cdef struct FaultBatch:             # errors since the last fetch
    FaultRecord* kept
    int kept_n
    uint64_t n


cdef void fault_free(FaultRecord* record) noexcept nogil:
    free(record.text)
    memset(record, 0, sizeof(FaultRecord))


cdef void faults_free(FaultRecord* kept) noexcept nogil:
    cdef int i
    if kept != NULL:
        for i in range(FAULTS_KEPT):
            fault_free(&kept[i])
    free(kept)


cdef size_t fault_put(FaultRecord* record, size_t at, Str text) noexcept nogil:
    cdef size_t n = text.n if text.n < FAULT_TEXT else FAULT_TEXT
    if n:
        memcpy(record.text + at, text.p, n)
    return n


cdef void fault_keep(FaultRecord* record, const FaultRecord* what, Str operand, Str input, Str source) noexcept nogil:
    cdef char* text = record.text
    if text == NULL:
        text = <char*>malloc(3 * FAULT_TEXT)
        if text == NULL:
            return
    record[0] = what[0]
    record.text = text
    record.operand_n = <uint32_t>fault_put(record, 0, operand)
    record.input_n = <uint32_t>fault_put(record, record.operand_n, input)
    record.source_n = <uint32_t>fault_put(record, record.operand_n + record.input_n, source)


cdef void fault_copy(FaultRecord* copy, const FaultRecord* record) noexcept nogil:
    """Fill an empty record; it stays empty if memory runs out."""
    cdef size_t n = <size_t>record.operand_n + record.input_n + record.source_n
    cdef char* text = <char*>malloc(n + 1)
    if text != NULL:
        memcpy(text, record.text, n)
        copy[0] = record[0]
        copy.text = text


cdef void faults_add(FaultLog* log, const FaultRecord* what, Str operand, Str input, Str source) noexcept nogil:
    """Count an error and keep what formatting it needs."""
    relaxed_add(&log.n, <uint64_t>1)
    fault_keep(&log.last, what, operand, input, source)
    if log.kept == NULL:
        log.kept = <FaultRecord*>calloc(FAULTS_KEPT, sizeof(FaultRecord))
    if log.kept != NULL and log.kept_n < FAULTS_KEPT:
        fault_keep(&log.kept[log.kept_n], what, operand, input, source)
        log.kept_n += 1


cdef void faults_fetch(FaultLog* log, FaultBatch* batch) noexcept nogil:
    """The caller owns batch.kept."""
    batch.n = log.n - log.fetched
    batch.kept = log.kept
    batch.kept_n = log.kept_n
    log.fetched = log.n
    log.kept = NULL
    log.kept_n = 0


class Fault:
    """A run-time error of `program` (spec runtime.md §4); `line` is a line of `file`, `input` the log's."""

    __slots__ = ("file", "input", "line", "message", "program", "source")

    def __init__(self, program, message, line, source, input, file=""):
        self.program = program
        self.file = file or program
        self.message = message
        self.line = line
        self.source = source
        self.input = input

    def __str__(self):
        return (f"{self.message}\nError occurred, originating in {self.file} at line {self.line}\n"
                f"Full input text from {quoted_str(self.source)} was {quoted_str(self.input)}")


cdef make_fault(str program, lines, const FaultRecord* record):
    """`lines`: the source lines of the instructions, of the code and of `begin`; names of included files."""
    cdef bytes text = record.text[: record.operand_n + record.input_n + record.source_n]
    cdef bytes numbers = lines[1 if record.begin else 0]
    operand = text[: record.operand_n]
    input = text[record.operand_n : record.operand_n + record.input_n]
    source = text[record.operand_n + record.input_n :]
    line = (<const int32_t*><const char*>numbers)[record.pc]
    place = line >> PLACE_SHIFT     # of compiler/program.py, Instr.line
    return Fault(program, fault_message(record, operand), line & (1 << PLACE_SHIFT) - 1,
                 source.decode("utf-8", "surrogateescape"), input, lines[2][place - 1] if place else program)


cdef str fault_message(const FaultRecord* record, bytes operand):
    code = record.code
    if code == FAULT_STATIC or code == FAULT_TIME or code == FAULT_FIELD:
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
    if code == FAULT_ROUNDS:
        return "every ran 2000000 times for this line"
    if code == FAULT_TEXTS:
        return "every went through too much text for this line"
    if code == FAULT_NO_TIME:
        return f"settime() takes no {bits_to_float(record.x):g}"
    if code == FAULT_NO_INT:
        return f"int() of {bits_to_float(record.x):g}: beyond 64 bits"
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
