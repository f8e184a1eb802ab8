# Guard slices.  A program may be skipped on a line only if running it would change nothing, and would not fail either,
# because failures are counted.  So the part of it that can fail, its guard slice, is run dry on the lines that the
# prefilter skips, once for all programs that share the slice.  Where it fails, those programs are run
# (compiler/prefilter/guards.py).
#
# Most slices only parse a time at the start of the line.  A plain scan finds that time, and a memo keeps the last one
# that parsed: a line that begins with the same time, or with another second of that minute, needs no dry run.


cdef bint find_timestamp(const Guard* guard, const char* p, size_t n, size_t* length) noexcept nogil:
    """Find where the time ends; SIZE_MAX: there is none.  False if non-ASCII bytes leave that undecided."""
    cdef size_t at = 0, first
    cdef uint64_t bits
    cdef uint8_t c
    cdef int i
    for i in range(guard.run_n):
        first = at
        while at < n and at - first < guard.runs[i].most:
            c = <uint8_t>p[at]
            if c >= 0x80:
                return False
            bits = guard.runs[i].high if c & 64 else guard.runs[i].low
            if not bits >> (c & 63) & 1:
                break
            at += 1
        if at - first < guard.runs[i].least:
            length[0] = SIZE_MAX
            return True
    length[0] = at
    return at == n or <uint8_t>p[at] < 0x80


cdef bint parse_timestamp(RunState* rs, int number, const char* p, size_t n) noexcept nogil:
    cdef const Guard* guard = &rs.tables.prefilter.guards[number]
    cdef GuardState* state = &rs.guards[number]
    cdef TimeMemo* memo = state.slice.memos[0]
    cdef size_t length, seconds
    cdef Str text
    if not find_timestamp(guard, p, n, &length):
        return False
    if length == SIZE_MAX:
        return True
    text.p = p
    text.n = length
    if parse_time(&rs.clock, memo, text) != 0:
        return False
    if 3 <= length < n:
        seconds = length - 2 if not guard.by_digit and ends_with_seconds(memo.layout.text, text) else 0
        if timestamp_set(&state.timestamp, p, length + 1, seconds):
            state.epoch = rs.clock.epoch
    return True


cdef inline bint passes_guard(RunState* rs, int number, const char* p, size_t n) noexcept nogil:
    """Whether the time at the start of the line proves that the slice does not fail."""
    cdef GuardState* state = &rs.guards[number]
    if rs.tables.prefilter.guards[number].run_n == 0:
        return False
    if (state.timestamp.n and n >= state.timestamp.n and state.epoch == rs.clock.epoch
            and timestamp_is(state.timestamp, p)):
        return True
    return parse_timestamp(rs, number, p, n)


cdef inline bint is_skippable(Piece* s, size_t line) noexcept nogil:
    """Whether a line without a required literal is skippable."""
    cdef size_t first = line_start(s, line)
    cdef int i
    if s.prefilter.any_always:
        return False
    for i in range(s.prefilter.guard_n):
        if not passes_guard(s.rs, i, s.base + first, line_length(s, first, s.ends[line])):
            return False
    return True


cdef inline size_t pass_over(Piece* s, size_t line) noexcept nogil:
    """The next line that the timestamp memo does not prove skippable."""
    cdef GuardState* state = s.rs.guards
    if (s.prefilter.any_always or s.prefilter.guard_n != 1 or not s.prefilter.guards.run_n or state.timestamp.n == 0
            or state.epoch != s.rs.clock.epoch):
        return line
    return skip_timestamps(s.base, s.n, s.ends, line, s.lines, state.timestamp)


cdef void find_must_run(Piece* s) noexcept nogil:
    """List the must-run lines: those that some program has to see, or may have to, without a required literal.

    Called before the store's lock is taken, as it changes nothing but timestamp memos.
    """
    cdef size_t line = 0
    s.must_run_n = 0
    if not s.prefilter.must_run:
        return
    while line < s.lines:
        if not is_skippable(s, line):
            s.must_run[s.must_run_n] = <uint32_t>line
            s.must_run_n += 1
        line = pass_over(s, line + 1)


cdef void run_guards(Piece* s, const char* first, size_t n) noexcept nogil:
    """Select the programs whose guard slice fails on the line."""
    cdef RunState* rs = s.rs
    cdef const Prefilter* f = s.prefilter
    cdef const uint64_t* programs
    cdef ProgState* slice
    cdef uint64_t undecided
    cdef uint32_t word
    cdef int i
    for i in range(f.guard_n):
        programs = f.guards[i].programs
        undecided = 0
        for word in range(f.words):
            undecided |= programs[word] & s.allowed[word] & ~rs.chosen[word]
        if undecided and not passes_guard(rs, i, first, n):
            slice = &rs.guards[i].slice
            if not run_code(rs, slice, slice.prog.code, True):
                for word in range(f.words):
                    rs.chosen[word] |= programs[word]
