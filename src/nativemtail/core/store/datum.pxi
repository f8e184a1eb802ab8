# Series: creating, finding, changing and removing them.

cdef void value_retire(MetricTable* m, Datum* d) noexcept nogil:
    if m.type == TYPE_STRING and d.v.s != NULL:
        retire(m, d.v.s, block_cost(text_size(d.v.s.cap)))
    elif m.type == TYPE_BUCKETS and d.v.h != NULL:
        retire(m, d.v.h, block_cost(hist_size(m)))


cdef void metric_drop(MetricTable* m, Datum* d) noexcept nogil:
    """Remove a series."""
    copy_before_write(m, d.slot)
    if m.history != NULL:
        if d.expiry > 0 and d.time <= INT64_MAX - d.expiry:
            m.history.ends_at = min(m.history.ends_at, m.history.step_of(d.time + d.expiry))
        m.history.end(d.slot, d.key, key_length(m, d.key))
    if m.nkeys:
        key_labels(m, d.key, m.repaired)
        index_remove(m, hash_labels(m, m.repaired), d.slot)
    if m.limit > 0:
        heap_remove(m, d.heap)
    if d.prev != NO_SLOT:
        copy_before_write(m, d.prev)
        datum_at(m, d.prev).next = d.next
    else:
        m.head = d.next
    if d.next != NO_SLOT:
        copy_before_write(m, d.next)
        datum_at(m, d.next).prev = d.prev
    else:
        m.tail = d.prev
    m.expiring -= d.expiry > 0
    value_retire(m, d)
    retire(m, d.key, key_cost(m, d.key))
    slot_free(m, d.slot)
    relaxed_add(&m.count, <uint32_t>-1)
    relaxed_add(&m.drops, <uint64_t>1)
    if m.mask > 63 and m.count < m.mask // 8:
        index_resize(m, (m.mask + 1) // 2)


cdef void datum_link(MetricTable* m, Datum* d) noexcept nogil:
    """Append a datum to the list in order of creation."""
    d.prev = m.tail
    d.next = NO_SLOT
    if m.tail != NO_SLOT:
        copy_before_write(m, m.tail)
        datum_at(m, m.tail).next = d.slot
    else:
        m.head = d.slot
    m.tail = d.slot
    relaxed_add(&m.count, <uint32_t>1)


cdef Datum* datum_make(MetricTable* m, const Str* labels, uint32_t hashed, int64_t time) noexcept nogil:
    """Create a series with an empty value, without checking limits; NULL without memory."""
    cdef Datum* d
    cdef uint32_t slot
    cdef char* key
    cdef Hist* h = NULL
    if m.count == MAX_DATA or not slab_more(m) or (m.nkeys and not index_room(m)):
        return NULL
    if m.limit > 0 and not heap_room(m, m.count + 1):
        return NULL
    key = key_make(labels, m.nkeys)
    if key != NULL and m.type == TYPE_BUCKETS:
        h = <Hist*>calloc(1, hist_size(m))
        if h == NULL:
            free(key)
            return NULL
        h.epoch = m.store.epoch if m.store != NULL else 0
        account(m, block_cost(hist_size(m)), 0)
    if key == NULL:
        return NULL
    account(m, key_cost(m, key), 0)
    slot = slot_allocate(m)
    copy_before_write(m, slot)
    d = datum_at(m, slot)
    d.key = key
    d.v.i = 0
    if h != NULL:
        d.v.h = h
    d.time = time
    d.expiry = 0
    d.slot = slot
    d.heap = 0
    if m.nkeys:
        index_add(m, hashed, slot)
    datum_link(m, d)
    if m.limit > 0:
        heap_add(m, d)
    return d


cdef bint is_refused(MetricTable* m) noexcept nogil:
    """Whether the store is over its memory limit; if so, counts a refusal."""
    cdef StoreTable* store = m.store
    if store == NULL:
        return False
    if relaxed_load(&store.limit) == 0 or store.memory <= relaxed_load(&store.limit):
        store.is_over = False
        return False
    relaxed_add(&store.over, <uint64_t>(not store.is_over))
    store.is_over = True
    relaxed_add(&store.refused, <uint64_t>1)
    return True


cdef Datum* metric_create(MetricTable* m, const Str* labels, uint32_t hashed, int64_t now) noexcept nogil:
    """Create a missing series if the limits allow it (spec successor.md §3.1)."""
    cdef bint replaces = m.limit > 0 and m.count >= m.limit
    if not replaces and is_refused(m):
        return NULL
    if replaces and labels == m.repaired:
        # Evicting overwrites `repaired`; the texts themselves stay in `scratch`.
        return create_repaired(m, hashed, now)
    while m.limit > 0 and m.count >= m.limit:
        metric_drop(m, heap_oldest(m))
    return datum_make(m, labels, hashed, now if m.type != TYPE_BUCKETS else 0)


cdef Datum* create_repaired(MetricTable* m, uint32_t hashed, int64_t now) noexcept nogil:
    cdef Str* kept = <Str*>malloc(m.nkeys * sizeof(Str))
    cdef Datum* d
    if kept == NULL:
        return NULL
    memcpy(kept, m.repaired, m.nkeys * sizeof(Str))
    d = metric_create(m, kept, hashed, now)
    free(kept)
    return d


# The operations of programs.  The caller holds the store's lock.  `labels` has as many values as the metric has keys, and
# is copied.  A Datum is valid until its series is removed, which any metric_get may do on a metric with a limit.

cdef inline Datum* metric_find(MetricTable* m, const Str* labels) noexcept nogil:
    """The series, or NULL."""
    cdef Hashed hashed
    if m.nkeys == 0:
        return m.slab[0].p if m.count else NULL
    hashed = hash_keys(labels, m.nkeys)
    labels = resolve(m, labels, &hashed)
    return index_find(m, labels, hashed.h) if labels != NULL else NULL


cdef inline Datum* metric_get_hashed(MetricTable* m, const Str* labels, Hashed hashed, int64_t now) noexcept nogil:
    """metric_get for labels that are hashed already."""
    cdef Datum* d
    if m.nkeys == 0:
        return m.slab[0].p if m.count else metric_create(m, labels, 0, now)
    labels = resolve(m, labels, &hashed)
    if labels == NULL:
        return NULL
    d = index_find(m, labels, hashed.h)
    return d if d != NULL else metric_create(m, labels, hashed.h, now)


cdef inline Datum* metric_get(MetricTable* m, const Str* labels, int64_t now) noexcept nogil:
    """The series, created at `now` if missing; NULL without memory or over its limit (which is counted)."""
    return metric_get_hashed(m, labels, hash_keys(labels, m.nkeys), now)


cdef bint metric_del(MetricTable* m, const Str* labels) noexcept nogil:
    """Remove the series; whether there was one."""
    cdef Datum* d = metric_find(m, labels)
    if d == NULL:
        return False
    metric_drop(m, d)
    return True


cdef void metric_clear(MetricTable* m) noexcept nogil:
    """Remove all series."""
    while m.head != NO_SLOT:
        metric_drop(m, datum_at(m, m.head))


cdef bint metric_expire(MetricTable* m, const Str* labels, int64_t expiry) noexcept nogil:
    """Let the series expire `expiry` > 0 nanoseconds after its time; false if there is none."""
    cdef Datum* d = metric_find(m, labels)
    if d == NULL:
        return False
    copy_before_write(m, d.slot)
    m.expiring += (expiry > 0) - (d.expiry > 0)
    d.expiry = expiry
    return True


cdef void heap_lift(MetricTable* m, Datum* d) noexcept nogil:
    """Repair the heap after the time of `d` has gone back."""
    cdef HeapEntry entry = m.heap[d.heap]
    entry.time = d.time
    heap_up(m, d.heap, entry)


cdef inline void datum_stamp(MetricTable* m, Datum* d, int64_t time) noexcept nogil:
    """After copy_before_write()."""
    d.time = time
    if m.limit > 0 and time < m.heap[d.heap].time:
        heap_lift(m, d)


cdef inline void datum_add_int(MetricTable* m, Datum* d, int64_t delta, int64_t time) noexcept nogil:
    """Add, modulo 2**64."""
    copy_before_write(m, d.slot)
    d.v.i = <int64_t>(<uint64_t>d.v.i + <uint64_t>delta)
    datum_stamp(m, d, time)


cdef inline void datum_set_int(MetricTable* m, Datum* d, int64_t value, int64_t time) noexcept nogil:
    copy_before_write(m, d.slot)
    d.v.i = value
    datum_stamp(m, d, time)


cdef inline void datum_set_float(MetricTable* m, Datum* d, double value, int64_t time) noexcept nogil:
    copy_before_write(m, d.slot)
    d.v.f = value
    datum_stamp(m, d, time)


cdef bint text_write(MetricTable* m, Datum* d, size_t keep, Str s) noexcept nogil:
    """Set the text to its first `keep` bytes followed by `s`, which may be part of it."""
    cdef Text* old = d.v.s
    cdef Text* new = old
    cdef size_t n = keep + s.n
    cdef size_t cap = n * 2 if keep else n
    if n > MAX_DATA or (keep and s.n and is_refused(m)):
        return False
    if old == NULL or n > old.cap or old.cap // 4 > n + 64 or snapshot_sees(m, old.epoch):
        new = <Text*>malloc(text_size(<uint32_t>cap))
        if new == NULL:
            return False
        account(m, block_cost(text_size(<uint32_t>cap)), 0)
        new.epoch = m.store.epoch if m.store != NULL else 0
        new.cap = <uint32_t>cap
        if keep:
            memcpy(new.p, old.p, keep)
    if s.n:
        memmove(new.p + keep, s.p, s.n)
    new.n = <uint32_t>n
    if new != old:
        d.v.s = new
        if old != NULL:
            retire(m, old, block_cost(text_size(old.cap)))
    return True


cdef bint datum_set_text(MetricTable* m, Datum* d, Str s, int64_t time) noexcept nogil:
    """Replace the text; false, and no change, without memory."""
    copy_before_write(m, d.slot)
    if not text_write(m, d, 0, s):
        return False
    datum_stamp(m, d, time)
    return True


cdef bint datum_append_text(MetricTable* m, Datum* d, Str s, int64_t time) noexcept nogil:
    """Append to the text; false, and no change, without memory or over its limit (which is counted)."""
    copy_before_write(m, d.slot)
    if not text_write(m, d, datum_text(d).n, s):
        return False
    datum_stamp(m, d, time)
    return True


cdef uint32_t range_of(MetricTable* m, double v) noexcept nogil:
    """The first range whose upper bound is not below `v`, which is a number."""
    cdef uint32_t low = 0
    cdef uint32_t high = m.nranges - 1
    cdef uint32_t mid
    while high - low > 8:
        mid = (low + high) // 2
        if m.bound[mid] < v:
            low = mid + 1
        else:
            high = mid
    while m.bound[low] < v:
        low += 1
    return low


cdef bint hist_own(MetricTable* m, Datum* d) noexcept nogil:
    """Copy-on-write: replace a histogram that a snapshot may see by a copy."""
    cdef Hist* old = d.v.h
    cdef Hist* new = <Hist*>malloc(hist_size(m))
    if new == NULL:
        return False
    memcpy(new, old, hist_size(m))
    new.epoch = m.store.epoch
    d.v.h = new
    account(m, block_cost(hist_size(m)), 0)
    retire(m, old, block_cost(hist_size(m)))
    return True


cdef inline bint datum_observe(MetricTable* m, Datum* d, double v, int64_t time) noexcept nogil:
    """Record an observation (spec runtime.md §5.1); false, and no change, without memory."""
    cdef Hist* h
    copy_before_write(m, d.slot)
    if snapshot_sees(m, d.v.h.epoch) and not hist_own(m, d):
        return False
    h = d.v.h
    h.total += 1
    h.sum += v
    if v == v:
        h.count[range_of(m, v)] += 1
    datum_stamp(m, d, time)
    return True
