# The builtin subst(): replacing literal text.

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
    """Append s with every `old` replaced by `new`; an empty `old` is found before each character and at the end.

    `limit` is the most bytes that `out` may have: beyond it `out.failed` is set and the content is invalid.
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
