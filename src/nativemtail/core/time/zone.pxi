# Time zones: the offset and abbreviation at an instant, and the instant of a local time.

cdef inline int64_t zone_fold(const Zone* zone, int64_t sec) noexcept nogil:
    """Map an instant after the table to the equivalent one in its last 400-year cycle."""
    cdef int64_t cycle = <int64_t>CYCLE_DAYS * DAY_SECONDS
    if sec < zone.cycle_start or sec - zone.cycle_start < cycle:
        return sec
    return zone.cycle_start + (sec - zone.cycle_start) % cycle


cdef inline size_t zone_place(const Zone* zone, int64_t sec) noexcept nogil:
    """The number of transitions up to an instant."""
    cdef size_t place
    cdef size_t bin
    if zone.n == 0 or sec < zone.starts[0]:
        return 0
    place = 0
    if sec >= BIN_BASE:
        bin = <size_t>((sec - BIN_BASE) >> BIN_SHIFT)
        place = zone.bins[bin if bin < BIN_COUNT else BIN_COUNT - 1]
    while place < zone.n and zone.starts[place] <= sec:
        place += 1
    return place


cdef inline uint16_t zone_kind(const Zone* zone, int64_t sec) noexcept nogil:
    return zone.kinds[zone_place(zone, zone_fold(zone, sec))]


cdef inline int32_t zone_offset(const Zone* zone, int64_t sec) noexcept nogil:
    return zone.offsets[zone_kind(zone, sec)]


cdef int64_t zone_instant(const Zone* zone, int64_t wall) noexcept nogil:
    """The instant of local time `wall`; if there are two or none, Go's choice."""
    cdef int64_t sec = zone_fold(zone, wall)
    cdef size_t place = zone_place(zone, sec)
    cdef int32_t offset = zone.offsets[zone.kinds[place]]
    if offset == 0:
        return wall
    sec -= offset
    if (place > 0 and sec < zone.starts[place - 1]) or place == zone.n or sec >= zone.starts[place]:
        offset = zone_offset(zone, wall - offset)
    return wall - offset


cdef inline bint same(Str a, Str b) noexcept nogil:
    return a.n == b.n and memcmp(a.p, b.p, a.n) == 0


cdef bint zone_find(const Zone* zone, Str label, int64_t wall, int32_t* offset) noexcept nogil:
    """The offset of an abbreviation: one in force at that time, else any of that name."""
    cdef size_t kind
    cdef uint16_t then
    for kind in range(zone.named):
        if same(zone.labels[kind], label):
            then = zone_kind(zone, wall - zone.offsets[kind])
            if same(zone.labels[then], label):
                offset[0] = zone.offsets[then]
                return True
    for kind in range(zone.named):
        if same(zone.labels[kind], label):
            offset[0] = zone.offsets[kind]
            return True
    return False
