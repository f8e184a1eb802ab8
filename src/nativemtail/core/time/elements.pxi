# The parts of a date, as Go's time.ParseInLocation reads them (spec runtime.md §3).

cdef struct DateText:               # the fields read from a text
    int64_t year
    int month                       # 1 .. 12; this and the next two: -1 if absent
    int day
    int year_day
    int hour
    int minute
    int second
    int32_t nsec
    bint am
    bint pm
    bint utc
    int64_t offset                  # -1: absent (and for "-00:00:01", as in Go)
    Str label                       # zone abbreviation


# Parsers of elements.  `c` is the rest of the text; on failure each leaves it where Go's error message begins.

cdef inline bint digit_at(const Str* c, size_t i) noexcept nogil:
    return i < c.n and <uint8_t>(c.p[i] - c"0") < 10


cdef inline void advance(Str* c, size_t n) noexcept nogil:
    c.p += n
    c.n -= n


cdef inline void skip_blanks(Str* c) noexcept nogil:
    while c.n and c.p[0] == c" ":
        advance(c, 1)


cdef bint read_any_literal(Str* c, Str literal) noexcept nogil:
    """Match bytes literally; blanks match one or more blanks, or the end of the text."""
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
    """The same with a fast path for one byte."""
    if literal.n == 1 and c.n > 1 and c.p[0] == literal.p[0] and c.p[1] != c" ":
        advance(c, 1)
        return True
    return read_any_literal(c, literal)


cdef inline int read_number(Str* c, bint fixed) noexcept nogil:
    """Read two digits, or one unless `fixed`; -1 if there are none."""
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
    """[sign] digits, all of p[0:n], at most 18 of them; no digits give 0."""
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
    """Read one of the names, ignoring case; gives 1, 2, …  `names` has three lower-case letters for each."""
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
    """The same for names padded with blanks to nine letters."""
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
    """Read a point or comma and all digits after it, up to the limit; nothing if there are none."""
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
    """Read ±hh, ±hhmm, ±hh:mm, ±hhmmss or ±hh:mm:ss; Z if the layout allows it."""
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
    """Length of a sign and a number of at most 23; 0 if there is none."""
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
    """Length of the zone abbreviation that c begins with; 0 if there is none."""
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
