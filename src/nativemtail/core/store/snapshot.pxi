# Snapshot: a consistent copy of all metrics.

cdef class Row:
    """See _core.pyi."""

    def __repr__(self):
        return f"<Row {self.labels} {self.value if self.value is not None else self.buckets} at {self.time}>"


cdef Row make_row(MetricTable* m, const Datum* d):
    cdef Row row = Row.__new__(Row)
    cdef const char* at = d.key
    cdef list labels = []
    cdef Str s
    cdef uint32_t i
    for i in range(m.nkeys):
        s = key_next(&at)
        labels.append(s.p[:s.n].decode("utf-8"))
    row.labels = tuple(labels)
    row.time = d.time
    row.expiry = d.expiry
    row.buckets = ()
    if m.type == TYPE_INT:
        row.value = d.v.i
    elif m.type == TYPE_FLOAT:
        row.value = d.v.f
    elif m.type == TYPE_STRING:
        s = datum_text(d)
        row.value = s.p[:s.n] if s.n else b""
    else:
        row.count = d.v.h.total
        row.sum = d.v.h.sum
        row.buckets = tuple([(m.bound[i], d.v.h.count[i]) for i in range(m.nranges)])
    return row


cdef bint view_begin(SnapMetric* view, MetricTable* m) noexcept nogil:
    """Record what the view will contain; under the lock."""
    cdef size_t slots = <size_t>m.slabs * SLAB if m.nkeys else m.slabs
    view.m = m
    view.slabs = m.slabs
    view.head = m.head
    view.count = m.count
    if slots == 0:
        return True
    view.rows = <Datum*>malloc(slots * sizeof(Datum))
    view.done = <uint8_t*>calloc(m.slabs, 1)
    if view.rows == NULL or view.done == NULL:
        return False
    m.saving = view
    m.observed = True
    return True


cdef void view_end(SnapMetric* view) noexcept nogil:
    """Under the lock."""
    if view.done != NULL and view.m.saving == view:
        view.m.saving = NULL
        view.m.observed = view.m.tracked
    free(view.done)
    view.done = NULL


cdef void snapshot_copy(StoreTable* store, SnapTable* snap) noexcept nogil:
    """Copy everything in slices, yielding the lock after each; called and left with the lock held."""
    cdef SnapMetric* view
    cdef size_t copied = 0
    cdef size_t i
    cdef uint32_t number
    for i in range(snap.n):
        view = &snap.metric[i]
        for number in range(view.slabs):
            copy_slab(view.m, number)
            copied += slab_size(view.m) * sizeof(Datum) if view.m.nkeys else 4 * sizeof(Datum)
            if copied >= SLICE:
                store.lock.release()
                copied = 0
                store.lock.acquire()
        view_end(view)


cdef void snapshot_unlink(StoreTable* store, SnapTable* snap) noexcept nogil:
    if snap.newer != NULL:
        snap.newer.older = snap.older
    else:
        store.newest = snap.older
    if snap.older != NULL:
        snap.older.newer = snap.newer
    else:
        store.oldest = snap.newer


cdef void snapshot_release(StoreTable* store, SnapTable* snap) noexcept nogil:
    """Free the rows, and let go of what they point to."""
    cdef Retired* retired
    cdef size_t n = 0
    cdef size_t i
    if snap.linked:
        store.lock.acquire()
        for i in range(snap.n):
            view_end(&snap.metric[i])
        snapshot_unlink(store, snap)
        snap.linked = False
        retired = reclaimable(store, &n)
        store.lock.release()
        reclaim(retired, n)
    for i in range(snap.n):
        free(snap.metric[i].rows)
        snap.metric[i].rows = NULL


cdef void snapshot_free(StoreTable* store, SnapTable* snap) noexcept nogil:
    cdef size_t i
    snapshot_release(store, snap)
    for i in range(snap.n):
        free(snap.metric[i].changed)
    free(snap.metric)
    free(snap)


cdef class Snapshot:
    """See _core.pyi.  With `members` it begins as views of these metrics that have only the number of rows;
    render/rows.pxi copies the rows.
    """

    def __cinit__(self, Store owner not None, list members=None):
        self.table = <SnapTable*>calloc(1, sizeof(SnapTable))
        if self.table == NULL:
            raise MemoryError
        self.store = owner.table
        self.store.users += 1
        if members is not None:
            self._outline(members)
            return
        acquire(self.store)
        snapshot_link(self.store, self.table)
        try:
            try:
                self._begin(owner)
            finally:
                collector_back()
            with nogil:
                snapshot_copy(self.store, self.table)
        finally:
            unlock(self.store)

    cdef int _begin(self, Store owner) except -1:
        """Record what the store contains now; under the lock."""
        cdef Metric metric
        cdef size_t i = 0
        self.members = owner.metrics()
        self.place = {id(metric): i for i, metric in enumerate(self.members)}
        self.table.metric = <SnapMetric*>calloc(max(len(self.members), 1), sizeof(SnapMetric))
        if self.table.metric == NULL:
            raise MemoryError
        self.table.n = len(self.members)
        for metric in self.members:
            if not view_begin(&self.table.metric[i], metric.table):
                raise MemoryError
            i += 1
        return 0

    cdef int _outline(self, list members) except -1:
        cdef Metric metric
        cdef SnapMetric* view
        self.members = members
        self.place = {id(metric): i for i, metric in enumerate(members)}
        self.table.metric = <SnapMetric*>calloc(max(len(members), 1), sizeof(SnapMetric))
        if self.table.metric == NULL:
            raise MemoryError
        for metric in members:
            view = &self.table.metric[self.table.n]
            view.m = metric.table
            view.head = NO_SLOT
            view.count = relaxed_load(&metric.table.count)    # without the lock
            self.table.n += 1
        return 0

    def __dealloc__(self):
        if self.table != NULL and self.store != NULL:
            with nogil:
                snapshot_free(self.store, self.table)
            store_release(self.store)

    cdef SnapMetric* view(self, Metric metric) except NULL:
        place = self.place.get(id(metric))
        if place is None:
            raise ValueError(f"{metric!r} is not in the snapshot")
        return &self.table.metric[<size_t>place]

    def metrics(self):
        return list(self.members)

    def rows(self, Metric metric not None):
        cdef SnapMetric* view = self.view(metric)
        cdef uint32_t slot = view.head
        while slot != NO_SLOT:
            yield make_row(view.m, &view.rows[slot])
            slot = view.rows[slot].next

    def count(self, Metric metric not None):
        return self.view(metric).count
