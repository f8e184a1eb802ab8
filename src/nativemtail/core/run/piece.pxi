# A piece of a block on its way through the engine.

cdef struct Piece:
    RunState* rs
    const Prefilter* prefilter
    TicketLock* lock
    const uint64_t* allowed     # programs that listen to the source, as words
    const char* base
    size_t n                    # its length
    uint32_t* ends              # where its lines end
    size_t lines
    uint32_t* must_run          # lines that may matter without a literal
    size_t must_run_n
    const Lookahead* lookahead  # what to look up ahead of time; NULL: nothing
    uint64_t locked             # when the store's lock was taken, as nm_ticks()
    int64_t program_runs        # of the block


cdef inline size_t line_start(Piece* s, size_t line) noexcept nogil:
    return s.ends[line - 1] + 1 if line else 0


cdef inline size_t line_length(Piece* s, size_t start, size_t end) noexcept nogil:
    """Of a line that ends at `end`, without the carriage return before its newline."""
    return end - start - (end > start and end < s.n and s.base[end - 1] == 13)
