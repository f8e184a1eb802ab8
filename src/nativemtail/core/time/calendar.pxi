# The calendar: proleptic Gregorian.

cdef enum:
    DAY_SECONDS = 86400
    YEAR_0 = -719528                # days from the epoch to 1 January of the year 0
    CYCLE_DAYS = 146097             # of 400 years


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
    cdef uint64_t y = year + 399    # 400 years later, as division of negative numbers truncates
    return 365 * year + <int64_t>(y // 4 - y // 100 + y // 400) - 97 + YEAR_0 + 1


cdef inline int days_before(int month, bint leap) noexcept nogil:
    """Days of the year before the month.  From March on, each five months have 153 days."""
    if month < 3:
        return (month - 1) * 31
    return (153 * month - 457) // 5 + 59 + leap


cdef inline int64_t year_of(int64_t days) noexcept nogil:
    """The year of a day counted from the epoch.  Internally years begin in March, so that leap days come last."""
    cdef int64_t cycle = floor_div(days - YEAR_0 - 60, CYCLE_DAYS)
    cdef uint32_t day = <uint32_t>(days - YEAR_0 - 60 - cycle * CYCLE_DAYS)
    cdef uint32_t year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    cdef uint32_t since_march = day - (365 * year + year // 4 - year // 100)
    return cycle * 400 + year + (since_march >= 306)


cdef inline int64_t time_to_ns_saturated(Time t) noexcept nogil:
    """Nanoseconds since the epoch, saturated at the limits of 64 bits (spec README, time-range)."""
    cdef int64_t sec = t.sec
    cdef int64_t nsec = t.nsec
    if sec < 0:                     # so that both parts have the same sign
        sec += 1
        nsec -= 1000000000
    if sec > INT64_MAX // 1000000000 or (sec == INT64_MAX // 1000000000 and nsec > INT64_MAX % 1000000000):
        return INT64_MAX
    if sec < -(INT64_MAX // 1000000000) or (sec == -(INT64_MAX // 1000000000) and nsec < -(INT64_MAX % 1000000000) - 1):
        return INT64_MIN
    return sec * 1000000000 + nsec
