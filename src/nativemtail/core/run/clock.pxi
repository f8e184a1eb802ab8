# The wall clock, the time register that strptime and settime set, and the timestamp memos.

cdef enum:
    EPOCH_NS = 900000000000         # 15 minutes: in every zone a year begins at a multiple of them
    TIME_MEMO = 40                  # longest text that a memo keeps, in bytes

cdef struct TimeLayout:
    Str text
    Str steps

cdef struct TimeMemo:               # timestamp memo of a layout, shared by all programs that use it
    const TimeLayout* layout
    char text[TIME_MEMO]            # the last text that was parsed, and its instant
    size_t n
    uint64_t epoch
    Time time
    size_t seconds                  # offset of the last two bytes if any second of that minute may replace them; 0: no

cdef struct Clock:
    bint is_set                     # the time register
    Time time                       # its content
    int64_t time_ns
    int64_t now                     # nanoseconds; advanced by each write, so that no two have the same time
    uint64_t epoch                  # changes when strptime may give other results, as in a new year
    const Zone* zone
    int patch_year                  # YEAR_…, see strptime.pxi
    TimeError error
    bint is_fixed                   # in a history: at `fixed`
    int64_t fixed
    int64_t year_of                 # seconds: what the year of a time without one is taken from
    bint assumed                    # lines whose program sets no time have that of the clock


cdef void clock_advance(Clock* clock) noexcept nogil:
    """Read the wall clock; `now` never goes back."""
    cdef timespec now
    cdef int64_t ns
    if clock.is_fixed:
        clock.now = clock.fixed
        return
    clock_gettime(CLOCK_REALTIME, &now)
    ns = <int64_t>now.tv_sec * 1000000000 + now.tv_nsec
    if ns // EPOCH_NS != clock.now // EPOCH_NS:
        clock.epoch += 1
    if ns > clock.now:
        clock.now = ns


cdef void clock_set(Clock* clock, int64_t ns) noexcept nogil:
    """Set the wall clock to an earlier time, or back."""
    if ns // EPOCH_NS != clock.now // EPOCH_NS:
        clock.epoch += 1
    clock.now = ns


cdef void clock_fix(Clock* clock, int64_t ns, int patch_year, int64_t year_of, bint assumed) noexcept nogil:
    """Stop the clock, at the time of a log that was written long ago."""
    clock.is_fixed = True
    clock.fixed = clock.now = ns
    clock.patch_year = patch_year
    clock.year_of = year_of
    clock.assumed = assumed
    clock.epoch += 1


cdef inline bint has_own_time(const Clock* clock) noexcept nogil:
    return clock.is_set or clock.assumed


cdef inline int64_t own_time(const Clock* clock) noexcept nogil:
    """The time of the line, in nanoseconds."""
    return clock.time_ns if clock.is_set else clock.fixed


cdef inline int64_t write_time(Clock* clock) noexcept nogil:
    """The time of a write: the time register if set, else the wall clock."""
    if clock.is_set:
        return clock.time_ns
    clock.now += 1
    return clock.now


cdef void set_time(Clock* clock, int64_t seconds) noexcept nogil:
    clock.time.sec = seconds
    clock.time.nsec = 0
    clock.time_ns = time_to_ns_saturated(clock.time)
    clock.is_set = True


cdef bint set_fractional_time(Clock* clock, double seconds) noexcept nogil:
    """Rounded to the microsecond, halves up; false if that is no time."""
    cdef double whole = floor(seconds)
    cdef double micros
    if not isfinite(seconds):
        return False
    whole = min(max(whole, -9e18), 9e18)
    micros = floor((seconds - whole) * 1e6 + 0.5) if -1e18 < whole < 1e18 else 0
    clock.time.sec = <int64_t>whole + (micros >= 1e6)
    clock.time.nsec = 0 if micros >= 1e6 else <int32_t>micros * 1000
    clock.time_ns = time_to_ns_saturated(clock.time)
    clock.is_set = True
    return True


cdef double unix_time(const Clock* clock) noexcept nogil:
    """The time register in seconds, or the wall clock if it is not set, as the nearest double."""
    cdef int64_t sec = clock.time.sec if clock.is_set else clock.now // 1000000000
    cdef int64_t nsec = clock.time.nsec if clock.is_set else clock.now % 1000000000
    cdef bint negative = sec < 0
    cdef char text[48]
    cdef size_t n
    cdef int i
    cdef double seconds = <double>sec
    if not -(1LL << 53) < sec < 1LL << 53:
        return seconds
    if negative:
        sec = -sec - (nsec > 0)
        nsec = 1000000000 - nsec if nsec else 0
    n = int_text(sec, text)
    text[n] = c"."
    for i in range(9, 0, -1):
        text[n + i] = <char>(c"0" + nsec % 10)
        nsec //= 10
    parse_float(text, n + 10, &seconds)
    return -seconds if negative else seconds


cdef inline bint ends_with_seconds(Str layout, Str text) noexcept nogil:
    """Whether the text ends in its seconds.  They may be followed by a fraction that the layout does not mention."""
    return layout.n > 3 and memcmp(layout.p + layout.n - 3, b":05", 3) == 0 and text.p[text.n - 3] == 58


cdef inline int two_digits(const char* p) noexcept nogil:
    """Their value, or 100 if they are not from 00 to 59."""
    cdef uint8_t tens = <uint8_t>(p[0] - 48), ones = <uint8_t>(p[1] - 48)
    return 10 * tens + ones if tens < 6 and ones < 10 else 100


cdef inline int parse_anew(Clock* clock, const TimeLayout* layout, Str text, Time* time) noexcept nogil:
    return time_parse(<const uint8_t*>layout.steps.p, layout.steps.n, text.p, text.n, clock.zone, clock.patch_year,
                      clock.year_of if clock.is_fixed else clock.now // 1000000000, time, &clock.error)


cdef bint is_steady(Clock* clock, TimeMemo* memo) noexcept nogil:
    """Whether the memo's minute has 60 consecutive seconds, that is, the zone's offset does not change in it."""
    cdef Str text
    cdef Time first, last
    cdef char copy[TIME_MEMO]
    text.p = copy
    text.n = memo.n
    memcpy(copy, memo.text, text.n)
    memcpy(copy + text.n - 2, b"00", 2)
    if parse_anew(clock, memo.layout, text, &first) != 0:
        return False
    memcpy(copy + text.n - 2, b"59", 2)
    return parse_anew(clock, memo.layout, text, &last) == 0 and last.sec - first.sec == 59 and first.nsec == last.nsec


cdef inline bint is_remembered(Clock* clock, TimeMemo* memo, Str text) noexcept nogil:
    """Set the time register from the memo if the text is the same, or another second of that minute.

    The memo changes no result: within an epoch, a text and a layout always give the same instant.
    """
    cdef int second
    if text.n != memo.n or memo.epoch != clock.epoch or not text.n:
        return False
    if memo.seconds:
        second = two_digits(text.p + memo.seconds)
        if second == 100 or not same_bytes(text.p, memo.text, memo.seconds):
            return False
        clock.time.sec = memo.time.sec + second - two_digits(memo.text + memo.seconds)
        clock.time.nsec = memo.time.nsec
        return True
    if memcmp(text.p, memo.text, text.n) != 0:
        return False
    clock.time = memo.time
    return True


cdef void remember(Clock* clock, TimeMemo* memo, Str text) noexcept nogil:
    """Make the memo say that the text means the instant in the time register."""
    memcpy(memo.text, text.p, text.n)
    memo.n = text.n
    memo.epoch = clock.epoch
    memo.time = clock.time
    memo.seconds = 0
    if text.n > 8 and ends_with_seconds(memo.layout.text, text) and is_steady(clock, memo):
        memo.seconds = text.n - 2


cdef int parse_time(Clock* clock, TimeMemo* memo, Str text) noexcept nogil:
    """Set the time register; not 0 on failure, with the cause in clock.error."""
    cdef int rc
    if not is_remembered(clock, memo, text):
        rc = parse_anew(clock, memo.layout, text, &clock.time)
        if rc != 0:
            return rc
        if text.n <= TIME_MEMO:
            remember(clock, memo, text)
    clock.time_ns = time_to_ns_saturated(clock.time)
    clock.is_set = True
    return 0
