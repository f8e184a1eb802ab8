# Open records as dicts, for `--state_dir`: texts are strings with a character for each byte.

cdef str kept_text(const Buf* b):
    return PyBytes_FromStringAndSize(b.p, b.n).decode("latin-1")


cdef dict kept_record(const OpenRecord* o):
    """Between two pieces, when no record is in a block."""
    return {
        "stream": kept_text(&o.stream) if o.has_stream else None,
        "message": kept_text(&o.message),
        "parts": o.parts,
        "part_time": kept_text(&o.part_time) if o.has_part_time else None,
        "logtime": kept_text(&o.logtime) if o.has_logtime else None,
        "text": kept_text(&o.text),
        "lines": o.lines,
        "quoted": o.quoted,
        "read_at": o.read_at,
    }


cdef list kept_records(const Assembler* a):
    """In the order in which they were begun."""
    found = [(a.open[i].begun, i) for i in range(a.n) if not is_idle(&a.open[i])]
    return [kept_record(&a.open[i]) for _, i in sorted(found)]


cdef int restore_text(Buf* b, str text) except -1:
    cdef bytes content = text.encode("latin-1")
    buf_clear(b)
    buf_put(b, content, len(content))
    if b.failed:
        raise MemoryError()
    return 0


cdef int restore_record(Assembler* a, bint container, dict record) except -1:
    """Add an open record.  Those that do not fit any more are dropped."""
    cdef OpenRecord* o
    if container:
        if a.open == NULL:
            a.open = <OpenRecord*>zeroed(MAX_STREAMS, sizeof(OpenRecord))
        if a.n == MAX_STREAMS:
            return 0
        o = &a.open[a.n]
        a.n += 1
    else:
        o = only_one(a)
        if o == NULL:
            raise MemoryError()
    o.has_stream = record["stream"] is not None
    o.has_part_time = record["part_time"] is not None
    o.has_logtime = record["logtime"] is not None
    restore_text(&o.stream, record["stream"] or "")
    restore_text(&o.message, record["message"])
    restore_text(&o.part_time, record["part_time"] or "")
    restore_text(&o.logtime, record["logtime"] or "")
    restore_text(&o.text, record["text"])
    o.n = o.text.n
    o.quoted = record["quoted"]
    o.read_at = record["read_at"]
    o.touched = monotonic_ns()
    a.begun += 1
    o.begun = a.begun
    o.lines = record["lines"]
    o.parts = record["parts"]
    return 0
