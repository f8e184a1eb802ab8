# Test hooks: the multi-literal matcher and the one-pass matcher alone, the choice of an engine, the estimation of times.

def _test_take_time():
    """From now on no match counts as slow, as too many would under an emulator or on a busy machine."""
    global slow_ticks
    slow_ticks = 1 << 60


cdef int note_found(unsigned int literal, unsigned long long start, unsigned long long to, unsigned int flags,
                    void* data) noexcept nogil:
    """Record a literal on line `to`."""
    cdef uint64_t event = to << 32 | literal
    buf_put(<Buf*>data, <const char*>&event, sizeof(event))
    return 0


def _test_teddy(tables, list literals, bytes text, bint dense):
    """Line ends, whether all is ASCII, and the (literal, line) found; None if the matcher is not available."""
    cdef Teddy s
    cdef Buf found = Buf(NULL, 0, 0, False)
    cdef CBool ascii = True
    cdef size_t confirmed = SIZE_MAX if dense else 0
    cdef size_t lines
    cdef uint32_t* ends = <uint32_t*>zeroed(len(text) + 1, sizeof(uint32_t))
    cdef list kept = []
    memset(&s, 0, sizeof(Teddy))
    try:
        if not teddy_make(&s, tables, literals, kept):
            return None
        lines = teddy_lines(s, text, len(text), ends, &ascii, note_found, &found, &confirmed)
        events = [(<uint32_t>(<uint64_t*>found.p)[i], (<uint64_t*>found.p)[i] >> 32) for i in range(found.n // 8)]
        return [ends[i] for i in range(lines)], bool(ascii), events, confirmed
    finally:
        teddy_free(&s)
        buf_free(&found)
        free(ends)


def _test_onepass(tables, bytes text, int pairs, size_t n):
    """Match text[:n], where all of `text` is readable: (1 matched, 0 no match, -1 undecided; offsets)."""
    cdef OnePass c
    cdef size_t* ov
    cdef bytes ops = tables.ops
    cdef bytes pool = tables.pool
    memset(&c, 0, sizeof(OnePass))
    c.ops = <const OnePassOp*><const char*>ops
    c.pool = <const uint8_t*><const char*>pool
    c.prefix_length = tables.prefix_length
    c.known = tables.known
    c.sure = tables.sure
    c.optional = tables.optional
    ov = <size_t*>zeroed(2 * pairs, sizeof(size_t))
    rc = onepass_match(c, text, n, len(text), ov, pairs)
    found = [(None if ov[2 * i] == <size_t>-1 else (ov[2 * i], ov[2 * i + 1])) for i in range(pairs)]
    free(ov)
    return rc, found


def _match_engine(int flags, int captures, bint prefiltered, bint onepass, size_t n):
    """The first engine for an ASCII line of n bytes, and the next if that cannot decide

    `prefiltered`: the line has one of the pattern's required literals.
    """
    names = {ENGINE_PCRE2: "PCRE2", ENGINE_RE2: "RE2"}
    search = names[search_engine(flags, n, 0)]
    if needs_no_match(flags, captures + 1, prefiltered):
        return "none", "none"
    return "one-pass" if onepass else search, search


def _estimate(times, int64_t runs):
    """The result of estimated() for a sample of these nanoseconds."""
    cdef Timed timed
    memset(&timed, 0, sizeof(Timed))
    for ns in times:
        note_time(&timed, ns)
    return estimated(&timed, 0, runs)
