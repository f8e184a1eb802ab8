# The texts of Go's errors about times.

cdef void quote_time(Buf* b, Str s) noexcept nogil:
    """Go's quoting inside time errors: every byte outside printable ASCII, except DEL, as \\x.."""
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
