# Holding the store's lock from Python.  It is never waited for with the GIL held, so a thread that holds it may wait
# for the GIL.


# The cyclic garbage collector may run whenever a container is created, and may free a Metric or a Snapshot, which takes
# the lock.  So it is disabled while a thread that holds the lock works with Python objects.

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
