# The arena: memory for the texts that programs make for one line, reset after it.

cdef enum:
    ARENA_CHUNK = 64 * 1024
    MAX_TEXT = 16 * 1024 * 1024     # bytes of one text that a program makes
    MAX_ARENA = 64 * 1024 * 1024    # bytes of all texts that programs make for one line

cdef struct Chunk:
    Chunk* next
    size_t n
    size_t cap

cdef struct Arena:
    Chunk* chunks                   # the current one first
    size_t n                        # bytes of all
    Buf text                        # the text being built


cdef char* arena_get(Arena* arena, size_t n) noexcept nogil:
    """Room for `n` bytes until the end of the line; NULL when a limit is reached."""
    cdef Chunk* chunk = arena.chunks
    cdef char* p
    cdef size_t cap
    if chunk == NULL or chunk.cap - chunk.n < n:
        if n > MAX_TEXT or arena.n + n > MAX_ARENA:
            return NULL
        cap = n if n > ARENA_CHUNK else ARENA_CHUNK
        chunk = <Chunk*>malloc(sizeof(Chunk) + cap)
        if chunk == NULL:
            return NULL
        chunk.next = arena.chunks
        chunk.n = 0
        chunk.cap = cap
        arena.chunks = chunk
        arena.n += cap
    p = <char*>(chunk + 1) + chunk.n
    chunk.n += n
    return p


cdef void arena_reset(Arena* arena, bint everything) noexcept nogil:
    """Drop all texts.  Keeps one chunk for the next line unless `everything`."""
    cdef Chunk* chunk = arena.chunks
    cdef Chunk* next
    while chunk != NULL and (everything or chunk.next != NULL):
        next = chunk.next
        arena.n -= chunk.cap
        free(chunk)
        chunk = next
    arena.chunks = chunk
    if chunk != NULL:
        chunk.n = 0


cdef void arena_free(Arena* arena) noexcept nogil:
    arena_reset(arena, True)
    buf_free(&arena.text)


cdef bint arena_copy(Arena* arena, Str* out, const char* p, size_t n) noexcept nogil:
    cdef char* copy = arena_get(arena, n)
    if copy == NULL:
        return False
    if n:
        memcpy(copy, p, n)
    out.p = copy
    out.n = n
    return True


cdef bint arena_made(Arena* arena, Str* out) noexcept nogil:
    """Copy the text that was built into the arena; false if it is too long."""
    if arena.text.failed or arena.text.n > MAX_TEXT:
        buf_free(&arena.text)
        return False
    return arena_copy(arena, out, arena.text.p, arena.text.n)


cdef bint arena_join(Arena* arena, Str* out, Str a, Str b) noexcept nogil:
    cdef char* p = arena_get(arena, a.n + b.n)
    if p == NULL:
        return False
    if a.n:
        memcpy(p, a.p, a.n)
    if b.n:
        memcpy(p + a.n, b.p, b.n)
    out.p = p
    out.n = a.n + b.n
    return True
