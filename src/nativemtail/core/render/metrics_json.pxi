# JSON metrics: the content of the Prometheus page as one object by family.

cdef void write_plain_value(Buf* b, Member* member, const Datum* d) noexcept nogil:
    """Write a number, or a histogram as an object."""
    cdef MetricTable* m = member.view.m
    cdef Hist* h = d.v.h
    cdef int64_t below = 0
    cdef uint32_t i
    if m.type == TYPE_INT:
        buf_int(b, d.v.i)
    elif m.type != TYPE_BUCKETS:
        put_json_number(b, datum_number(m, d))
    else:
        buf_text(b, b'{"avg":')
        put_json_number(b, h.sum / <double>h.total if h.total else 0.0)
        buf_text(b, b',"bucket":[')
        for i in range(m.nranges - 1):
            below += h.count[i]
            buf_text(b, b",[" if i else b"[")
            put_json_number(b, m.bound[i])
            buf_char(b, c",")
            buf_int(b, below)
            buf_char(b, c"]")
        buf_text(b, b'],"count":')
        buf_int(b, h.total)
        buf_text(b, b',"sum":')
        put_json_number(b, h.sum)
        buf_char(b, c"}")


cdef void write_plain_samples(Buf* b, Member* members, Sample* s, size_t n, bint keyed) noexcept nogil:
    """`keyed`: the inside of {"label":{…}}, else that of [{…},…]; `piece` holds the quoted names."""
    cdef Member* member
    cdef const Datum* d
    cdef Str label
    cdef size_t i
    cdef uint32_t k
    for i in range(n):
        member = &members[s[i].mark // 16]
        d = &member.view.rows[s[i].slot]
        buf_text(b, b"," if i else b"")
        if not keyed:
            buf_char(b, c"{")
        for k in range(member.nlabels):
            if not keyed:
                put_str(b, member.piece[k])
            label = label_of(member, s[i].slot, k)
            put_json(b, label.p, label.n)
            buf_char(b, c":" if keyed else c",")
        if not keyed:
            buf_text(b, b'"@":')
        write_plain_value(b, member, d)
        if not keyed:
            buf_char(b, c"}")


cdef bint is_keyed(Family family):
    """All samples have the same single label."""
    return len(family.names[0]) == 1 and all(names == family.names[0] for names in family.names)


cdef bytes family_samples_json(Family family, bint scalar, bint keyed):
    cdef Buf out
    memset(&out, 0, sizeof(Buf))
    with nogil:
        if scalar:
            write_plain_value(&out, &family.members[family.samples[0].mark // 16],
                              &family.members[family.samples[0].mark // 16].view.rows[family.samples[0].slot])
        else:
            write_plain_samples(&out, family.members, family.samples, family.count, keyed)
    return buf_bytes(&out)


cdef tuple json_frame(Family family, bint keyed):
    """The text around the samples."""
    return (b"{%s:{" % json_bytes(family.names[0][0]), b"}}") if keyed else (b"[", b"]")


cdef bytes family_json(Family family):
    """A family's value among JSON metrics."""
    cdef bint scalar = family.count == 1 and not family.names[family.samples[0].mark // 16]
    cdef bint keyed = is_keyed(family)
    if family.count == 0:
        return b"null"
    text = family_samples_json(family, scalar, keyed)
    if scalar:
        return text
    opening, closing = json_frame(family, keyed)
    return opening + text + closing


cdef bytes json_head(Family family):
    text = b'"help":%s,' % json_bytes(family.help) if family.source or family.help != default_help("") else b""
    return b'%s:{%s"type":"%s","value":' % (json_bytes(family.name), text, as_bytes(family.type_name))


cdef bytes render_metrics_json(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved, bytes more,
                               list warnings):
    """`more`: members to add at the end."""
    cdef list parts = []
    cdef Family family
    for family in sorted_families(snapshot, emit_prog_label, prefix, names, reserved, False, FORM_JSON, warnings):
        parts.append(b"%s%s}" % (json_head(family), family_json(family)))
    if more:
        parts.append(more)
    return b"{%s}" % b",".join(parts)
