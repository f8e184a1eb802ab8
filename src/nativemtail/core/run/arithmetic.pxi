# Numbers and texts as programs compute and compare them (spec runtime.md §2).


cdef inline int64_t wrap_add(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a + <uint64_t>b)


cdef inline int64_t wrap_sub(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a - <uint64_t>b)


cdef inline int64_t wrap_mul(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a * <uint64_t>b)


cdef inline double least(double a, double b) noexcept nogil:
    """NaN if one is NaN."""
    return a if a < b or a != a else b


cdef inline double greatest(double a, double b) noexcept nogil:
    """NaN if one is NaN."""
    return a if a > b or a != a else b


cdef inline double of_float(int op, double x) noexcept nogil:
    if op == OP_ABSF:
        return fabs(x)
    if op == OP_FLOOR:
        return floor(x)
    if op == OP_CEIL:
        return ceil(x)
    if op == OP_ROUND:
        return round(x)
    if op == OP_LN:
        return log(x)
    if op == OP_LOG10:
        return log10(x)
    if op == OP_EXP:
        return exp(x)
    return sqrt(x)


cdef inline int64_t divide(int64_t a, int64_t b) noexcept nogil:
    return wrap_sub(0, a) if b == -1 else a / b


cdef inline int64_t modulo(int64_t a, int64_t b) noexcept nogil:
    return 0 if b == -1 else a % b


cdef inline int64_t power(int64_t a, int64_t b) noexcept nogil:
    """Computed in doubles and truncated; out of range gives what amd64 gives (runtime.md §2.5)."""
    cdef double x = float_power(<double>a, <double>b)
    if x >= -9223372036854775808.0 and x < 9223372036854775808.0:
        return <int64_t>x
    return INT64_MIN


cdef inline int64_t shift_left(int64_t a, int64_t b) noexcept nogil:
    return 0 if b >= 64 else <int64_t>(<uint64_t>a << b)


cdef inline int64_t shift_right(int64_t a, int64_t b) noexcept nogil:
    return a >> (63 if b >= 64 else b)


cdef inline int compare_text(Str a, Str b) noexcept nogil:
    cdef size_t n = a.n if a.n < b.n else b.n
    cdef int order = memcmp(a.p, b.p, n) if n else 0
    if order:
        return order
    return (a.n > b.n) - (a.n < b.n)


cdef enum:
    UNORDERED = 2               # one is NaN
    INCOMPARABLE = 3


cdef inline int compare_guessing(Str a, Str b, double* left) noexcept nogil:
    """-1, 0 or 1: compared as numbers if `a` is one, else as texts; `left` gets the number."""
    cdef double right
    cdef int order
    if parse_float(a.p, a.n, left) != 0:
        order = compare_text(a, b)
        return (order > 0) - (order < 0)
    if parse_float(b.p, b.n, &right) != 0:
        return INCOMPARABLE
    if left[0] != left[0] or right != right:
        return UNORDERED
    return (left[0] > right) - (left[0] < right)


cdef inline bint is_int_text(Str text) noexcept nogil:
    """Whether this is the canonical text of a number: at most 18 digits, no leading zero."""
    cdef size_t i
    if text.n - 1 >= 18 or (text.p[0] == 48 and text.n > 1):
        return False
    for i in range(text.n):
        if <uint8_t>(text.p[i] - 48) > 9:
            return False
    return True
