# Chooses the engine that matches a pattern.  All engines give Go's matches; they differ in cost.
#
# - none: the pattern matches every line, or is nothing but its required literal, which was found;
# - one-pass (onepass.hpp): ASCII texts, if in each part of the pattern the next characters decide how far it goes;
# - PCRE2's JIT: if it gives Go's captures and backtracking is bounded, that is, the pattern is proven linear, or the
#   line is short and the pattern has not been slow;
# - RE2: everything else, and lines on which the engine before could not decide.

cdef enum MatchEngine:
    ENGINE_NONE
    ENGINE_ONE_PASS
    ENGINE_PCRE2
    ENGINE_RE2

cdef enum:
    LONG_LINE = 1024        # from this many bytes on PCRE2 runs only proven-linear patterns
    HITS_TO_DEMOTE = 8      # a pattern that hit PCRE2's limit, or was slow, this often starts with RE2


cdef inline bint needs_no_match(int flags, int pairs, bint found) noexcept nogil:
    """Whether a line is known to match; `found`: it has one of the pattern's required literals."""
    return pairs == 0 and (flags & PATTERN_ALWAYS or (found and flags & PATTERN_LITERAL))


cdef inline MatchEngine search_engine(int flags, size_t n, int hits) noexcept nogil:
    """The engine for a text of n bytes that the one-pass matcher did not decide."""
    if flags & PATTERN_PCRE2 and (flags & PATTERN_LINEAR or (n < LONG_LINE and hits < HITS_TO_DEMOTE)):
        return ENGINE_PCRE2
    return ENGINE_RE2
