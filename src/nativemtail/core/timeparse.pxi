# Texts to instants by compiled layouts (compiler/timelayout.py), as Go's time.ParseInLocation does it, and time zones.
# Spec runtime.md §3.  Nothing here but the making of a TimeZone needs the GIL.

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from bisect import bisect_right

cdef enum:
    DAY_SECONDS = 86400
    YEAR_0 = -719528                # days from the epoch to 1 January of the year 0
    CYCLE_DAYS = 146097             # of 400 years

cdef enum:                          # Zone.bins: half-years (2**24 seconds) from 1847 to 2482
    BIN_SHIFT = 24
    BIN_COUNT = 1200
    BIN_BASE = -3900000000

cdef struct Layout:                 # a compiled layout, unpacked; the steps may lie at any address
    uint32_t count
    const char* steps
    Str text

cdef enum TimeFault:                # why a text is refused
    TIME_OK = 0
    TIME_BAD                        # the text does not go on with the literal or element
    TIME_EXTRA
    TIME_MONTH_RANGE
    TIME_HOUR_RANGE
    TIME_MINUTE_RANGE
    TIME_SECOND_RANGE
    TIME_FRACTION_RANGE
    TIME_DAY_RANGE
    TIME_YEAR_DAY_RANGE
    TIME_YEAR_DAY_MONTH
    TIME_YEAR_DAY_DAY
    TIME_MEMORY                     # not a compiled layout

cdef struct TimeError:
    TimeFault fault
    Str expected                    # part of the layout
    size_t at                       # how much of the text had been read

cdef struct Zone:                   # see zones.Zone
    size_t n
    const int64_t* starts           # n
    const uint16_t* kinds           # n + 1
    const int32_t* offsets          # by kind, seconds east of UTC
    const Str* labels               # by kind
    size_t named
    int64_t cycle_start             # INT64_MAX: none
    const uint16_t* bins            # how many transitions had happened when the bin began

cdef struct DateText:               # what a text said
    int64_t year
    int month                       # 1 .. 12; this and the next two -1 if not said
    int day
    int year_day
    int hour
    int minute
    int second
    int32_t nsec
    bint am
    bint pm
    bint utc
    int64_t offset                  # -1: not said (also "-00:00:01", as in Go)
    Str label                       # zone abbreviation


# The calendar: proleptic Gregorian.

cdef inline bint is_leap(int64_t year) noexcept nogil:
    return year & 3 == 0 and (year % 100 != 0 or year % 400 == 0)


cdef inline int month_days(int month, bint leap) noexcept nogil:
    if month == 2:
        return 28 + leap
    return 30 + ((month ^ (month >> 3)) & 1)


cdef inline int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t q = a // b
    return q - (a % b < 0)


cdef inline int64_t year_start(int64_t year) noexcept nogil:
    """Days from the epoch to 1 January of a year above -400."""
    cdef uint64_t y = year + 399    # a cycle later, less the year itself: no division of negative numbers
    return 365 * year + <int64_t>(y // 4 - y // 100 + y // 400) - 97 + YEAR_0 + 1


cdef inline int days_before(int month, bint leap) noexcept nogil:
    """Days of the year before the month: the months from March on go in fives of 153 days."""
    if month < 3:
        return (month - 1) * 31
    return (153 * month - 457) // 5 + 59 + leap


cdef inline int64_t year_of(int64_t days) noexcept nogil:
    """The year of a day counted from the epoch; years are counted from March inside, so that leap days end them."""
    cdef int64_t cycle = floor_div(days - YEAR_0 - 60, CYCLE_DAYS)
    cdef uint32_t day = <uint32_t>(days - YEAR_0 - 60 - cycle * CYCLE_DAYS)
    cdef uint32_t year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    cdef uint32_t since_march = day - (365 * year + year // 4 - year // 100)
    return cycle * 400 + year + (since_march >= 306)


cdef inline int64_t time_to_ns_saturated(Time t) noexcept nogil:
    """Nanoseconds since the epoch, held at the limits of 64 bits (spec README, time-range)."""
    cdef int64_t sec = t.sec
    cdef int64_t nsec = t.nsec
    if sec < 0:                     # so that both parts have one sign
        sec += 1
        nsec -= 1000000000
    if sec > INT64_MAX // 1000000000 or (sec == INT64_MAX // 1000000000 and nsec > INT64_MAX % 1000000000):
        return INT64_MAX
    if sec < -(INT64_MAX // 1000000000) or (sec == -(INT64_MAX // 1000000000) and nsec < -(INT64_MAX % 1000000000) - 1):
        return INT64_MIN
    return sec * 1000000000 + nsec


# Zones.

cdef inline int64_t zone_fold(const Zone* zone, int64_t sec) noexcept nogil:
    """The instant of the written-out cycle that stands for this one."""
    cdef int64_t cycle = <int64_t>CYCLE_DAYS * DAY_SECONDS
    if sec < zone.cycle_start or sec - zone.cycle_start < cycle:
        return sec
    return zone.cycle_start + (sec - zone.cycle_start) % cycle


cdef inline size_t zone_place(const Zone* zone, int64_t sec) noexcept nogil:
    """How many transitions have happened by then."""
    cdef size_t place
    cdef size_t bin
    if zone.n == 0 or sec < zone.starts[0]:
        return 0
    place = 0
    if sec >= BIN_BASE:
        bin = <size_t>((sec - BIN_BASE) >> BIN_SHIFT)
        place = zone.bins[bin if bin < BIN_COUNT else BIN_COUNT - 1]
    while place < zone.n and zone.starts[place] <= sec:
        place += 1
    return place


cdef inline uint16_t zone_kind(const Zone* zone, int64_t sec) noexcept nogil:
    return zone.kinds[zone_place(zone, zone_fold(zone, sec))]


cdef inline int32_t zone_offset(const Zone* zone, int64_t sec) noexcept nogil:
    return zone.offsets[zone_kind(zone, sec)]


cdef int64_t zone_instant(const Zone* zone, int64_t wall) noexcept nogil:
    """The instant at which clocks show `wall`, chosen as Go does where there are two or none."""
    cdef int64_t sec = zone_fold(zone, wall)
    cdef size_t place = zone_place(zone, sec)
    cdef int32_t offset = zone.offsets[zone.kinds[place]]
    if offset == 0:
        return wall
    sec -= offset
    if (place > 0 and sec < zone.starts[place - 1]) or place == zone.n or sec >= zone.starts[place]:
        offset = zone_offset(zone, wall - offset)
    return wall - offset


cdef inline bint same(Str a, Str b) noexcept nogil:
    return a.n == b.n and memcmp(a.p, b.p, a.n) == 0


cdef bint zone_find(const Zone* zone, Str label, int64_t wall, int32_t* offset) noexcept nogil:
    """The offset that an abbreviation stands for: one in force then, else any of that name."""
    cdef size_t kind
    cdef uint16_t then
    for kind in range(zone.named):
        if same(zone.labels[kind], label):
            then = zone_kind(zone, wall - zone.offsets[kind])
            if same(zone.labels[then], label):
                offset[0] = zone.offsets[then]
                return True
    for kind in range(zone.named):
        if same(zone.labels[kind], label):
            offset[0] = zone.offsets[kind]
            return True
    return False


cdef class TimeZone:
    """A time zone in C, made of a `nativemtail.programs.zones.Zone`."""

    cdef Zone zone
    cdef void* block
    cdef readonly str name

    def __cinit__(self, data):
        cdef size_t n = len(data.starts)
        cdef size_t kinds = len(data.types)
        cdef size_t letters = sum([len(label) for _, label in data.types])
        if <size_t>len(data.kinds) != n + 1 or max(data.kinds) >= kinds or max(n, kinds) > 65535:
            raise ValueError("not the tables of a time zone")
        self.block = calloc(1, n * 8 + kinds * (sizeof(Str) + 4) + (n + 1 + BIN_COUNT) * 2 + letters)
        if self.block == NULL:
            raise MemoryError
        self.name = data.name
        self.fill(data, n, kinds)

    cdef fill(self, data, size_t n, size_t kinds):
        cdef int64_t* starts = <int64_t*>self.block
        cdef Str* labels = <Str*>(starts + n)
        cdef int32_t* offsets = <int32_t*>(labels + kinds)
        cdef uint16_t* kind_of = <uint16_t*>(offsets + kinds)
        cdef uint16_t* bin_of = kind_of + n + 1
        cdef char* letters = <char*>(bin_of + BIN_COUNT)
        cdef Py_ssize_t i
        cdef bytes label
        for i in range(<Py_ssize_t>n):
            starts[i] = data.starts[i]
        for i in range(<Py_ssize_t>n + 1):
            kind_of[i] = data.kinds[i]
        for i in range(BIN_COUNT):
            bin_of[i] = bisect_right(data.starts, BIN_BASE + (<int64_t>i << BIN_SHIFT))
        for i in range(<Py_ssize_t>kinds):
            offsets[i], label = data.types[i]
            labels[i] = Str(letters, len(label))
            memcpy(letters, <const char*>label, len(label))
            letters += len(label)
        self.zone = Zone(n, starts, kind_of, offsets, labels, min(data.named, kinds), INT64_MAX, bin_of)
        if data.cycle_start is not None:
            self.zone.cycle_start = data.cycle_start

    def __dealloc__(self):
        free(self.block)


# Layouts.

cdef inline LayoutStep layout_step(const Layout* layout, uint32_t i) noexcept nogil:
    cdef LayoutStep step
    memcpy(&step, layout.steps + i * sizeof(LayoutStep), sizeof(LayoutStep))
    return step


cdef inline bint layout_open(const uint8_t* prog, size_t prog_len, Layout* layout) noexcept nogil:
    cdef LayoutHeader head
    cdef size_t start
    if prog_len < sizeof(LayoutHeader):
        return False
    memcpy(&head, prog, sizeof(LayoutHeader))
    start = sizeof(LayoutHeader) + <size_t>head.count * sizeof(LayoutStep)
    layout.count = head.count
    layout.steps = <const char*>prog + sizeof(LayoutHeader)
    layout.text = Str(<const char*>prog + start, head.length)
    return head.count > 0 and start <= prog_len and prog_len - start == head.length


cdef bint layout_check(const uint8_t* prog, size_t prog_len) noexcept nogil:
    """Whether `time_parse` may run these bytes: the steps cover the layout and the last one, alone, is the end."""
    cdef Layout layout
    cdef LayoutStep step
    cdef size_t sum = 0
    cdef uint32_t i
    if not layout_open(prog, prog_len, &layout):
        return False
    for i in range(layout.count):
        step = layout_step(&layout, i)
        if step.op > LAY_OFFSET or (step.op == LAY_END) != (i == layout.count - 1):
            return False
        if step.op == LAY_FRACTION and step.element < 2:
            return False
        sum += <size_t>step.literal + step.element
    return sum == layout.text.n


# Reading.  `c` is what is left of the text; every function leaves it where Go's error message would point.

cdef inline bint digit_at(const Str* c, size_t i) noexcept nogil:
    return i < c.n and <uint8_t>(c.p[i] - c"0") < 10


cdef inline void advance(Str* c, size_t n) noexcept nogil:
    c.p += n
    c.n -= n


cdef inline void skip_blanks(Str* c) noexcept nogil:
    while c.n and c.p[0] == c" ":
        advance(c, 1)


cdef bint read_any_literal(Str* c, Str literal) noexcept nogil:
    """Bytes as they are; blanks stand for any number of blanks above zero, or for the end."""
    while literal.n:
        if literal.p[0] == c" ":
            if c.n and c.p[0] != c" ":
                return False
            skip_blanks(&literal)
            skip_blanks(c)
            continue
        if c.n == 0 or c.p[0] != literal.p[0]:
            return False
        advance(&literal, 1)
        advance(c, 1)
    return True


cdef inline bint read_literal(Str* c, Str literal) noexcept nogil:
    """The same, quick for one byte."""
    if literal.n == 1 and c.n > 1 and c.p[0] == literal.p[0] and c.p[1] != c" ":
        advance(c, 1)
        return True
    return read_any_literal(c, literal)


cdef inline int read_number(Str* c, bint fixed) noexcept nogil:
    """Two digits, or one unless `fixed`; -1 for none."""
    cdef int v
    if not digit_at(c, 0) or (fixed and not digit_at(c, 1)):
        return -1
    v = c.p[0] - c"0"
    if digit_at(c, 1):
        v = v * 10 + c.p[1] - c"0"
        advance(c, 1)
    advance(c, 1)
    return v


cdef bint read_signed(const char* p, size_t n, int64_t* out) noexcept nogil:
    """[sign] digits, all of p[0:n], at most 18 of them; no digit at all is 0."""
    cdef bint negative = n > 0 and p[0] == c"-"
    cdef int64_t v = 0
    cdef size_t i
    for i in range(1 if n and (negative or p[0] == c"+") else 0, n):
        if not c"0" <= p[i] <= c"9":
            return False
        v = v * 10 + p[i] - c"0"
    out[0] = -v if negative else v
    return True


cdef TimeFault read_in_range(Str* c, bint fixed, int low, int high, TimeFault fault, int* out) noexcept nogil:
    cdef int v = read_number(c, fixed)
    if v < 0:
        return TIME_BAD
    out[0] = v
    return TIME_OK if low <= v <= high else fault


cdef TimeFault read_year(Str* c, size_t digits, int64_t* year) noexcept nogil:
    cdef bint good
    if c.n < digits or (digits == 4 and not digit_at(c, 0)):
        return TIME_BAD
    good = read_signed(c.p, digits, year)
    if good or digits == 4:
        advance(c, digits)
    if digits == 2:
        year[0] += 1900 if year[0] >= 69 else 2000
    return TIME_OK if good else TIME_BAD


cdef inline TimeFault read_short_name(Str* c, const char* names, int* out) noexcept nogil:
    """Which of the names, three letters in lower case each, comes next in any case: 1, 2, …"""
    cdef int i = 1
    cdef char x
    cdef char y
    cdef char z
    if c.n < 3:
        return TIME_BAD
    x = c.p[0] | 0x20
    y = c.p[1] | 0x20
    z = c.p[2] | 0x20
    while names[0]:
        if names[2] == z and names[1] == y and names[0] == x:
            out[0] = i
            advance(c, 3)
            return TIME_OK
        names += 3
        i += 1
    return TIME_BAD


cdef TimeFault read_long_name(Str* c, const char* names, int* out) noexcept nogil:
    """The same for names filled up with blanks to nine letters."""
    cdef int i = 1
    cdef size_t k
    while names[0]:
        k = 0
        while k < 9 and names[k] != c" " and k < c.n and (c.p[k] | 0x20) == names[k]:
            k += 1
        if k == 9 or names[k] == c" ":
            out[0] = i
            advance(c, k)
            return TIME_OK
        names += 9
        i += 1
    return TIME_BAD


cdef TimeFault read_day(Str* c, int flags, int* day) noexcept nogil:
    if flags & LAY_BLANK and c.n and c.p[0] == c" ":
        advance(c, 1)
    day[0] = read_number(c, flags & LAY_FIXED)
    return TIME_OK if day[0] >= 0 else TIME_BAD


cdef TimeFault read_year_day(Str* c, int flags, int* out) noexcept nogil:
    cdef int v = 0
    cdef size_t n = 0
    cdef int blanks = 0
    while flags & LAY_BLANK and blanks < 2 and c.n and c.p[0] == c" ":
        advance(c, 1)
        blanks += 1
    while n < 3 and digit_at(c, n):
        v = v * 10 + c.p[n] - c"0"
        n += 1
    if n == 0 or (flags & LAY_FIXED and n < 3):
        return TIME_BAD
    advance(c, n)
    out[0] = v
    return TIME_OK


cdef TimeFault read_fraction(Str* c, size_t n, int32_t* nsec) noexcept nogil:
    """A point or comma and n - 1 digits, of which nine count."""
    cdef int64_t v = 0
    cdef size_t i
    cdef size_t used = n if n < 10 else 10
    cdef const char* p = c.p
    if c.n < n:
        return TIME_BAD
    advance(c, n)
    if (p[0] != c"." and p[0] != c",") or not read_signed(p + 1, used - 1, &v):
        return TIME_BAD
    if v < 0:
        return TIME_FRACTION_RANGE
    for i in range(used, 10):
        v *= 10
    nsec[0] = <int32_t>v
    return TIME_OK


cdef TimeFault read_optional_fraction(Str* c, size_t limit, int32_t* nsec) noexcept nogil:
    """As many digits as there are, up to the limit."""
    cdef size_t n = 1
    if c.n < 2 or (c.p[0] != c"." and c.p[0] != c",") or not digit_at(c, 1):
        return TIME_OK
    while n <= limit and digit_at(c, n):
        n += 1
    return read_fraction(c, n, nsec)


cdef TimeFault read_half_day(Str* c, bint lower, DateText* date) noexcept nogil:
    cdef char a = c"a" if lower else c"A"
    cdef char first
    cdef char second
    if c.n < 2:
        return TIME_BAD
    first = c.p[0]
    second = c.p[1]
    advance(c, 2)
    if second != a + 12 or (first != a and first != a + 15):
        return TIME_BAD
    if first == a:
        date.am = True
    else:
        date.pm = True
    return TIME_OK


cdef TimeFault read_offset(Str* c, int flags, DateText* date) noexcept nogil:
    """±hh, ±hhmm, ±hh:mm, ±hhmmss or ±hh:mm:ss; Z where the layout has it."""
    cdef bint colon = flags & LAY_COLON
    cdef size_t parts = 1 + (flags & LAY_MINUTES != 0) + (flags & LAY_SECONDS != 0)
    cdef size_t need = 1 + 2 * parts + (parts - 1 if colon else 0)
    cdef int64_t sum = 0
    cdef int64_t unit = 3600
    cdef int64_t v = 0
    cdef const char* p = c.p
    cdef size_t i
    if flags & LAY_ZULU and c.n and c.p[0] == c"Z":
        date.utc = True
        advance(c, 1)
        return TIME_OK
    if c.n < need or (colon and (p[3] != c":" or (parts > 2 and p[6] != c":"))):
        return TIME_BAD
    advance(c, need)
    for i in range(parts):
        if not read_signed(p + 1 + i * (3 if colon else 2), 2, &v):
            return TIME_BAD
        sum += v * unit
        unit //= 60
    date.offset = -sum if p[0] == c"-" else sum
    return TIME_OK if p[0] == c"+" or p[0] == c"-" else TIME_BAD


cdef size_t signed_hours(Str c, int64_t* hours) noexcept nogil:
    """Length of a sign and a number of at most 23; 0 for none."""
    cdef int64_t v = 0
    cdef size_t n = 1
    if c.n < 2 or (c.p[0] != c"+" and c.p[0] != c"-"):
        return 0
    while digit_at(&c, n):
        v = v * 10 + c.p[n] - c"0" if v < 100 else v
        n += 1
    if n == 1 or v > 23:
        return 0
    hours[0] = -v if c.p[0] == c"-" else v
    return n


cdef inline bint starts_with(Str c, const char* word, size_t n) noexcept nogil:
    return c.n >= n and memcmp(c.p, word, n) == 0


cdef size_t zone_label(Str c) noexcept nogil:
    """Length of the zone abbreviation that c begins with; 0 for none."""
    cdef size_t n = 0
    cdef int64_t hours
    if c.n < 3:
        return 0
    if starts_with(c, b"ChST", 4) or starts_with(c, b"MeST", 4):
        return 4
    if starts_with(c, b"GMT", 3):
        return 3 + signed_hours(Str(c.p + 3, c.n - 3), &hours)
    if c.p[0] == c"+" or c.p[0] == c"-":
        return signed_hours(c, &hours)
    while n < 6 and n < c.n and c"A" <= c.p[n] <= c"Z":
        n += 1
    if n == 3 or (n == 5 and c.p[4] == c"T") or (n == 4 and (c.p[3] == c"T" or starts_with(c, b"WITA", 4))):
        return n
    return 0


cdef TimeFault read_zone_name(Str* c, DateText* date) noexcept nogil:
    cdef size_t n
    if starts_with(c[0], b"UTC", 3):
        date.utc = True
        advance(c, 3)
        return TIME_OK
    n = zone_label(c[0])
    if n == 0:
        return TIME_BAD
    date.label = Str(c.p, n)
    advance(c, n)
    return TIME_OK


cdef inline TimeFault read_second(Str* c, int flags, DateText* date) noexcept nogil:
    cdef TimeFault fault = read_in_range(c, flags & LAY_FIXED, 0, 59, TIME_SECOND_RANGE, &date.second)
    if fault == TIME_OK and not flags & LAY_FRACTION_NEXT:
        fault = read_optional_fraction(c, c.n, &date.nsec)
    return fault


cdef inline TimeFault read_element(Str* c, LayoutStep step, DateText* date) noexcept nogil:
    cdef int weekday
    if step.op == LAY_YEAR4:
        return read_year(c, 4, &date.year)
    elif step.op == LAY_YEAR2:
        return read_year(c, 2, &date.year)
    elif step.op == LAY_MONTH_LONG:
        return read_long_name(c, b"january  february march    april    may      june     "
                                 b"july     august   septemberoctober  november december ", &date.month)
    elif step.op == LAY_MONTH_SHORT:
        return read_short_name(c, b"janfebmaraprmayjunjulaugsepoctnovdec", &date.month)
    elif step.op == LAY_MONTH:
        return read_in_range(c, step.flags & LAY_FIXED, 1, 12, TIME_MONTH_RANGE, &date.month)
    elif step.op == LAY_WEEKDAY_LONG:
        return read_long_name(c, b"sunday   monday   tuesday  wednesdaythursday friday   saturday ", &weekday)
    elif step.op == LAY_WEEKDAY_SHORT:
        return read_short_name(c, b"sunmontuewedthufrisat", &weekday)
    elif step.op == LAY_DAY:
        return read_day(c, step.flags, &date.day)
    elif step.op == LAY_YEAR_DAY:
        return read_year_day(c, step.flags, &date.year_day)
    elif step.op == LAY_HOUR24:
        return read_in_range(c, False, 0, 23, TIME_HOUR_RANGE, &date.hour)
    elif step.op == LAY_HOUR12:
        return read_in_range(c, step.flags & LAY_FIXED, 0, 12, TIME_HOUR_RANGE, &date.hour)
    elif step.op == LAY_MINUTE:
        return read_in_range(c, step.flags & LAY_FIXED, 0, 59, TIME_MINUTE_RANGE, &date.minute)
    elif step.op == LAY_SECOND:
        return read_second(c, step.flags, date)
    elif step.op == LAY_FRACTION:
        return read_fraction(c, step.element, &date.nsec)
    elif step.op == LAY_OPTIONAL_FRACTION:
        return read_optional_fraction(c, 9, &date.nsec)
    elif step.op == LAY_HALF_DAY:
        return read_half_day(c, step.flags & LAY_LOWER, date)
    elif step.op == LAY_ZONE_NAME:
        return read_zone_name(c, date)
    else:
        return read_offset(c, step.flags, date)


cdef TimeFault read_steps(const Layout* layout, Str* c, DateText* date, Str* expected) noexcept nogil:
    cdef const char* at = layout.text.p
    cdef TimeFault fault
    cdef LayoutStep step
    cdef uint32_t i
    for i in range(layout.count):
        step = layout_step(layout, i)
        if step.literal:
            expected[0] = Str(at, step.literal)
            if not read_literal(c, expected[0]):
                return TIME_BAD
            at += step.literal
        expected[0] = Str(at, step.element)
        if step.op == LAY_END:
            break
        fault = read_element(c, step, date)
        if fault != TIME_OK:
            return fault
        at += step.element
    return TIME_EXTRA if c.n else TIME_OK


# From what the text said to an instant.

cdef TimeFault date_by_year_day(DateText* date, bint leap) noexcept nogil:
    """Month and day from the day of the year; they must agree where both were said."""
    cdef int day = date.year_day
    cdef int month = 1
    if day < 1 or day > 365 + leap:
        return TIME_YEAR_DAY_RANGE
    while day > month_days(month, leap):
        day -= month_days(month, leap)
        month += 1
    if date.month >= 0 and date.month != month:
        return TIME_YEAR_DAY_MONTH
    if date.day >= 0 and date.day != day:
        return TIME_YEAR_DAY_DAY
    date.month = month
    date.day = day
    return TIME_OK


cdef TimeFault date_complete(DateText* date) noexcept nogil:
    cdef bint leap = is_leap(date.year)
    cdef TimeFault fault
    if date.pm and date.hour < 12:
        date.hour += 12
    elif date.am and date.hour == 12 and not date.pm:
        date.hour = 0
    if date.year_day >= 0:
        fault = date_by_year_day(date, leap)
        if fault != TIME_OK:
            return fault
    if date.month < 0:
        date.month = 1
    if date.day < 0:
        date.day = 1
    return TIME_OK if 1 <= date.day <= month_days(date.month, leap) else TIME_DAY_RANGE


cdef inline int64_t wall_clock(const DateText* date) noexcept nogil:
    """Seconds from the epoch to the date and time as if in UTC."""
    cdef int64_t days = year_start(date.year) + days_before(date.month, is_leap(date.year)) + date.day - 1
    return days * DAY_SECONDS + (date.hour * 60 + date.minute) * 60 + date.second


cdef int64_t instant_of(const DateText* date, const Zone* zone, bint* local, int64_t* offset) noexcept nogil:
    """The instant, and in which place it is: `local` to the zone or at a fixed `offset`."""
    cdef int64_t wall = wall_clock(date)
    cdef int32_t found
    cdef uint16_t kind
    offset[0] = 0
    local[0] = not date.utc
    if date.utc:
        return wall
    if date.offset != -1:
        kind = zone_kind(zone, wall - date.offset)
        local[0] = zone.offsets[kind] == date.offset and (date.label.n == 0 or same(date.label, zone.labels[kind]))
        offset[0] = date.offset
        return wall - date.offset
    if date.label.n == 0:
        return zone_instant(zone, wall)
    if zone_find(zone, date.label, wall, &found):
        return wall - found
    local[0] = False
    if date.label.n > 3 and starts_with(date.label, b"GMT", 3):
        signed_hours(Str(date.label.p + 3, date.label.n - 3), offset)
        offset[0] *= 3600
    return wall                     # not corrected by the offset, as in Go


cdef int64_t with_current_year(int64_t sec, const Zone* zone, bint local, int64_t offset, int64_t now) noexcept nogil:
    """If the local year is 0, the same date and time this year; 29 February may become 1 March."""
    cdef int64_t wall = sec + (zone_offset(zone, sec) if local else offset)
    cdef int64_t days = floor_div(wall, DAY_SECONDS)
    cdef int64_t day = days - YEAR_0
    cdef int64_t year
    if not 0 <= day < 366:
        return sec
    year = year_of(floor_div(now + zone_offset(zone, now), DAY_SECONDS))
    day -= day >= 60 and not is_leap(year)
    wall += (year_start(year) + day - days) * DAY_SECONDS
    return zone_instant(zone, wall) if local else wall - offset


cdef int time_parse(const uint8_t* prog, size_t prog_len, const char* s, size_t n, const Zone* zone, bint patch_year,
                    int64_t now_sec, Time* out, TimeError* err) noexcept nogil:
    """Read s[0:n] by a layout that `layout_check` has passed; TIME_OK, or a fault with the details in `err`.

    `patch_year`: a date in year 0 is taken for one of the year of `now_sec` (seconds since the epoch).
    """
    cdef Layout layout
    cdef DateText date = DateText(0, -1, -1, -1, 0, 0, 0, 0, False, False, False, -1, Str(NULL, 0))
    cdef Str c = Str(s, n)
    cdef bint local = True
    cdef int64_t offset = 0
    err.expected = Str(NULL, 0)
    if not layout_open(prog, prog_len, &layout):
        err.fault = TIME_MEMORY
        return TIME_MEMORY
    err.fault = read_steps(&layout, &c, &date, &err.expected)
    if err.fault == TIME_OK:
        err.fault = date_complete(&date)
    err.at = n - c.n
    if err.fault != TIME_OK:
        return err.fault
    out.sec = instant_of(&date, zone, &local, &offset)
    out.nsec = date.nsec
    if patch_year:
        out.sec = with_current_year(out.sec, zone, local, offset, now_sec)
    return TIME_OK


# Error texts.

cdef void quote_time(Buf* b, Str s) noexcept nogil:
    """Go's quoting inside time errors: every byte outside of printable ASCII, DEL excepted, as \\x.."""
    cdef size_t i
    buf_char(b, c'"')
    for i in range(s.n):
        if <uint8_t>s.p[i] < 0x20 or <uint8_t>s.p[i] >= 0x80:
            put_hex(b, b"\\x", <uint8_t>s.p[i], 2)
        else:
            if s.p[i] == c'"' or s.p[i] == c"\\":
                buf_char(b, c"\\")
            buf_char(b, s.p[i])
    buf_char(b, c'"')


cdef const char* fault_text(TimeFault fault) noexcept nogil:
    if fault == TIME_MONTH_RANGE:
        return b": month out of range"
    elif fault == TIME_HOUR_RANGE:
        return b": hour out of range"
    elif fault == TIME_MINUTE_RANGE:
        return b": minute out of range"
    elif fault == TIME_SECOND_RANGE:
        return b": second out of range"
    elif fault == TIME_FRACTION_RANGE:
        return b": fractional second out of range"
    elif fault == TIME_DAY_RANGE:
        return b": day out of range"
    elif fault == TIME_YEAR_DAY_RANGE:
        return b": day-of-year out of range"
    elif fault == TIME_YEAR_DAY_MONTH:
        return b": day-of-year does not match month"
    elif fault == TIME_YEAR_DAY_DAY:
        return b": day-of-year does not match day"
    elif fault == TIME_EXTRA:
        return b": extra text: "
    else:
        return b": not a compiled layout"


cdef void put_time_error(Buf* b, const uint8_t* prog, size_t prog_len, const char* s, size_t n,
                         const TimeError* err) noexcept nogil:
    """Append Go's message on why `time_parse` refused s[0:n]."""
    cdef Layout layout
    cdef Str rest = Str(s + err.at, n - err.at)
    buf_text(b, b"parsing time ")
    quote_time(b, Str(s, n))
    if err.fault == TIME_BAD and layout_open(prog, prog_len, &layout):
        buf_text(b, b" as ")
        quote_time(b, layout.text)
        buf_text(b, b": cannot parse ")
        quote_time(b, rest)
        buf_text(b, b" as ")
        quote_time(b, err.expected)
        return
    buf_text(b, fault_text(err.fault))
    if err.fault == TIME_EXTRA:
        quote_time(b, rest)
