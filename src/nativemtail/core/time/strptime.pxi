# Parses times by compiled layouts, as Go's time.ParseInLocation does (spec runtime.md §3).

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


# From the fields of a text to an instant.

cdef TimeFault date_by_year_day(DateText* date, bint leap) noexcept nogil:
    """Set month and day from the day of the year; if they were given too, they must agree."""
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
    """The instant, and how it was placed: `local` to the zone, or at a fixed `offset`."""
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
    """If the local year is 0, use this year; 29 February may become 1 March."""
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


cdef enum:                          # what becomes of a date in year 0
    YEAR_KEPT = 0
    YEAR_CURRENT = 1                # it is moved to the year of a given instant
    YEAR_LATEST = 2                 # to the latest year in which it exists and is not after the instant


cdef int64_t with_latest_year(int64_t sec, const Zone* zone, bint local, int64_t offset, int64_t newest) noexcept nogil:
    """If the local year is 0, use the latest one in which that day exists and the instant is at most `newest`."""
    cdef int64_t wall = sec + (zone_offset(zone, sec) if local else offset)
    cdef int64_t days = floor_div(wall, DAY_SECONDS)
    cdef int64_t day = days - YEAR_0
    cdef int64_t year, moved = sec
    cdef int tried
    if not 0 <= day < 366:
        return sec
    year = year_of(floor_div(newest + zone_offset(zone, newest), DAY_SECONDS)) + 1
    for tried in range(10):         # 29 February: seldom 8 years, and the first may be the next
        if is_leap(year) or day != 59:
            moved = wall + (year_start(year) + day - (day >= 60 and not is_leap(year)) - days) * DAY_SECONDS
            moved = zone_instant(zone, moved) if local else moved - offset
            if moved <= newest:
                break
        year -= 1
    return moved


cdef int time_parse(const uint8_t* prog, size_t prog_len, const char* s, size_t n, const Zone* zone, int patch_year,
                    int64_t now_sec, Time* out, TimeError* err) noexcept nogil:
    """Read s[0:n] by a layout that `layout_check` has passed; TIME_OK, or a fault with the details in `err`.

    `patch_year`: what becomes of a date in year 0; `now_sec`: that instant, in seconds since the epoch.
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
    if patch_year == YEAR_LATEST:
        out.sec = with_latest_year(out.sec, zone, local, offset, now_sec)
    elif patch_year:
        out.sec = with_current_year(out.sec, zone, local, offset, now_sec)
    return TIME_OK
