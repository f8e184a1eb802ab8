# Subject: a text to match in.  Invalid UTF-8 is replaced by U+FFFD before matching, as Go reads it, and the offsets
# found are mapped back to the original bytes.

cdef enum:                  # what is known about the bytes
    TEXT_UNKNOWN = 0
    TEXT_ASCII = 1
    TEXT_UTF8 = 2
    TEXT_REPAIRED = 3

cdef struct Subject:
    const char* p
    size_t n
    size_t room             # readable bytes from p, at least n
    int state
    Buf fixed               # the repaired text, if state is TEXT_REPAIRED
    Buf origin              # for each offset into `fixed`, the offset into the subject, as uint32_t


cdef inline void subject_set(Subject* s, const char* p, size_t n) noexcept nogil:
    s.p = p
    s.n = s.room = n
    s.state = TEXT_UNKNOWN


cdef void subject_free(Subject* s) noexcept nogil:
    buf_free(&s.fixed)
    buf_free(&s.origin)


cdef bint subject_repair(Subject* s) noexcept nogil:
    buf_clear(&s.fixed)
    buf_clear(&s.origin)
    utf8_repair(&s.fixed, s.p, s.n, &s.origin)
    return not (s.fixed.failed or s.origin.failed)


cdef inline size_t subject_origin(Subject* s, size_t offset) noexcept nogil:
    return (<uint32_t*>s.origin.p)[offset]


cdef bint subject_examine(Subject* s) noexcept nogil:
    """Classify the bytes and repair them if need be; false without memory."""
    if is_ascii(s.p, s.n):
        s.state = TEXT_ASCII
    elif is_utf8(s.p, s.n):
        s.state = TEXT_UTF8
    else:
        s.state = TEXT_REPAIRED
        return subject_repair(s)
    return True


cdef void offsets_to_origin(Subject* s, size_t* ov, int pairs) noexcept nogil:
    cdef int i
    for i in range(2 * pairs):
        if ov[i] != <size_t> -1:
            ov[i] = subject_origin(s, ov[i])
