# Pages of any size in bounded memory.
#
# A small page is made from one snapshot, so it shows one instant.  A larger one is made of parts: each is a small
# snapshot of its own, freed before the next one is taken, so no memory is retained while a slow peer reads.  A series
# is copied under the lock, so it never shows part of a line's effect.  Series that are created or removed while a page
# is made may or may not be on it.
#
# Families are written in the order of their label values.  A large one is not sorted as a whole, but by sample sort:
# from a sample of its series, splitters are chosen that divide it into buckets of about the size of a piece; a pass over
# all series finds the bucket of each (two bytes per slot); then the buckets are copied, sorted and written one by one.


cdef class Output:
    """A Buf that is freed with its Python object."""

    cdef Buf b

    def __dealloc__(self):
        buf_free(&self.b)

    cdef bytes take(self):
        """Return the content and empty the buffer."""
        cdef bytes text
        if self.b.failed:
            raise MemoryError
        text = PyBytes_FromStringAndSize(self.b.p, self.b.n)
        buf_clear(&self.b)
        return text


cdef Family in_order(Family family, list warnings):
    """The family, sorted; warns once about what is left out."""
    cdef list found = []
    family.sort(found, False)
    warnings += [text for text in found if text not in warnings]
    return family


cdef class Page:
    """See _render.pyi."""

    cdef Snapshot snapshot
    cdef readonly list warnings

    def __init__(self, Snapshot snapshot not None):
        self.snapshot, self.warnings = snapshot, []

    def json(self, bint grouped):
        return render_json(self.snapshot, grouped)

    def metrics_json(self, *, bint emit_prog_label=True, str prefix="", names=None, reserved=frozenset()):
        self.warnings = []
        return render_metrics_json(self.snapshot, emit_prog_label, prefix, names, reserved, b"", self.warnings)

    def prometheus(self, *, bint emit_prog_label=True, bint emit_timestamp=False, str prefix="",
                   bint openmetrics=False, names=None, reserved=frozenset(), bint strict=False):
        self.warnings = []
        return render_prometheus(self.snapshot, emit_prog_label, emit_timestamp, prefix, openmetrics, names, reserved,
                                 strict, self.warnings)


cdef class View:
    """See _render.pyi."""

    cdef Store store
    cdef size_t piece
    cdef Snapshot whole     # snapshot of a small store, until the page is made
    cdef Snapshot outline   # the metrics, with their numbers of series
    cdef readonly list warnings

    def __init__(self, Store store not None, *, size_t whole=WHOLE, size_t piece=PAGE_PIECE):
        cdef Metric metric
        cdef size_t size = 0
        self.store, self.piece, self.warnings = store, piece, []
        for metric in store.metrics():
            size += self._estimate(metric)
        if size <= whole:
            self.whole = Snapshot(store)
        self.outline = Snapshot(store, store.metrics() if self.whole is None else self.whole.metrics())

    cdef size_t _estimate(self, Metric metric) noexcept:
        """Estimated bytes of a metric on a page, rather too high."""
        cdef MetricTable* m = metric.table
        cdef size_t count = relaxed_load(&m.count)
        cdef size_t memory = relaxed_load(&m.memory)     # without the lock
        cdef size_t labels = min(count * sizeof(Datum), memory)
        cdef size_t names = len(metric.name) + len(metric.program) + 48
        for key in metric.keys:
            names += len(<str>key) + 4
        for name, value in metric.labels:
            names += len(<str>name) + 2 * len(<str>value) + 4
        if m.type == TYPE_BUCKETS:
            labels = min(labels + count * block_cost(hist_size(m)), memory)
        return (memory - labels + count * names) * (m.nranges + 2 if m.type == TYPE_BUCKETS else 1)

    def metrics(self):
        return list(self.outline.members)

    def rows(self, Metric metric not None):
        cdef Snapshot part
        cdef Selection selection
        if self.whole is not None:
            yield from self.whole.rows(metric)
            return
        memset(&selection, 0, sizeof(Selection))
        selection.step = 1
        while not selection.done:
            selection.rows, selection.bytes = LIST_ROWS, self.piece
            part = open_part(self.store, [metric])
            fill_part(part, 0, &selection)
            rows = list(part.rows(part.members[0]))
            part = None
            yield from rows

    # --- pages, in pieces ----------------------------------------------------------------------------------

    def prometheus(self, *, bint emit_prog_label=True, bint emit_timestamp=False, str prefix="",
                   bint openmetrics=False, names=None, reserved=frozenset()):
        cdef Family family
        cdef Family sorted_family
        cdef Output out = Output()
        cdef int form = FORM_OPENMETRICS if openmetrics else FORM_TEXT
        if self.whole is not None:
            text = render_prometheus(self.whole, emit_prog_label, emit_timestamp, prefix, openmetrics, names, reserved,
                                     False, self.warnings)
            self.whole = None
            yield text
            return
        families = gather_families(self.outline, emit_prog_label, prefix, names, reserved, form)
        if openmetrics:
            families = openmetrics_families(families, self.warnings)
        for family in families:
            write_head(&out.b, family, openmetrics)
            for sorted_family in self._sorted(family, emit_prog_label, form):
                sorted_family.name, sorted_family.type_name = family.name, family.type_name
                write_family(&out.b, sorted_family, emit_timestamp, openmetrics, False)
                sorted_family = None
                if out.b.n >= self.piece:
                    yield out.take()
        yield out.take()

    def metrics_json(self, *, bint emit_prog_label=True, str prefix="", names=None, reserved=frozenset(),
                     bytes more=b""):
        cdef Family family
        cdef Family sorted_family
        cdef Output out = Output()
        cdef bint keyed
        if self.whole is not None:
            text = render_metrics_json(self.whole, emit_prog_label, prefix, names, reserved, more, self.warnings)
            self.whole = None
            yield text
            return
        separator = b"{"
        families = gather_families(self.outline, emit_prog_label, prefix, names, reserved, FORM_JSON)
        for family in families:
            put_text(&out.b, separator + json_head(family))
            separator = b","
            if self._is_small(family):
                sorted_family = self._whole(family, emit_prog_label, FORM_JSON)
                put_text(&out.b, family_json(sorted_family))
                sorted_family = None
            else:
                keyed = is_keyed(family)
                opening, closing = json_frame(family, keyed)
                put_text(&out.b, opening)
                between = b""
                for sorted_family in self._sorted(family, emit_prog_label, FORM_JSON):
                    if sorted_family.count:
                        put_text(&out.b, between + family_samples_json(sorted_family, False, keyed))
                        between = b","
                    sorted_family = None
                    if out.b.n >= self.piece:
                        yield out.take()
                put_text(&out.b, closing)
            put_text(&out.b, b"}")
            if out.b.n >= self.piece:
                yield out.take()
        if more:
            put_text(&out.b, separator + more)
        put_text(&out.b, b"}" if families or more else b"{}")
        yield out.take()

    def json(self):
        cdef Metric metric
        cdef Snapshot part
        cdef Output out = Output()
        cdef Selection selection
        cdef bytes separator = b"[" + pad(1)
        cdef list metrics
        if self.whole is not None:
            text = render_json(self.whole, False)
            self.whole = None
            yield text
            return
        metrics = [metric for metric in self.outline.members if not metric.hidden]
        opening, closing = json_rows_frame(1)
        for metric in metrics:
            head, tail = json_metric(metric, 1)
            put_text(&out.b, separator + head)
            separator = b"," + pad(1)
            between = opening
            memset(&selection, 0, sizeof(Selection))
            selection.step = 1
            while not selection.done:
                selection.rows, selection.bytes = PART_ROWS, self.piece // 2
                part = open_part(self.store, [metric])
                fill_part(part, 0, &selection)
                if part.table.metric[0].count:
                    put_text(&out.b, between)
                    between = b","
                    write_json_view(&out.b, &part.table.metric[0], 1)
                part = None
                if out.b.n >= self.piece:
                    yield out.take()
            put_text(&out.b, (b"" if between is opening else closing) + tail)
        put_text(&out.b, pad(0) + b"]" if metrics else b"[]")
        yield out.take()

    cdef bint _is_small(self, Family family) except *:
        cdef Metric metric
        cdef size_t size = 0
        for metric in family.metrics:
            size += self._estimate(metric)
        return size <= self.piece

    cdef Family _whole(self, Family family, bint prog, int form):
        cdef Snapshot part = open_part(self.store, family.metrics)
        cdef size_t i
        cdef Selection selection
        for i in range(part.table.n):
            memset(&selection, 0, sizeof(Selection))
            selection.step, selection.rows, selection.bytes = 1, NO_SLOT, SIZE_MAX
            fill_part(part, i, &selection)
        return in_order(Family(part, family.name, part.members, prog, form), self.warnings)

    def _sorted(self, Family family, bint prog, int form):
        """The series of the family in order, as families of about the size of a piece."""
        cdef Division division
        if self._is_small(family):
            yield self._whole(family, prog, form)
            return
        division = Division(self.store, self.piece, family, prog, form)
        for number in range(division.buckets):
            yield in_order(division.bucket(<uint16_t>number), self.warnings)
