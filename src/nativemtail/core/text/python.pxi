# Conversions between C text and Python objects.

cdef bytes as_bytes(text):
    """The bytes that a name, file name or label stands for."""
    return text if isinstance(text, bytes) else (<str?>text).encode("utf-8", "surrogateescape")


cdef bytes buf_bytes(Buf* b):
    """The content as bytes; frees the buffer."""
    cdef bytes text
    try:
        if b.failed:
            raise MemoryError
        text = PyBytes_FromStringAndSize(b.p, b.n)
    finally:
        buf_free(b)
    return text


cdef bytes quoted(bytes text):
    """As Go's %q."""
    cdef Buf b
    memset(&b, 0, sizeof(Buf))
    quote(&b, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return buf_bytes(&b)


cdef str quoted_str(text):
    return quoted(as_bytes(text)).decode("utf-8", "replace")


cdef bytes repaired(bytes text):
    cdef Buf b
    memset(&b, 0, sizeof(Buf))
    utf8_repair(&b, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL)
    return buf_bytes(&b)


cdef bytes g_text(double v):
    cdef char[NUM_TEXT] out
    return out[:fmt_g(v, out)]
