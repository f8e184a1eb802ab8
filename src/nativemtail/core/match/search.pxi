# Search: a single pattern for texts other than log lines, such as the names of logs.

cdef class Search:
    """Whether a pattern matches anywhere in a text, by RE2: in time linear in the text, whatever the pattern.

    `pattern` is what `to_re2` gives; `stepped`: the pattern itself consumes the characters before the match.  Raises
    ValueError for a pattern that RE2 does not take.
    """

    cdef void* re
    cdef bint stepped

    def __cinit__(self, bytes pattern, *, bint stepped=False):
        self.re = re2_compile(pattern, len(pattern))
        self.stepped = stepped
        if self.re == NULL:
            raise ValueError("pattern too large")

    def __dealloc__(self):
        re2_free(self.re)

    def __call__(self, bytes text):
        """`text` is valid UTF-8."""
        cdef const char* s = text
        cdef size_t n = len(text)
        cdef int rc
        with nogil:
            rc = re2_match(self.re, s, n, 0, NULL, 0, self.stepped)
        if rc < 0:
            raise MemoryError()
        return rc == 1
