# TimeZone: a time zone passed from Python.

from bisect import bisect_right


cdef class TimeZone:
    """A time zone in C, made of a `nativemtail.programs.zones.Zone`."""

    def __cinit__(self, data):
        cdef size_t n = len(data.starts)
        cdef size_t kinds = len(data.types)
        cdef size_t letters = sum([len(label) for _, label in data.types])
        if <size_t>len(data.kinds) != n + 1 or max(data.kinds) >= kinds or max(n, kinds) > 65535:
            raise ValueError("not the tables of a time zone")
        self.block = calloc(1, n * 8 + kinds * (sizeof(Str) + 4) + (n + 1 + BIN_COUNT) * 2 + letters)
        if self.block == NULL:
            raise MemoryError
        self.name = data.name
        self.fill(data, n, kinds)

    cdef fill(self, data, size_t n, size_t kinds):
        cdef int64_t* starts = <int64_t*>self.block
        cdef Str* labels = <Str*>(starts + n)
        cdef int32_t* offsets = <int32_t*>(labels + kinds)
        cdef uint16_t* kind_of = <uint16_t*>(offsets + kinds)
        cdef uint16_t* bin_of = kind_of + n + 1
        cdef char* letters = <char*>(bin_of + BIN_COUNT)
        cdef Py_ssize_t i
        cdef bytes label
        for i in range(<Py_ssize_t>n):
            starts[i] = data.starts[i]
        for i in range(<Py_ssize_t>n + 1):
            kind_of[i] = data.kinds[i]
        for i in range(BIN_COUNT):
            bin_of[i] = bisect_right(data.starts, BIN_BASE + (<int64_t>i << BIN_SHIFT))
        for i in range(<Py_ssize_t>kinds):
            offsets[i], label = data.types[i]
            labels[i] = Str(letters, len(label))
            memcpy(letters, <const char*>label, len(label))
            letters += len(label)
        self.zone = Zone(n, starts, kind_of, offsets, labels, min(data.named, kinds), INT64_MAX, bin_of)
        if data.cycle_start is not None:
            self.zone.cycle_start = data.cycle_start

    def __dealloc__(self):
        free(self.block)
