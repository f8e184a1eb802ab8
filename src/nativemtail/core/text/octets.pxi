# Octet counting (RFC 6587, section 3.4.1).

cdef enum:
    FRAME_DIGITS = 8


cdef size_t frame_head(const char* p, size_t n, size_t* length) noexcept nogil:
    """The size of what is before a frame's message, whose `length` it gives; 0 if it is malformed or incomplete."""
    cdef size_t at = 0, begin
    while at < n and (p[at] == c"\n" or p[at] == c"\r" or p[at] == 0):
        at += 1
    begin = at
    length[0] = 0
    while at < n and c"0" <= p[at] <= c"9" and at - begin < FRAME_DIGITS:
        length[0] = length[0] * 10 + <size_t>(p[at] - c"0")
        at += 1
    if at == begin or p[begin] == c"0" or at == n or p[at] != c" ":
        return 0
    return at + 1


cdef size_t put_frames(Buf* out, const char* p, size_t n) noexcept nogil:
    """Append the messages of the complete frames at the start of p[0..n), each as a line; the size of the frames."""
    cdef size_t at = 0, head, length = 0
    while True:
        head = frame_head(p + at, n - at, &length)
        if head == 0 or n - at - head < length:
            return at
        at += head
        buf_put(out, p + at, length)
        at += length
        if p[at - 1] != c"\n":
            buf_char(out, c"\n")


def whole_frames(bytes data, size_t at) -> tuple[bytes, int]:
    """The messages of the complete frames from `at` on, each as a line, and where the next frame begins."""
    cdef Buf out
    cdef const char* p = PyBytes_AS_STRING(data)
    cdef size_t n = PyBytes_GET_SIZE(data)
    if at > n:
        raise ValueError("beyond the end")
    memset(&out, 0, sizeof(Buf))
    with nogil:
        buf_reserve(&out, n - at)  # a line is shorter than its frame
        at += put_frames(&out, p + at, n - at)
    return buf_bytes(&out), at
