# Go's quoting.

cdef void put_hex(Buf* b, const char* prefix, uint32_t v, int digits) noexcept nogil:
    cdef const char* names = b"0123456789abcdef"
    buf_text(b, prefix)
    while digits:
        digits -= 1
        buf_char(b, names[v >> 4 * digits & 15])


cdef void quote_rune(Buf* b, uint32_t rune) noexcept nogil:
    """Append the escape of a non-printable character."""
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
        if is_printable(rune):
            buf_put(b, p + i, width)
        else:
            quote_rune(b, rune)
        i += width
    buf_char(b, c'"')
