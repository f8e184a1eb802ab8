# Restoring: from the images of slabs (see save.pxi) to a metric's table.  The images may be damaged or forged: everything
# is checked.

cdef struct Reader:
    const char* p
    const char* end
    uint64_t time           # of the last series
    bint bad                # set once something is missing or wrong


cdef uint64_t read_varint(Reader* r) noexcept nogil:
    cdef uint64_t v = 0
    cdef uint32_t shift = 0
    cdef uint8_t c = 128
    while c & 128:
        if r.p == r.end or shift > 63:
            r.bad = True
            return 0
        c = <uint8_t>r.p[0]
        r.p += 1
        v |= <uint64_t>(c & 127) << shift
        shift += 7
    return v


cdef int64_t read_natural(Reader* r) noexcept nogil:
    cdef uint64_t v = read_varint(r)
    if v > <uint64_t>INT64_MAX:
        r.bad = True
        return 0
    return <int64_t>v


cdef inline int64_t unzigzag(uint64_t v) noexcept nogil:
    return <int64_t>(v >> 1 ^ -(v & 1))


cdef void read_bytes(Reader* r, void* out, size_t n) noexcept nogil:
    if n > <size_t>(r.end - r.p):
        r.bad = True
        return
    memcpy(out, r.p, n)
    r.p += n


cdef char* read_key(Reader* r, uint32_t nkeys) noexcept nogil:
    """The label values, which must be valid UTF-8, in memory of their own; NULL, with `bad` set, if they are not."""
    cdef const char* start = r.p
    cdef uint32_t i, n
    cdef char* key
    for i in range(nkeys):
        n = 0
        read_bytes(r, &n, 1)
        if n == 255:
            read_bytes(r, &n, 4)
        if r.bad or n > MAX_KEY or n > <size_t>(r.end - r.p) or not is_utf8(r.p, n):
            r.bad = True
            return NULL
        r.p += n
    if r.p - start > MAX_KEY:
        r.bad = True
        return NULL
    key = <char*>malloc(max(<size_t>(r.p - start), <size_t>1))
    if key == NULL:
        r.bad = True
        return NULL
    memcpy(key, start, r.p - start)
    return key


cdef void read_text(Reader* r, MetricTable* m, Datum* d) noexcept nogil:
    cdef int64_t n = read_natural(r)
    cdef Text* text
    d.v.s = NULL
    if r.bad or n == 0:
        return
    if n > MAX_DATA or n > r.end - r.p:
        r.bad = True
        return
    text = <Text*>malloc(text_size(<uint32_t>n))
    if text == NULL:
        r.bad = True
        return
    text.epoch = 0
    text.n = text.cap = <uint32_t>n
    read_bytes(r, text.p, n)
    d.v.s = text
    account(m, block_cost(text_size(text.cap)), 0)


cdef void read_histogram(Reader* r, MetricTable* m, Datum* d) noexcept nogil:
    cdef Hist* h = <Hist*>calloc(1, hist_size(m))
    cdef uint32_t i
    if h == NULL:
        r.bad = True
        return
    h.total = read_natural(r)
    read_bytes(r, &h.sum, sizeof(double))
    for i in range(m.nranges):
        h.count[i] = read_natural(r)
    if r.bad:
        free(h)
        return
    d.v.h = h
    account(m, block_cost(hist_size(m)), 0)


cdef void read_value(Reader* r, MetricTable* m, Datum* d) noexcept nogil:
    if m.type == TYPE_INT:
        d.v.i = unzigzag(read_varint(r))
    elif m.type == TYPE_FLOAT:
        read_bytes(r, &d.v.f, sizeof(double))
    elif m.type == TYPE_STRING:
        read_text(r, m, d)
    else:
        read_histogram(r, m, d)


cdef void read_series(Reader* r, MetricTable* m, Datum* d, uint32_t slot) noexcept nogil:
    """Fill the slot, whose `key` stays NULL if something is wrong."""
    cdef int64_t next = unzigzag(read_varint(r))
    cdef char* key = read_key(r, m.nkeys)
    if key == NULL:
        return
    r.time += <uint64_t>unzigzag(read_varint(r))
    d.time = <int64_t>r.time
    d.expiry = read_natural(r)
    if not r.bad and not -<int64_t>slot <= next <= <int64_t>MAX_DATA - slot:
        r.bad = True
    if not r.bad:
        read_value(r, m, d)
    if r.bad:
        free(key)
        return
    d.key = key
    d.slot = slot
    d.prev = NO_SLOT
    d.next = <uint32_t>(next + slot) if next else <uint32_t>NO_SLOT
    m.expiring += d.expiry > 0
    account(m, key_cost(m, key), 0)


cdef bint slabs_resize(MetricTable* m, uint32_t slabs) noexcept nogil:
    """Make room for that many slabs; false without memory."""
    cdef uint32_t cap = max(slabs, m.slab_cap * 2)
    cdef uint32_t i
    cdef Slab* moved
    if slabs > m.slab_cap:
        moved = <Slab*>realloc(m.slab, cap * sizeof(Slab))
        if moved == NULL:
            return False
        account(m, (cap - m.slab_cap) * sizeof(Slab), 0)
        m.slab = moved
        m.slab_cap = cap
    for i in range(m.slabs, slabs):
        memset(&m.slab[i], 0, sizeof(Slab))
        m.slab[i].free = SLAB
    relaxed_store(&m.slabs, max(slabs, m.slabs))
    return True


cdef bint restore_slab(Reader* r, MetricTable* m, uint32_t number, uint64_t used) noexcept nogil:
    """Read the series of a slab that is not there yet; false if the image is damaged, or without memory."""
    cdef Slab* slab = &m.slab[number]
    cdef uint32_t size = slab_size(m)
    cdef uint32_t i
    slab.p = <Datum*>calloc(size, sizeof(Datum))
    if slab.p == NULL:
        return False
    account(m, block_cost(size * sizeof(Datum)), 0)
    while used >> slab.fresh:
        i = slab.fresh
        slab.fresh += 1
        if used >> i & 1:
            read_series(r, m, &slab.p[i], number * SLAB + i)
            if r.bad:
                return False
            slab.live += 1
        else:
            slab.p[i].next = slab.free
            slab.free = <uint8_t>i
        if slab.fresh == 64:
            break
    return True


cdef bint restore_group(MetricTable* m, uint64_t number, const char* p, size_t n) noexcept nogil:
    """Add the slabs of a group; false if its image is damaged, or without memory."""
    cdef Reader r = Reader(p, p + n, 0, False)
    cdef uint64_t used = 0
    cdef uint32_t i
    cdef uint64_t at
    if number > MAX_DATA // SLAB // GROUP:
        return False
    for i in range(GROUP):
        at = number * GROUP + i
        read_bytes(&r, &used, sizeof(used))
        if r.bad or (m.nkeys == 0 and (at or used != 1)):
            return False
        if not slabs_resize(m, <uint32_t>at + 1) or m.slab[at].p != NULL:
            return False
        if used and not restore_slab(&r, m, <uint32_t>at, used):
            return False
        if r.p == r.end:
            return used != 0
    return False


cdef bint restore_order(MetricTable* m, uint32_t head, uint32_t count) noexcept nogil:
    """Link the series in order of creation; false unless the order has each of them once."""
    cdef uint32_t slot = head
    cdef uint32_t seen = 0
    cdef uint64_t live = 0
    cdef uint32_t i
    cdef Datum* d
    for i in range(m.slabs):
        live += m.slab[i].live
    if live != count:
        return False
    while slot != NO_SLOT:
        if slot // SLAB >= m.slabs or slot % SLAB >= slab_size(m) or m.slab[slot // SLAB].p == NULL:
            return False
        d = datum_at(m, slot)
        if d.key == NULL or seen == count:
            return False
        d.prev = m.tail
        m.tail = slot
        slot = d.next
        seen += 1
    return seen == count


cdef bint restore_index(MetricTable* m, uint32_t count) noexcept nogil:
    """Index the series; false if two have the same labels, or without memory."""
    cdef uint64_t cells = 8
    cdef uint32_t i, k, hashed
    cdef Datum* d
    if m.nkeys == 0 or count == 0:
        return True
    while <uint64_t>count * 4 > cells * 3:
        cells *= 2
    if cells > <uint64_t>MAX_DATA + 1 or not index_resize(m, <uint32_t>cells):
        return False
    for i in range(m.slabs):
        for k in range(m.slab[i].fresh):
            d = m.slab[i].p + k
            if d.key != NULL:
                key_labels(m, d.key, m.repaired)
                hashed = hash_labels(m, m.repaired)
                if index_find(m, m.repaired, hashed) != NULL:
                    return False
                index_add(m, hashed, d.slot)
    return True


cdef bint restore_finish(MetricTable* m, uint32_t head, uint32_t count, uint64_t number) noexcept nogil:
    """All slabs are there: link, index, and begin to mark changes; false if they do not fit together."""
    cdef uint32_t i
    if count > MAX_DATA or not restore_order(m, head, count) or not restore_index(m, count):
        return False
    m.head = head
    relaxed_store(&m.count, count)
    for i in range(m.slabs, 0, -1):
        if m.slab[i - 1].live < slab_size(m):
            m.slab[i - 1].listed = True
            m.slab[i - 1].next = m.room
            m.room = i - 1
    if (m.limit > 0 and not heap_build(m)) or not track(m):
        return False
    memset(m.changed, False, m.slab_cap)
    m.dirty = False
    m.number = number
    return True


cdef void restore_clear(MetricTable* m) noexcept nogil:
    """Free all series, linked or not.  The metric is in no store."""
    cdef uint32_t i, k
    cdef Datum* d
    for i in range(m.slabs):
        for k in range(m.slab[i].fresh if m.slab[i].p != NULL else 0):
            d = m.slab[i].p + k
            if d.key != NULL:
                free(d.key)
                if m.type == TYPE_STRING or m.type == TYPE_BUCKETS:
                    free(d.v.s)
        free(m.slab[i].p)
    free(m.slab)
    free(m.index)
    free(m.heap)
    free(m.changed)
    table_reset(m)
    m.heap = NULL
    m.heap_cap = 0
    m.memory = 0


def restore_series(Metric metric not None, uint64_t number, uint32_t head, uint32_t count, slabs):
    """See _core.pyi."""
    cdef MetricTable* m = metric.table
    cdef const char* p
    cdef uint64_t place
    cdef size_t n
    cdef bint good = True
    if m.store != NULL:
        raise ValueError(f"{metric!r} is in a store")
    if number == 0:
        raise ValueError("no number")
    with nogil:
        restore_clear(m)
    try:
        for place, image in slabs:
            p = image
            n = len(image)
            with nogil:
                good = restore_group(m, place, p, n)
            if not good:
                raise ValueError(f"group {place} of the slabs of {metric!r} is damaged")
        with nogil:
            good = restore_finish(m, head, count, number)
        if not good:
            raise ValueError(f"the slabs of {metric!r} do not fit together")
    except BaseException:
        with nogil:
            restore_clear(m)
        raise
