# The data that the parts of the core share.  Everything here is plain C: no part of it needs the GIL.

cdef struct Str:            # borrowed bytes, without terminator
    const char* p
    size_t n

cdef struct Time:           # an instant: seconds since the epoch (floor) and nanoseconds 0 .. 999,999,999
    int64_t sec
    int32_t nsec

cdef struct Buf:            # growing output or scratch buffer; `failed` stays set after running out of memory
    char* p
    size_t n
    size_t cap
    bint failed

cdef struct Hist:           # observations of one series; `count` has one cell per range
    uint64_t epoch          # of the store at its creation, see store/layout.pxi
    int64_t total
    double sum
    int64_t count[1]        # actual length: the metric's number of ranges

cdef struct Text:           # the value of one text datum, owned by it
    uint64_t epoch          # of the store at its creation, see store/layout.pxi
    uint32_t n
    uint32_t cap
    char p[1]

cdef union Value:
    int64_t i
    double f
    Text* s                 # NULL is the empty text
    Hist* h

cdef struct Datum:          # one series of a metric
    char* key               # the label values, see store/layout.pxi
    Value v
    int64_t time            # nanoseconds since the epoch
    int64_t expiry          # nanoseconds after `time`, 0: never
    uint32_t slot           # its slot number in the metric's slabs
    uint32_t prev           # neighbours in order of creation, as slot numbers
    uint32_t next
    uint32_t heap           # index in the metric's eviction heap, if it has a limit

cdef struct Zone:                   # see zones.Zone
    size_t n
    const int64_t* starts           # n
    const uint16_t* kinds           # n + 1
    const int32_t* offsets          # by kind, seconds east of UTC
    const Str* labels               # by kind
    size_t named
    int64_t cycle_start             # INT64_MAX: none
    const uint16_t* bins            # by bin: number of transitions before its start

cdef enum:                          # Zone.bins: half-years (2**24 seconds) from 1847 to 2482
    BIN_SHIFT = 24
    BIN_COUNT = 1200
    BIN_BASE = -3900000000

cdef struct Timed:          # sampled durations: how many, their sum, and the longest
    int64_t n
    int64_t ns
    int64_t longest
