# Thin wrappers that give Python what the nogil functions of text/ and time/ do.

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
    return buf_bytes(&b)


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
    return buf_bytes(&b), offsets


def _test_lower(bytes text) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    to_case(&b, text, len(text), False)
    return buf_bytes(&b)


def _test_upper(bytes text) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    to_case(&b, text, len(text), True)
    return buf_bytes(&b)


def _test_quote(bytes text) -> bytes:
    cdef Buf b = Buf(NULL, 0, 0, False)
    quote(&b, text, len(text))
    return buf_bytes(&b)


def _test_subst(bytes old, bytes new, bytes text, size_t limit=1 << 20) -> bytes | None:
    cdef Buf b = Buf(NULL, 0, 0, False)
    subst(&b, Str(old, len(old)), Str(new, len(new)), Str(text, len(text)), limit)
    if b.failed:
        buf_free(&b)
        return None
    return buf_bytes(&b)


def _test_layout_check(bytes layout) -> bool:
    return layout_check(layout, len(layout))


def _test_time(bytes layout, bytes text, TimeZone zone, int patch_year=False, int64_t now=0):
    """(seconds, nanoseconds), or the error text."""
    cdef Time out
    cdef TimeError err
    cdef Buf b = Buf(NULL, 0, 0, False)
    if not layout_check(layout, len(layout)):
        raise ValueError("not a compiled layout")
    if time_parse(layout, len(layout), text, len(text), &zone.zone, patch_year, now, &out, &err) == TIME_OK:
        return out.sec, out.nsec
    put_time_error(&b, layout, len(layout), text, len(text), &err)
    return buf_bytes(&b)


def _test_offset(TimeZone zone, int64_t sec) -> tuple[int, bytes]:
    cdef Str label = zone.zone.labels[zone_kind(&zone.zone, sec)]
    return zone_offset(&zone.zone, sec), label.p[:label.n]


def _test_nanoseconds(int64_t sec, int32_t nsec) -> int:
    return time_to_ns_saturated(Time(sec, nsec))
