# Finds metrics that must not be on a Prometheus page, whatever their values: one bad name, and Prometheus rejects the
# whole page.

_WORDS = {KIND_COUNTER: "counter", KIND_GAUGE: "gauge", KIND_TIMER: "gauge", KIND_HISTOGRAM: "histogram"}
_PARTS = ("_bucket", "_sum", "_count")
_RENAME = 'export it under another name with as "…"'


cdef bint is_name(str text):
    """Whether it consists of ASCII letters, digits and underscores, and begins with no digit."""
    return text.isascii() and text.isidentifier()


cdef str shown_name(Metric metric):
    return metric.name.replace("-", "_")


cdef _problem(Metric metric, str name, bint emit_prog_label):
    """Why Prometheus cannot have this metric (spec metrics-export.md §1.3), or None."""
    if not is_name(name.replace(":", "_")):
        return f"{quoted_str(name)} is not a valid metric name: {_RENAME}"
    for key in metric.keys:
        if not is_name(key) or key.startswith("__"):
            return f"{quoted_str(key)} is not a valid label name for metric {quoted_str(name)}: rename the key"
    if metric.kind == KIND_HISTOGRAM and "le" in metric.keys:
        return (f'"le" is not a valid label name for histogram {quoted_str(name)}, '
                "whose buckets have their bounds there: rename the key")
    if emit_prog_label and "prog" in metric.keys:
        return (f"duplicate label names in metric {quoted_str(name)}: prog: "
                "rename the key or set --emit_prog_label=false")
    return None


cdef dict problems(list metrics, bint emit_prog_label, str prefix, reserved):
    """The reason by metric.  Of conflicting metrics the first is kept, in order of names, then of declaration."""
    cdef dict found = {}
    cdef dict families = {}
    cdef list histograms = []
    cdef Metric metric, first
    cdef str name
    for metric in metrics:
        if metric.hidden or metric.kind == KIND_TEXT:
            continue
        name = shown_name(metric)
        problem = _problem(metric, prefix + name, emit_prog_label)
        if problem is not None:
            found[metric] = problem
            continue
        if reserved and is_reserved(name, metric.kind, reserved):
            found[metric] = f"{quoted_str(name)} is a name of nativemtail's own metrics: {_RENAME}"
            continue
        first = families.setdefault(name, metric)
        if first is metric:
            if metric.kind == KIND_HISTOGRAM:
                histograms.append(name)
        elif _WORDS[metric.kind] != _WORDS[first.kind]:
            found[metric] = f"{quoted_str(name)} is the name of {described(first)}: {_RENAME}"
    for name in sorted(histograms):
        if families[name] not in found:
            leave_out_samples(name, families, metrics, found)
    return found


cdef bint is_reserved(str name, int kind, reserved) except *:
    return name in reserved or (kind == KIND_HISTOGRAM and any([name + part in reserved for part in _PARTS]))


cdef int leave_out_samples(str histogram, dict families, list metrics, dict found) except -1:
    """Find other metrics whose names are those of a histogram's samples."""
    cdef Metric metric
    cdef str name
    for part in _PARTS:
        name = histogram + part
        if name in families:
            for metric in metrics:
                if not metric.hidden and metric.kind != KIND_TEXT and shown_name(metric) == name:
                    found.setdefault(metric, f"{quoted_str(name)} is a name of the samples of "
                                             f"{described(families[histogram])}: {_RENAME}")
    return 0


cdef str described(Metric metric):
    return f"{_WORDS[metric.kind]} {quoted_str(metric.name)}" + (f" ({metric.source})" if metric.source else "")


def left_out(metrics, *, bint emit_prog_label=True, str prefix="", reserved=frozenset()):
    return problems(list(metrics), emit_prog_label, prefix, reserved)
