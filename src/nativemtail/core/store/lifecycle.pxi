# Whole tables: freeing them, and moving their data at a reload.

cdef void table_reset(MetricTable* m) noexcept nogil:
    """Empty the table without freeing the data, which belong to another one now."""
    m.slab = NULL
    m.index = NULL
    m.changed = NULL
    m.tracked = m.observed = m.dirty = False
    m.number = 0
    relaxed_store(&m.count, <uint32_t>0)
    relaxed_store(&m.slabs, <uint32_t>0)
    m.expiring = m.slab_cap = m.mask = m.heap_n = 0
    m.head = m.tail = m.room = NO_SLOT


cdef void table_free(MetricTable* m) noexcept nogil:
    """Free the table and all its data, which no snapshot sees."""
    cdef uint32_t slot = m.head
    cdef uint32_t i
    cdef Datum* d
    while slot != NO_SLOT:
        d = datum_at(m, slot)
        slot = d.next
        free(d.key)
        if m.type == TYPE_STRING or m.type == TYPE_BUCKETS:
            free(d.v.s)
    for i in range(m.slabs):
        free(m.slab[i].p)
    free(m.slab)
    free(m.changed)
    free(m.index)
    free(m.heap)
    free(m.repaired)
    free(m.bound)
    buf_free(&m.scratch)
    delete_history(m.history)
    free(m)


cdef void table_move(MetricTable* new, MetricTable* old) noexcept nogil:
    """Give the data of `old` to `new`, which has none; each keeps its heap."""
    cdef size_t memory = old.memory - old.heap_cap * sizeof(HeapEntry)
    account(new, memory, new.memory - new.heap_cap * sizeof(HeapEntry))
    account(old, 0, memory)
    free(new.slab)
    free(new.changed)
    free(new.index)
    new.slab = old.slab
    new.changed = old.changed
    new.tracked = old.tracked
    new.observed = old.observed
    new.dirty = old.dirty
    new.number = old.number
    relaxed_store(&new.slabs, old.slabs)
    new.slab_cap = old.slab_cap
    new.room = old.room
    new.index = old.index
    new.mask = old.mask
    new.head = old.head
    new.tail = old.tail
    relaxed_store(&new.count, old.count)
    new.expiring = old.expiring
    table_reset(old)


cdef bint adopt(MetricTable* m, MetricTable* owner, Datum* d) noexcept nogil:
    """Move a series of `owner`, a table of the same shape, to the end of this one."""
    cdef Datum* fresh
    key_labels(m, d.key, m.repaired)
    fresh = datum_make(m, m.repaired, hash_labels(m, m.repaired), d.time)
    if fresh == NULL:
        return False
    if m.type == TYPE_STRING and d.v.s != NULL:
        account(m, block_cost(text_size(d.v.s.cap)), 0)
        account(owner, 0, block_cost(text_size(d.v.s.cap)))
    fresh.expiry = d.expiry
    m.expiring += d.expiry > 0
    fresh.v, d.v = d.v, fresh.v
    metric_drop(owner, d)
    return True


cdef bint gather(MetricTable* old, MetricTable* new) noexcept nogil:
    """Move the series of `new` that `old` lacks to `old`."""
    cdef uint32_t slot = new.head
    cdef Datum* d
    while slot != NO_SLOT:
        d = datum_at(new, slot)
        slot = d.next
        key_labels(new, d.key, old.repaired)
        if old.nkeys:
            if index_find(old, old.repaired, hash_labels(old, old.repaired)) != NULL:
                continue
        elif old.count:
            continue
        if not adopt(old, new, d):
            return False
    return True


cdef bint table_inherit(MetricTable* new, MetricTable* old) noexcept nogil:
    """Move the data of `old` to `new`; series that only `new` has come after them.

    False without memory; then every series is in one of the two.
    """
    cdef int64_t limit = old.limit
    cdef bint whole
    old.limit = 0                   # `old` no longer needs a heap
    whole = gather(old, new)
    if whole:
        while new.head != NO_SLOT:
            metric_drop(new, datum_at(new, new.head))
        whole = new.limit <= 0 or heap_room(new, old.count)
    if whole:
        table_move(new, old)
        whole = new.limit <= 0 or heap_build(new)
    if limit > 0 and heap_build(old):
        old.limit = limit
    return whole


cdef void untrack(MetricTable* m) noexcept nogil:
    """Mark changes no longer; the next save has all of it, under another number."""
    if m.tracked:
        account(m, 0, m.slab_cap)
    free(m.changed)
    m.changed = NULL
    m.tracked = m.dirty = False
    m.observed = m.saving != NULL
    m.number = 0


cdef void uncount(MetricTable* m) noexcept nogil:
    untrack(m)
    if m.counted:
        m.counted = False
        relaxed_add(&m.store.memory, <size_t>0 - m.memory)


cdef void reclaim(Retired* retired, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if retired[i].table:
            table_free(<MetricTable*>retired[i].p)
        else:
            free(retired[i].p)
    free(retired)


cdef void store_release(StoreTable* store) noexcept nogil:
    """Drop a reference (the GIL guards the count)."""
    cdef Retired* retired
    cdef size_t n = 0
    store.users -= 1
    if store.users == 0:
        retired = reclaimable(store, &n)
        reclaim(retired, n)
        free(store.retired)
        delete_lock(store.lock)
        delete_lock(store.snapshot_lock)
        free(store)
