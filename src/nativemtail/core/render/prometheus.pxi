# Pages of Prometheus and OpenMetrics.

cdef bytes help_text(str text, bint openmetrics):
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return repaired(as_bytes(text.replace('"', '\\"') if openmetrics else text))


cdef set names_of(Family family):
    """All names that OpenMetrics reserves for the family."""
    return {family.name, *(family.name + suffix for suffix in _SUFFIXES.get(family.type_name, ()))}


cdef list openmetrics_families(list families, list warnings):
    """Names and types for OpenMetrics; samples keep their names of the text format.

    A family that must not be a counter there, or whose name as a counter is taken, gets type unknown.  Families whose
    names clash with an earlier one are left out.
    """
    cdef set taken = set()
    cdef list kept = []
    cdef Family family
    for family in families:
        shown = family.name
        if family.type_name == "counter":
            family.name = shown.removesuffix("_total")
            if family.name in ("", shown) or not family.is_monotonic() or not taken.isdisjoint(names_of(family)):
                family.name, family.type_name = shown, "unknown"
        if taken.isdisjoint(names_of(family)):
            taken |= names_of(family)
            kept.append(family)
        else:
            warnings.append(f"{quoted_str(shown)} is left out: OpenMetrics reserves its name for another")
    return kept


cdef int write_head(Buf* out, Family family, bint openmetrics) except -1:
    cdef bytes name = as_bytes(family.name)
    cdef bytes head = b"# HELP %s %s\n# TYPE %s %s\n" % (
        name, help_text(family.help, openmetrics), name, as_bytes(family.type_name))
    if openmetrics and family.unit and family.name.endswith("_" + family.unit):
        head += b"# UNIT %s %s\n" % (name, as_bytes(family.unit))
    buf_put(out, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    return 0


cdef int write_family(Buf* out, Family family, bint times, bint openmetrics, bint signed_times) except -1:
    """Write the sample lines of a family; the text format's times before 1970 are 0 unless `signed_times`."""
    cdef Style style
    cdef list keep = []
    cdef bytes name = as_bytes(family.name)
    cdef bytes sample = name + b"_total" if openmetrics and family.type_name == "counter" else name
    style.form = FORM_OPENMETRICS if openmetrics else FORM_TEXT
    style.times = times
    style.signed_times = signed_times
    style.name = str_of(keep, sample)
    if family.type_name == "histogram":
        style.bucket = str_of(keep, name + b"_bucket")
        style.sum = str_of(keep, name + b"_sum")
        style.count = str_of(keep, name + b"_count")
    with nogil:
        write_samples(out, family.members, family.samples, family.count, &style)
    return 0


cdef bytes render_prometheus(Snapshot snapshot, bint emit_prog_label, bint emit_timestamp, str prefix,
                             bint openmetrics, names, reserved, bint strict, list warnings):
    cdef Buf out
    cdef Family family
    cdef int form = FORM_OPENMETRICS if openmetrics else FORM_TEXT
    cdef list families = sorted_families(snapshot, emit_prog_label, prefix, names, reserved, strict, form, warnings)
    if openmetrics:
        families = openmetrics_families(families, warnings)
    memset(&out, 0, sizeof(Buf))
    try:
        for family in families:
            write_head(&out, family, openmetrics)
            write_family(&out, family, emit_timestamp, openmetrics, strict)
        if out.failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(out.p, out.n)
    finally:
        buf_free(&out)
