# The interface of the core for other extensions: structs, small functions, classes, and some functions of its parts.

include "core/externs/base.pxi"
include "core/abi.pxi"
include "core/types.pxi"
include "core/store/layout.pxi"


cdef class TimeZone:
    cdef Zone zone
    cdef void* block
    cdef readonly str name
    cdef fill(self, data, size_t n, size_t kinds)

cdef class Metric:
    cdef MetricTable* table
    cdef readonly str name
    cdef readonly str program
    cdef readonly int kind
    cdef readonly int type
    cdef readonly tuple keys
    cdef readonly str source
    cdef readonly tuple buckets
    cdef readonly int64_t limit
    cdef readonly bint hidden
    cdef readonly str version
    cdef readonly str help
    cdef readonly str unit
    cdef readonly tuple labels
    cdef int _make_room(self) except -1

cdef class Store:
    cdef StoreTable* table
    cdef dict families      # name -> list of Metric
    cdef int _check(self, list old, list new) except -1
    cdef int _exchange(self, list old, list new) except -1
    cdef void _uncount(self, Metric metric) noexcept

cdef class Row:
    cdef readonly tuple labels
    cdef readonly int64_t time
    cdef readonly int64_t expiry
    cdef readonly object value
    cdef readonly int64_t count
    cdef readonly double sum
    cdef readonly tuple buckets

cdef class Snapshot:
    cdef StoreTable* store
    cdef SnapTable* table
    cdef list members       # of Metric, as table.metric
    cdef dict place         # id of a Metric -> index in `members`
    cdef int _begin(self, Store owner) except -1
    cdef int _outline(self, list members) except -1
    cdef SnapMetric* view(self, Metric metric) except NULL


# For _render.
cdef Row make_row(MetricTable* m, const Datum* d)

# For the tests: the operations of programs on metrics, and the sampling of times.
cdef uint64_t slow_ticks
cdef Datum* metric_find(MetricTable* m, const Str* labels) noexcept nogil
cdef Datum* metric_get(MetricTable* m, const Str* labels, int64_t now) noexcept nogil
cdef bint metric_del(MetricTable* m, const Str* labels) noexcept nogil
cdef bint metric_expire(MetricTable* m, const Str* labels, int64_t expiry) noexcept nogil
cdef void datum_add_int(MetricTable* m, Datum* d, int64_t delta, int64_t time) noexcept nogil
cdef void datum_set_int(MetricTable* m, Datum* d, int64_t value, int64_t time) noexcept nogil
cdef void datum_set_float(MetricTable* m, Datum* d, double value, int64_t time) noexcept nogil
cdef bint datum_set_text(MetricTable* m, Datum* d, Str s, int64_t time) noexcept nogil
cdef bint datum_append_text(MetricTable* m, Datum* d, Str s, int64_t time) noexcept nogil
cdef bint datum_observe(MetricTable* m, Datum* d, double v, int64_t time) noexcept nogil
cdef void note_time(Timed* timed, int64_t ns) noexcept nogil
cdef double estimated(const Timed* timed, int64_t clock_ns, int64_t runs)
