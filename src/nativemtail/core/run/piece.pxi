# The part of a block that the engine processes at once, with the indexes made of it.

cdef struct Piece:
    RunState* rs
    const Prefilter* prefilter
    TicketLock* lock
    const uint64_t* allowed     # bit set of the programs that read the source, as lines or as records
    bint searchable             # the prefilter is to be used for this block
    const char* base
    size_t n                    # its length
    uint32_t* ends              # where its lines end
    size_t lines
    uint32_t* must_run          # lines that some program may have to see without a literal
    size_t must_run_n
    const Lookahead* lookahead  # NULL: no look-ahead
    uint64_t locked             # when the store's lock was taken, as cpu_ticks()
    int64_t program_runs        # of the block
    int64_t chances             # and how many there would have been without the prefilter


cdef inline size_t line_start(Piece* s, size_t line) noexcept nogil:
    return s.ends[line - 1] + 1 if line else 0


cdef inline size_t line_length(Piece* s, size_t start, size_t end) noexcept nogil:
    """Length of a line that ends at `end`, without a carriage return before the newline."""
    return end - start - (end > start and end < s.n and s.base[end - 1] == 13)
