# Metric: the Python class around a table.

COUNTER = KIND_COUNTER
GAUGE = KIND_GAUGE
TIMER = KIND_TIMER
TEXT = KIND_TEXT
HISTOGRAM = KIND_HISTOGRAM

INT = TYPE_INT
FLOAT = TYPE_FLOAT
STRING = TYPE_STRING
BUCKETS = TYPE_BUCKETS


cdef int check_inherit(Metric new, Metric old) except -1:
    if new is old or (new.type, new.keys, new.buckets) != (old.type, old.keys, old.buckets):
        raise ValueError(f"{old!r} and {new!r} differ in type, keys or buckets")
    if new.table.store != NULL and new.table.store != old.table.store:
        raise ValueError(f"{old!r} and {new!r} belong to different stores")
    return 0


cdef int inherit_from(Metric new, Metric old) except -1:
    """Under the lock."""
    cdef bint whole
    if old.table.store != NULL and new.table.store == NULL:
        attach(new.table, old.table.store)
    with nogil:
        whole = table_inherit(new.table, old.table)
    if not whole:
        raise MemoryError
    return 0


cdef void attach(MetricTable* m, StoreTable* store) noexcept:
    """Attach the metric to a store, with its lock, snapshots and limits."""
    m.store = store
    store.users += 1


cdef class Metric:
    """See _core.pyi.  `table` lives as long as this object."""

    def __cinit__(self, str name, str program, int kind, int type, keys=(), str source="", buckets=(),
                  int64_t limit=0, bint hidden=False, str version="", str help="", str unit="", labels=()):
        cdef Str none
        self.name, self.program, self.kind, self.type, self.source = name, program, kind, type, source
        self.keys, self.buckets = tuple(map(str, keys)), tuple(map(float, buckets))
        self.limit, self.hidden, self.version = limit, hidden, version
        self.help, self.unit, self.labels = help, unit, tuple(labels)
        self._check()
        self.table = <MetricTable*>calloc(1, sizeof(MetricTable))
        if self.table == NULL:
            raise MemoryError
        self.table.kind = kind
        self.table.type = type
        self.table.limit = limit
        self.table.nkeys = <uint32_t>len(self.keys)
        table_reset(self.table)
        self._make_room()
        if not self.keys and kind in (KIND_COUNTER, KIND_HISTOGRAM):
            if datum_make(self.table, &none, 0, 0) == NULL:
                raise MemoryError

    def _check(self):
        if not KIND_COUNTER <= self.kind <= KIND_HISTOGRAM or not TYPE_INT <= self.type <= TYPE_BUCKETS:
            raise ValueError("no such kind or type of metric")
        if (self.kind == KIND_HISTOGRAM) != (self.type == TYPE_BUCKETS):
            raise ValueError("a histogram has buckets, other metrics have none")
        if self.type == TYPE_BUCKETS and len(self.buckets) < 2:
            raise ValueError("a histogram needs at least two bounds")
        if any(not low < high for low, high in zip(self.buckets, self.buckets[1:])):
            raise ValueError("bounds must be strictly increasing")

    cdef int _make_room(self) except -1:
        """Allocate the bounds of the ranges (spec runtime.md §5.1), and the buffer for repaired labels."""
        cdef list bounds = [bound for bound in self.buckets[:1] if bound > 0]
        cdef uint32_t i
        bounds += [bound for bound in self.buckets[1:] if bound != INFINITY] + [INFINITY]
        self.table.nranges = <uint32_t>len(bounds)
        self.table.bound = <double*>malloc(len(bounds) * sizeof(double))
        self.table.repaired = <Str*>malloc(max(len(self.keys), 1) * sizeof(Str))
        if self.table.bound == NULL or self.table.repaired == NULL:
            raise MemoryError
        for i in range(self.table.nranges):
            self.table.bound[i] = bounds[i]
        return 0

    def __dealloc__(self):
        cdef MetricTable* m = self.table
        cdef StoreTable* store
        cdef bint deferred = False
        if m == NULL:
            return
        store = m.store
        if store != NULL:
            with nogil:
                store.lock.acquire()
                uncount(m)
                # Data inherited from another metric may be in a snapshot that does not refer to this one.
                deferred = store.newest != NULL
                if deferred:
                    add_retired(store, m, <uint32_t>min(m.memory, <size_t>0xFFFFFFFF), True)
                store.lock.release()
        if not deferred:
            table_free(m)
        if store != NULL:
            store_release(store)

    def __len__(self):
        return relaxed_load(&self.table.count)

    def __repr__(self):
        return f"<Metric {self.program}:{self.name} {list(self.keys)} with {len(self)} label sets>"

    @property
    def memory(self):
        return relaxed_load(&self.table.memory)

    def inherit(self, Metric old not None):
        check_inherit(self, old)
        if old.table.store == NULL:
            inherit_from(self, old)
            return
        acquire(old.table.store)
        try:
            inherit_from(self, old)
        finally:
            release(old.table.store)
