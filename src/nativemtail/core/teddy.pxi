# What the vector scan of core/teddy.hpp looks for, from what compiler/prefilter/teddy.py computed.

cdef enum:
    SLOTS_MOST = 65536          # of the table of windows
    SLOTS_TRIES = 16            # factors that are tried before the table is made larger

cdef bint seeker_make(Seeker* s, seek, list factors, list kept) except -1:
    """Fill `s`, which must be empty; texts of literals are kept alive by `kept`.  False where there is no such scan."""
    cdef uint32_t at = 0
    cdef int i, missing
    if seek is None or not seek_works():
        return False
    s.needles = <Needle*> zeroed(sum(len(window.needles) for window in seek.windows), sizeof(Needle))
    s.tested = <uint32_t> len(seek.low) // 16
    memcpy(s.low, <const char*> seek.low, len(seek.low))
    memcpy(s.high, <const char*> seek.high, len(seek.high))
    memset(&s.fold, seek.fold, sizeof(s.fold))
    for i in range(8):
        missing = 8 - seek.lengths[i]
        s.masks[i] = <uint64_t> -1 << 8 * missing
    for window in seek.windows:
        for number, end in window.needles:
            needle_make(&s.needles[at], factors[number], number, end, kept)
            at += 1
    return seeker_enter(s, seek.windows)


cdef bint seeker_enter(Seeker* s, list windows) except -1:
    """Find a table in which no two windows have the same slot; False if there is none."""
    cdef size_t slots = 256
    cdef int attempt
    s.shift = 56
    while slots <= SLOTS_MOST:
        s.keys = <uint64_t*> zeroed(slots, sizeof(uint64_t))
        s.slots = <SeekSlot*> zeroed(slots, sizeof(SeekSlot))
        for attempt in range(SLOTS_TRIES):
            seek_reorder(s)
            if all_enter(s, windows):
                return True
            memset(s.keys, 0, slots * sizeof(uint64_t))
        free(s.keys)
        free(s.slots)
        s.keys = NULL
        s.slots = NULL
        slots *= 2
        s.shift -= 1
    return False


cdef bint all_enter(Seeker* s, list windows) except -1:
    cdef uint32_t first = 0, count
    cdef uint64_t key
    for window in windows:
        key = int.from_bytes(window.text.rjust(8, b"\0"), "little")
        count = <uint32_t> len(window.needles)
        if not seek_enter(s, key, first, count):
            return False
        first += count
    return True


cdef needle_make(Needle* needle, factor, uint32_t number, uint32_t end, list kept):
    cdef Str text = borrow(factor.literal)
    kept.append(factor.literal)
    needle.text = text.p
    needle.n = <uint32_t> text.n
    needle.before = end
    needle.factor = number
    needle.caseless = factor.caseless
    needle_finish(needle)


cdef void seeker_free(Seeker* s) noexcept:
    free(s.keys)
    free(s.slots)
    free(s.needles)
    memset(s, 0, sizeof(Seeker))
