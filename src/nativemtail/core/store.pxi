# Metrics and their data: tables from label values to values, and a consistent view of them for readers.
#
# A table.  The data of a metric lie in slabs of SLAB slots, so a Datum keeps its address while it lives; a freed slot
# is used again, an empty slab goes back to malloc.  `index` is an open-addressing table (linear probing, at most 3/4
# full) of words `hash << 32 | slot + 1`, so a probe looks at a Datum only where 32 bits of the hash agree.  The key of
# a Datum holds its label values one after another, each behind its length.  The hash is keyed by a secret of the
# process, so that nobody can write a log whose labels collide.  Order of creation is a list through prev and next.
#
# Eviction (spec successor.md §3.1).  A metric with a limit has a min-heap by (time, creation).  A write that moves a
# time forward leaves the heap as it is: its entries are lower bounds, and the top is put right when somebody asks for
# the oldest.  A write that moves a time back lifts its entry at once.  So each is O(log n), amortised.
#
# Readers.  Everything here runs under the lock of the store, which the engine holds while it scans and hands over at
# the end of a line when somebody waits.  A snapshot fixes an instant under the lock, then copies the slabs in slices of
# SLICE bytes, each in its own turn at the lock.  Whoever is about to change a slab that is not copied yet copies it
# first (`touch`), so the copy is of that instant, no part of a line is in it, and the engine never waits for more than
# a slice however many series there are.  (With 1,000,000 series all slices take 20 to 50 ms, one 0.3 to 0.5 ms.)
# Pages of large stores are made of small snapshots, one after another (parts.pxi).
# Only slots are copied.  What they point to is left alone while a snapshot may see it: keys are never changed; texts
# and histograms carry the store's `epoch` of their making, and one that is older than the newest snapshot is replaced,
# not changed.  What is dropped meanwhile waits in `graves` until the snapshots that may see it are gone.

from libc.math cimport INFINITY
from libc.stdlib cimport calloc, malloc
from libc.string cimport memmove, memset

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

import os as _os

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef extern from "core/store.hpp" nogil:
    cppclass StoreLock:
        void acquire() noexcept
        void release() noexcept
        bint wanted() noexcept
    uint64_t nm_hash(uint64_t state, const uint64_t* seed, const char* p, size_t n, uint64_t* seen) noexcept
    bint nm_same(const char* p, const char* q, size_t n) noexcept
    void nm_prefetch(const void* p, size_t n) noexcept

cdef extern from "core/relaxed.hpp" nogil:
    T nm_load[T](const T* p) noexcept
    void nm_put[T](T* p, T v) noexcept
    void nm_add[T](T* p, T more) noexcept

cdef extern from * nogil:
    """
    template <class T> static inline T *nm_new() { return new (std::nothrow) T(); }
    template <class T> static inline void nm_delete(T *p) { delete p; }
    """
    StoreLock* nm_new_lock "nm_new<StoreLock>" () noexcept
    void nm_delete_lock "nm_delete<StoreLock>" (StoreLock* lock) noexcept

cdef enum:
    SLAB = 64               # slots of a slab; a metric without keys has one slot only
    SLICE = 512 * 1024      # bytes that a snapshot copies in one turn at the lock
    GC_SLICE = 8192         # slots that the collector looks at in one turn
    WHOLE = 8388608         # bytes of a page, as estimated, up to which it shows one instant
    PAGE_PIECE = 1048576    # bytes of the pieces of larger ones

cdef enum:
    NO_SLOT = 0xFFFFFFFF
    MAX_DATA = 0x7FFFFFFF   # label sets of one metric, and bytes of one text
    MAX_KEY = 16777216      # bytes of the label values of one label set

cdef struct Slab:
    Datum* p                # NULL: empty, its memory given back
    uint32_t next           # the next slab with room
    uint8_t live
    uint8_t fresh           # slots from here on were never used
    uint8_t free            # first of the freed slots, linked by Datum.next; SLAB: none
    bint listed             # in the list of slabs with room

cdef struct HeapEntry:
    int64_t time            # not later than the datum's
    uint64_t birth
    uint32_t slot

cdef struct SnapMetric:     # the view of one metric
    MetricTable* m
    Datum* rows             # by slot number
    uint8_t* done           # by slab: copied; NULL once all are
    uint32_t slabs
    uint32_t head
    uint32_t count

cdef struct SnapTable:
    SnapMetric* metric
    size_t n
    uint64_t epoch
    SnapTable* older
    SnapTable* newer
    bint linked             # among the store's snapshots: what its rows point to stays

cdef struct Grave:
    void* p
    uint64_t epoch
    uint32_t cost
    bint table              # `p` is a whole MetricTable

cdef struct StoreTable:
    StoreLock* lock
    StoreLock* taking       # one snapshot, collection or exchange of metrics at a time; taken before `lock`
    size_t users            # Store and Metric objects that point here
    uint64_t epoch          # counts the moments at which rows were copied
    uint64_t watched        # the last of them; what was made before it may be in a snapshot
    SnapTable* oldest       # snapshots alive
    SnapTable* newest
    Grave* grave            # in order of epoch, from `grave_first` on
    size_t grave_first
    size_t grave_n
    size_t grave_cap
    size_t memory           # bytes of the tables in the store, and of graves
    size_t limit            # of `memory`; 0: none
    uint64_t refused        # label sets and texts
    uint64_t over           # times that `memory` came above `limit`
    bint is_over            # as far as somebody wanted more

cdef struct MetricTable:
    StoreTable* store       # NULL before the metric is first put into one
    bint counted            # its memory is part of the store's
    int kind
    int type
    uint32_t nkeys
    int64_t limit
    uint32_t nranges
    double* bound           # upper bounds of the ranges, infinity last
    uint32_t count
    uint32_t expiring       # data with an expiry
    uint32_t head           # oldest by creation
    uint32_t tail
    Slab* slab
    uint32_t slabs
    uint32_t slab_cap
    uint32_t room           # first slab with room
    uint64_t* index
    uint32_t mask           # cells of the index, less one
    HeapEntry* heap         # NULL without a limit
    uint32_t heap_n
    uint32_t heap_cap
    uint64_t births
    uint64_t drops          # label sets removed so far
    size_t memory
    SnapMetric* saving      # the snapshot that is being copied
    Str* repaired           # room for labels made valid UTF-8
    Buf scratch

cdef uint64_t HASH_SEED[5]


cdef void seed_hash():
    cdef bytes secret = _os.urandom(sizeof(HASH_SEED))
    memcpy(HASH_SEED, PyBytes_AS_STRING(secret), sizeof(HASH_SEED))

seed_hash()


cdef inline bint lock_wanted(StoreLock* lock) noexcept nogil:
    """Somebody waits: release and acquire, which lets them in first."""
    return lock.wanted()


# Memory: accounting, and what happens to things that a snapshot may still see.

cdef inline size_t block_cost(size_t n) noexcept nogil:
    """What malloc(n) takes."""
    return 32 if n <= 24 else (n + 8 + 15) & ~<size_t>15


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


cdef void free_graves(Grave* grave, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if grave[i].table:
            table_free(<MetricTable*>grave[i].p)
        else:
            free(grave[i].p)
    free(grave)


cdef void store_release(StoreTable* store) noexcept nogil:
    """One user less (the GIL guards the count)."""
    cdef Grave* grave
    cdef size_t n = 0
    store.users -= 1
    if store.users == 0:
        grave = exhume(store, &n)
        free_graves(grave, n)
        free(store.grave)
        nm_delete_lock(store.lock)
        nm_delete_lock(store.taking)
        free(store)


# Slots.

cdef inline Datum* datum_at(MetricTable* m, uint32_t slot) noexcept nogil:
    return m.slab[slot // SLAB].p + slot % SLAB


cdef inline uint32_t slab_size(MetricTable* m) noexcept nogil:
    return SLAB if m.nkeys else 1


cdef void save_slab(MetricTable* m, uint32_t number) noexcept nogil:
    """Copy a slab to the snapshot that is being taken, unless that is done."""
    cdef SnapMetric* view = m.saving
    cdef uint32_t size = slab_size(m)
    if number < view.slabs and not view.done[number]:
        view.done[number] = True
        if m.slab[number].p == NULL:
            memset(view.rows + <size_t>number * SLAB, 0, size * sizeof(Datum))
        else:
            memcpy(view.rows + <size_t>number * SLAB, m.slab[number].p, size * sizeof(Datum))


cdef inline void touch(MetricTable* m, uint32_t slot) noexcept nogil:
    """To be called before a Datum changes."""
    if m.saving != NULL:
        save_slab(m, slot // SLAB)


cdef bint slab_more(MetricTable* m) noexcept nogil:
    """Make sure that there is a slab with room."""
    cdef Slab* moved
    cdef Slab* slab
    cdef uint32_t cap
    if m.room == NO_SLOT:
        if m.slabs == m.slab_cap:
            cap = m.slab_cap * 2 if m.slab_cap else 1
            moved = <Slab*>realloc(m.slab, cap * sizeof(Slab))
            if moved == NULL:
                return False
            account(m, (cap - m.slab_cap) * sizeof(Slab), 0)
            m.slab = moved
            m.slab_cap = cap
        slab = &m.slab[m.slabs]
        memset(slab, 0, sizeof(Slab))
        slab.free = SLAB
        slab.next = NO_SLOT
        slab.listed = True
        m.room = m.slabs
        nm_add(&m.slabs, <uint32_t>1)
    slab = &m.slab[m.room]
    if slab.p == NULL:
        touch(m, m.room * SLAB)
        # Zeroed: a snapshot copies slots that were never used too.
        slab.p = <Datum*>calloc(slab_size(m), sizeof(Datum))
        if slab.p == NULL:
            return False
        account(m, block_cost(slab_size(m) * sizeof(Datum)), 0)
    return True


cdef uint32_t slot_take(MetricTable* m) noexcept nogil:
    """A slot of the slab in front, after slab_more()."""
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


cdef void slot_give(MetricTable* m, uint32_t slot) noexcept nogil:
    """Back to its slab; the slot has been touched."""
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


# Keys: label values, each behind its length (a byte, or 255 and 4 bytes).

cdef inline Str key_next(const char** at) noexcept nogil:
    """The label value at `at`, which moves behind it."""
    cdef Str label
    cdef uint32_t n = <uint8_t>at[0][0]
    at[0] += 1
    if n == 255:
        memcpy(&n, at[0], 4)
        at[0] += 4
    label.p = at[0]
    label.n = n
    at[0] += n
    return label


cdef size_t key_cost(MetricTable* m, const char* key) noexcept nogil:
    cdef const char* at = key
    cdef uint32_t i
    for i in range(m.nkeys):
        key_next(&at)
    return block_cost(<size_t>(at - key))


cdef inline bint key_is(const char* key, const Str* labels, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef Str label
    for i in range(n):
        label = key_next(&key)
        if label.n != labels[i].n or not nm_same(label.p, labels[i].p, label.n):
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


cdef void key_labels(MetricTable* m, const char* key, Str* labels) noexcept nogil:
    cdef uint32_t i
    for i in range(m.nkeys):
        labels[i] = key_next(&key)


# The index.

cdef struct Hashed:         # label values, hashed
    uint32_t h
    uint64_t seen           # all their bytes, or-ed together eight by eight


cdef inline Hashed hash_keys(const Str* labels, uint32_t n) noexcept nogil:
    cdef Hashed hashed
    cdef uint64_t h = HASH_SEED[4]
    cdef uint32_t i
    hashed.seen = 0
    for i in range(n):
        h = nm_hash(h, HASH_SEED, labels[i].p, labels[i].n, &hashed.seen)
    hashed.h = <uint32_t>(h ^ (h >> 32))
    return hashed


cdef inline uint32_t hash_labels(MetricTable* m, const Str* labels) noexcept nogil:
    return hash_keys(labels, m.nkeys).h


cdef const Str* repair_labels(MetricTable* m, const Str* labels) noexcept nogil:
    """`labels` if they are UTF-8, else a repaired copy that lives until the next call; NULL without memory."""
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
    """The labels as they are stored, with their hash; `hashed` is that of `labels`."""
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


# Looking label sets up ahead of time, so that they are near when they are asked for: first the cell of the index, some
# lines later the datum, then its key.  Nothing is kept in between but the hash and the slot, which are checked anew.

cdef enum:
    NEAR_CELLS = 4          # cells of the index that are looked at ahead of time


cdef inline void ahead_cell(MetricTable* m, uint32_t hashed) noexcept nogil:
    if m.index != NULL:
        nm_prefetch(&m.index[hashed & m.mask], NEAR_CELLS * sizeof(uint64_t))


cdef inline uint32_t ahead_datum(MetricTable* m, uint32_t hashed) noexcept nogil:
    """The slot that the hash leads to first; NO_SLOT if there is none."""
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
            nm_prefetch(datum_at(m, slot), sizeof(Datum))
            return slot
    return NO_SLOT


cdef inline void ahead_key(MetricTable* m, uint32_t slot, size_t n) noexcept nogil:
    if slot != NO_SLOT and slot // SLAB < m.slabs and m.slab[slot // SLAB].p != NULL:
        nm_prefetch(datum_at(m, slot).key, n)


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
    """Make sure that one more fits."""
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
    """Take the cell out and close the gap."""
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
        # A cell may move into the gap unless its home lies behind the gap.
        if ((i - <uint32_t>(m.index[i] >> 32)) & m.mask) >= ((i - gap) & m.mask):
            m.index[gap] = m.index[i]
            gap = i
    m.index[gap] = 0


# The heap of a metric with a limit.

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
    """After heap_room()."""
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
    """The datum with the smallest time, of equal ones the first created."""
    cdef HeapEntry top = m.heap[0]
    cdef Datum* d = datum_at(m, top.slot)
    while top.time != d.time:
        top.time = d.time
        heap_down(m, 0, top)
        top = m.heap[0]
        d = datum_at(m, top.slot)
    return d


cdef bint heap_build(MetricTable* m) noexcept nogil:
    """The heap anew from all data."""
    cdef uint32_t slot = m.head
    m.heap_n = 0
    if not heap_room(m, m.count):
        return False
    while slot != NO_SLOT:
        heap_add(m, datum_at(m, slot))
        slot = datum_at(m, slot).next
    return True


# Label sets come and go.

cdef inline size_t hist_size(MetricTable* m) noexcept nogil:
    return sizeof(Hist) + (m.nranges - 1) * sizeof(int64_t)


cdef inline size_t text_size(uint32_t cap) noexcept nogil:
    return sizeof(Text) + cap


cdef void value_retire(MetricTable* m, Datum* d) noexcept nogil:
    if m.type == TYPE_STRING and d.v.s != NULL:
        retire(m, d.v.s, block_cost(text_size(d.v.s.cap)))
    elif m.type == TYPE_BUCKETS and d.v.h != NULL:
        retire(m, d.v.h, block_cost(hist_size(m)))


cdef void metric_drop(MetricTable* m, Datum* d) noexcept nogil:
    """Remove a label set."""
    touch(m, d.slot)
    if m.nkeys:
        key_labels(m, d.key, m.repaired)
        index_remove(m, hash_labels(m, m.repaired), d.slot)
    if m.limit > 0:
        heap_remove(m, d.heap)
    if d.prev != NO_SLOT:
        touch(m, d.prev)
        datum_at(m, d.prev).next = d.next
    else:
        m.head = d.next
    if d.next != NO_SLOT:
        touch(m, d.next)
        datum_at(m, d.next).prev = d.prev
    else:
        m.tail = d.prev
    m.expiring -= d.expiry > 0
    value_retire(m, d)
    retire(m, d.key, key_cost(m, d.key))
    slot_give(m, d.slot)
    nm_add(&m.count, <uint32_t>-1)
    nm_add(&m.drops, <uint64_t>1)
    if m.mask > 63 and m.count < m.mask // 8:
        index_resize(m, (m.mask + 1) // 2)


cdef void datum_link(MetricTable* m, Datum* d) noexcept nogil:
    """Put a datum at the end of the order of creation."""
    d.prev = m.tail
    d.next = NO_SLOT
    if m.tail != NO_SLOT:
        touch(m, m.tail)
        datum_at(m, m.tail).next = d.slot
    else:
        m.head = d.slot
    m.tail = d.slot
    nm_add(&m.count, <uint32_t>1)


cdef Datum* datum_make(MetricTable* m, const Str* labels, uint32_t hashed, int64_t time) noexcept nogil:
    """A new label set with an empty value, whatever the limits; NULL without memory."""
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
    slot = slot_take(m)
    touch(m, slot)
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
    """Over the store's memory limit; counted."""
    cdef StoreTable* store = m.store
    if store == NULL:
        return False
    if nm_load(&store.limit) == 0 or store.memory <= nm_load(&store.limit):
        store.is_over = False
        return False
    nm_add(&store.over, <uint64_t>(not store.is_over))
    store.is_over = True
    nm_add(&store.refused, <uint64_t>1)
    return True


cdef Datum* metric_create(MetricTable* m, const Str* labels, uint32_t hashed, int64_t now) noexcept nogil:
    """A missing label set within the limits (spec successor.md §3.1)."""
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


# What programs do.  The caller holds the store's lock.  `labels` has as many values as the metric has keys; they are
# copied.  A Datum is good until its label set is deleted, which on a metric with a limit any metric_get may do.

cdef inline Datum* metric_find(MetricTable* m, const Str* labels) noexcept nogil:
    """The label set, or NULL."""
    cdef Hashed hashed
    if m.nkeys == 0:
        return m.slab[0].p if m.count else NULL
    hashed = hash_keys(labels, m.nkeys)
    labels = resolve(m, labels, &hashed)
    return index_find(m, labels, hashed.h) if labels != NULL else NULL


cdef inline Datum* metric_get_hashed(MetricTable* m, const Str* labels, Hashed hashed, int64_t now) noexcept nogil:
    """As metric_get, for who has hashed the labels."""
    cdef Datum* d
    if m.nkeys == 0:
        return m.slab[0].p if m.count else metric_create(m, labels, 0, now)
    labels = resolve(m, labels, &hashed)
    if labels == NULL:
        return NULL
    d = index_find(m, labels, hashed.h)
    return d if d != NULL else metric_create(m, labels, hashed.h, now)


cdef inline Datum* metric_get(MetricTable* m, const Str* labels, int64_t now) noexcept nogil:
    """The label set, made at `now` if missing; NULL when memory is used up or its limit (counted) is reached."""
    return metric_get_hashed(m, labels, hash_keys(labels, m.nkeys), now)


cdef bint metric_del(MetricTable* m, const Str* labels) noexcept nogil:
    """Remove the label set; whether there was one."""
    cdef Datum* d = metric_find(m, labels)
    if d == NULL:
        return False
    metric_drop(m, d)
    return True


cdef bint metric_expire(MetricTable* m, const Str* labels, int64_t expiry) noexcept nogil:
    """Let the label set go `expiry` > 0 nanoseconds after its time; false when there is none."""
    cdef Datum* d = metric_find(m, labels)
    if d == NULL:
        return False
    touch(m, d.slot)
    m.expiring += (expiry > 0) - (d.expiry > 0)
    d.expiry = expiry
    return True


cdef void heap_lift(MetricTable* m, Datum* d) noexcept nogil:
    """The time of `d` went back."""
    cdef HeapEntry entry = m.heap[d.heap]
    entry.time = d.time
    heap_up(m, d.heap, entry)


cdef inline void datum_stamp(MetricTable* m, Datum* d, int64_t time) noexcept nogil:
    """After touch()."""
    d.time = time
    if m.limit > 0 and time < m.heap[d.heap].time:
        heap_lift(m, d)


cdef inline void datum_add_int(MetricTable* m, Datum* d, int64_t delta, int64_t time) noexcept nogil:
    """Add, modulo 2**64."""
    touch(m, d.slot)
    d.v.i = <int64_t>(<uint64_t>d.v.i + <uint64_t>delta)
    datum_stamp(m, d, time)


cdef inline void datum_set_int(MetricTable* m, Datum* d, int64_t value, int64_t time) noexcept nogil:
    touch(m, d.slot)
    d.v.i = value
    datum_stamp(m, d, time)


cdef inline void datum_set_float(MetricTable* m, Datum* d, double value, int64_t time) noexcept nogil:
    touch(m, d.slot)
    d.v.f = value
    datum_stamp(m, d, time)


cdef inline Str datum_text(const Datum* d) noexcept nogil:
    """The text, until the next write to this datum."""
    cdef Str s
    s.p = NULL
    s.n = 0
    if d.v.s != NULL:
        s.p = d.v.s.p
        s.n = d.v.s.n
    return s


cdef bint text_write(MetricTable* m, Datum* d, size_t keep, Str s) noexcept nogil:
    """The first `keep` bytes of the text, then `s`, which may lie in it."""
    cdef Text* old = d.v.s
    cdef Text* new = old
    cdef size_t n = keep + s.n
    cdef size_t cap = n * 2 if keep else n
    if n > MAX_DATA or (keep and s.n and is_refused(m)):
        return False
    if old == NULL or n > old.cap or old.cap // 4 > n + 64 or is_watched(m, old.epoch):
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
    """False, and nothing done, without memory."""
    touch(m, d.slot)
    if not text_write(m, d, 0, s):
        return False
    datum_stamp(m, d, time)
    return True


cdef bint datum_append_text(MetricTable* m, Datum* d, Str s, int64_t time) noexcept nogil:
    """False, and nothing done, without memory or over its limit (counted)."""
    touch(m, d.slot)
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
    """Replace a histogram that a snapshot sees by a copy."""
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
    """One observation (spec runtime.md §5.1); false, and nothing done, without memory."""
    cdef Hist* h
    touch(m, d.slot)
    if is_watched(m, d.v.h.epoch) and not hist_own(m, d):
        return False
    h = d.v.h
    h.total += 1
    h.sum += v
    if v == v:
        h.count[range_of(m, v)] += 1
    datum_stamp(m, d, time)
    return True


# Whole tables.

cdef void table_reset(MetricTable* m) noexcept nogil:
    """Forget the data without freeing them."""
    m.slab = NULL
    m.index = NULL
    nm_put(&m.count, <uint32_t>0)
    nm_put(&m.slabs, <uint32_t>0)
    m.expiring = m.slab_cap = m.mask = m.heap_n = 0
    m.head = m.tail = m.room = NO_SLOT


cdef void table_free(MetricTable* m) noexcept nogil:
    """The table and all it holds; no snapshot sees it."""
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
    free(m.index)
    free(m.heap)
    free(m.repaired)
    free(m.bound)
    buf_free(&m.scratch)
    free(m)


cdef void table_move(MetricTable* new, MetricTable* old) noexcept nogil:
    """Give the data of `old` to `new`, which has none; each keeps its heap."""
    cdef size_t memory = old.memory - old.heap_cap * sizeof(HeapEntry)
    account(new, memory, new.memory - new.heap_cap * sizeof(HeapEntry))
    account(old, 0, memory)
    free(new.slab)
    free(new.index)
    new.slab = old.slab
    nm_put(&new.slabs, old.slabs)
    new.slab_cap = old.slab_cap
    new.room = old.room
    new.index = old.index
    new.mask = old.mask
    new.head = old.head
    new.tail = old.tail
    nm_put(&new.count, old.count)
    new.expiring = old.expiring
    table_reset(old)


cdef bint adopt(MetricTable* m, MetricTable* owner, Datum* d) noexcept nogil:
    """A label set of `owner`, a table of the same shape, moves in behind the others, value and all."""
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
    """Move the label sets of `new` that `old` lacks to `old`."""
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
    """Move the data of `old` to `new`; label sets that only `new` has come behind them.

    Without memory false; every label set is then in one of the two.
    """
    cdef int64_t limit = old.limit
    cdef bint whole
    old.limit = 0                   # `old` needs no heap any more
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


# The Python side.  The lock is only ever waited for without the GIL, so whoever holds it may wait for the GIL.

COUNTER = KIND_COUNTER
GAUGE = KIND_GAUGE
TIMER = KIND_TIMER
TEXT = KIND_TEXT
HISTOGRAM = KIND_HISTOGRAM

INT = TYPE_INT
FLOAT = TYPE_FLOAT
STRING = TYPE_STRING
BUCKETS = TYPE_BUCKETS


cdef bytes as_bytes(text):
    """The bytes that a name, file name or label stands for."""
    return text if isinstance(text, bytes) else (<str?>text).encode("utf-8", "surrogateescape")


cdef class Metric:
    """See _core.pyi.  `table` lives as long as this object."""

    cdef MetricTable* table
    cdef readonly str name
    cdef readonly str program
    cdef readonly int kind
    cdef readonly int type
    cdef readonly tuple keys
    cdef readonly str source
    cdef readonly tuple buckets
    cdef readonly int64_t limit
    cdef readonly bint hidden

    def __cinit__(self, str name, str program, int kind, int type, keys=(), str source="", buckets=(),
                  int64_t limit=0, bint hidden=False):
        cdef Str none
        self.name, self.program, self.kind, self.type, self.source = name, program, kind, type, source
        self.keys, self.buckets = tuple(map(str, keys)), tuple(map(float, buckets))
        self.limit, self.hidden = limit, hidden
        self._check()
        self.table = <MetricTable*>calloc(1, sizeof(MetricTable))
        if self.table == NULL:
            raise MemoryError
        self.table.kind = kind
        self.table.type = type
        self.table.limit = limit
        self.table.nkeys = <uint32_t>len(self.keys)
        table_reset(self.table)
        self._make_room()
        if not self.keys and kind in (KIND_COUNTER, KIND_HISTOGRAM):
            if datum_make(self.table, &none, 0, 0) == NULL:
                raise MemoryError

    def _check(self):
        if not KIND_COUNTER <= self.kind <= KIND_HISTOGRAM or not TYPE_INT <= self.type <= TYPE_BUCKETS:
            raise ValueError("no such kind or type of metric")
        if (self.kind == KIND_HISTOGRAM) != (self.type == TYPE_BUCKETS):
            raise ValueError("a histogram has buckets, other metrics have none")
        if self.type == TYPE_BUCKETS and len(self.buckets) < 2:
            raise ValueError("a histogram needs at least two bounds")
        if any(not low < high for low, high in zip(self.buckets, self.buckets[1:])):
            raise ValueError("bounds must be strictly increasing")

    cdef int _make_room(self) except -1:
        """Bounds of the ranges (spec runtime.md §5.1), and room for repaired labels."""
        cdef list bounds = [bound for bound in self.buckets[:1] if bound > 0]
        cdef uint32_t i
        bounds += [bound for bound in self.buckets[1:] if bound != INFINITY] + [INFINITY]
        self.table.nranges = <uint32_t>len(bounds)
        self.table.bound = <double*>malloc(len(bounds) * sizeof(double))
        self.table.repaired = <Str*>malloc(max(len(self.keys), 1) * sizeof(Str))
        if self.table.bound == NULL or self.table.repaired == NULL:
            raise MemoryError
        for i in range(self.table.nranges):
            self.table.bound[i] = bounds[i]
        return 0

    def __dealloc__(self):
        cdef MetricTable* m = self.table
        cdef StoreTable* store
        cdef bint buried = False
        if m == NULL:
            return
        store = m.store
        if store != NULL:
            with nogil:
                store.lock.acquire()
                uncount(m)
                # Data that came here from another metric may be in a snapshot that does not know this one.
                buried = store.newest != NULL
                if buried:
                    bury(store, m, <uint32_t>min(m.memory, <size_t>0xFFFFFFFF), True)
                store.lock.release()
        if not buried:
            table_free(m)
        if store != NULL:
            store_release(store)

    def __len__(self):
        return nm_load(&self.table.count)

    def __repr__(self):
        return f"<Metric {self.program}:{self.name} {list(self.keys)} with {len(self)} label sets>"

    @property
    def memory(self):
        return nm_load(&self.table.memory)

    def inherit(self, Metric old not None):
        check_inherit(self, old)
        if old.table.store == NULL:
            inherit_from(self, old)
            return
        acquire(old.table.store)
        try:
            inherit_from(self, old)
        finally:
            release(old.table.store)


cdef void uncount(MetricTable* m) noexcept nogil:
    if m.counted:
        m.counted = False
        nm_add(&m.store.memory, <size_t>0 - m.memory)


cdef int check_inherit(Metric new, Metric old) except -1:
    if new is old or (new.type, new.keys, new.buckets) != (old.type, old.keys, old.buckets):
        raise ValueError(f"{old!r} and {new!r} differ in type, keys or buckets")
    if new.table.store != NULL and new.table.store != old.table.store:
        raise ValueError(f"{old!r} and {new!r} belong to different stores")
    return 0


cdef int inherit_from(Metric new, Metric old) except -1:
    """Under the lock."""
    cdef bint whole
    if old.table.store != NULL and new.table.store == NULL:
        attach(new.table, old.table.store)
    with nogil:
        whole = table_inherit(new.table, old.table)
    if not whole:
        raise MemoryError
    return 0


cdef void attach(MetricTable* m, StoreTable* store) noexcept:
    """Let the metric know the lock, snapshots and limits that it lives with from now on."""
    m.store = store
    store.users += 1


# The cyclic garbage collector may run wherever a container is made, and what it frees may take the lock: a Metric or
# a Snapshot does.  So it is off while somebody holds the lock and works with Python's objects.

cdef int sections_without_collector = 0
cdef bint collector_was_on = False


cdef void collector_off() noexcept:
    global sections_without_collector, collector_was_on
    if sections_without_collector == 0:
        collector_was_on = PyGC_Disable()
    sections_without_collector += 1


cdef void collector_back() noexcept:
    global sections_without_collector
    sections_without_collector -= 1
    if sections_without_collector == 0 and collector_was_on:
        PyGC_Enable()


cdef void acquire(StoreTable* store) noexcept:
    with nogil:
        store.taking.acquire()
        store.lock.acquire()
    collector_off()


cdef void release(StoreTable* store) noexcept:
    unlock(store)
    collector_back()


cdef inline void unlock(StoreTable* store) noexcept:
    store.lock.release()
    store.taking.release()


cdef class Store:
    """See _core.pyi.  `table.lock` is the lock that the engine holds while it scans."""

    cdef StoreTable* table
    cdef dict families      # name -> list of Metric

    def __cinit__(self):
        self.families = {}
        self.table = <StoreTable*>calloc(1, sizeof(StoreTable))
        if self.table == NULL:
            raise MemoryError
        self.table.users = 1
        self.table.lock = nm_new_lock()
        self.table.taking = nm_new_lock()
        if self.table.lock == NULL or self.table.taking == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.table != NULL:
            store_release(self.table)

    @property
    def memory(self):
        return nm_load(&self.table.memory)

    @property
    def limit(self):
        return nm_load(&self.table.limit)

    @limit.setter
    def limit(self, size_t limit):
        nm_put(&self.table.limit, limit)

    @property
    def refused(self):
        return nm_load(&self.table.refused)

    @property
    def over_limit(self):
        return nm_load(&self.table.over)

    def add(self, Metric metric not None):
        self.replace((), (metric,))

    def remove(self, Metric metric not None):
        self.replace((metric,), ())

    def replace(self, old, new, inherit=()):
        cdef list pairs = [(<Metric?>to, <Metric?>source) for to, source in inherit]
        old, new = list(old), list(new)
        acquire(self.table)
        try:
            self._check(old, new)
            for to, source in pairs:
                check_inherit(to, source)
            for to, source in pairs:
                inherit_from(to, source)
            self._exchange(old, new)
        finally:
            release(self.table)

    cdef int _check(self, list old, list new) except -1:
        cdef Metric metric
        for metric in old:
            if not any(metric is other for other in self.families.get(metric.name, ())):
                raise ValueError(f"{metric!r} is not in the store")
        for metric in new:
            if metric.table.counted or (metric.table.store != NULL and metric.table.store != self.table):
                raise ValueError(f"{metric!r} is in a store already")
        if len({id(m) for m in new}) < len(new) or len({id(m) for m in old}) < len(old):
            raise ValueError("a metric is named twice")
        return 0

    cdef int _exchange(self, list old, list new) except -1:
        """Under the lock; everything is checked."""
        cdef Metric metric
        cdef list family, places
        cdef set gone = set(old)
        for metric in new:
            family = self.families.setdefault(metric.name, [])
            places = [i for i, other in enumerate(family) if other in gone and other.program == metric.program]
            if places:
                self._uncount(family[places[0]])
                gone.discard(family[places[0]])
                family[places[0]] = metric
            else:
                family.append(metric)
            if metric.table.store == NULL:
                attach(metric.table, self.table)
            metric.table.counted = True
            nm_add(&self.table.memory, metric.table.memory)
        for metric in gone:
            self._uncount(metric)
            family = self.families[metric.name]
            family.remove(metric)
            if not family:
                del self.families[metric.name]
        return 0

    cdef void _uncount(self, Metric metric) noexcept:
        uncount(metric.table)

    def metrics(self):
        return [metric for family in self.families.values() for metric in family]

    def snapshot(self):
        return Snapshot(self)

    def view(self, *, size_t whole=WHOLE, size_t piece=PAGE_PIECE):
        return View(self, whole, piece)

    def gc(self, int64_t now):
        cdef Metric metric
        cdef StoreTable* store = self.table
        cdef uint64_t gone = 0
        with nogil:
            store.taking.acquire()
        try:
            for metric in self.metrics():
                with nogil:
                    gone += table_gc(store, metric.table, now)
        finally:
            store.taking.release()
        return gone


cdef inline bint is_over(Datum* d, int64_t now) noexcept nogil:
    """Its age exceeds its expiry; ages beyond the range of int64 count as their wide difference."""
    return d.expiry > 0 and now > d.time and <uint64_t>now - <uint64_t>d.time > <uint64_t>d.expiry


cdef uint64_t gc_slice(MetricTable* m, int64_t now, uint32_t* next) noexcept nogil:
    """Look at GC_SLICE slots from next[0] on, which moves on; NO_SLOT at the end."""
    cdef uint32_t slot = next[0]
    cdef uint32_t end = slot + GC_SLICE
    cdef uint64_t gone = 0
    cdef Datum* d
    while slot < end and slot // SLAB < m.slabs and m.expiring:
        if m.slab[slot // SLAB].p == NULL or slot % SLAB >= slab_size(m):
            slot = (slot // SLAB + 1) * SLAB
            continue
        d = datum_at(m, slot)
        if d.key != NULL and is_over(d, now):
            metric_drop(m, d)
            gone += 1
        slot += 1
    next[0] = slot if slot // SLAB < m.slabs and m.expiring else NO_SLOT
    return gone


cdef uint64_t table_gc(StoreTable* store, MetricTable* m, int64_t now) noexcept nogil:
    """Trim to the limit, then drop what is over (spec runtime.md §5.2), a slice in each turn at the lock."""
    cdef uint32_t slot = 0
    cdef uint64_t gone = 0
    cdef uint32_t i
    cdef bint trimming = True
    while slot != NO_SLOT:
        store.lock.acquire()
        i = 0
        while trimming and i < GC_SLICE // 8:
            trimming = m.limit > 0 and m.count > m.limit
            if trimming:
                metric_drop(m, heap_oldest(m))
                gone += 1
            i += 1
        if not trimming:
            gone += gc_slice(m, now, &slot)
        store.lock.release()
    return gone


# Snapshots.

cdef class Row:
    """See _core.pyi."""

    cdef readonly tuple labels
    cdef readonly int64_t time
    cdef readonly int64_t expiry
    cdef readonly object value
    cdef readonly int64_t count
    cdef readonly double sum
    cdef readonly tuple buckets

    def __repr__(self):
        return f"<Row {self.labels} {self.value if self.value is not None else self.buckets} at {self.time}>"


cdef Row make_row(MetricTable* m, const Datum* d):
    cdef Row row = Row.__new__(Row)
    cdef const char* at = d.key
    cdef list labels = []
    cdef Str s
    cdef uint32_t i
    for i in range(m.nkeys):
        s = key_next(&at)
        labels.append(s.p[:s.n].decode("utf-8"))
    row.labels = tuple(labels)
    row.time = d.time
    row.expiry = d.expiry
    row.buckets = ()
    if m.type == TYPE_INT:
        row.value = d.v.i
    elif m.type == TYPE_FLOAT:
        row.value = d.v.f
    elif m.type == TYPE_STRING:
        s = datum_text(d)
        row.value = s.p[:s.n] if s.n else b""
    else:
        row.count = d.v.h.total
        row.sum = d.v.h.sum
        row.buckets = tuple([(m.bound[i], d.v.h.count[i]) for i in range(m.nranges)])
    return row


cdef bint view_begin(SnapMetric* view, MetricTable* m) noexcept nogil:
    """Fix what is in the view; under the lock."""
    cdef size_t slots = <size_t>m.slabs * SLAB if m.nkeys else m.slabs
    view.m = m
    view.slabs = m.slabs
    view.head = m.head
    view.count = m.count
    if slots == 0:
        return True
    view.rows = <Datum*>malloc(slots * sizeof(Datum))
    view.done = <uint8_t*>calloc(m.slabs, 1)
    if view.rows == NULL or view.done == NULL:
        return False
    m.saving = view
    return True


cdef void view_end(SnapMetric* view) noexcept nogil:
    """Under the lock."""
    if view.done != NULL and view.m.saving == view:
        view.m.saving = NULL
    free(view.done)
    view.done = NULL


cdef void snapshot_copy(StoreTable* store, SnapTable* snap) noexcept nogil:
    """Copy everything, a slice in each turn; called and left with the lock held."""
    cdef SnapMetric* view
    cdef size_t copied = 0
    cdef size_t i
    cdef uint32_t number
    for i in range(snap.n):
        view = &snap.metric[i]
        for number in range(view.slabs):
            save_slab(view.m, number)
            copied += slab_size(view.m) * sizeof(Datum) if view.m.nkeys else 4 * sizeof(Datum)
            if copied >= SLICE:
                store.lock.release()
                copied = 0
                store.lock.acquire()
        view_end(view)


cdef void snapshot_link(StoreTable* store, SnapTable* snap) noexcept nogil:
    store.epoch += 1
    store.watched = store.epoch
    snap.epoch = store.epoch
    snap.linked = True
    snap.older = store.newest
    if store.newest != NULL:
        store.newest.newer = snap
    else:
        store.oldest = snap
    store.newest = snap


cdef void snapshot_unlink(StoreTable* store, SnapTable* snap) noexcept nogil:
    if snap.newer != NULL:
        snap.newer.older = snap.older
    else:
        store.newest = snap.older
    if snap.older != NULL:
        snap.older.newer = snap.newer
    else:
        store.oldest = snap.newer


cdef void snapshot_free(StoreTable* store, SnapTable* snap) noexcept nogil:
    cdef Grave* grave
    cdef size_t n = 0
    cdef size_t i
    if snap.linked:
        store.lock.acquire()
        for i in range(snap.n):
            view_end(&snap.metric[i])
        snapshot_unlink(store, snap)
        grave = exhume(store, &n)
        store.lock.release()
        free_graves(grave, n)
    for i in range(snap.n):
        free(snap.metric[i].rows)
    free(snap.metric)
    free(snap)


cdef class Snapshot:
    """See _core.pyi.  The copy; render.pxi writes it out.

    With `members` it begins empty, for parts.pxi to fill: views of these metrics that know only how many rows there are.
    """

    cdef StoreTable* store
    cdef SnapTable* table
    cdef list members       # of Metric, as table.metric
    cdef dict place         # id of a Metric -> where it is in `members`
    cdef readonly list warnings

    def __cinit__(self, Store owner not None, list members=None):
        self.warnings = []
        self.table = <SnapTable*>calloc(1, sizeof(SnapTable))
        if self.table == NULL:
            raise MemoryError
        self.store = owner.table
        self.store.users += 1
        if members is not None:
            self._outline(members)
            return
        acquire(self.store)
        snapshot_link(self.store, self.table)
        try:
            try:
                self._begin(owner)
            finally:
                collector_back()
            with nogil:
                snapshot_copy(self.store, self.table)
        finally:
            unlock(self.store)

    cdef int _begin(self, Store owner) except -1:
        """Under the lock: what is in the store now."""
        cdef Metric metric
        cdef size_t i = 0
        self.members = owner.metrics()
        self.place = {id(metric): i for i, metric in enumerate(self.members)}
        self.table.metric = <SnapMetric*>calloc(max(len(self.members), 1), sizeof(SnapMetric))
        if self.table.metric == NULL:
            raise MemoryError
        self.table.n = len(self.members)
        for metric in self.members:
            if not view_begin(&self.table.metric[i], metric.table):
                raise MemoryError
            i += 1
        return 0

    cdef int _outline(self, list members) except -1:
        cdef Metric metric
        cdef SnapMetric* view
        self.members = members
        self.place = {id(metric): i for i, metric in enumerate(members)}
        self.table.metric = <SnapMetric*>calloc(max(len(members), 1), sizeof(SnapMetric))
        if self.table.metric == NULL:
            raise MemoryError
        for metric in members:
            view = &self.table.metric[self.table.n]
            view.m = metric.table
            view.head = NO_SLOT
            view.count = nm_load(&metric.table.count)    # without the lock
            self.table.n += 1
        return 0

    def __dealloc__(self):
        if self.table != NULL and self.store != NULL:
            with nogil:
                snapshot_free(self.store, self.table)
            store_release(self.store)

    cdef SnapMetric* view(self, Metric metric) except NULL:
        if id(metric) not in self.place:
            raise ValueError(f"{metric!r} is not in the snapshot")
        return &self.table.metric[<size_t>self.place[id(metric)]]

    def metrics(self):
        return list(self.members)

    def rows(self, Metric metric not None):
        cdef SnapMetric* view = self.view(metric)
        cdef uint32_t slot = view.head
        while slot != NO_SLOT:
            yield make_row(view.m, &view.rows[slot])
            slot = view.rows[slot].next

    def count(self, Metric metric not None):
        return self.view(metric).count

    def json(self, bint grouped):
        return render_json(self, grouped)

    def metrics_json(self, *, bint emit_prog_label=True, str prefix="", names=None, reserved=frozenset()):
        return render_metrics_json(self, emit_prog_label, prefix, names, reserved)

    def prometheus(self, *, bint emit_prog_label=True, bint emit_timestamp=False, str prefix="",
                   bint openmetrics=False, names=None, reserved=frozenset(), bint strict=False):
        return render_prometheus(self, emit_prog_label, emit_timestamp, prefix, openmetrics, names, reserved, strict)
