# Which engine matches a pattern.  All give Go's matches; they differ in what they cost.
#
# - none: the pattern matches every line, or its required literal, which was found, is all of it;
# - one-pass (onepass.hpp): ASCII texts, patterns at each part of which the next characters alone tell how far it goes;
# - PCRE2's JIT: where it gives Go's captures, and backtracking is bounded: proven linear, or a short line of a pattern
#   that has not been slow;
# - RE2: everything else, and where the one before could not say.

cdef enum MatchEngine:
    ENGINE_NONE
    ENGINE_ONE_PASS
    ENGINE_PCRE2
    ENGINE_RE2

cdef enum:
    LONG_LINE = 1024        # bytes from which on only proven-linear patterns run in PCRE2
    HITS_TO_DEMOTE = 8      # a pattern that was slow or reached PCRE2's limit so often starts with RE2


cdef inline bint needs_no_match(int flags, int pairs, bint found) noexcept nogil:
    """Whether a line is known to match; `found`: it has one of the pattern's required literals."""
    return pairs == 0 and (flags & PATTERN_ALWAYS or (found and flags & PATTERN_LITERAL))


cdef inline MatchEngine search_engine(int flags, size_t n, int hits) noexcept nogil:
    """For a text of n bytes on which the one-pass matcher was not tried or could not say."""
    if flags & PATTERN_PCRE2 and (flags & PATTERN_LINEAR or (n < LONG_LINE and hits < HITS_TO_DEMOTE)):
        return ENGINE_PCRE2
    return ENGINE_RE2


def match_engine(int flags, int captures, bint prefiltered, bint onepass, size_t n):
    """The first engine that is tried on an ASCII line of n bytes, and on it if that cannot say, see _core.pyi."""
    names = {ENGINE_PCRE2: "PCRE2", ENGINE_RE2: "RE2"}
    search = names[search_engine(flags, n, 0)]
    if needs_no_match(flags, captures + 1, prefiltered):
        return "none", "none"
    return "one-pass" if onepass else search, search
