# What programs and patterns cost, estimated from samples; always on.

cdef enum:
    FIRST_RANGE_NS = 20000      # end of the first range of run times; each further one is twice as wide
    TRIMMED = 4                 # with more samples than this, the longest is left out

cdef int64_t CLOCK_NS = 10000   # overhead that one clock adds to a measured time
cdef int64_t CLOCKS_NS = 10000  # overhead of both clocks in run_timed()


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


cdef void run_timed(RunState* rs, ProgState* prog) noexcept nogil:
    """Run the program over the line and note how long that took; the first run is timed, then about 1 in 256."""
    cdef int64_t cpu = thread_ns()
    cdef int64_t start = monotonic_ns()
    cdef int64_t took
    cdef int range = 0
    run_code(rs, prog, prog.prog.code, False)
    took = monotonic_ns() - start
    cpu = thread_ns() - cpu
    while range < TIME_RANGES - 1 and took > <int64_t>FIRST_RANGE_NS << range:
        range += 1
    if prog.time_ns:
        note_time(&prog.timed, cpu)
    relaxed_add(&prog.times[range], <int64_t>1)
    relaxed_add(&prog.time_ns, took)
    prog.unsampled = until_next_sample(start)


cdef struct Spent:              # what a program or a pattern has cost
    int64_t lines
    int64_t runs
    int64_t matches
    Timed timed


cdef void note_spent(RunState* rs, Spent* spent) noexcept nogil:
    """Copy the costs of the programs, then of the patterns; under the store's lock."""
    cdef int i
    for i in range(rs.tables.prog_n):
        spent[0] = Spent(relaxed_load(&rs.progs[i].lines), rs.progs[i].runs, -1, rs.progs[i].timed)
        spent += 1
    for i in range(rs.tables.pattern_n):
        spent[0] = Spent(0, rs.patterns[i].tried, rs.patterns[i].matches, rs.patterns[i].timed)
        spent += 1


cdef double estimated(const Timed* timed, int64_t clock_ns, int64_t runs):
    """Seconds of all runs, from a sample.  The longest is left out, as it may include an interrupt or a page fault."""
    cdef int64_t n = timed.n
    cdef int64_t ns = timed.ns
    if n > TRIMMED:
        n -= 1
        ns -= timed.longest
    return max(ns - n * clock_ns, 0) / 1e9 * runs / n if n > 0 else 0.0


cdef double fit(costs, double room):
    """Scale estimates down so that their sum is at most `room` seconds; the sum."""
    cdef double seconds = sum([cost.seconds for cost in costs])
    if seconds > room:
        for cost in costs:
            cost.seconds *= room / seconds
    return min(seconds, room)


class Cost:
    """What a program or a pattern cost, see _core.pyi."""

    __slots__ = ("lines", "matches", "runs", "samples", "seconds")

    def __init__(self, lines, runs, matches, samples, seconds):
        self.lines = lines
        self.runs = runs
        self.matches = matches
        self.samples = samples
        self.seconds = seconds


class Profile:
    """What a plan cost, see _core.pyi."""

    __slots__ = ("lines", "patterns", "prefilter_seconds", "programs", "rest_seconds", "seconds")

    def __init__(self, lines, seconds, prefilter_seconds, rest_seconds, programs, patterns):
        self.lines = lines
        self.seconds = seconds
        self.prefilter_seconds = prefilter_seconds
        self.rest_seconds = rest_seconds
        self.programs = programs
        self.patterns = patterns


cdef dict costs_of(names, const Spent* spent, int64_t clock_ns, int64_t lines):
    """`lines` is a lower bound: lines are counted at the end of their block, runs at once."""
    cdef dict costs = {}
    for name in names:
        took = estimated(&spent.timed, clock_ns, spent.runs)
        count = max(lines, spent.lines, spent.runs)
        costs[name] = Cost(count, spent.runs, spent.matches, spent.timed.n, took)
        spent += 1
    return costs


cdef profile_of(Run run, TicketLock* lock):
    """What the run cost so far; `lock` is the store's."""
    cdef RunState* rs = &run.state
    cdef Spent* spent = <Spent*>zeroed(rs.tables.prog_n + rs.tables.pattern_n, sizeof(Spent))
    cdef int64_t lines
    cdef double prefilter, room
    try:
        with nogil:
            lock.acquire()
            note_spent(rs, spent)
            lock.release()
        lines = relaxed_load(&rs.lines)
        programs = costs_of(run.plan.names, spent, CLOCKS_NS, 0)
        patterns = costs_of(run.plan.texts, spent + rs.tables.prog_n, CLOCK_NS, lines)
    finally:
        free(spent)
    prefilter = relaxed_load(&rs.prefilter_ns) / 1e9
    room = max(relaxed_load(&rs.scan_ns) / 1e9 - prefilter, 0.0)
    fit(patterns.values(), room)
    rest = room - fit(programs.values(), room)
    return Profile(lines, prefilter + room, prefilter, rest, programs, patterns)
