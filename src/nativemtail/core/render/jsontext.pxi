# Text and numbers in JSON.

cdef void put_json_char(Buf* b, uint32_t rune) noexcept nogil:
    """Append a character that JSON has to escape."""
    if rune == c'"' or rune == c"\\":
        buf_char(b, c"\\")
        buf_char(b, <char>rune)
    elif rune == c"\n":
        buf_put(b, b"\\n", 2)
    elif rune == c"\r":
        buf_put(b, b"\\r", 2)
    elif rune == c"\t":
        buf_put(b, b"\\t", 2)
    else:
        put_hex(b, b"\\u", rune, 4)


cdef void put_json(Buf* b, const char* p, size_t n) noexcept nogil:
    """A string, as Go writes it: <, >, & and the line separators are escaped, ill-formed bytes become \\ufffd."""
    cdef size_t i = 0
    cdef size_t start = 0
    cdef size_t width
    cdef uint32_t rune
    cdef uint8_t c
    buf_char(b, c'"')
    while i < n:
        c = <uint8_t>p[i]
        if 0x20 <= c < 0x80 and c != c'"' and c != c"\\" and c != c"<" and c != c">" and c != c"&":
            i += 1
            continue
        width = utf8_decode(p + i, n - i, &rune)
        if c < 0x80 or width == 0 or rune == 0x2028 or rune == 0x2029:
            buf_put(b, p + start, i - start)
            put_json_char(b, rune)
            start = i + (width if width else 1)
        i += width if width else 1
    buf_put(b, p + start, n - start)
    buf_char(b, c'"')


cdef void put_json_number(Buf* b, double v) noexcept nogil:
    """Append a number; non-finite ones become strings."""
    cdef bint finite = v - v == 0
    if not finite:
        buf_char(b, c'"')
    if buf_reserve(b, NUM_TEXT):
        b.n += fmt_json_float(v, b.p + b.n)
    if not finite:
        buf_char(b, c'"')


cdef inline void put_str(Buf* b, Str s) noexcept nogil:
    buf_put(b, s.p, s.n)


cdef bytes json_bytes(text):
    cdef Buf b
    cdef bytes raw = as_bytes(text)
    memset(&b, 0, sizeof(Buf))
    put_json(&b, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return buf_bytes(&b)
