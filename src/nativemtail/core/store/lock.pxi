# Holding the store's lock from Python.  It is only ever waited for without the GIL, so whoever holds it may wait for the
# GIL.


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
        store.snapshot_lock.acquire()
        store.lock.acquire()
    collector_off()


cdef void release(StoreTable* store) noexcept:
    unlock(store)
    collector_back()


cdef inline void unlock(StoreTable* store) noexcept:
    store.lock.release()
    store.snapshot_lock.release()
