# Test hooks: the operations that programs call on metrics.  Labels come as bytes or str.

cdef double monotonic_seconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec / 1e9


cdef int with_labels(Metric metric, labels, Str* out, list keep) except -1:
    cdef uint32_t i
    if len(labels) != metric.table.nkeys:
        raise ValueError("as many labels as keys, please")
    for i in range(metric.table.nkeys):
        keep.append(as_bytes(labels[i]))
        out[i].p = PyBytes_AS_STRING(keep[i])
        out[i].n = PyBytes_GET_SIZE(keep[i])
    return 0


cdef class _Held:
    """Labels in C form, and the store's lock while the `with` block runs."""

    cdef Metric metric
    cdef Str* labels
    cdef list keep

    def __cinit__(self, Metric metric not None, labels=()):
        self.metric = metric
        self.keep = []
        self.labels = <Str*>calloc(max(metric.table.nkeys, 1), sizeof(Str))
        if self.labels == NULL:
            raise MemoryError
        with_labels(metric, labels, self.labels, self.keep)

    def __enter__(self):
        cdef StoreTable* store = self.metric.table.store
        if store != NULL:
            with nogil:
                store.lock.acquire()
        return self

    def __exit__(self, *exc):
        if self.metric.table.store != NULL:
            self.metric.table.store.lock.release()

    def __dealloc__(self):
        free(self.labels)


def _store_get(Metric metric, labels=(), int64_t now=0):
    """metric_get; whether there is a datum."""
    cdef _Held held
    with _Held(metric, labels) as held:
        return metric_get(metric.table, held.labels, now) != NULL


def _store_find(Metric metric, labels=()):
    cdef _Held held
    with _Held(metric, labels) as held:
        return metric_find(metric.table, held.labels) != NULL


def _store_add(Metric metric, labels=(), int64_t delta=1, int64_t time=0, now=None):
    """metric_get and datum_add_int."""
    cdef _Held held
    cdef Datum* d
    with _Held(metric, labels) as held:
        d = metric_get(metric.table, held.labels, time if now is None else now)
        if d != NULL:
            datum_add_int(metric.table, d, delta, time)
        return d != NULL


def _store_set(Metric metric, labels, value, int64_t time=0, now=None):
    """metric_get, then the write that the metric's type has (histograms: one observation)."""
    cdef _Held held
    cdef Datum* d
    cdef Str s
    with _Held(metric, labels) as held:
        d = metric_get(metric.table, held.labels, time if now is None else now)
        if d == NULL:
            return False
        if metric.type == TYPE_INT:
            datum_set_int(metric.table, d, value, time)
        elif metric.type == TYPE_FLOAT:
            datum_set_float(metric.table, d, value, time)
        elif metric.type == TYPE_BUCKETS:
            return datum_observe(metric.table, d, value, time)
        else:
            s.p, s.n = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
            return datum_set_text(metric.table, d, s, time)
        return True


def _store_append(Metric metric, labels, bytes value, int64_t time=0):
    """metric_get and datum_append_text."""
    cdef _Held held
    cdef Datum* d
    cdef Str s
    s.p, s.n = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
    with _Held(metric, labels) as held:
        d = metric_get(metric.table, held.labels, time)
        return d != NULL and datum_append_text(metric.table, d, s, time)


def _store_double(Metric metric, labels=(), int64_t time=0):
    """Append the text to itself."""
    cdef _Held held
    cdef Datum* d
    with _Held(metric, labels) as held:
        d = metric_get(metric.table, held.labels, time)
        return d != NULL and datum_append_text(metric.table, d, datum_text(d), time)


def _store_del(Metric metric, labels=()):
    cdef _Held held
    with _Held(metric, labels) as held:
        return metric_del(metric.table, held.labels)


def _store_expire(Metric metric, labels, int64_t expiry):
    cdef _Held held
    with _Held(metric, labels) as held:
        return metric_expire(metric.table, held.labels, expiry)


cdef size_t counted_label(char* out, uint32_t key, uint64_t i) noexcept nogil:
    """Ten bytes: the key's letter, then `i` in decimal."""
    cdef int at
    out[0] = <char>(c"a" + key % 26)
    for at in range(9, 0, -1):
        out[at] = <char>(c"0" + i % 10)
        i //= 10
    return 10


cdef bint fill_one(MetricTable* m, uint64_t i, Str* labels, char* texts, int64_t time) noexcept nogil:
    cdef uint32_t key
    cdef Datum* d
    for key in range(m.nkeys):
        labels[key].p = texts + 10 * key
        labels[key].n = counted_label(texts + 10 * key, key, i)
    d = metric_get(m, labels, time)
    if d == NULL:
        return False
    if m.type == TYPE_INT:
        datum_add_int(m, d, 1, time)
    elif m.type == TYPE_FLOAT:
        datum_set_float(m, d, d.v.f + 1, time)
    elif m.type == TYPE_BUCKETS:
        return datum_observe(m, d, <double>(i % 1000), time)
    return True


def _store_fill(metrics, uint64_t series, uint64_t writes, uint64_t step=1, int64_t time=0):
    """Like an engine: `writes` lines, each one write to the label set (line * step % series) of every metric.

    Runs without the GIL, yields the lock at line ends; the lines written and the longest wait for the lock in seconds.
    """
    cdef list members = list(metrics)
    cdef StoreTable* store = (<Metric?>members[0]).table.store
    cdef MetricTable** m = <MetricTable**>malloc(len(members) * sizeof(MetricTable*))
    cdef size_t n = len(members)
    cdef uint32_t width = max([len(metric.keys) for metric in members] + [1])
    cdef Str* labels = <Str*>malloc(width * sizeof(Str))
    cdef char* texts = <char*>malloc(width * 10)
    cdef uint64_t line = 0
    cdef size_t i
    cdef double longest = 0
    cdef double before
    cdef bint good = m != NULL and labels != NULL and texts != NULL
    if good:
        for i in range(n):
            m[i] = (<Metric?>members[i]).table
        with nogil:
            store.lock.acquire()
            while line < writes and good:
                for i in range(n):
                    good = good and fill_one(m[i], line * step % series, labels, texts, time)
                line += 1
                if lock_wanted(store.lock):
                    store.lock.release()
                    before = monotonic_seconds()
                    store.lock.acquire()
                    longest = max(longest, monotonic_seconds() - before)
            store.lock.release()
    free(m)
    free(labels)
    free(texts)
    return line, longest
