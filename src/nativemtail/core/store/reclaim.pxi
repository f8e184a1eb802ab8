# Memory: accounting, and epoch-based reclamation of memory that a snapshot may still see.

cdef inline void account(MetricTable* m, size_t more, size_t less) noexcept nogil:
    relaxed_add(&m.memory, more - less)
    if m.counted:
        relaxed_add(&m.store.memory, more - less)


cdef inline bint snapshot_sees(MetricTable* m, uint64_t epoch) noexcept nogil:
    """Whether a live snapshot may see what was created in `epoch`."""
    return m.store != NULL and m.store.newest != NULL and epoch < m.store.watched


cdef bint add_retired(StoreTable* store, void* p, uint32_t cost, bint table) noexcept nogil:
    cdef size_t cap
    cdef Retired* moved
    cdef Retired* retired
    if store.retired_n == store.retired_cap:
        cap = store.retired_cap * 2 if store.retired_cap else 256
        moved = <Retired*>realloc(store.retired, cap * sizeof(Retired))
        if moved == NULL:
            return False
        store.retired = moved
        store.retired_cap = cap
    retired = &store.retired[store.retired_n]
    retired.p = p
    retired.epoch = store.epoch
    retired.cost = cost
    retired.table = table
    store.retired_n += 1
    relaxed_add(&store.memory, cost + sizeof(Retired))
    return True


cdef void retire(MetricTable* m, void* p, size_t cost) noexcept nogil:
    """Free `p` now, or retire it until no snapshot sees it.  If there is no memory to retire it, it leaks."""
    account(m, 0, cost)
    if m.store == NULL or m.store.newest == NULL:
        free(p)
    else:
        add_retired(m.store, p, <uint32_t>min(cost, <size_t>0xFFFFFFFF), False)


cdef Retired* reclaimable(StoreTable* store, size_t* n) noexcept nogil:
    """Collect what no snapshot sees any more.  The caller frees it and the array after releasing the lock."""
    cdef size_t first = store.retired_first
    cdef size_t end = first
    cdef size_t i
    cdef Retired* out
    while end < store.retired_n and (store.oldest == NULL or store.retired[end].epoch < store.oldest.epoch):
        end += 1
    n[0] = end - first
    if end == first:
        return NULL
    if end == store.retired_n and first == 0:
        out = store.retired
        store.retired = NULL
        store.retired_n = store.retired_cap = 0
    else:
        out = <Retired*>malloc((end - first) * sizeof(Retired))
        if out == NULL:
            n[0] = 0
            return NULL
        memcpy(out, store.retired + first, (end - first) * sizeof(Retired))
        store.retired_first = end
        if end * 2 >= store.retired_n:
            memmove(store.retired, store.retired + end, (store.retired_n - end) * sizeof(Retired))
            store.retired_n -= end
            store.retired_first = 0
    for i in range(n[0]):
        relaxed_add(&store.memory, <size_t>0 - (out[i].cost + sizeof(Retired)))
    return out
