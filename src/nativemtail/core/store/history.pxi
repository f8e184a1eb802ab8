# What lines wrote to a metric, by the step of their own time (core/history.hpp), as columns for Python.

cdef struct Kept:               # a series that has cells
    const char* key
    Cells* cells
    int64_t end                 # the step in which it ended; INT64_MAX: it did not


cdef size_t list_kept(MetricTable* m, Kept* kept) noexcept nogil:
    """List the series, those that ended first, in that order; at most m.count and as many as ended."""
    cdef History* h = m.history
    cdef Cells* cells
    cdef uint32_t slot = m.head
    cdef size_t n = 0
    cdef size_t i
    for i in range(h.ended.size()):
        h.sort(h.ended[i].cells)
        kept[n] = Kept(h.ended[i].key, &h.ended[i].cells, h.ended[i].step)
        n += 1
    while slot != NO_SLOT:
        cells = h.cells_of(slot)
        if cells != NULL:
            kept[n] = Kept(datum_at(m, slot).key, cells, INT64_MAX)
            n += 1
        slot = datum_at(m, slot).next
    return n


cdef object label_column(MetricTable* m, const Kept* kept, size_t n, uint32_t label):
    """Offsets (64 bits, one more than there are series) and bytes of a label."""
    cdef bytearray offsets = bytearray((n + 1) * sizeof(int64_t))
    cdef int64_t* offset = <int64_t*><char*>offsets
    cdef Buf text
    cdef const char* at
    cdef Str value
    cdef size_t i
    cdef uint32_t k
    memset(&text, 0, sizeof(Buf))
    try:
        with nogil:
            for i in range(n):
                at = kept[i].key
                value = key_next(&at)
                for k in range(label):
                    value = key_next(&at)
                buf_put(&text, value.p, value.n)
                offset[i + 1] = <int64_t>text.n
        if text.failed:
            raise MemoryError
        return bytes(offsets), text.p[:text.n] if text.n else b""
    finally:
        buf_free(&text)


cdef object cell_columns(const Kept* kept, size_t n):
    """Of each series the number of cells and its end, then of all cells the keys, values and times."""
    cdef bytearray counts = bytearray(n * sizeof(int64_t))
    cdef bytearray ends = bytearray(n * sizeof(int64_t))
    cdef size_t total = 0
    cdef size_t i, k, at = 0
    for i in range(n):
        (<int64_t*><char*>counts)[i] = kept[i].cells.n
        (<int64_t*><char*>ends)[i] = kept[i].end
        total += kept[i].cells.n
    cdef bytearray keys = bytearray(total * sizeof(int64_t))
    cdef bytearray values = bytearray(total * sizeof(int64_t))
    cdef bytearray times = bytearray(total * sizeof(int64_t))
    cdef int64_t* key = <int64_t*><char*>keys
    cdef int64_t* value = <int64_t*><char*>values
    cdef int64_t* time = <int64_t*><char*>times
    with nogil:
        for i in range(n):
            for k in range(kept[i].cells.n):
                key[at] = kept[i].cells.p[k].key
                value[at] = kept[i].cells.p[k].value
                time[at] = kept[i].cells.p[k].time
                at += 1
    return counts, ends, keys, values, times


def keep_history(Metric metric not None, int64_t step, int how):
    """See _core.pyi."""
    if step <= 0 or not HISTORY_SUM <= how <= HISTORY_OBSERVED or metric.table.history != NULL:
        raise ValueError("no such history")
    metric.table.history = new_history(how, step, metric.table.nranges)
    if metric.table.history == NULL:
        raise MemoryError


def take_history(Metric metric not None):
    """See _core.pyi."""
    cdef MetricTable* m = metric.table
    cdef Kept* kept
    cdef size_t n
    if m.history == NULL or m.history.failed:
        raise MemoryError if m.history != NULL else ValueError("no history is kept")
    kept = <Kept*>malloc((m.count + m.history.ended.size() + 1) * sizeof(Kept))
    if kept == NULL:
        raise MemoryError
    try:
        with nogil:
            n = list_kept(m, kept)
        labels = [label_column(m, kept, n, label) for label in range(m.nkeys)]
        return labels, *cell_columns(kept, n)
    finally:
        free(kept)


def forget_history(Metric metric not None):
    """See _core.pyi."""
    cdef MetricTable* m = metric.table
    m.history.clear()
    metric_clear(m)
    m.history.clear()


def end_history(Metric metric not None, int64_t time):
    """See _core.pyi."""
    if metric.table.history != NULL:
        metric.table.history.ends_at = metric.table.history.step_of(time)


def history_memory(Metric metric not None):
    """See _core.pyi."""
    return metric.table.history.memory + metric.table.memory if metric.table.history != NULL else 0
