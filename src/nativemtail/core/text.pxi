# Bytes and text: growing buffers, Go's number texts, UTF-8 as Go decodes it.  Nothing here needs the GIL.

from libc.math cimport HUGE_VAL, NAN, isinf, isnan, signbit
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, SIZE_MAX, UINT64_MAX, int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy, strlen

cdef extern from "core/native.hpp" nogil:
    size_t nm_ascii_blocks(const char* p, size_t n) noexcept
    size_t nm_ascii_prefix(const char* p, size_t n) noexcept
    int nm_shortest(double v, char* digits, int* exponent) noexcept
    size_t nm_int_text(int64_t v, char* out) noexcept
    int nm_read_double(const char* p, size_t n, bint hex, double* out) noexcept
    bint nm_plain_double(const char* p, size_t n, double* out) noexcept
    double nm_power(double x, double y) noexcept
    uint64_t nm_ticks() noexcept
    uint32_t nm_lower(uint32_t rune) noexcept
    bint nm_printable(uint32_t rune) noexcept

cdef extern from "string.h" nogil:
    void* memmem(const void* haystack, size_t n, const void* needle, size_t m) noexcept

cdef enum:                  # results of parse_int and parse_float
    NUM_OK = 0
    NUM_SYNTAX = 1
    NUM_RANGE = 2
    NUM_BASE = 3

cdef enum:
    NUM_TEXT = 32           # room that every fmt_… function needs at most


# Buffers.  Start from `Buf(NULL, 0, 0, False)`; once `failed`, every call leaves the content as it is.

cdef bint buf_reserve(Buf* b, size_t more) noexcept nogil:
    """Room for `more` further bytes; false, with `failed` set, when there is none."""
    cdef size_t cap = b.cap
    cdef char* p
    if b.failed:
        return False
    if b.cap - b.n >= more:
        return True
    if more > SIZE_MAX // 2 - b.n:
        b.failed = True
        return False
    if cap < 64:
        cap = 64
    while cap < b.n + more:
        cap *= 2
    p = <char*>realloc(b.p, cap)
    if p == NULL:
        b.failed = True
        return False
    b.p = p
    b.cap = cap
    return True


cdef inline void buf_put(Buf* b, const char* p, size_t n) noexcept nogil:
    if n and buf_reserve(b, n):
        memcpy(b.p + b.n, p, n)
        b.n += n


cdef inline void buf_char(Buf* b, char c) noexcept nogil:
    if buf_reserve(b, 1):
        b.p[b.n] = c
        b.n += 1


cdef inline void buf_text(Buf* b, const char* text) noexcept nogil:
    """Append a NUL-terminated constant."""
    buf_put(b, text, strlen(text))


cdef inline void buf_int(Buf* b, int64_t v) noexcept nogil:
    if buf_reserve(b, NUM_TEXT):
        b.n += fmt_int(v, b.p + b.n)


cdef inline void buf_clear(Buf* b) noexcept nogil:
    """Empty, memory kept, `failed` forgotten."""
    b.n = 0
    b.failed = False


cdef inline void buf_free(Buf* b) noexcept nogil:
    free(b.p)
    b.p = NULL
    b.n = b.cap = 0
    b.failed = False


# Numbers as text (spec runtime.md §2.4, metrics-export.md §1.4 and §2.2).

cdef inline size_t fmt_int(int64_t v, char* out) noexcept nogil:
    return nm_int_text(v, out)


cdef size_t fmt_nonfinite(double v, char* out) noexcept nogil:
    if isnan(v):
        memcpy(out, b"NaN", 3)
        return 3
    memcpy(out, b"+Inf", 4)
    if v < 0:
        out[0] = c"-"
    return 4


cdef size_t fmt_plain(const char* digits, int count, int exponent, char* out) noexcept nogil:
    """0.00ddd, ddd00 or d.dd, without trailing zeros behind the point."""
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
    return n + nm_int_text(rest, out + n)


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
        return n + nm_int_text(<int64_t>v, out + n)
    count = nm_shortest(v, digits, &exponent)
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
    """The JSON number; what is not finite comes as the bare words NaN, +Inf, -Inf."""
    return fmt_float(v, out, -6, 21, c"e", 1)


cdef inline size_t fmt_prometheus(double v, char* out) noexcept nogil:
    return fmt_g(v if v != 0 else 0.0, out)


# Text as numbers (spec runtime.md §2.6).

cdef inline uint32_t digit_value(char c) noexcept nogil:
    """Value of a digit in bases up to 36, more than 35 for anything else."""
    if c"0" <= c <= c"9":
        return c - c"0"
    c |= 0x20
    return c - c"a" + 10 if c"a" <= c <= c"z" else 255


cdef int parse_unsigned(const char* p, size_t n, uint32_t base, uint64_t* out) noexcept nogil:
    """Range errors are found digit by digit: the text behind one is not looked at."""
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
    """Equal but for case; `word` is in lower case."""
    cdef size_t i
    if n != strlen(word):
        return False
    for i in range(n):
        if (p[i] | 0x20) != word[i]:
            return False
    return True


cdef struct FloatShape:     # what the grammar check of a float text finds out
    bint hex
    size_t start            # of the digits: behind 0x
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
    cdef int64_t weight = 0         # digits before the point from the first that counts on; or -(zeros behind it)
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
    """A float text without a sign in which some `_` stands."""
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
    """A float text without a sign and without underscores."""
    cdef FloatShape shape
    cdef double v = 0
    cdef int rc = NUM_OK
    if float_shape(p, n, &shape) != NUM_OK:
        return NUM_SYNTAX
    if not shape.zero:
        rc = nm_read_double(p + shape.start, n - shape.start, shape.hex, &v)
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
    if nm_plain_double(p, n, out):
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


# UTF-8 as Go decodes it: a byte that starts no well-formed sequence counts as one character, U+FFFD.

cdef inline bint is_ascii(const char* p, size_t n) noexcept nogil:
    return nm_ascii_prefix(p, n) == n


cdef inline bint is_tail(uint8_t c) noexcept nogil:
    return (c & 0xC0) == 0x80


cdef inline size_t utf8_decode(const char* text, size_t n, uint32_t* rune) noexcept nogil:
    """Bytes of the first character of text[0:n], n > 0; 0 when it is ill-formed, with U+FFFD in `rune`."""
    cdef const uint8_t* p = <const uint8_t*>text
    cdef uint8_t c = p[0]
    if c < 0x80:
        rune[0] = c
        return 1
    rune[0] = 0xFFFD
    if c < 0xC2 or c > 0xF4 or n < 2 or not is_tail(p[1]):
        return 0
    if c < 0xE0:
        rune[0] = (c & 0x1F) << 6 | (p[1] & 0x3F)
        return 2
    if n < 3 or not is_tail(p[2]):
        return 0
    if c < 0xF0:
        if (c == 0xE0 and p[1] < 0xA0) or (c == 0xED and p[1] > 0x9F):
            return 0
        rune[0] = <uint32_t>(c & 0x0F) << 12 | <uint32_t>(p[1] & 0x3F) << 6 | (p[2] & 0x3F)
        return 3
    if n < 4 or not is_tail(p[3]) or (c == 0xF0 and p[1] < 0x90) or (c == 0xF4 and p[1] > 0x8F):
        return 0
    rune[0] = <uint32_t>(c & 7) << 18 | <uint32_t>(p[1] & 0x3F) << 12 | <uint32_t>(p[2] & 0x3F) << 6 | (p[3] & 0x3F)
    return 4


cdef size_t utf8_prefix(const char* p, size_t n) noexcept nogil:
    """Length of the longest well-formed prefix."""
    cdef size_t i = 0
    cdef size_t width
    cdef uint32_t rune
    while True:
        i += nm_ascii_blocks(p + i, n - i)
        if i == n:
            return n
        # A stretch of single steps: blocks pay only where ASCII goes on for a while.
        width = utf8_decode(p + i, n - i, &rune)
        while width > 1 or (width == 1 and (n - i) < 16):
            i += width
            if i == n:
                return n
            width = utf8_decode(p + i, n - i, &rune)
        if width == 0:
            return i
        i += 1


cdef inline bint is_utf8(const char* p, size_t n) noexcept nogil:
    return utf8_prefix(p, n) == n


cdef inline size_t utf8_encode(uint32_t rune, char* out) noexcept nogil:
    """Write a valid character, at most 4 bytes."""
    if rune < 0x80:
        out[0] = <char>rune
        return 1
    if rune < 0x800:
        out[0] = <char>(0xC0 | rune >> 6)
        out[1] = <char>(0x80 | (rune & 0x3F))
        return 2
    if rune < 0x10000:
        out[0] = <char>(0xE0 | rune >> 12)
        out[1] = <char>(0x80 | (rune >> 6 & 0x3F))
        out[2] = <char>(0x80 | (rune & 0x3F))
        return 3
    out[0] = <char>(0xF0 | rune >> 18)
    out[1] = <char>(0x80 | (rune >> 12 & 0x3F))
    out[2] = <char>(0x80 | (rune >> 6 & 0x3F))
    out[3] = <char>(0x80 | (rune & 0x3F))
    return 4


cdef void put_offsets(Buf* map, size_t start, size_t n, bint same) noexcept nogil:
    """Append n offsets: start, start + 1, … or, if `same`, n times start."""
    cdef uint32_t* at
    cdef size_t i
    if buf_reserve(map, n * sizeof(uint32_t)):
        at = <uint32_t*>(map.p + map.n)
        for i in range(n):
            at[i] = <uint32_t>(start if same else start + i)
        map.n += n * sizeof(uint32_t)


cdef void utf8_repair(Buf* out, const char* p, size_t n, Buf* map) noexcept nogil:
    """Append p[0:n] with each ill-formed byte as U+FFFD.

    `map`, unless NULL, gets for each byte appended, and for the end, the offset in p that it came from, as uint32_t.
    """
    cdef size_t i = 0
    cdef size_t good
    while i < n:
        good = utf8_prefix(p + i, n - i)
        buf_put(out, p + i, good)
        if map != NULL:
            put_offsets(map, i, good, False)
        i += good
        if i < n:
            buf_put(out, b"\xef\xbf\xbd", 3)
            if map != NULL:
                put_offsets(map, i, 3, True)
            i += 1
    if map != NULL:
        put_offsets(map, n, 1, True)


cdef inline char lower_byte(char c) noexcept nogil:
    return c | 0x20 if c"A" <= c <= c"Z" else c


cdef void to_lower(Buf* out, const char* p, size_t n) noexcept nogil:
    """Append Go's strings.ToLower(p[0:n]): one character for one, ill-formed bytes as U+FFFD."""
    cdef size_t i = 0
    cdef size_t width
    cdef uint32_t rune
    cdef char* at
    cdef size_t ascii = nm_ascii_prefix(p, n)
    if buf_reserve(out, ascii):
        at = out.p + out.n
        for i in range(ascii):
            at[i] = lower_byte(p[i])
        out.n += ascii
    i = ascii
    while i < n and buf_reserve(out, 4):
        width = utf8_decode(p + i, n - i, &rune)
        out.n += utf8_encode(nm_lower(rune), out.p + out.n)
        i += width if width else 1


# Quoting and replacing.

cdef void put_hex(Buf* b, const char* prefix, uint32_t v, int digits) noexcept nogil:
    cdef const char* names = b"0123456789abcdef"
    buf_text(b, prefix)
    while digits:
        digits -= 1
        buf_char(b, names[v >> 4 * digits & 15])


cdef void quote_rune(Buf* b, uint32_t rune) noexcept nogil:
    """A character that does not print, as an escape."""
    cdef const char* names = b"abtnvfr"
    if 7 <= rune <= 13:
        buf_char(b, c"\\")
        buf_char(b, names[rune - 7])
    elif rune < 0x20 or rune == 0x7F:
        put_hex(b, b"\\x", rune, 2)
    elif rune < 0x10000:
        put_hex(b, b"\\u", rune, 4)
    else:
        put_hex(b, b"\\U", rune, 8)


cdef void quote(Buf* b, const char* p, size_t n) noexcept nogil:
    """Append Go's strconv.Quote(p[0:n])."""
    cdef size_t i = 0
    cdef size_t width
    cdef uint32_t rune
    buf_char(b, c'"')
    while i < n:
        width = utf8_decode(p + i, n - i, &rune)
        if width == 0:
            put_hex(b, b"\\x", <uint8_t>p[i], 2)
            i += 1
            continue
        if rune == c'"' or rune == c"\\":
            buf_char(b, c"\\")
        if nm_printable(rune):
            buf_put(b, p + i, width)
        else:
            quote_rune(b, rune)
        i += width
    buf_char(b, c'"')


cdef void subst_empty(Buf* out, Str new, Str s, size_t limit) noexcept nogil:
    cdef size_t i = 0
    cdef size_t width
    cdef uint32_t rune
    while i < s.n and out.n <= limit:
        width = utf8_decode(s.p + i, s.n - i, &rune)
        width = width if width else 1
        buf_put(out, new.p, new.n)
        buf_put(out, s.p + i, width)
        i += width
    buf_put(out, new.p, new.n)


cdef void subst(Buf* out, Str old, Str new, Str s, size_t limit) noexcept nogil:
    """Append s with every `old` replaced by `new`; an empty `old` stands before each character and at the end.

    `limit` bounds what may be in `out`: beyond it `out.failed` is set and the content is of no use.
    """
    cdef const char* p = s.p
    cdef const char* end = s.p + s.n
    cdef const char* found
    if old.n == 0:
        subst_empty(out, new, s, limit)
    else:
        while p < end and out.n <= limit:
            if old.n == 1:
                found = <const char*>memchr(p, old.p[0], end - p)
            else:
                found = <const char*>memmem(p, end - p, old.p, old.n)
            if found == NULL:
                break
            buf_put(out, p, found - p)
            buf_put(out, new.p, new.n)
            p = found + old.n
        buf_put(out, p, end - p)
    if out.n > limit:
        out.failed = True
