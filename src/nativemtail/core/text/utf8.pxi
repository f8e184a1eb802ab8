# UTF-8 as Go decodes it: a byte that starts no well-formed sequence counts as one character, U+FFFD.

cdef inline bint is_ascii(const char* p, size_t n) noexcept nogil:
    return ascii_prefix(p, n) == n


cdef inline bint is_tail(uint8_t c) noexcept nogil:
    return (c & 0xC0) == 0x80


cdef inline size_t utf8_decode(const char* text, size_t n, uint32_t* rune) noexcept nogil:
    """Decode the first character of text[0:n], n > 0; returns its bytes, or 0 with U+FFFD in `rune` if ill-formed."""
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
        i += ascii_blocks(p + i, n - i)
        if i == n:
            return n
        # Step by single characters up to the next ASCII one that has 16 bytes after it, where blocks may pay again.
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
    """Encode a valid character, at most 4 bytes; returns its length."""
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

    `map`, unless NULL, gets the offset in p of each byte appended, and of the end, as uint32_t.
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


cdef inline char other_case(char c, char first) noexcept nogil:
    """A letter of ASCII in the other case if it is one of the 26 from `first` on."""
    return c ^ 0x20 if <uint8_t>(c - first) < 26 else c


cdef void to_case(Buf* out, const char* p, size_t n, bint upper) noexcept nogil:
    """Append Go's strings.ToLower(p[0:n]) or ToUpper: character by character, ill-formed bytes as U+FFFD."""
    cdef size_t i = 0
    cdef size_t width
    cdef uint32_t rune
    cdef char* at
    cdef char first = c"a" if upper else c"A"
    cdef size_t ascii = ascii_prefix(p, n)
    if buf_reserve(out, ascii):
        at = out.p + out.n
        for i in range(ascii):
            at[i] = other_case(p[i], first)
        out.n += ascii
    i = ascii
    while i < n and buf_reserve(out, 4):
        width = utf8_decode(p + i, n - i, &rune)
        out.n += utf8_encode(upper_rune(rune) if upper else lower_rune(rune), out.p + out.n)
        i += width if width else 1
