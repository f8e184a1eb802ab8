# Frames: lines, or records, with their own times.  The lines of a program that runs in order are gathered in frames, which
# are sorted by time, and then run.

cdef enum:
    NOT_GIVEN = 0xFFFFFFFF

cdef struct Frame:              # followed by its texts: the line, stream and logtime (see RunState.given)
    int64_t time
    uint32_t source
    uint32_t n
    uint32_t stream             # lengths; NOT_GIVEN: undefined
    uint32_t logtime


cdef inline uint32_t given_length(uint32_t n) noexcept nogil:
    return 0 if n == NOT_GIVEN else n


cdef inline size_t frame_texts(const Frame* frame) noexcept nogil:
    """Bytes of its texts."""
    return <size_t>frame.n + given_length(frame.stream) + given_length(frame.logtime)


cdef inline Str frame_given(const char* p, uint32_t n) noexcept nogil:
    cdef Str text
    text.p = p if n != NOT_GIVEN else NULL
    text.n = given_length(n)
    return text


cdef void put_frame(RunState* rs) noexcept nogil:
    """Gather the line, if it has a time."""
    cdef Frame frame
    if not has_own_time(&rs.clock):
        return
    frame.time = own_time(&rs.clock)
    frame.source = rs.source_number
    frame.n = <uint32_t>rs.line.n
    frame.stream = NOT_GIVEN if rs.given[0].p == NULL else <uint32_t>rs.given[0].n
    frame.logtime = NOT_GIVEN if rs.given[1].p == NULL else <uint32_t>rs.given[1].n
    buf_put(&rs.frames, <const char*>&frame, sizeof(Frame))
    buf_put(&rs.frames, rs.line.p, rs.line.n)
    if rs.given[0].p != NULL:
        buf_put(&rs.frames, rs.given[0].p, rs.given[0].n)
    if rs.given[1].p != NULL:
        buf_put(&rs.frames, rs.given[1].p, rs.given[1].n)
