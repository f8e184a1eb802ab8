# Growing buffers.  Start from `Buf(NULL, 0, 0, False)`; once `failed` is set, no call changes the content.
# Of the parts of text/, only python.pxi needs the GIL.

cdef enum:
    NUM_TEXT = 32           # enough room for any fmt_… function


cdef bint buf_reserve(Buf* b, size_t more) noexcept nogil:
    """Make room for `more` bytes; false, with `failed` set, if memory runs out."""
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
        b.n += int_text(v, b.p + b.n)


cdef inline void buf_clear(Buf* b) noexcept nogil:
    """Empty the buffer and reset `failed`; keeps the memory."""
    b.n = 0
    b.failed = False


cdef inline void buf_free(Buf* b) noexcept nogil:
    free(b.p)
    b.p = NULL
    b.n = b.cap = 0
    b.failed = False
