# mtail's JSON (spec metrics-export.md §2).

cdef struct JsonStyle:      # the constant text around the data of a series, with blanks and line ends
    Str open
    Str comma               # between labels
    Str value
    Str bucket              # before the first bucket
    Str buckets             # before the others
    Str count
    Str sum
    Str time
    Str end                 # of the value
    Str expiry
    Str close
    Str* bound              # names of the buckets, and their ranges, sorted by name
    uint32_t* place


cdef void write_json_value(Buf* b, MetricTable* m, const Datum* d, const JsonStyle* style) noexcept nogil:
    cdef Str s
    cdef uint32_t i
    if m.type == TYPE_INT:
        buf_int(b, d.v.i)
    elif m.type == TYPE_FLOAT:
        put_json_number(b, d.v.f)
    elif m.type == TYPE_STRING:
        s = datum_text(d)
        put_json(b, s.p, s.n)
    else:
        for i in range(m.nranges):
            put_str(b, style.buckets if i else style.bucket)
            put_str(b, style.bound[i])
            buf_int(b, d.v.h.count[style.place[i]])
        put_str(b, style.count)
        buf_int(b, d.v.h.total)
        put_str(b, style.sum)
        put_json_number(b, d.v.h.sum)


cdef void write_json_rows(Buf* b, SnapMetric* view, const JsonStyle* style) noexcept nogil:
    """Write the series in order of creation."""
    cdef const Datum* d
    cdef const char* at
    cdef uint32_t slot = view.head
    cdef uint32_t i
    cdef Str label
    while slot != NO_SLOT:
        d = &view.rows[slot]
        put_str(b, style.open)
        at = d.key
        for i in range(view.m.nkeys):
            if i:
                put_str(b, style.comma)
            label = key_next(&at)
            put_json(b, label.p, label.n)
        put_str(b, style.value)
        write_json_value(b, view.m, d, style)
        put_str(b, style.time)
        buf_int(b, d.time)
        put_str(b, style.end)
        if d.expiry:
            put_str(b, style.expiry)
            buf_int(b, d.expiry)
        put_str(b, style.close)
        slot = d.next
        if slot != NO_SLOT:
            buf_char(b, c",")


cdef bytes pad(int depth):
    return b"\n" + b"  " * depth


cdef int json_style(JsonStyle* style, MetricTable* m, int depth, list keep) except -1:
    """The style for a series whose object is indented by `depth` steps."""
    cdef uint32_t i
    cdef list places
    cdef bytes value = b'"Value": {' + pad(depth + 2)
    style.open = str_of(keep, pad(depth) + b"{" + pad(depth + 1))
    style.comma = str_of(keep, b"," + pad(depth + 2))
    style.value = str_of(keep, value)
    if m.nkeys:
        style.open = str_of(keep, pad(depth) + b"{" + pad(depth + 1) + b'"Labels": [' + pad(depth + 2))
        style.value = str_of(keep, pad(depth + 1) + b"]," + pad(depth + 1) + value)
    style.bucket = str_of(keep, b'"Buckets": {' + pad(depth + 3))
    style.buckets = str_of(keep, b"," + pad(depth + 3))
    style.count = str_of(keep, pad(depth + 2) + b"}," + pad(depth + 2) + b'"Count": ')
    style.sum = str_of(keep, b"," + pad(depth + 2) + b'"Sum": ')
    style.time = str_of(keep, b"," + pad(depth + 2) + b'"Time": ')
    style.end = str_of(keep, pad(depth + 1) + b"}")
    style.expiry = str_of(keep, b"," + pad(depth + 1) + b'"Expiry": ')
    style.close = str_of(keep, pad(depth) + b"}")
    places = sorted([(g_text(m.bound[i]), i) for i in range(m.nranges)])
    style.bound = <Str*>room_of(keep, m.nranges * sizeof(Str))
    style.place = <uint32_t*>room_of(keep, m.nranges * sizeof(uint32_t))
    for i in range(m.nranges):
        style.bound[i] = str_of(keep, b'"%s": ' % places[i][0])
        style.place[i] = places[i][1]
    if m.type == TYPE_STRING or m.type == TYPE_INT or m.type == TYPE_FLOAT:
        style.value = str_of(keep, style.value.p[:style.value.n] + b'"Value": ')
    return 0


cdef bytes json_list(list items, int depth):
    return b"[" + pad(depth + 1) + (b"," + pad(depth + 1)).join(items) + pad(depth) + b"]"


cdef bytes json_ranges(Metric metric, int depth):
    cdef list bounds = [0.0] if metric.buckets[0] > 0 else []
    cdef list items = []
    bounds += [bound for bound in metric.buckets if bound != INFINITY] + [INFINITY]
    for low, high in zip(bounds, bounds[1:]):
        items.append(b'{%s"Min": "%s",%s"Max": "%s"%s}' % (
            pad(depth + 2), g_text(low), pad(depth + 2), g_text(high), pad(depth + 1)))
    return json_list(items, depth)


cdef tuple json_metric(Metric metric, int depth):
    """The text before and after the series of a metric object (spec metrics-export.md §2.1)."""
    cdef bytes separator = b"," + pad(depth + 1)
    cdef list head = [b'"Name": ' + json_bytes(metric.name), b'"Program": ' + json_bytes(metric.program),
                      b'"Kind": %d' % metric.kind, b'"Type": %d' % metric.type]
    cdef list tail = []
    if metric.keys:
        head.append(b'"Keys": ' + json_list([json_bytes(key) for key in metric.keys], depth + 1))
    if metric.source:
        tail.append(b'"Source": ' + json_bytes(metric.source))
    if metric.buckets:
        tail.append(b'"Buckets": ' + json_ranges(metric, depth + 1))
    if metric.limit:
        tail.append(b'"Limit": %d' % metric.limit)
    return (b"{" + pad(depth + 1) + separator.join(head),
            b"".join([separator + item for item in tail]) + pad(depth) + b"}")


cdef tuple json_rows_frame(int depth):
    """The text around the series of a metric that has some."""
    return b"," + pad(depth + 1) + b'"LabelValues": [', pad(depth + 1) + b"]"


cdef int put_text(Buf* out, bytes text) except -1:
    buf_put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return 0


cdef int write_json_view(Buf* out, SnapMetric* view, int depth) except -1:
    cdef JsonStyle style
    cdef list keep = []
    json_style(&style, view.m, depth + 2, keep)
    with nogil:
        write_json_rows(out, view, &style)
    return 0


cdef int write_json_metric(Buf* out, SnapMetric* view, Metric metric, int depth) except -1:
    """One metric object, indented by `depth` steps."""
    head, tail = json_metric(metric, depth)
    opening, closing = json_rows_frame(depth)
    put_text(out, head)
    if view.count:
        put_text(out, opening)
        write_json_view(out, view, depth)
        put_text(out, closing)
    put_text(out, tail)
    return 0


cdef int write_json_array(Buf* out, Snapshot snapshot, list metrics, int depth) except -1:
    """The metrics as an array whose brackets are indented by `depth`."""
    cdef Metric metric
    cdef bytes text = pad(depth + 1)
    buf_char(out, c"[")
    for metric in metrics:
        buf_put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        write_json_metric(out, snapshot.view(metric), metric, depth + 1)
        text = b"," + pad(depth + 1)
    if metrics:
        text = pad(depth)
        buf_put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    buf_char(out, c"]")
    return 0


cdef int write_json_object(Buf* out, Snapshot snapshot, list metrics) except -1:
    """The metrics by name."""
    cdef dict families = {}
    cdef bytes separator = b"{"
    cdef bytes text
    cdef Metric metric
    for metric in metrics:
        families.setdefault(as_bytes(metric.name), []).append(metric)
    for name in sorted(families):
        text = separator + pad(1) + json_bytes(name) + b": "
        buf_put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        write_json_array(out, snapshot, families[name], 1)
        separator = b","
    text = pad(0) + b"}" if families else b"{}"
    buf_put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return 0


cdef bytes render_json(Snapshot snapshot, bint grouped):
    cdef Buf out
    cdef list metrics = [metric for metric in snapshot.members if not metric.hidden]
    memset(&out, 0, sizeof(Buf))
    try:
        if grouped:
            write_json_object(&out, snapshot, metrics)
        else:
            write_json_array(&out, snapshot, metrics, 0)
        if out.failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(out.p, out.n)
    finally:
        buf_free(&out)
