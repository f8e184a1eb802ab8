# Slots of a metric's slabs, and the keys of its series: label values, each preceded by its length (a byte, or 255 and 4
# bytes).

cdef void copy_slab(MetricTable* m, uint32_t number) noexcept nogil:
    """Copy a slab to the snapshot that is being taken, unless it has been copied."""
    cdef SnapMetric* view = m.saving
    cdef uint32_t size = slab_size(m)
    if number < view.slabs and not view.done[number]:
        view.done[number] = True
        if m.slab[number].p == NULL:
            memset(view.rows + <size_t>number * SLAB, 0, size * sizeof(Datum))
        else:
            memcpy(view.rows + <size_t>number * SLAB, m.slab[number].p, size * sizeof(Datum))


cdef void slab_changes(MetricTable* m, uint32_t number) noexcept nogil:
    if m.tracked:
        m.changed[number] = True
        m.dirty = True
    if m.saving != NULL:
        copy_slab(m, number)


cdef inline void copy_before_write(MetricTable* m, uint32_t slot) noexcept nogil:
    """Copy-on-write, and marks the change: must be called before a Datum is modified."""
    if m.observed:
        slab_changes(m, slot // SLAB)


cdef bint marks_resize(MetricTable* m, uint32_t cap) noexcept nogil:
    """Make room for the marks of `cap` slabs, of which the new ones count as changed; false without memory."""
    cdef uint8_t* moved = <uint8_t*>realloc(m.changed, cap)
    if moved == NULL:
        return False
    account(m, cap - m.slab_cap, 0)
    memset(moved + m.slab_cap, True, cap - m.slab_cap)
    m.changed = moved
    return True


cdef bint slab_more(MetricTable* m) noexcept nogil:
    """Make sure that a slab has a free slot; false without memory."""
    cdef Slab* moved
    cdef Slab* slab
    cdef uint32_t cap
    if m.room == NO_SLOT:
        if m.slabs == m.slab_cap:
            cap = m.slab_cap * 2 if m.slab_cap else 1
            moved = <Slab*>realloc(m.slab, cap * sizeof(Slab))
            if moved == NULL:
                return False
            m.slab = moved
            if m.tracked and not marks_resize(m, cap):
                return False
            account(m, (cap - m.slab_cap) * sizeof(Slab), 0)
            m.slab_cap = cap
        slab = &m.slab[m.slabs]
        memset(slab, 0, sizeof(Slab))
        slab.free = SLAB
        slab.next = NO_SLOT
        slab.listed = True
        m.room = m.slabs
        relaxed_add(&m.slabs, <uint32_t>1)
    slab = &m.slab[m.room]
    if slab.p == NULL:
        copy_before_write(m, m.room * SLAB)
        # Zeroed, because snapshots copy unused slots too.
        slab.p = <Datum*>calloc(slab_size(m), sizeof(Datum))
        if slab.p == NULL:
            return False
        account(m, block_cost(slab_size(m) * sizeof(Datum)), 0)
    return True


cdef uint32_t slot_allocate(MetricTable* m) noexcept nogil:
    """Allocate a slot of the first slab with room; slab_more() must have been called."""
    cdef uint32_t number = m.room
    cdef Slab* slab = &m.slab[number]
    cdef uint32_t i
    if slab.free != SLAB:
        i = slab.free
        slab.free = <uint8_t>slab.p[i].next
    else:
        i = slab.fresh
        slab.fresh += 1
    slab.live += 1
    if slab.live == slab_size(m):
        slab.listed = False
        m.room = slab.next
    return number * SLAB + i


cdef void slot_free(MetricTable* m, uint32_t slot) noexcept nogil:
    """Return a slot to its slab; copy_before_write() must have been called."""
    cdef uint32_t number = slot // SLAB
    cdef Slab* slab = &m.slab[number]
    slab.p[slot % SLAB].key = NULL
    slab.p[slot % SLAB].next = slab.free
    slab.free = <uint8_t>(slot % SLAB)
    slab.live -= 1
    if not slab.listed:
        slab.listed = True
        slab.next = m.room
        m.room = number
    if slab.live == 0:
        free(slab.p)
        slab.p = NULL
        slab.fresh = 0
        slab.free = SLAB
        account(m, 0, block_cost(slab_size(m) * sizeof(Datum)))


cdef size_t key_length(MetricTable* m, const char* key) noexcept nogil:
    cdef const char* at = key
    cdef uint32_t i
    for i in range(m.nkeys):
        key_next(&at)
    return at - key


cdef size_t key_cost(MetricTable* m, const char* key) noexcept nogil:
    return block_cost(key_length(m, key))


cdef inline bint key_is(const char* key, const Str* labels, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef Str label
    for i in range(n):
        label = key_next(&key)
        if label.n != labels[i].n or not same_bytes(label.p, labels[i].p, label.n):
            return False
    return True


cdef char* key_make(const Str* labels, uint32_t n) noexcept nogil:
    cdef size_t size = 0
    cdef uint32_t i
    cdef uint32_t length
    cdef char* key
    cdef char* at
    for i in range(n):
        size += labels[i].n + (1 if labels[i].n < 255 else 5)
        if size > MAX_KEY:
            return NULL
    key = at = <char*>malloc(size if size else 1)
    if key == NULL:
        return NULL
    for i in range(n):
        length = <uint32_t>labels[i].n
        if length < 255:
            at[0] = <char>length
            at += 1
        else:
            at[0] = <char>255
            memcpy(at + 1, &length, 4)
            at += 5
        if length:
            memcpy(at, labels[i].p, length)
        at += length
    return key
