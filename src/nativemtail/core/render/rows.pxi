# Copies rows of a metric for a part of a page.

cdef enum:
    WHOLE = 8388608         # a page estimated at up to this many bytes is made of one snapshot
    PAGE_PIECE = 1048576    # size of the pieces of larger pages
    PART_ROWS = 32768       # limit for the series of a part
    LIST_ROWS = 2048        # the same where each row becomes a Python object
    TURN_SLOTS = 32768      # slots to examine before the lock is released
    ASSIGN_SLOTS = 2048     # the same when finding their buckets
    TRIED = 32768           # series sampled to choose the buckets
    SPLITTER_BYTES = 2097152    # limit for all splitters together; long ones are cut
    SPLITTER_LEAST = 256
    NO_BUCKET = 0xFFFF

cdef struct Selection:           # selects the rows of a metric to copy
    size_t slot             # the next slot to examine
    size_t step             # examine one slot in so many
    size_t rows             # limit
    size_t bytes            # limit for their estimated size; the last row may exceed it
    size_t cells            # entries of `cell`
    const uint16_t* cell    # the bucket of each slot; NULL: all are wanted
    uint16_t bucket
    bint done               # all slots have been examined


cdef Metric current(Store store, Metric metric):
    """The metric that has the data now: programs may be reloaded while a page is made."""
    cdef Metric other
    if not metric.table.counted:
        for other in store.families.get(metric.name, ()):
            if (other.program, other.type, other.keys, other.buckets) == (
                    metric.program, metric.type, metric.keys, metric.buckets):
                return other
    return metric


cdef size_t row_bytes(MetricTable* m, const Datum* d) noexcept nogil:
    """Estimated bytes of a series on a page, without names."""
    cdef const char* at = d.key
    cdef size_t n = 64
    cdef uint32_t i
    for i in range(m.nkeys):
        key_next(&at)
    n += at - d.key
    if m.type == TYPE_STRING and d.v.s != NULL:
        n += d.v.s.n
    elif m.type == TYPE_BUCKETS:
        n += 32 * m.nranges
    return n


cdef bint copy_turn(SnapMetric* view, size_t* cap, Selection* selection) noexcept nogil:
    """Copy rows while the lock is held once; false without memory."""
    cdef MetricTable* m = view.m
    cdef size_t slots = <size_t>m.slabs * SLAB
    cdef size_t end = selection.slot + TURN_SLOTS * selection.step
    cdef size_t copied = 0
    cdef size_t slot
    cdef size_t n
    cdef Datum* d
    cdef Datum* moved
    if selection.cell == NULL and cap[0] == 0 and m.count:
        n = min(selection.rows, <size_t>m.count) // selection.step + 1
        view.rows = <Datum*>malloc(n * sizeof(Datum))
        if view.rows == NULL:
            return False
        cap[0] = n
    end = min(end, slots)
    while selection.slot < end and copied < SLICE and view.count < selection.rows and selection.bytes:
        slot = selection.slot
        if selection.cell != NULL:
            slot = find_u16(selection.cell, selection.bucket, slot, min(selection.cells, end))
            if slot == min(selection.cells, end):
                selection.slot = end if selection.cells > end else slots
                break
        selection.slot = slot + selection.step
        if slot % SLAB >= slab_size(m) or m.slab[slot // SLAB].p == NULL:
            continue
        d = m.slab[slot // SLAB].p + slot % SLAB
        if d.key == NULL:
            continue
        if view.count == cap[0]:
            n = cap[0] * 2 if cap[0] else 64
            moved = <Datum*>realloc(view.rows, n * sizeof(Datum))
            if moved == NULL:
                return False
            view.rows = moved
            cap[0] = n
        view.rows[view.count] = d[0]
        view.count += 1
        copied += sizeof(Datum)
        if selection.bytes != SIZE_MAX:
            selection.bytes -= min(selection.bytes, row_bytes(m, d))
    selection.done = selection.slot >= slots
    return True


cdef bint copy_rows(StoreTable* store, SnapMetric* view, Selection* selection) noexcept nogil:
    """Copy rows into an empty view, in order of their slots; false without memory."""
    cdef size_t cap = 0
    cdef bint good = True
    cdef uint32_t i
    view.count = 0
    selection.done = False
    store.snapshot_lock.acquire()
    while good and not selection.done and view.count < selection.rows and selection.bytes:
        store.lock.acquire()
        good = copy_turn(view, &cap, selection)
        if view.m.type == TYPE_STRING or view.m.type == TYPE_BUCKETS:
            store.epoch += 1        # from now on what these rows point to must not be modified
            store.watched = store.epoch
        store.lock.release()
    store.snapshot_lock.release()
    view.head = 0 if view.count else NO_SLOT
    for i in range(view.count):
        view.rows[i].next = i + 1 if i + 1 < view.count else NO_SLOT
    return good


cdef void snapshot_open(StoreTable* store, SnapTable* snap) noexcept nogil:
    store.lock.acquire()
    snapshot_link(store, snap)
    store.lock.release()


cdef Snapshot open_part(Store owner, list metrics):
    """A snapshot of the metrics without rows; `fill_part` copies them."""
    cdef Snapshot part = Snapshot(owner, [current(owner, metric) for metric in metrics])
    cdef StoreTable* store = owner.table
    cdef SnapTable* table = part.table
    cdef size_t i
    for i in range(table.n):
        table.metric[i].count = 0
    with nogil:
        snapshot_open(store, table)
    return part


cdef int fill_part(Snapshot part, size_t i, Selection* selection) except -1:
    cdef StoreTable* store = part.store
    cdef SnapMetric* view = &part.table.metric[i]
    cdef bint good
    with nogil:
        good = copy_rows(store, view, selection)
    if not good:
        raise MemoryError
    return 0
