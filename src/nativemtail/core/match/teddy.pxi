# The tables of the multi-literal matcher (core/teddy.hpp), from what compiler/prefilter/teddy.py computed.

cdef enum:
    CELLS_MOST = 65536          # largest table of windows
    CELLS_TRIES = 16            # multipliers to try before the table is doubled

cdef bint teddy_make(Teddy* s, tables, list literals, list kept) except -1:
    """Fill `s`, which must be empty; texts of literals are kept alive by `kept`.  False without AVX2."""
    cdef uint32_t at = 0
    cdef int i, missing
    if tables is None or not teddy_works():
        return False
    s.needles = <Needle*>zeroed(sum(len(window.needles) for window in tables.windows), sizeof(Needle))
    s.tested = <uint32_t>len(tables.low) // 16
    memcpy(s.low, <const char*>tables.low, len(tables.low))
    memcpy(s.high, <const char*>tables.high, len(tables.high))
    memset(&s.fold, tables.fold, sizeof(s.fold))
    for i in range(8):
        missing = 8 - tables.lengths[i]
        s.masks[i] = <uint64_t> -1 << 8 * missing
    for window in tables.windows:
        for number, end in window.needles:
            needle_make(&s.needles[at], literals[number], number, end, kept)
            at += 1
    return teddy_place(s, tables.windows)


cdef bint teddy_place(Teddy* s, list windows) except -1:
    """Find a table in which no two windows collide; False if there is none."""
    cdef size_t cells = 256
    cdef int attempt
    s.shift = 56
    while cells <= CELLS_MOST:
        s.keys = <uint64_t*>zeroed(cells, sizeof(uint64_t))
        s.cells = <TeddyCell*>zeroed(cells, sizeof(TeddyCell))
        for attempt in range(CELLS_TRIES):
            teddy_reorder(s)
            if all_enter(s, windows):
                return True
            memset(s.keys, 0, cells * sizeof(uint64_t))
        free(s.keys)
        free(s.cells)
        s.keys = NULL
        s.cells = NULL
        cells *= 2
        s.shift -= 1
    return False


cdef bint all_enter(Teddy* s, list windows) except -1:
    cdef uint32_t first = 0, count
    cdef uint64_t key
    for window in windows:
        key = int.from_bytes(window.text.rjust(8, b"\0"), "little")
        count = <uint32_t>len(window.needles)
        if not teddy_enter(s, key, first, count):
            return False
        first += count
    return True


cdef needle_make(Needle* needle, literal, uint32_t number, uint32_t end, list kept):
    cdef Str text = borrow(literal.literal)
    kept.append(literal.literal)
    needle.text = text.p
    needle.n = <uint32_t>text.n
    needle.before = end
    needle.literal = number
    needle.caseless = literal.caseless
    needle_finish(needle)


cdef void teddy_free(Teddy* s) noexcept:
    free(s.keys)
    free(s.cells)
    free(s.needles)
    memset(s, 0, sizeof(Teddy))
