# Doors for the tests: thin wrappers that give Python what the nogil functions of text.pxi and timeparse.pxi do.

from cpython.bytes cimport PyBytes_FromStringAndSize

cdef bytes take(Buf* b):
    """The content as bytes; frees the buffer."""
    cdef bint failed = b.failed
    try:
        return None if failed else PyBytes_FromStringAndSize(b.p, b.n)
    finally:
        buf_free(b)


def _test_format(style: str, v) -> bytes:
    cdef char out[NUM_TEXT]
    cdef size_t n
    if style == "int":
        n = fmt_int(v, out)
    elif style == "g":
        n = fmt_g(v, out)
    elif style == "G":
        n = fmt_G(v, out)
    elif style == "json":
        n = fmt_json_float(v, out)
    else:
        n = fmt_prometheus(v, out)
    return out[:n]


def _test_parse_int(bytes text, int64_t base=10):
    cdef int64_t v = 0
    cdef int rc = parse_int(text, len(text), base, &v)
    return rc, v


def _test_parse_float(bytes text):
    cdef double v = 0
    cdef int rc = parse_float(text, len(text), &v)
    return rc, v


def _test_number_error(bytes function, int rc, bytes text, int64_t base=10) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    put_number_error(&b, function, rc, text, len(text), base)
    return take(&b)


def _test_ascii(bytes text) -> bool:
    return is_ascii(text, len(text))


def _test_utf8(bytes text) -> bool:
    return is_utf8(text, len(text))


def _test_repair(bytes text) -> tuple[bytes, list[int]]:
    cdef Buf b = Buf(NULL, 0, 0, False)
    cdef Buf map = Buf(NULL, 0, 0, False)
    utf8_repair(&b, text, len(text), &map)
    offsets = [(<uint32_t*>map.p)[i] for i in range(map.n // sizeof(uint32_t))]
    buf_free(&map)
    return take(&b), offsets


def _test_lower(bytes text) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    to_lower(&b, text, len(text))
    return take(&b)


def _test_quote(bytes text) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    quote(&b, text, len(text))
    return take(&b)


def _test_subst(bytes old, bytes new, bytes text, size_t limit=1 << 20) -> bytes | None:
    cdef Buf b = Buf(NULL, 0, 0, False)
    subst(&b, Str(old, len(old)), Str(new, len(new)), Str(text, len(text)), limit)
    return take(&b)
