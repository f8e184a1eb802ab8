# Parts of texts, as trim(), substr() and split() give them (beyond README §10).  They point into the text.

cdef inline bint is_blank(char c) noexcept nogil:
    return c == 32 or <uint8_t>(c - 9) < 5


cdef inline Str part(const char* p, size_t n) noexcept nogil:
    cdef Str text
    text.p = p
    text.n = n
    return text


cdef Str trim(Str s) noexcept nogil:
    while s.n and is_blank(s.p[0]):
        s.p += 1
        s.n -= 1
    while s.n and is_blank(s.p[s.n - 1]):
        s.n -= 1
    return s


cdef Str trim_prefix(Str s, Str prefix) noexcept nogil:
    if prefix.n > s.n or (prefix.n and memcmp(s.p, prefix.p, prefix.n) != 0):
        return s
    return part(s.p + prefix.n, s.n - prefix.n)


cdef Str trim_suffix(Str s, Str suffix) noexcept nogil:
    if suffix.n > s.n or (suffix.n and memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) != 0):
        return s
    return part(s.p, s.n - suffix.n)


cdef Str substr(Str s, int64_t first, int64_t count) noexcept nogil:
    """The bytes from `first` to before `first + count` that s has."""
    cdef int64_t n = <int64_t>s.n
    if count <= 0 or first >= n:
        return part(s.p, 0)
    if first < 0:
        count += first              # the signs differ
        first = 0
        if count <= 0:
            return part(s.p, 0)
    return part(s.p + first, <size_t>min(count, n - first))


cdef inline const char* find(const char* p, size_t n, Str what) noexcept nogil:
    if what.n == 1:
        return <const char*>memchr(p, what.p[0], n)
    return <const char*>memmem(p, n, what.p, what.n)


cdef Str split(Str s, Str separator, int64_t piece) noexcept nogil:
    """Piece number `piece` of s, from 1, or from the end if negative; empty if there is none."""
    cdef int64_t pieces = 1
    cdef const char* at = s.p
    cdef const char* end = s.p + s.n
    cdef const char* found
    if piece < 0:
        while separator.n:
            found = find(at, end - at, separator)
            if found == NULL:
                break
            pieces += 1
            at = found + separator.n
        piece += pieces + 1
        at = s.p
    if piece < 1:
        return part(s.p, 0)
    while True:
        found = find(at, end - at, separator) if separator.n else NULL
        if piece == 1:
            return part(at, (end if found == NULL else found) - at)
        if found == NULL:
            return part(s.p, 0)
        at = found + separator.n
        piece -= 1
