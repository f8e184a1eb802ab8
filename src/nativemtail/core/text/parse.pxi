# Text to numbers, as Go parses it (spec runtime.md §2.6).

cdef enum:                  # results of parse_int and parse_float
    NUM_OK = 0
    NUM_SYNTAX = 1
    NUM_RANGE = 2
    NUM_BASE = 3


cdef inline uint32_t digit_value(char c) noexcept nogil:
    """Value of a digit in bases up to 36, more than 35 for anything else."""
    if c"0" <= c <= c"9":
        return c - c"0"
    c |= 0x20
    return c - c"a" + 10 if c"a" <= c <= c"z" else 255


cdef int parse_unsigned(const char* p, size_t n, uint32_t base, uint64_t* out) noexcept nogil:
    """Parse digits.  Like Go, stops at the first range error without examining the rest."""
    cdef uint64_t v = 0
    cdef uint64_t limit = UINT64_MAX // base
    cdef uint64_t d
    cdef size_t i
    for i in range(n):
        d = digit_value(p[i])
        if d >= base:
            return NUM_SYNTAX
        if v > limit or v * base > UINT64_MAX - d:
            return NUM_RANGE
        v = v * base + d
    out[0] = v
    return NUM_OK


cdef int parse_int_slow(const char* p, size_t n, int64_t base, int64_t* out) noexcept nogil:
    cdef bint negative = n > 0 and p[0] == c"-"
    cdef uint64_t v = 0
    cdef int rc
    if n and (negative or p[0] == c"+"):
        p += 1
        n -= 1
    if n == 0:
        return NUM_SYNTAX
    if base < 2 or base > 36:
        return NUM_BASE
    rc = parse_unsigned(p, n, <uint32_t>base, &v)
    if rc == NUM_OK and v > <uint64_t>INT64_MAX + negative:
        rc = NUM_RANGE
    if rc == NUM_OK:
        out[0] = <int64_t>(0 - v) if negative else <int64_t>v
    elif rc == NUM_RANGE:
        out[0] = INT64_MIN if negative else INT64_MAX
    return rc


cdef inline int parse_int(const char* p, size_t n, int64_t base, int64_t* out) noexcept nogil:
    """Go's ParseInt to 64 bits, without prefixes and underscores; NUM_OK, NUM_SYNTAX, NUM_RANGE or NUM_BASE."""
    cdef size_t i
    cdef int64_t v = 0
    cdef uint32_t d
    if base != 10 or n == 0 or n > 18:
        return parse_int_slow(p, n, base, out)
    for i in range(n):
        d = <uint8_t>p[i] - <uint32_t>c"0"
        if d > 9:
            return parse_int_slow(p, n, base, out)
        v = v * 10 + d
    out[0] = v
    return NUM_OK


cdef bint is_word(const char* p, size_t n, const char* word) noexcept nogil:
    """Equal when ignoring case; `word` is in lower case."""
    cdef size_t i
    if n != strlen(word):
        return False
    for i in range(n):
        if (p[i] | 0x20) != word[i]:
            return False
    return True


cdef struct FloatShape:     # result of the grammar check of a float text
    bint hex
    size_t start            # offset of the digits, after 0x
    bint zero               # all digits are 0
    int64_t magnitude       # of the first digit that is not 0, as a power of ten (hex: of two, plus at most 3)


cdef int read_exponent(const char* p, size_t n, int64_t* out) noexcept nogil:
    """[sign] digits, saturating far beyond any double."""
    cdef size_t i = 1 if n and (p[0] == c"+" or p[0] == c"-") else 0
    cdef int64_t v = 0
    if i == n:
        return NUM_SYNTAX
    while i < n:
        if not c"0" <= p[i] <= c"9":
            return NUM_SYNTAX
        if v < INT64_MAX // 64:
            v = v * 10 + (p[i] - c"0")
        i += 1
    out[0] = -v if p[0] == c"-" else v
    return NUM_OK


cdef int float_shape(const char* p, size_t n, FloatShape* shape) noexcept nogil:
    """Check digits [. digits] [e exponent] or 0x digits [. digits] p exponent."""
    cdef bint seen = False          # a digit
    cdef bint point = False
    cdef bint exponent = False
    cdef int64_t weight = 0         # significant digits before the point, or -(zeros after it)
    cdef int64_t power = 0
    cdef uint32_t base = 10
    cdef size_t i
    shape.hex = n > 1 and p[0] == c"0" and (p[1] | 0x20) == c"x"
    shape.start = i = 2 if shape.hex else 0
    shape.zero = True
    if shape.hex:
        base = 16
    while i < n:
        if p[i] == c"." and not point:
            point = True
        elif digit_value(p[i]) < base:
            seen = True
            shape.zero &= p[i] == c"0"
            weight += (not point and not shape.zero) - <int64_t>(point and shape.zero)
        else:
            break
        i += 1
    if not seen:
        return NUM_SYNTAX
    if i < n:
        if (p[i] | 0x20) != (c"p" if shape.hex else c"e") or read_exponent(p + i + 1, n - i - 1, &power) != NUM_OK:
            return NUM_SYNTAX
        exponent = True
    if shape.hex and not exponent:
        return NUM_SYNTAX
    shape.magnitude = (weight - 1) * (4 if shape.hex else 1) + power
    return NUM_OK


cdef bint underscores_separate(const char* p, size_t n) noexcept nogil:
    """Whether each `_` stands between two digits, or between a base prefix and a digit, as Go's literals have it."""
    cdef bint hex = n > 1 and p[0] == c"0" and (p[1] | 0x20) == c"x"
    cdef uint32_t base = 16 if hex else 10
    cdef size_t i
    for i in range(n):
        if p[i] != c"_":
            continue
        if i == 0 or i + 1 == n or digit_value(p[i + 1]) >= base:
            return False
        if digit_value(p[i - 1]) >= base and not (hex and i == 2):
            return False
    return True


cdef int parse_separated(const char* p, size_t n, double* out) noexcept nogil:
    """Parse an unsigned float text that contains `_`."""
    cdef Buf digits
    cdef size_t i
    cdef int rc = NUM_SYNTAX
    if not underscores_separate(p, n):
        return NUM_SYNTAX
    memset(&digits, 0, sizeof(Buf))
    for i in range(n):
        if p[i] != c"_":
            buf_put(&digits, p + i, 1)
    if not digits.failed:
        rc = parse_digits(digits.p, digits.n, out)
    buf_free(&digits)
    return rc


cdef int parse_digits(const char* p, size_t n, double* out) noexcept nogil:
    """Parse an unsigned float text without `_`."""
    cdef FloatShape shape
    cdef double v = 0
    cdef int rc = NUM_OK
    if float_shape(p, n, &shape) != NUM_OK:
        return NUM_SYNTAX
    if not shape.zero:
        rc = read_double(p + shape.start, n - shape.start, shape.hex, &v)
        if rc == NUM_RANGE:
            rc = NUM_RANGE if shape.magnitude > 0 else NUM_OK
            v = HUGE_VAL if shape.magnitude > 0 else 0
    out[0] = v
    return rc


cdef int parse_float(const char* p, size_t n, double* out) noexcept nogil:
    """Go's ParseFloat; NUM_OK, NUM_SYNTAX or NUM_RANGE (infinity in `out`)."""
    cdef bint negative = n > 0 and p[0] == c"-"
    cdef bint sign = n > 0 and (negative or p[0] == c"+")
    cdef int rc
    if read_plain_double(p, n, out):
        return NUM_OK
    if sign:
        p += 1
        n -= 1
    if is_word(p, n, b"inf") or is_word(p, n, b"infinity"):
        out[0] = -HUGE_VAL if negative else HUGE_VAL
        return NUM_OK
    if is_word(p, n, b"nan") and not sign:
        out[0] = NAN
        return NUM_OK
    if n and memchr(p, c"_", n) != NULL:
        rc = parse_separated(p, n, out)
    else:
        rc = parse_digits(p, n, out)
    if negative and rc != NUM_SYNTAX:
        out[0] = -out[0]
    return rc


cdef void put_number_error(Buf* b, const char* function, int rc, const char* p, size_t n, int64_t base) noexcept nogil:
    """Append `strconv.ParseInt: parsing "x": invalid syntax` and the like; `rc` is not NUM_OK."""
    buf_text(b, b"strconv.")
    buf_text(b, function)
    buf_text(b, b": parsing ")
    quote(b, p, n)
    if rc == NUM_SYNTAX:
        buf_text(b, b": invalid syntax")
    elif rc == NUM_RANGE:
        buf_text(b, b": value out of range")
    else:
        buf_text(b, b": invalid base ")
        buf_int(b, base)
