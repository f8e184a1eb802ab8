# Numbers as text (spec runtime.md §2.4, metrics-export.md §1.4 and §2.2).

cdef inline size_t fmt_int(int64_t v, char* out) noexcept nogil:
    return int_text(v, out)


cdef size_t fmt_nonfinite(double v, char* out) noexcept nogil:
    if isnan(v):
        memcpy(out, b"NaN", 3)
        return 3
    memcpy(out, b"+Inf", 4)
    if v < 0:
        out[0] = c"-"
    return 4


cdef size_t fmt_plain(const char* digits, int count, int exponent, char* out) noexcept nogil:
    """0.00ddd, ddd00 or d.dd, without trailing zeros after the point."""
    cdef size_t n = 0
    cdef int i
    if exponent < 0:
        out[0] = c"0"
        out[1] = c"."
        n = 2
        for i in range(-exponent - 1):
            out[n] = c"0"
            n += 1
    for i in range(count):
        if i == exponent + 1 and exponent >= 0:
            out[n] = c"."
            n += 1
        out[n] = digits[i]
        n += 1
    for i in range(count, exponent + 1):
        out[n] = c"0"
        n += 1
    return n


cdef size_t fmt_scientific(const char* digits, int count, int exponent, char e, int width, char* out) noexcept nogil:
    """d.dde±xx with at least `width` digits of exponent."""
    cdef size_t n = 1
    cdef int rest = -exponent if exponent < 0 else exponent
    out[0] = digits[0]
    if count > 1:
        out[1] = c"."
        memcpy(out + 2, digits + 1, count - 1)
        n += count
    out[n] = e
    out[n + 1] = c"-" if exponent < 0 else c"+"
    n += 2
    if width > 1 and rest < 10:
        out[n] = c"0"
        n += 1
    return n + int_text(rest, out + n)


cdef size_t fmt_float(double v, char* out, int low, int high, char e, int width) noexcept nogil:
    """Shortest digits; scientific when the decimal exponent is below `low` or not below `high`."""
    cdef char digits[32]
    cdef int exponent = 0
    cdef int count
    cdef size_t n = 0
    digits[0] = c"0"
    if isnan(v) or isinf(v):
        return fmt_nonfinite(v, out)
    if signbit(v):
        out[0] = c"-"
        n = 1
        v = -v
    if v < (1e15 if high > 15 else 1e6) and v == <double><int64_t>v:
        return n + int_text(<int64_t>v, out + n)
    count = shortest_digits(v, digits, &exponent)
    if exponent < low or exponent >= high:
        return n + fmt_scientific(digits, count, exponent, e, width, out + n)
    return n + fmt_plain(digits, count, exponent, out + n)


cdef inline size_t fmt_g(double v, char* out) noexcept nogil:
    """Go's %g: label values, string(), bucket bounds, `le`."""
    return fmt_float(v, out, -4, 6, c"e", 2)


cdef inline size_t fmt_G(double v, char* out) noexcept nogil:
    """Go's %G: a Float stored into text."""
    return fmt_float(v, out, -4, 6, c"E", 2)


cdef inline size_t fmt_json_float(double v, char* out) noexcept nogil:
    """A JSON number; non-finite values become the bare words NaN, +Inf, -Inf."""
    return fmt_float(v, out, -6, 21, c"e", 1)


cdef inline size_t fmt_prometheus(double v, char* out) noexcept nogil:
    return fmt_g(v if v != 0 else 0.0, out)
