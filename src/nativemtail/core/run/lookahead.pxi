# Look-ahead: with many series, most of a line's time is spent waiting for memory.  So each line's pattern is matched a
# few lines early, and the parts of the store that it will need are prefetched in three steps.

cdef enum:
    MANY_SERIES = 4096          # more series than that do not fit the processor's inner caches
    AHEAD_MATCH = 6             # lines by which a pattern is matched early, and the lookup steps run early
    AHEAD_DATUM = 4
    AHEAD_KEY = 2


cdef const Lookahead* worth_lookahead(Piece* s) noexcept nogil:
    """The look-ahead of the metric with the most series, if there are enough of them."""
    cdef const Lookahead* all = s.rs.tables.lookaheads
    cdef const Lookahead* best = NULL
    cdef uint32_t most = MANY_SERIES
    cdef uint32_t count
    cdef int i
    if not (s.rs.ascii and s.rs.matcher.onepass):
        return NULL
    for i in range(s.rs.tables.lookahead_n):
        count = relaxed_load(&all[i].metric.count)  # without the store's lock
        if count >= most and s.allowed[all[i].program >> 6] >> (all[i].program & 63) & 1:
            best = &all[i]
            most = count
    return best


cdef void match_early(Piece* s, size_t line, EarlyMatch* early) noexcept nogil:
    """Match a line early and prefetch the index cell of its series."""
    cdef const Lookahead* ahead = s.lookahead
    cdef PatternState* pattern = &s.rs.patterns[ahead.pattern]
    cdef size_t start = line_start(s, line)
    cdef size_t n = line_length(s, start, s.ends[line])
    cdef uint64_t serial = early.serial
    cdef Str labels[MAX_LOOKAHEAD_KEYS]
    cdef size_t first
    cdef int i
    early.serial = 0
    early.slot = NO_SLOT
    early.key = ahead.group_n
    early.matched = onepass_match(pattern.pattern.onepass, s.base + start, n, s.n - start, early.ov,
                                  pattern.pattern.pairs)
    pattern.onepass = onepass_pays(&pattern.trial, early.matched)
    if early.matched < 0:
        return
    early.serial = serial
    if early.matched == 0:
        return
    for i in range(ahead.group_n):
        first = early.ov[2 * ahead.groups[i]]
        labels[i].p = s.base + start
        labels[i].n = 0
        if first != <size_t> -1:
            labels[i].p += first
            labels[i].n = early.ov[2 * ahead.groups[i] + 1] - first
        early.key += labels[i].n
    early.h = hash_keys(labels, ahead.group_n).h
    prefetch_cell(ahead.metric, early.h)


cdef void look_ahead(Piece* s, size_t line) noexcept nogil:
    """Advance the pipeline: match the line AHEAD_MATCH lines on, prefetch the nearer ones' datum and key."""
    cdef const Lookahead* ahead = s.lookahead
    cdef PatternState* pattern = &s.rs.patterns[ahead.pattern]
    cdef uint64_t serial = s.rs.serial + 1
    cdef EarlyMatch* early
    if line + AHEAD_MATCH < s.lines and pattern.onepass:
        early = &pattern.early[(serial + AHEAD_MATCH) % EARLY]
        early.serial = serial + AHEAD_MATCH
        match_early(s, line + AHEAD_MATCH, early)
    early = &pattern.early[(serial + AHEAD_DATUM) % EARLY]
    if early.serial == serial + AHEAD_DATUM and early.matched:
        early.slot = prefetch_datum(ahead.metric, early.h)
    early = &pattern.early[(serial + AHEAD_KEY) % EARLY]
    if early.serial == serial + AHEAD_KEY and early.matched:
        prefetch_key(ahead.metric, early.slot, early.key)
