# The eviction heap of a metric with a limit: finds the oldest series.

cdef inline bint heap_before(HeapEntry* a, HeapEntry* b) noexcept nogil:
    return a.time < b.time or (a.time == b.time and a.birth < b.birth)


cdef inline void heap_put(MetricTable* m, uint32_t i, HeapEntry entry) noexcept nogil:
    m.heap[i] = entry
    datum_at(m, entry.slot).heap = i


cdef void heap_up(MetricTable* m, uint32_t i, HeapEntry entry) noexcept nogil:
    while i and heap_before(&entry, &m.heap[(i - 1) // 2]):
        heap_put(m, i, m.heap[(i - 1) // 2])
        i = (i - 1) // 2
    heap_put(m, i, entry)


cdef void heap_down(MetricTable* m, uint32_t i, HeapEntry entry) noexcept nogil:
    cdef uint32_t child = 2 * i + 1
    while child < m.heap_n:
        if child + 1 < m.heap_n and heap_before(&m.heap[child + 1], &m.heap[child]):
            child += 1
        if not heap_before(&m.heap[child], &entry):
            break
        heap_put(m, i, m.heap[child])
        i = child
        child = 2 * i + 1
    heap_put(m, i, entry)


cdef bint heap_room(MetricTable* m, uint32_t want) noexcept nogil:
    cdef uint32_t cap = m.heap_cap if m.heap_cap else 8
    while cap < want:
        cap *= 2
    return cap == m.heap_cap or heap_resize(m, cap)


cdef bint heap_resize(MetricTable* m, uint32_t cap) noexcept nogil:
    cdef HeapEntry* moved = <HeapEntry*>realloc(m.heap, cap * sizeof(HeapEntry))
    if moved == NULL:
        return False
    account(m, cap * sizeof(HeapEntry), m.heap_cap * sizeof(HeapEntry))
    m.heap = moved
    m.heap_cap = cap
    return True


cdef void heap_add(MetricTable* m, Datum* d) noexcept nogil:
    """Insert a datum; heap_room() must have been called."""
    cdef HeapEntry entry
    entry.time = d.time
    entry.birth = m.births
    entry.slot = d.slot
    m.births += 1
    m.heap_n += 1
    heap_up(m, m.heap_n - 1, entry)


cdef void heap_remove(MetricTable* m, uint32_t i) noexcept nogil:
    cdef HeapEntry last
    m.heap_n -= 1
    if i < m.heap_n:
        last = m.heap[m.heap_n]
        if i and heap_before(&last, &m.heap[(i - 1) // 2]):
            heap_up(m, i, last)
        else:
            heap_down(m, i, last)
    if m.heap_cap > 64 and m.heap_n < m.heap_cap // 8:
        heap_resize(m, m.heap_cap // 2)


cdef Datum* heap_oldest(MetricTable* m) noexcept nogil:
    """The datum with the smallest time; among equal ones the first created."""
    cdef HeapEntry top = m.heap[0]
    cdef Datum* d = datum_at(m, top.slot)
    while top.time != d.time:
        top.time = d.time
        heap_down(m, 0, top)
        top = m.heap[0]
        d = datum_at(m, top.slot)
    return d


cdef bint heap_build(MetricTable* m) noexcept nogil:
    """Rebuild the heap from all data."""
    cdef uint32_t slot = m.head
    m.heap_n = 0
    if not heap_room(m, m.count):
        return False
    while slot != NO_SLOT:
        heap_add(m, datum_at(m, slot))
        slot = datum_at(m, slot).next
    return True
