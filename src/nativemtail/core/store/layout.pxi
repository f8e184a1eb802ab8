# Data structures of the store: tables from label values to values, and snapshots for readers.
#
# A table.  The data of a metric lie in slabs of SLAB slots, so a Datum keeps its address while it lives; a freed slot
# is used again, an empty slab goes back to malloc.  `index` is an open-addressing table (linear probing, at most 3/4
# full) of words `hash << 32 | slot + 1`, so a probe reads a Datum only if 32 bits of the hash agree.  The key of
# a Datum holds its label values one after another, each preceded by its length.  The hash is keyed by a secret of the
# process, so that a log cannot be made whose labels collide.  Order of creation is a list through prev and next.
#
# Eviction (spec successor.md §3.1).  A metric with a limit has a min-heap by (time, creation).  A write that moves a
# time forward does not change the heap: its entries are lower bounds, and the top is corrected when the oldest series
# is needed.  A write that moves a time back moves its entry up at once.  So each is O(log n), amortised.
#
# Readers.  Everything here runs under the lock of the store, which the engine holds while it scans, and hands over to
# waiting readers at the end of a line.  A snapshot fixes an instant under the lock, then copies the slabs in slices of
# SLICE bytes, each in its own turn at the lock.  Slabs are copied on write: whoever is about to change one that is not
# copied yet copies it first (`copy_before_write`).  So the copy is of that instant, no part of a line is in it, and the
# engine never waits for more than a slice however many series there are.  (With 1,000,000 series all slices take 20 to
# 50 ms, one 0.3 to 0.5 ms.)  Pages of large stores are made of small snapshots, one after another (render/view.pxi).
#
# Only slots are copied.  What they point to is not modified while a snapshot may see it: keys never change; texts and
# histograms carry the store's `epoch` at their creation, and one that is older than the newest snapshot is replaced
# instead of modified.  Memory dropped meanwhile is retired, and reclaimed when the snapshots that may see it are gone
# (epoch-based reclamation).
#
# Saving.  Of the metrics that are saved (`tracked`) each slab has a byte that says whether it has changed since the last
# save.  A `Delta` takes these bytes at its instant, and copies and encodes the slabs that they name (save.pxi).

cdef enum:
    SLAB = 64               # slots of a slab; a metric without keys has a single slot
    SLICE = 512 * 1024      # bytes that a snapshot copies in one turn at the lock
    GC_SLICE = 8192         # slots that the collector examines in one turn

cdef enum:
    NO_SLOT = 0xFFFFFFFF
    MAX_DATA = 0x7FFFFFFF   # limit for the series of a metric, and for the bytes of a text
    MAX_KEY = 16777216      # limit for the label values of one series, in bytes

cdef struct Slab:
    Datum* p                # NULL: empty, and its memory freed
    uint32_t next           # the next slab with room
    uint8_t live
    uint8_t fresh           # slots from here on have never been used
    uint8_t free            # first freed slot, linked by Datum.next; SLAB: none
    bint listed             # in the list of slabs with room

cdef struct HeapEntry:
    int64_t time            # at most the datum's time
    uint64_t birth
    uint32_t slot

cdef struct SnapMetric:     # the view of one metric
    MetricTable* m
    Datum* rows             # by slot number
    uint8_t* done           # by slab: copied; NULL once all are
    uint32_t slabs
    uint32_t head
    uint32_t count
    uint8_t* changed        # the marks that a delta took from `m`
    uint32_t marks
    uint64_t number         # of `m` in the saved state

cdef struct SnapTable:
    SnapMetric* metric
    size_t n
    uint64_t epoch
    SnapTable* older
    SnapTable* newer
    bint linked             # in the store's list: protects what its rows point to

cdef struct Retired:
    void* p
    uint64_t epoch
    uint32_t cost
    bint table              # `p` is a whole MetricTable

cdef struct StoreTable:
    TicketLock* lock
    TicketLock* snapshot_lock       # one snapshot, collection or exchange of metrics at a time; taken before `lock`
    size_t users            # Store and Metric objects that point here
    uint64_t epoch          # incremented whenever rows begin to be copied
    uint64_t watched        # the epoch of the newest snapshot, which may see anything older
    SnapTable* oldest       # list of the live snapshots
    SnapTable* newest
    Retired* retired            # in order of epoch, from `retired_first` on
    size_t retired_first
    size_t retired_n
    size_t retired_cap
    size_t memory           # bytes of the tables in the store, and of retired memory
    size_t limit            # of `memory`; 0: none
    uint64_t refused        # how often a series or text was refused
    uint64_t over           # times that `memory` came above `limit`
    bint is_over            # at the last attempt to allocate
    uint64_t numbers        # the last number that a metric got for the saved state

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
    uint32_t head           # first in order of creation
    uint32_t tail
    Slab* slab
    uint32_t slabs
    uint32_t slab_cap
    uint32_t room           # first slab with room
    uint64_t* index
    uint32_t mask           # cells of the index minus one
    HeapEntry* heap         # NULL without a limit
    uint32_t heap_n
    uint32_t heap_cap
    uint64_t births
    uint64_t drops          # series removed so far
    size_t memory
    SnapMetric* saving      # its view in the snapshot that is being copied
    bint observed           # somebody has to know before a slab changes: `saving`, or `tracked`
    bint tracked            # changes are marked for the next save
    bint dirty              # some slab is marked
    uint8_t* changed        # the marks, by slab; slab_cap of them if tracked
    uint64_t number         # its number in the saved state; 0: none
    Str* repaired           # buffer for labels repaired to valid UTF-8
    Buf scratch
    History* history        # its writes by time, in a history; NULL: not kept


cdef struct Hashed:         # label values, hashed
    uint32_t h
    uint64_t seen           # all their bytes or-ed together as words


cdef inline bint lock_wanted(TicketLock* lock) noexcept nogil:
    """Somebody waits: release and acquire, which lets them in first."""
    return lock.wanted()


cdef inline size_t block_cost(size_t n) noexcept nogil:
    """Bytes that malloc(n) really uses."""
    return 32 if n <= 24 else (n + 8 + 15) & ~<size_t>15


cdef inline Datum* datum_at(MetricTable* m, uint32_t slot) noexcept nogil:
    return m.slab[slot // SLAB].p + slot % SLAB


cdef inline uint32_t slab_size(MetricTable* m) noexcept nogil:
    return SLAB if m.nkeys else 1


cdef inline Str key_next(const char** at) noexcept nogil:
    """The label value at `at`, which is advanced past it."""
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


cdef inline void key_labels(MetricTable* m, const char* key, Str* labels) noexcept nogil:
    cdef uint32_t i
    for i in range(m.nkeys):
        labels[i] = key_next(&key)


cdef inline size_t hist_size(MetricTable* m) noexcept nogil:
    return sizeof(Hist) + (m.nranges - 1) * sizeof(int64_t)


cdef inline size_t text_size(uint32_t cap) noexcept nogil:
    return sizeof(Text) + cap


cdef inline Str datum_text(const Datum* d) noexcept nogil:
    """The text, until the next write to this datum."""
    cdef Str s
    s.p = NULL
    s.n = 0
    if d.v.s != NULL:
        s.p = d.v.s.p
        s.n = d.v.s.n
    return s


cdef inline void snapshot_link(StoreTable* store, SnapTable* snap) noexcept nogil:
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
