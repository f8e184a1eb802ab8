# Families: the metrics that are exported under one name.
#
# Work per metric (names, types, what is left out and why) is done in Python, work per series in C.

_SUFFIXES = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count", "_created")}


cdef Str str_of(list keep, bytes text) except *:
    """`text` for C, valid as long as `keep` lives."""
    cdef Str s
    keep.append(text)
    s.p = PyBytes_AS_STRING(text)
    s.n = PyBytes_GET_SIZE(text)
    return s


cdef void* room_of(list keep, size_t n) except NULL:
    """Zeroed memory that lives as long as `keep`."""
    cdef bytearray room = PyByteArray_FromStringAndSize(NULL, n if n else 1)
    memset(<char*>room, 0, n)
    keep.append(room)
    return <char*>room


cdef bint table_monotonic(MetricTable* m) noexcept nogil:
    """is_monotonic() on the current data of the store, releasing the lock every GC_SLICE slots."""
    cdef uint32_t slot = 0
    cdef uint32_t end = 0
    cdef bint good = True
    cdef bint more = True
    cdef Datum* d
    while good and more:
        m.store.lock.acquire()
        end = slot + GC_SLICE
        while good and slot < end and slot // SLAB < m.slabs:
            if m.slab[slot // SLAB].p == NULL or slot % SLAB >= slab_size(m):
                slot = (slot // SLAB + 1) * SLAB
                continue
            d = datum_at(m, slot)
            good = d.key == NULL or datum_number(m, d) >= 0
            slot += 1
        more = slot // SLAB < m.slabs
        m.store.lock.release()
    return good


cdef size_t list_samples(Member* members, size_t n, size_t* next, Sample* samples, size_t filled) noexcept nogil:
    """Append the samples of the next members with equally many labels; next[0] is advanced past them."""
    cdef size_t i = next[0]
    cdef uint32_t nlabels = members[i].nlabels
    cdef uint32_t slot
    while i < n and members[i].nlabels == nlabels:
        slot = members[i].view.head
        while slot != NO_SLOT:
            samples[filled].slot = slot
            samples[filled].mark = <uint32_t>i * 16
            filled += 1
            slot = members[i].view.rows[slot].next
        i += 1
    next[0] = i
    return filled


cdef str default_help(str source):
    return f"defined at {source}"


cdef dict constant_labels(Metric metric, bint prog):
    """The labels that are the same for all series of the metric."""
    cdef dict constants = {"prog": metric.program} if prog else {}
    for name, value in metric.labels:
        constants[name] = value
    return constants


cdef class Family:
    """The metrics that are exported under one name, without those that have no series."""

    cdef str name
    cdef str type_name      # counter, gauge or histogram
    cdef str source         # of the first metric
    cdef str help           # the first text of a declaration, else where the first metric is declared
    cdef str unit           # the first one
    cdef list metrics
    cdef list names         # sorted label names, by metric
    cdef list keep
    cdef Member* members
    cdef Sample* samples
    cdef size_t count

    def __init__(self, Snapshot snapshot, str name, list metrics, bint emit_prog_label, int form):
        cdef Metric metric = metrics[0]
        cdef dict shapes = {}
        cdef list order = []
        self.name, self.type_name, self.source = name, _WORDS[metric.kind], metric.source
        self.help = self.unit = ""
        for metric in metrics:
            self.help, self.unit = self.help or metric.help, self.unit or metric.unit
            constants = constant_labels(metric, emit_prog_label)
            names = sorted({*metric.keys, *constants})
            shape = shapes.setdefault(tuple(names), len(shapes))
            order.append((len(names), shape, len(order), metric, names, constants))
        self.help = self.help or default_help(self.source)
        order.sort()
        self.keep = [snapshot]
        self.metrics = [entry[3] for entry in order]
        self.names = [entry[4] for entry in order]
        self.members = <Member*>room_of(self.keep, len(order) * sizeof(Member))
        for i, entry in enumerate(order):
            self.members[<size_t>i].shape = entry[1]
            self._fill(&self.members[<size_t>i], snapshot.view(entry[3]), entry[3], entry[4], entry[5], form)
            self.count += self.members[<size_t>i].view.count

    def __dealloc__(self):
        free(self.samples)

    cdef int _fill(self, Member* member, SnapMetric* view, Metric metric, list names, dict constants,
                   int form) except -1:
        cdef list keep = self.keep
        cdef dict place = {key: i for i, key in enumerate(metric.keys)}
        cdef uint32_t i
        cdef bytes start
        member.view = view
        member.nlabels = <uint32_t>len(names)
        member.key = <int*>room_of(keep, len(names) * sizeof(int))
        member.piece = <Str*>room_of(keep, len(names) * sizeof(Str))
        member.values = <Str*>room_of(keep, len(metric.keys) * sizeof(Str))
        member.bound = <Str*>room_of(keep, view.m.nranges * sizeof(Str))
        member.constant = <Str*>room_of(keep, len(constants) * sizeof(Str))
        member.fixed = 4 * NUM_TEXT
        for k, (name, text) in enumerate(constants.items()):
            member.constant[<size_t>k] = str_of(keep, repaired(as_bytes(text)))
            member.fixed += 2 * member.constant[<size_t>k].n
            place[name] = -1 - k
        for i in range(member.nlabels):
            member.key[i] = place[names[i]]
            start = b'",' if i else b"{"
            if form == FORM_JSON:
                member.piece[i] = str_of(keep, json_bytes(names[i]) + b":")
            else:
                member.piece[i] = str_of(keep, start + as_bytes(names[i]) + b'="')
            member.fixed += member.piece[i].n
        for i in range(view.m.nranges):
            member.bound[i] = str_of(keep, g_text(view.m.bound[i]))
        return 0

    cdef int sort(self, list warnings, bint strict) except -1:
        """Sort the samples.  Of duplicates the first is kept; if `strict`, raises ValueError instead."""
        cdef Sample* spare = NULL
        cdef Buf stack
        cdef size_t i
        cdef size_t n = len(self.metrics)
        cdef size_t filled = 0
        cdef size_t duplicate = self.count
        cdef size_t start
        cdef bint good
        self.samples = <Sample*>malloc((self.count if self.count else 1) * sizeof(Sample))
        if self.count > FEW:
            spare = <Sample*>malloc(self.count * sizeof(Sample))
        memset(&stack, 0, sizeof(Buf))
        good = self.samples != NULL and (spare != NULL or self.count <= FEW)
        with nogil:
            i = 0
            while good and filled < self.count:
                start = filled
                filled = list_samples(self.members, n, &i, self.samples, filled)
                good = filled - start < 2 or push_span(&stack, start, filled, 0, 0)
                good = good and sort_spans(self.members, self.samples, spare, &stack, &duplicate)
            free(spare)
            buf_free(&stack)
        if not good:
            raise MemoryError
        if duplicate < self.count:
            if strict:
                raise ValueError(f"collected metric {self._describe(duplicate)} was collected before with the same name "
                                 "and label values")
            warnings.append(self._shadowed(duplicate))
            self.count = drop_duplicates(self.samples, self.count)
        return 0

    def _shadowed(self, size_t at):
        cdef Metric metric = self.metrics[self.samples[at].mark // 16]
        return (f"{metric.source}: label sets of {quoted_str(self.name)} that another metric of this name has too: "
                f"{_RENAME}, or set --emit_prog_label")

    def _describe(self, size_t at):
        """A sample as mtail's client library prints it in errors."""
        cdef Member* member = &self.members[self.samples[at].mark // 16]
        cdef Row row = make_row(member.view.m, &member.view.rows[self.samples[at].slot])
        cdef uint32_t i
        cdef Str s
        text = f"{quoted_str(self.name)} {{ "
        for i in range(member.nlabels):
            s = label_of(member, self.samples[at].slot, i)
            text += f'label:<name:"{self.names[self.samples[at].mark // 16][i]}" value:{quoted_str(s.p[:s.n])} > '
        if member.view.m.type == TYPE_BUCKETS:
            value = f"sample_count:{row.count} sample_sum:{g_text(row.sum).decode()}"
        else:
            value = f"value:{g_text(datum_number(member.view.m, &member.view.rows[self.samples[at].slot])).decode()}"
        return text + f"{self.type_name}:<{value} > }}"

    cdef bint is_monotonic(self) noexcept:
        """Whether no sample is one that OpenMetrics forbids in a counter: negative or NaN."""
        cdef size_t i
        cdef Member* member
        cdef bint good = True
        if self.samples == NULL:
            for i in range(<size_t>len(self.metrics)):
                with nogil:
                    good = good and table_monotonic(self.members[i].view.m)
            return good
        for i in range(self.count):
            member = &self.members[self.samples[i].mark // 16]
            if not datum_number(member.view.m, &member.view.rows[self.samples[i].slot]) >= 0:
                return False
        return True


cdef list gather_families(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved, int form):
    """The families to export, by name, without the metrics in `problems`.

    Metrics without series are left out silently, but not from JSON metrics.
    """
    cdef dict found = {}
    cdef dict bad = problems(snapshot.members, emit_prog_label, prefix, reserved)
    cdef list families = []
    cdef Metric metric
    for metric in snapshot.members:
        if metric.hidden or metric.kind == KIND_TEXT or (snapshot.view(metric).count == 0 and form != FORM_JSON):
            continue
        name = shown_name(metric)
        if (not bad or metric not in bad) and is_wanted(name, _WORDS[metric.kind], names):
            found.setdefault(prefix + name, []).append(metric)
    for name in sorted(found):
        families.append(Family(snapshot, name, found[name], emit_prog_label, form))
    return families


cdef bint is_wanted(str name, str word, names) except *:
    """Whether `name` (without prefix), or the name of one of its samples, is requested."""
    return names is None or name in names or any(name + suffix in names for suffix in _SUFFIXES.get(word, ()))


cdef int check_help(Family family) except -1:
    """Names that differ only in - and _ are one family here, but have different help texts (metrics-export.md §1.6)."""
    cdef Metric first = None
    cdef Metric metric
    for metric in sorted(family.metrics, key=lambda m: m.source != family.source):
        first = metric if first is None else first
        if metric.name != first.name and metric.source != first.source:
            raise ValueError(inconsistent(family, metric.source, family.names[family.metrics.index(metric)]))
    return 0


cdef str inconsistent(Family family, str source, list names):
    return ("descriptors reported by collector have inconsistent label names or help strings for the same "
            f"fully-qualified name, offender is Desc{{fqName: {quoted_str(family.name)}, "
            f"help: {quoted_str(default_help(source))}, constLabels: {{}}, variableLabels: [{' '.join(names)}]}}")


cdef int check_labels(Family family) except -1:
    for names in family.names:
        if names != family.names[0]:
            raise ValueError(inconsistent(family, family.source, names))
    return 0


cdef list sorted_families(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved, bint strict, int form,
                          list warnings):
    """Families with sorted samples.  If `strict`, raises ValueError with the reason where §1.6 demands it."""
    cdef Family family
    cdef list families = gather_families(snapshot, emit_prog_label, prefix, names, reserved, form)
    if strict:
        for family in families:
            check_help(family)
            check_labels(family)
    for family in families:
        family.sort(warnings, strict)
    return families
