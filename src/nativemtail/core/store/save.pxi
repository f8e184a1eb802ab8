# Saving: what changed in a store since the last save, as of one instant, in a form that can be written to a file.
#
# A `Delta` is a snapshot of the changed slabs only.  `fix` takes the marks of all metrics and is quick, as the thread that
# counts calls it; another thread copies the slabs, slice by slice, and encodes them.
#
# Slabs are saved in groups of GROUP neighbours: all of a group are written if one has changed, since fewer, larger rows
# take less time in the database.  The image of a group has its slabs up to the last one in use.  Each is a word with a
# bit for each slot in use (little-endian, as all fixed-size numbers here), then for each of these, in order:
#
#     next      varint, zigzag: slot of the next series in order of creation minus its own; 0: there is none
#     key       as in memory: label values, each preceded by its length (a byte, or 255 and 4 bytes)
#     time      varint, zigzag: minus that of the series before it in the image (at first 0), modulo 2 to the 64
#     expiry    varint
#     value     int: varint, zigzag; float: 8 bytes; text: its length (varint) and bytes;
#               histogram: count (varint), sum (8 bytes), count of each range (varints)
#
# A varint has 7 bits in each byte, the lowest first; all but the last byte have the high bit set.

cdef enum:
    GROUP = 4               # slabs
    ENCODED = 262144        # bytes to encode before Python gets them
    VARINT = 10             # bytes of the longest


cdef inline char* varint_text(char* p, uint64_t v) noexcept nogil:
    """Write at `p`; the end."""
    while v >= 128:
        p[0] = <char>(v & 127 | 128)
        p += 1
        v >>= 7
    p[0] = <char>v
    return p + 1


cdef void put_varint(Buf* b, uint64_t v) noexcept nogil:
    if buf_reserve(b, VARINT):
        b.n = varint_text(b.p + b.n, v) - b.p


cdef inline uint64_t zigzag(int64_t v) noexcept nogil:
    return <uint64_t>v << 1 ^ <uint64_t>(v >> 63)


cdef void put_value(Buf* b, MetricTable* m, const Datum* d) noexcept nogil:
    cdef Str s
    cdef uint32_t i
    if m.type == TYPE_INT:
        put_varint(b, zigzag(d.v.i))
    elif m.type == TYPE_FLOAT:
        buf_put(b, <const char*>&d.v.f, sizeof(double))
    elif m.type == TYPE_STRING:
        s = datum_text(d)
        put_varint(b, s.n)
        buf_put(b, s.p, s.n)
    else:
        put_varint(b, <uint64_t>d.v.h.total)
        buf_put(b, <const char*>&d.v.h.sum, sizeof(double))
        for i in range(m.nranges):
            put_varint(b, <uint64_t>d.v.h.count[i])


cdef void put_series(Buf* b, MetricTable* m, const Datum* d, uint64_t* time) noexcept nogil:
    """`time` is that of the series before it, and then its own."""
    cdef const char* end = d.key
    cdef size_t n
    cdef uint32_t i
    cdef char* p
    for i in range(m.nkeys):
        key_next(&end)
    n = end - d.key
    if not buf_reserve(b, n + 3 * VARINT):
        return
    p = varint_text(b.p + b.n, 0 if d.next == NO_SLOT else zigzag(<int64_t>d.next - <int64_t>d.slot))
    memcpy(p, d.key, n)
    p += n
    p = varint_text(p, zigzag(<int64_t>(<uint64_t>d.time - time[0])))
    p = varint_text(p, <uint64_t>d.expiry)
    time[0] = <uint64_t>d.time
    b.n = p - b.p
    put_value(b, m, d)


cdef bint put_slab(Buf* b, SnapMetric* view, uint32_t number, uint64_t* time) noexcept nogil:
    """Append a copied slab; whether it has any series."""
    cdef MetricTable* m = view.m
    cdef const Datum* rows = view.rows + <size_t>number * SLAB
    cdef uint64_t used = 0
    cdef uint32_t i
    for i in range(slab_size(m)):
        if rows[i].key != NULL:
            used |= <uint64_t>1 << i
    buf_put(b, <const char*>&used, sizeof(used))
    for i in range(slab_size(m)):
        if rows[i].key != NULL:
            put_series(b, m, &rows[i], time)
    return used != 0


cdef void put_group(Buf* b, SnapMetric* view, uint32_t number) noexcept nogil:
    """Append the image of a group; nothing if it has no series."""
    cdef size_t end = b.n
    cdef uint64_t time = 0
    cdef uint32_t i
    for i in range(number * GROUP, min((number + 1) * GROUP, view.slabs)):
        if put_slab(b, view, i, &time):
            end = b.n
    b.n = end


cdef bint put_groups(Buf* b, Buf* ends, SnapMetric* view, uint32_t* next) noexcept nogil:
    """Append the images of changed groups from next[0] on, which is advanced; false without memory.

    `ends` gets two words for each: the group's number, and where its image ends.
    """
    cdef uint64_t entry[2]
    while next[0] * GROUP < view.slabs and b.n < ENCODED and ends.n < ENCODED:
        if view.changed[next[0] * GROUP]:
            put_group(b, view, next[0])
            entry[0], entry[1] = next[0], b.n
            buf_put(ends, <const char*>entry, sizeof(entry))
        next[0] += 1
    return not b.failed and not ends.failed


cdef void spread(uint8_t* changed, uint32_t slabs) noexcept nogil:
    """Mark all slabs of each group that has a marked one."""
    cdef uint32_t first = 0
    cdef uint32_t end, i
    cdef bint any
    while first < slabs:
        end = min(first + GROUP, slabs)
        any = False
        for i in range(first, end):
            any |= changed[i]
        memset(changed + first, any, end - first)
        first = end


cdef bint track(MetricTable* m) noexcept nogil:
    """Begin to mark changes; what is there counts as changed.  False without memory."""
    if m.tracked:
        return True
    m.changed = <uint8_t*>malloc(max(m.slab_cap, <uint32_t>1))
    if m.changed == NULL:
        return False
    memset(m.changed, True, m.slab_cap)
    account(m, m.slab_cap, 0)
    m.tracked = m.observed = True
    m.dirty = m.slabs > 0
    return True


cdef bint delta_begin(SnapMetric* view, MetricTable* m, bint whole) noexcept nogil:
    """Take the metric's marks; under the lock.  False without memory, and then the marks stay."""
    cdef uint8_t* fresh
    cdef uint32_t i
    if not track(m):
        return False
    view.m = m
    view.number = m.number
    view.head = m.head
    view.count = m.count
    if whole and m.slabs:
        memset(m.changed, True, m.slabs)
        m.dirty = True
    if not m.dirty:
        return True
    view.rows = <Datum*>malloc((<size_t>m.slabs * SLAB if m.nkeys else m.slabs) * sizeof(Datum))
    view.done = <uint8_t*>malloc(m.slabs)
    fresh = <uint8_t*>calloc(m.slab_cap, 1)
    if view.rows == NULL or view.done == NULL or fresh == NULL:
        free(fresh)
        free(view.rows)
        free(view.done)
        return False
    spread(m.changed, m.slabs)
    for i in range(m.slabs):
        view.done[i] = not m.changed[i]
    view.slabs = m.slabs
    view.changed = m.changed
    m.changed = fresh
    m.dirty = False
    m.saving = view
    return True


cdef void give_back(SnapMetric* view, MetricTable* m) noexcept nogil:
    """Mark again what the view took; `m` has its slabs now.  Under the lock."""
    cdef uint32_t i
    if m.tracked:
        for i in range(min(view.slabs, m.slabs)):
            m.changed[i] |= view.changed[i]
        m.dirty = True


cdef class Delta:
    """See _core.pyi."""

    cdef Store owner
    cdef SnapTable* table
    cdef list members       # of Metric, as table.metric
    cdef bint whole
    cdef bint begun
    cdef bint locked        # holds the lock for snapshots

    def __cinit__(self, Store owner not None, *, bint whole=False):
        self.owner, self.whole, self.members = owner, whole, []
        owner.table.users += 1
        self.table = <SnapTable*>calloc(1, sizeof(SnapTable))
        if self.table == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.owner is None:
            return
        if self.table != NULL:
            with nogil:
                snapshot_free(self.owner.table, self.table)
        self._unlock()
        store_release(self.owner.table)

    def release(self):
        with nogil:
            snapshot_release(self.owner.table, self.table)
        self._unlock()

    cdef void _unlock(self) noexcept:
        if self.locked:
            self.locked = False
            self.owner.table.snapshot_lock.release()

    def fix(self, *, bint wait=True):
        cdef StoreTable* store = self.owner.table
        if self.begun:
            raise ValueError("the instant is fixed already")
        if wait:
            with nogil:
                store.snapshot_lock.acquire()
        elif not store.snapshot_lock.try_acquire():
            return False
        self.begun = self.locked = True
        with nogil:
            store.lock.acquire()
        collector_off()
        try:
            snapshot_link(store, self.table)
            self._begin()
        except BaseException:
            self._give_back()
            raise
        finally:
            collector_back()
            store.lock.release()
            if self.table.n < <size_t>len(self.members):
                self.release()
        return True

    cdef int _begin(self) except -1:
        """Take the marks of all metrics, and give a number to those that have none; under the lock."""
        cdef StoreTable* store = self.owner.table
        cdef Metric metric
        self.members = self.owner.metrics()
        self.table.metric = <SnapMetric*>calloc(max(len(self.members), 1), sizeof(SnapMetric))
        if self.table.metric == NULL:
            raise MemoryError
        for metric in self.members:
            store.numbers = max(store.numbers, metric.table.number)
        for metric in self.members:
            if metric.table.number == 0:
                store.numbers += 1
                metric.table.number = store.numbers
            if not delta_begin(&self.table.metric[self.table.n], metric.table, self.whole):
                raise MemoryError
            self.table.n += 1
        return 0

    cdef void _give_back(self) noexcept:
        """Mark again what was taken; under the lock."""
        cdef SnapMetric* view
        cdef Metric metric
        cdef size_t i
        tables = {metric.table.number: metric for metric in self.owner.metrics()}
        for i in range(self.table.n):
            view = &self.table.metric[i]
            if view.changed != NULL and view.number in tables:
                give_back(view, (<Metric>tables[view.number]).table)

    def copy(self):
        cdef StoreTable* store = self.owner.table
        if not self.locked:
            raise ValueError("the instant is not fixed, or copied already")
        with nogil:
            store.lock.acquire()
            snapshot_copy(store, self.table)
            store.lock.release()
        self._unlock()

    def metrics(self):
        return [(self.table.metric[i].number, metric, self.table.metric[i].head, self.table.metric[i].count)
                for i, metric in enumerate(self.members)]

    def slabs(self, size_t i):
        cdef uint32_t number = 0
        if i >= self.table.n:
            raise ValueError("no such metric")
        while number * GROUP < self.table.metric[i].slabs:
            if self.locked or not self.table.linked:
                raise ValueError("not copied yet, or released")
            images, number = self._encode(i, number)
            yield from images

    cdef tuple _encode(self, size_t i, uint32_t number):
        """The images of some changed groups from `number` on, and which one is next."""
        cdef Buf b = Buf(NULL, 0, 0, False)
        cdef Buf ends = Buf(NULL, 0, 0, False)
        cdef SnapMetric* view = &self.table.metric[i]
        cdef const uint64_t* entry
        cdef list images = []
        cdef size_t start = 0
        cdef bint whole
        cdef size_t k
        with nogil:
            whole = put_groups(&b, &ends, view, &number)
        try:
            if not whole:
                raise MemoryError
            for k in range(ends.n // 16):
                entry = <const uint64_t*>ends.p + 2 * k
                images.append((entry[0], b.p[start:entry[1]] if entry[1] > start else None))
                start = entry[1]
        finally:
            buf_free(&b)
            buf_free(&ends)
        return images, number

    def revert(self):
        acquire(self.owner.table)
        try:
            self._give_back()
        finally:
            release(self.owner.table)
