# The hash index: from label values to a slot.

import os as _os

cdef uint64_t HASH_SEED[5]


cdef void seed_hash():
    cdef bytes secret = _os.urandom(sizeof(HASH_SEED))
    memcpy(HASH_SEED, PyBytes_AS_STRING(secret), sizeof(HASH_SEED))

seed_hash()


cdef inline Hashed hash_keys(const Str* labels, uint32_t n) noexcept nogil:
    cdef Hashed hashed
    cdef uint64_t h = HASH_SEED[4]
    cdef uint32_t i
    hashed.seen = 0
    for i in range(n):
        h = hash_bytes(h, HASH_SEED, labels[i].p, labels[i].n, &hashed.seen)
    hashed.h = <uint32_t>(h ^ (h >> 32))
    return hashed


cdef inline uint32_t hash_labels(MetricTable* m, const Str* labels) noexcept nogil:
    return hash_keys(labels, m.nkeys).h


cdef const Str* repair_labels(MetricTable* m, const Str* labels) noexcept nogil:
    """`labels` if they are valid UTF-8, else a repaired copy, valid until the next call; NULL without memory."""
    cdef uint32_t i
    cdef bint good = True
    cdef size_t start
    for i in range(m.nkeys):
        good = good and is_utf8(labels[i].p, labels[i].n)
    if good:
        return labels
    buf_clear(&m.scratch)
    for i in range(m.nkeys):
        start = m.scratch.n
        utf8_repair(&m.scratch, labels[i].p, labels[i].n, NULL)
        m.repaired[i].n = m.scratch.n - start
    if m.scratch.failed:
        return NULL
    start = 0
    for i in range(m.nkeys):
        m.repaired[i].p = m.scratch.p + start
        start += m.repaired[i].n
    return m.repaired


cdef inline const Str* resolve(MetricTable* m, const Str* labels, Hashed* hashed) noexcept nogil:
    """The labels as they are stored: repaired if need be, and then hashed again; `hashed` is for `labels` on entry."""
    if hashed.seen & <uint64_t>0x8080808080808080:
        labels = repair_labels(m, labels)
        if labels == m.repaired:
            hashed.h = hash_labels(m, labels)
    return labels


cdef inline Datum* index_find(MetricTable* m, const Str* labels, uint32_t hashed) noexcept nogil:
    cdef uint32_t i = hashed & m.mask
    cdef uint64_t cell
    cdef Datum* d
    if m.index == NULL:
        return NULL
    while True:
        cell = m.index[i]
        if cell == 0:
            return NULL
        if <uint32_t>(cell >> 32) == hashed:
            d = datum_at(m, <uint32_t>cell - 1)
            if key_is(d.key, labels, m.nkeys):
                return d
        i = (i + 1) & m.mask


# Look-ahead does a lookup in steps, each of which prefetches what the next one needs: the cell of the index, some lines
# later the datum, then its key.  Only the hash and the slot are kept in between; the real lookup checks both.

cdef enum:
    NEAR_CELLS = 4          # cells of the index that look-ahead examines


cdef inline void prefetch_cell(MetricTable* m, uint32_t hashed) noexcept nogil:
    if m.index != NULL:
        prefetch(&m.index[hashed & m.mask], NEAR_CELLS * sizeof(uint64_t))


cdef inline uint32_t prefetch_datum(MetricTable* m, uint32_t hashed) noexcept nogil:
    """The first slot with that hash; NO_SLOT if there is none."""
    cdef uint32_t i, slot
    cdef uint64_t cell
    if m.index == NULL:
        return NO_SLOT
    for i in range(hashed, hashed + NEAR_CELLS):
        cell = m.index[i & m.mask]
        if cell == 0:
            break
        if <uint32_t>(cell >> 32) == hashed:
            slot = <uint32_t>cell - 1
            prefetch(datum_at(m, slot), sizeof(Datum))
            return slot
    return NO_SLOT


cdef inline void prefetch_key(MetricTable* m, uint32_t slot, size_t n) noexcept nogil:
    if slot != NO_SLOT and slot // SLAB < m.slabs and m.slab[slot // SLAB].p != NULL:
        prefetch(datum_at(m, slot).key, n)


cdef bint index_resize(MetricTable* m, uint32_t cells) noexcept nogil:
    cdef uint64_t* fresh = <uint64_t*>calloc(cells, sizeof(uint64_t))
    cdef uint64_t* old = m.index
    cdef size_t had = <size_t>m.mask + 1 if old != NULL else 0
    cdef size_t i
    cdef uint32_t at
    if fresh == NULL:
        return False
    for i in range(had):
        if old[i]:
            at = <uint32_t>(old[i] >> 32) & (cells - 1)
            while fresh[at]:
                at = (at + 1) & (cells - 1)
            fresh[at] = old[i]
    free(old)
    m.index = fresh
    m.mask = cells - 1
    account(m, cells * sizeof(uint64_t), had * sizeof(uint64_t))
    return True


cdef inline bint index_room(MetricTable* m) noexcept nogil:
    """Make room for one more entry."""
    if m.index == NULL:
        return index_resize(m, 8)
    if <uint64_t>(m.count + 1) * 4 > (<uint64_t>m.mask + 1) * 3:
        return m.mask < MAX_DATA and index_resize(m, (m.mask + 1) * 2)
    return True


cdef void index_add(MetricTable* m, uint32_t hashed, uint32_t slot) noexcept nogil:
    cdef uint32_t i = hashed & m.mask
    while m.index[i]:
        i = (i + 1) & m.mask
    m.index[i] = <uint64_t>hashed << 32 | (slot + 1)


cdef void index_remove(MetricTable* m, uint32_t hashed, uint32_t slot) noexcept nogil:
    """Remove the cell and close the gap."""
    cdef uint64_t cell = <uint64_t>hashed << 32 | (slot + 1)
    cdef uint32_t gap = hashed & m.mask
    cdef uint32_t i
    while m.index[gap] != cell:
        gap = (gap + 1) & m.mask
    i = gap
    while True:
        i = (i + 1) & m.mask
        if m.index[i] == 0:
            break
        # A cell may move into the gap unless its home cell is after the gap.
        if ((i - <uint32_t>(m.index[i] >> 32)) & m.mask) >= ((i - gap) & m.mask):
            m.index[gap] = m.index[i]
            gap = i
    m.index[gap] = 0
