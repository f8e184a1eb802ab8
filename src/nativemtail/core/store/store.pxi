# Store: all metrics, and the collection of expired series.

cdef inline bint is_over(Datum* d, int64_t now) noexcept nogil:
    """Whether it has expired; the age is computed without overflow."""
    return d.expiry > 0 and now > d.time and <uint64_t>now - <uint64_t>d.time > <uint64_t>d.expiry


cdef uint64_t gc_slice(MetricTable* m, int64_t now, uint32_t* next) noexcept nogil:
    """Collect in GC_SLICE slots from next[0] on, which is advanced; NO_SLOT at the end."""
    cdef uint32_t slot = next[0]
    cdef uint32_t end = slot + GC_SLICE
    cdef uint64_t gone = 0
    cdef Datum* d
    while slot < end and slot // SLAB < m.slabs and m.expiring:
        if m.slab[slot // SLAB].p == NULL or slot % SLAB >= slab_size(m):
            slot = (slot // SLAB + 1) * SLAB
            continue
        d = datum_at(m, slot)
        if d.key != NULL and is_over(d, now):
            metric_drop(m, d)
            gone += 1
        slot += 1
    next[0] = slot if slot // SLAB < m.slabs and m.expiring else NO_SLOT
    return gone


cdef uint64_t table_gc(StoreTable* store, MetricTable* m, int64_t now) noexcept nogil:
    """Trim to the limit, then drop expired series (spec runtime.md §5.2), releasing the lock after each slice."""
    cdef uint32_t slot = 0
    cdef uint64_t gone = 0
    cdef uint32_t i
    cdef bint trimming = True
    while slot != NO_SLOT:
        store.lock.acquire()
        i = 0
        while trimming and i < GC_SLICE // 8:
            trimming = m.limit > 0 and m.count > m.limit
            if trimming:
                metric_drop(m, heap_oldest(m))
                gone += 1
            i += 1
        if not trimming:
            gone += gc_slice(m, now, &slot)
        store.lock.release()
    return gone


cdef class Store:
    """See _core.pyi.  `table.lock` is the lock that the engine holds while it scans."""

    def __cinit__(self):
        self.families = {}
        self.table = <StoreTable*>calloc(1, sizeof(StoreTable))
        if self.table == NULL:
            raise MemoryError
        self.table.users = 1
        self.table.lock = new_lock()
        self.table.snapshot_lock = new_lock()
        if self.table.lock == NULL or self.table.snapshot_lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.table != NULL:
            store_release(self.table)

    @property
    def memory(self):
        return relaxed_load(&self.table.memory)

    @property
    def limit(self):
        return relaxed_load(&self.table.limit)

    @limit.setter
    def limit(self, size_t limit):
        relaxed_store(&self.table.limit, limit)

    @property
    def refused(self):
        return relaxed_load(&self.table.refused)

    @property
    def over_limit(self):
        return relaxed_load(&self.table.over)

    def add(self, Metric metric not None):
        self.replace((), (metric,))

    def remove(self, Metric metric not None):
        self.replace((metric,), ())

    def replace(self, old, new, inherit=()):
        cdef list pairs = [(<Metric?>to, <Metric?>source) for to, source in inherit]
        old, new = list(old), list(new)
        acquire(self.table)
        try:
            self._check(old, new)
            for to, source in pairs:
                check_inherit(to, source)
            for to, source in pairs:
                inherit_from(to, source)
            self._exchange(old, new)
        finally:
            release(self.table)

    cdef int _check(self, list old, list new) except -1:
        cdef Metric metric
        for metric in old:
            if not any(metric is other for other in self.families.get(metric.name, ())):
                raise ValueError(f"{metric!r} is not in the store")
        for metric in new:
            if metric.table.counted or (metric.table.store != NULL and metric.table.store != self.table):
                raise ValueError(f"{metric!r} is in a store already")
        if len({id(m) for m in new}) < len(new) or len({id(m) for m in old}) < len(old):
            raise ValueError("a metric is named twice")
        return 0

    cdef int _exchange(self, list old, list new) except -1:
        """Exchange metrics that have been checked; under the lock."""
        cdef Metric metric
        cdef list family, places
        cdef set gone = set(old)
        for metric in new:
            family = self.families.setdefault(metric.name, [])
            places = [i for i, other in enumerate(family) if other in gone and other.program == metric.program]
            if places:
                self._uncount(family[places[0]])
                gone.discard(family[places[0]])
                family[places[0]] = metric
            else:
                family.append(metric)
            if metric.table.store == NULL:
                attach(metric.table, self.table)
            metric.table.counted = True
            relaxed_add(&self.table.memory, metric.table.memory)
        for metric in gone:
            self._uncount(metric)
            family = self.families[metric.name]
            family.remove(metric)
            if not family:
                del self.families[metric.name]
        return 0

    cdef void _uncount(self, Metric metric) noexcept:
        uncount(metric.table)

    def metrics(self):
        return [metric for family in self.families.values() for metric in family]

    def snapshot(self):
        return Snapshot(self)

    def gc(self, int64_t now):
        cdef Metric metric
        cdef StoreTable* store = self.table
        cdef uint64_t gone = 0
        with nogil:
            store.snapshot_lock.acquire()
        try:
            for metric in self.metrics():
                with nogil:
                    gone += table_gc(store, metric.table, now)
        finally:
            store.snapshot_lock.release()
        return gone
