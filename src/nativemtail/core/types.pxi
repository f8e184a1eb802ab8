# The data that the parts of the core share.  Everything here is plain C: no part of it needs the GIL.

cdef struct Str:            # bytes that someone else owns; no terminator
    const char* p
    size_t n

cdef struct Time:           # an instant: seconds since the epoch (floor) and nanoseconds 0 .. 999,999,999
    int64_t sec
    int32_t nsec

cdef struct Buf:            # growing output or scratch memory; `failed` stays set once memory ran out
    char* p
    size_t n
    size_t cap
    bint failed

cdef struct Hist:           # observations of one label set; `count` has one cell per range
    uint64_t epoch          # of the store when it was made, see store.pxi
    int64_t total
    double sum
    int64_t count[1]        # really as many as the metric has ranges

cdef struct Text:           # the value of one text datum, owned by it
    uint64_t epoch          # of the store when it was made, see store.pxi
    uint32_t n
    uint32_t cap
    char p[1]

cdef union Value:
    int64_t i
    double f
    Text* s                 # NULL is the empty text
    Hist* h

cdef struct Datum:          # one label set of a metric
    char* key               # the label values, see store.pxi
    Value v
    int64_t time            # nanoseconds since the epoch
    int64_t expiry          # nanoseconds after `time`, 0: never
    uint32_t slot           # its number in the metric's slabs
    uint32_t prev           # neighbours in order of creation, as slot numbers
    uint32_t next
    uint32_t heap           # place in the metric's eviction heap, if it has a limit
