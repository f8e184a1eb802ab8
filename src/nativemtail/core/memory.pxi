# Zeroed memory for C tables, and the bytes of Python objects.

cdef enum:
    CACHE_LINE = 64


cdef void* zeroed(size_t count, size_t size) except NULL:
    cdef void* p = calloc(count if count else 1, size)
    if p == NULL:
        raise MemoryError()
    return p


cdef void* zeroed_lines(size_t count, size_t size) except NULL:
    """zeroed() at the start of a cache line, so that each element touches as few lines as possible."""
    cdef size_t n = (count * size // CACHE_LINE + 1) * CACHE_LINE
    cdef void* p = aligned_alloc(CACHE_LINE, n)
    if p == NULL:
        raise MemoryError()
    memset(p, 0, n)
    return p


cdef Str borrow(bytes text):
    """The bytes of an object, which the caller keeps alive."""
    cdef Str s
    s.p = text
    s.n = len(text)
    return s
