# Sampling what is done for every line: the clocks, and how often to read them.

cdef enum:
    SAMPLE_LEAST = 192              # runs between two that are timed: this many plus 0 to SAMPLE_MORE, so that
    SAMPLE_MORE = 127               # sampling does not fall in step with the log


cdef int64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline int64_t thread_ns() noexcept nogil:
    """Processor time of the thread: being preempted or waiting does not count."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline void note_time(Timed* timed, int64_t ns) noexcept nogil:
    timed.n += 1
    timed.ns += ns
    timed.longest = max(timed.longest, ns)


cdef inline uint32_t until_next_sample(int64_t now) noexcept nogil:
    return SAMPLE_LEAST + <uint32_t>((now ^ now >> 7) & SAMPLE_MORE)
