# Divides a large family into sorted buckets of about the size of a piece (see view.pxi).

cdef struct Splitter:       # the least series of a bucket, in sort order
    uint32_t nlabels
    Str* label              # values in order of the label names; a long one is cut, and those after it are empty


cdef int compare_splitter(Member* member, const Str* values, const Splitter* splitter) noexcept nogil:
    """Compare the series with these values (by key) with the splitter: below 0, 0 or above 0."""
    cdef uint32_t i
    cdef Str a, b
    cdef int c
    if member.nlabels != splitter.nlabels:
        return -1 if member.nlabels < splitter.nlabels else 1
    for i in range(member.nlabels):
        a = values[member.key[i]] if member.key[i] >= 0 else member.constant[-1 - member.key[i]]
        b = splitter.label[i]
        c = memcmp(a.p, b.p, min(a.n, b.n)) if a.n and b.n else 0
        if c == 0 and a.n != b.n:
            c = -1 if a.n < b.n else 1
        if c != 0:
            return c
    return 0


cdef uint16_t bucket_of(Member* member, const char* key, const Splitter* splitters, size_t n) noexcept nogil:
    """The bucket of a series: the number of splitters that are not greater, by binary search."""
    cdef size_t low = 0
    cdef size_t high = n
    cdef size_t mid
    key_labels(member.view.m, key, member.values)
    while low < high:
        mid = (low + high) // 2
        if compare_splitter(member, member.values, &splitters[mid]) >= 0:
            low = mid + 1
        else:
            high = mid
    return <uint16_t>low


cdef void assign_slice(MetricTable* m, Member* member, const Splitter* splitters, size_t n, uint16_t* cell, size_t slot,
                      size_t end) noexcept nogil:
    """Note the bucket of each series in the slots from `slot` to `end`; under the lock."""
    cdef Datum* slab
    cdef uint32_t i
    end = min(end, <size_t>m.slabs * SLAB)
    while slot < end:
        slab = m.slab[slot // SLAB].p
        if slab != NULL:
            for i in range(slab_size(m)):
                if i + AHEAD_LABELS < slab_size(m) and slab[i + AHEAD_LABELS].key != NULL:
                    prefetch(slab[i + AHEAD_LABELS].key, KEY_NEAR)
                if slab[i].key != NULL:
                    cell[slot + i] = bucket_of(member, slab[i].key, splitters, n)
        slot += SLAB


cdef void assign_buckets(StoreTable* store, MetricTable* m, Member* member, const Splitter* splitters, size_t n,
                         uint16_t* cell, size_t cells) noexcept nogil:
    """Note the bucket of each series, releasing the lock after each slice."""
    cdef size_t slot = 0
    while slot < cells:
        store.lock.acquire()
        assign_slice(m, member, splitters, n, cell, slot, min(slot + ASSIGN_SLOTS, cells))
        store.lock.release()
        slot += ASSIGN_SLOTS


cdef void keep_bucket(Member* member, SnapMetric* view, const Splitter* splitters, size_t n,
                      uint16_t bucket) noexcept nogil:
    """Drop rows of other buckets: a slot may have been reused by another series since."""
    cdef uint32_t i
    cdef uint32_t kept = 0
    for i in range(view.count):
        if bucket_of(member, view.rows[i].key, splitters, n) == bucket:
            view.rows[kept] = view.rows[i]
            view.rows[kept].next = kept + 1
            kept += 1
    view.count = kept
    view.head = 0 if kept else NO_SLOT
    if kept:
        view.rows[kept - 1].next = NO_SLOT


cdef class Division:
    """A family in buckets, each of which sorts before the next."""

    cdef Store store
    cdef size_t piece
    cdef Family family
    cdef bint prog
    cdef int form
    cdef readonly size_t buckets
    cdef size_t splitter_n
    cdef Splitter* splitters
    cdef list cells         # by metric: the bucket of each slot, as bytearray of uint16_t
    cdef list drops         # by metric: itself, and its count of removed series when the buckets were assigned
    cdef list keep

    def __init__(self, Store store not None, size_t piece, Family family not None, bint prog, int form):
        self.store, self.piece, self.family, self.prog, self.form = store, piece, family, prog, form
        self.keep, self.cells, self.drops = [], [], []
        self._split()
        for i in range(len(family.metrics)):
            self._assign(i)

    cdef int _split(self) except -1:
        """Choose the splitters from a sample of the series."""
        cdef size_t slots = 0
        cdef size_t step
        cdef size_t weight = 0
        cdef size_t passed = 0
        cdef size_t i
        cdef Metric metric
        cdef Family family
        cdef Snapshot part
        cdef Selection selection
        for metric in self.family.metrics:
            slots += <size_t>relaxed_load(&metric.table.slabs) * SLAB
        step = max(slots // TRIED, <size_t>1)
        # Odd, since a divisor of the slab size would sample the same few places of every slab.
        step += step > 1 and step % 2 == 0
        part = open_part(self.store, self.family.metrics)
        for i in range(part.table.n):
            memset(&selection, 0, sizeof(Selection))
            selection.step, selection.rows, selection.bytes = step, NO_SLOT, SIZE_MAX
            fill_part(part, i, &selection)
        family = Family(part, self.family.name, part.members, self.prog, self.form)
        family.sort([], False)
        for i in range(family.count):
            weight += self._weight(family, i)
        self.buckets = min(max(weight * step // self.piece, family.count * step // PART_ROWS) + 1,
                           <size_t>(NO_BUCKET - 1))
        self.buckets = min(self.buckets, family.count + 1)
        self.splitters = <Splitter*>room_of(self.keep, self.buckets * sizeof(Splitter))
        for i in range(family.count):
            if self.splitter_n + 1 < self.buckets and passed * self.buckets >= weight * (self.splitter_n + 1):
                self._keep_splitter(family, i)
            passed += self._weight(family, i)
        self.buckets = self.splitter_n + 1
        return 0

    cdef size_t _weight(self, Family family, size_t i) noexcept:
        cdef Member* member = &family.members[family.samples[i].mark // 16]
        cdef const Datum* d = &member.view.rows[family.samples[i].slot]
        cdef size_t line = member.fixed - 4 * NUM_TEXT + row_bytes(member.view.m, d)
        return line * (member.view.m.nranges + 2) if member.view.m.type == TYPE_BUCKETS else line

    cdef int _keep_splitter(self, Family family, size_t i) except -1:
        cdef Member* member = &family.members[family.samples[i].mark // 16]
        cdef Splitter* splitter = &self.splitters[self.splitter_n]
        cdef size_t room = max(SPLITTER_BYTES // self.buckets, <size_t>SPLITTER_LEAST)
        cdef uint32_t label
        cdef Str value
        splitter.label = <Str*>room_of(self.keep, member.nlabels * sizeof(Str))
        splitter.nlabels = member.nlabels
        for label in range(member.nlabels):
            value = label_of(member, family.samples[i].slot, label)
            splitter.label[label] = str_of(self.keep, value.p[:min(value.n, room)])
            if value.n > room:
                break
            room -= value.n
        self.splitter_n += 1
        return 0

    cdef int _assign(self, size_t i) except -1:
        """Find the bucket of each series of a metric."""
        cdef Metric metric = current(self.store, self.family.metrics[i])
        cdef Member* member = &self.family.members[i]
        cdef size_t n
        cdef uint16_t* cell
        cdef bytearray cells
        cdef StoreTable* store = self.store.table
        with nogil:
            store.lock.acquire()
            n = <size_t>metric.table.slabs * SLAB
            store.lock.release()
        cells = bytearray(b"\xff" * 2) * n
        cell = <uint16_t*><char*>cells
        self.drops.append((metric, relaxed_load(&metric.table.drops)))
        with nogil:
            assign_buckets(store, metric.table, member, self.splitters, self.splitter_n, cell, n)
        self.cells.append(cells)
        return 0

    cdef Family bucket(self, uint16_t number):
        """The series of a bucket, unsorted."""
        cdef Snapshot part = open_part(self.store, self.family.metrics)
        cdef Family family
        cdef Member* member
        cdef bytearray cells
        cdef Metric metric
        cdef size_t i
        cdef Selection selection
        for i in range(part.table.n):
            cells = self.cells[i]
            memset(&selection, 0, sizeof(Selection))
            selection.step, selection.rows, selection.bytes, selection.bucket = 1, NO_SLOT, SIZE_MAX, number
            selection.cell = <const uint16_t*><char*>cells
            selection.cells = <size_t>len(cells) // 2
            fill_part(part, i, &selection)
            metric, dropped = self.drops[i]
            if metric is not part.members[i] or dropped != relaxed_load(&metric.table.drops):
                member = &self.family.members[i]
                with nogil:
                    keep_bucket(member, &part.table.metric[i], self.splitters, self.splitter_n, number)
        return Family(part, self.family.name, part.members, self.prog, self.form)
