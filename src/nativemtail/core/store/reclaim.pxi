# Memory: accounting, and what happens to things that a snapshot may still see.

cdef inline void account(MetricTable* m, size_t more, size_t less) noexcept nogil:
    nm_add(&m.memory, more - less)
    if m.counted:
        nm_add(&m.store.memory, more - less)


cdef inline bint is_watched(MetricTable* m, uint64_t epoch) noexcept nogil:
    """A snapshot that is alive may see what was made in `epoch`."""
    return m.store != NULL and m.store.newest != NULL and epoch < m.store.watched


cdef bint bury(StoreTable* store, void* p, uint32_t cost, bint table) noexcept nogil:
    cdef size_t cap
    cdef Grave* moved
    cdef Grave* grave
    if store.grave_n == store.grave_cap:
        cap = store.grave_cap * 2 if store.grave_cap else 256
        moved = <Grave*>realloc(store.grave, cap * sizeof(Grave))
        if moved == NULL:
            return False
        store.grave = moved
        store.grave_cap = cap
    grave = &store.grave[store.grave_n]
    grave.p = p
    grave.epoch = store.epoch
    grave.cost = cost
    grave.table = table
    store.grave_n += 1
    nm_add(&store.memory, cost + sizeof(Grave))
    return True


cdef void retire(MetricTable* m, void* p, size_t cost) noexcept nogil:
    """Free `p` now, or once no snapshot sees it; without memory even to note that, it is lost."""
    account(m, 0, cost)
    if m.store == NULL or m.store.newest == NULL:
        free(p)
    else:
        bury(m.store, p, <uint32_t>min(cost, <size_t>0xFFFFFFFF), False)


cdef Grave* exhume(StoreTable* store, size_t* n) noexcept nogil:
    """Take out the graves that no snapshot sees any more; the caller frees them, and the array, without the lock."""
    cdef size_t first = store.grave_first
    cdef size_t end = first
    cdef size_t i
    cdef Grave* out
    while end < store.grave_n and (store.oldest == NULL or store.grave[end].epoch < store.oldest.epoch):
        end += 1
    n[0] = end - first
    if end == first:
        return NULL
    if end == store.grave_n and first == 0:
        out = store.grave
        store.grave = NULL
        store.grave_n = store.grave_cap = 0
    else:
        out = <Grave*>malloc((end - first) * sizeof(Grave))
        if out == NULL:
            n[0] = 0
            return NULL
        memcpy(out, store.grave + first, (end - first) * sizeof(Grave))
        store.grave_first = end
        if end * 2 >= store.grave_n:
            memmove(store.grave, store.grave + end, (store.grave_n - end) * sizeof(Grave))
            store.grave_n -= end
            store.grave_first = 0
    for i in range(n[0]):
        nm_add(&store.memory, <size_t>0 - (out[i].cost + sizeof(Grave)))
    return out
