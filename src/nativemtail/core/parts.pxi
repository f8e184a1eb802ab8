# Pages of any size in bounded memory.
#
# A page that is small is made of one snapshot, so it shows one instant.  A larger one is made of parts: each is a small
# snapshot of its own, which is gone before the next one is taken, so nothing waits in graves while a slow peer reads.
# A label set is copied under the lock, so no part of a line is in it.  What comes and goes while a page is made may be
# on it or not.
#
# Families are written in the order of their label values.  To have a large one in order without sorting it in one
# piece, some of its label sets are looked at, and those that divide it into buckets of about a piece are noted.  One
# pass over all finds the bucket of each (two bytes a slot are kept); then the buckets are taken, sorted and written one
# by one.

cdef extern from "core/store.hpp" nogil:
    size_t nm_find16(const uint16_t* p, uint16_t value, size_t from_, size_t end) noexcept

cdef enum:
    PART_ROWS = 32768       # label sets of a part
    LIST_ROWS = 2048        # likewise, where each becomes an object
    TURN_SLOTS = 32768      # slots looked at in one turn at the lock
    ASSIGN_SLOTS = 2048     # likewise, to find their buckets
    TRIED = 32768           # label sets looked at to find the buckets
    SPLITTER_BYTES = 2097152    # of all of them; those that would take more are cut
    SPLITTER_LEAST = 256
    NO_BUCKET = 0xFFFF

cdef struct Take:           # which rows of a metric to copy
    size_t slot             # where to go on
    size_t step             # every so many slots
    size_t rows             # at most
    size_t bytes            # at most, of what they hold; the last row may exceed it
    size_t cells            # entries of `cell`
    const uint16_t* cell    # the bucket of each slot; NULL: all are wanted
    uint16_t bucket
    bint done               # no slot is left

cdef struct Splitter:       # the first label set of a bucket
    uint32_t nlabels
    Str* label              # in order of their names; a long one is cut, and those behind it are empty


cdef size_t row_bytes(MetricTable* m, const Datum* d) noexcept nogil:
    """What a label set takes on a page, roughly, without names."""
    cdef const char* at = d.key
    cdef size_t n = 64
    cdef uint32_t i
    for i in range(m.nkeys):
        key_next(&at)
    n += at - d.key
    if m.type == TYPE_STRING and d.v.s != NULL:
        n += d.v.s.n
    elif m.type == TYPE_BUCKETS:
        n += 32 * m.nranges
    return n


cdef bint take_turn(SnapMetric* view, size_t* cap, Take* take) noexcept nogil:
    """Copy rows for one turn at the lock; false without memory."""
    cdef MetricTable* m = view.m
    cdef size_t slots = <size_t>m.slabs * SLAB
    cdef size_t end = take.slot + TURN_SLOTS * take.step
    cdef size_t copied = 0
    cdef size_t slot
    cdef size_t n
    cdef Datum* d
    cdef Datum* moved
    if take.cell == NULL and cap[0] == 0 and m.count:
        view.rows = <Datum*>malloc(min(take.rows, <size_t>m.count) // take.step * sizeof(Datum) + sizeof(Datum))
        if view.rows == NULL:
            return False
        cap[0] = min(take.rows, <size_t>m.count) // take.step + 1
    while take.slot < slots and take.slot < end and copied < SLICE and view.count < take.rows and take.bytes:
        slot = take.slot
        if take.cell != NULL:
            slot = nm_find16(take.cell, take.bucket, slot, min(take.cells, end))
            if slot == min(take.cells, end):
                take.slot = end if take.cells > end else slots
                break
        take.slot = slot + take.step
        if slot % SLAB >= slab_size(m) or m.slab[slot // SLAB].p == NULL:
            continue
        d = m.slab[slot // SLAB].p + slot % SLAB
        if d.key == NULL:
            continue
        if view.count == cap[0]:
            n = cap[0] * 2 if cap[0] else 64
            moved = <Datum*>realloc(view.rows, n * sizeof(Datum))
            if moved == NULL:
                return False
            view.rows = moved
            cap[0] = n
        view.rows[view.count] = d[0]
        view.count += 1
        copied += sizeof(Datum)
        if take.bytes != SIZE_MAX:
            take.bytes -= min(take.bytes, row_bytes(m, d))
    take.done = take.slot >= slots
    return True


cdef bint take_rows(StoreTable* store, SnapMetric* view, Take* take) noexcept nogil:
    """Copy rows into an empty view, in order of their slots; false without memory."""
    cdef size_t cap = 0
    cdef bint good = True
    cdef uint32_t i
    view.count = 0
    take.done = False
    store.taking.acquire()
    while good and not take.done and view.count < take.rows and take.bytes:
        store.lock.acquire()
        good = take_turn(view, &cap, take)
        if view.m.type == TYPE_STRING or view.m.type == TYPE_BUCKETS:
            store.epoch += 1        # what these rows point to is not to be changed from now on
            store.watched = store.epoch
        store.lock.release()
    store.taking.release()
    view.head = 0 if view.count else NO_SLOT
    for i in range(view.count):
        view.rows[i].next = i + 1 if i + 1 < view.count else NO_SLOT
    return good


cdef void snapshot_open(StoreTable* store, SnapTable* snap) noexcept nogil:
    store.lock.acquire()
    snapshot_link(store, snap)
    store.lock.release()


cdef int compare_splitter(Member* member, const Str* values, const Splitter* splitter) noexcept nogil:
    """Below 0, 0 or above as the label set whose values (by key) these are sorts against the splitter."""
    cdef uint32_t i
    cdef Str a, b
    cdef int c
    if member.nlabels != splitter.nlabels:
        return -1 if member.nlabels < splitter.nlabels else 1
    for i in range(member.nlabels):
        a = values[member.key[i]] if member.key[i] >= 0 else member.program
        b = splitter.label[i]
        c = memcmp(a.p, b.p, min(a.n, b.n)) if a.n and b.n else 0
        if c == 0 and a.n != b.n:
            c = -1 if a.n < b.n else 1
        if c != 0:
            return c
    return 0


cdef uint16_t bucket_of(Member* member, const char* key, const Splitter* splitters, size_t n) noexcept nogil:
    """The number of splitters that the label set does not sort in front of."""
    cdef size_t low = 0
    cdef size_t high = n
    cdef size_t mid
    key_labels(member.view.m, key, member.values)
    while low < high:
        mid = (low + high) // 2
        if compare_splitter(member, member.values, &splitters[mid]) >= 0:
            low = mid + 1
        else:
            high = mid
    return <uint16_t>low


cdef void assign_turn(MetricTable* m, Member* member, const Splitter* splitters, size_t n, uint16_t* cell, size_t slot,
                      size_t end) noexcept nogil:
    """Note the bucket of each label set in the slots from `slot` on."""
    cdef Datum* slab
    cdef uint32_t i
    end = min(end, <size_t>m.slabs * SLAB)
    while slot < end:
        slab = m.slab[slot // SLAB].p
        if slab != NULL:
            for i in range(slab_size(m)):
                if i + AHEAD_LABELS < slab_size(m) and slab[i + AHEAD_LABELS].key != NULL:
                    nm_prefetch(slab[i + AHEAD_LABELS].key, KEY_NEAR)
                if slab[i].key != NULL:
                    cell[slot + i] = bucket_of(member, slab[i].key, splitters, n)
        slot += SLAB


cdef void assign_buckets(StoreTable* store, MetricTable* m, Member* member, const Splitter* splitters, size_t n,
                         uint16_t* cell, size_t cells) noexcept nogil:
    """Note the bucket of each label set, some in each turn at the lock."""
    cdef size_t slot = 0
    while slot < cells:
        store.lock.acquire()
        assign_turn(m, member, splitters, n, cell, slot, min(slot + ASSIGN_SLOTS, cells))
        store.lock.release()
        slot += ASSIGN_SLOTS


cdef void keep_bucket(Member* member, SnapMetric* view, const Splitter* splitters, size_t n,
                      uint16_t bucket) noexcept nogil:
    """Drop rows of other buckets: a slot may have been given to another label set."""
    cdef uint32_t i
    cdef uint32_t kept = 0
    for i in range(view.count):
        if bucket_of(member, view.rows[i].key, splitters, n) == bucket:
            view.rows[kept] = view.rows[i]
            view.rows[kept].next = kept + 1
            kept += 1
    view.count = kept
    view.head = 0 if kept else NO_SLOT
    if kept:
        view.rows[kept - 1].next = NO_SLOT


cdef class Output:
    """Growing output that frees itself."""

    cdef Buf b

    def __dealloc__(self):
        buf_free(&self.b)

    cdef bytes take(self):
        """The content, which begins anew."""
        cdef bytes text
        if self.b.failed:
            raise MemoryError
        text = PyBytes_FromStringAndSize(self.b.p, self.b.n)
        buf_clear(&self.b)
        return text


cdef class Division:
    """A family in buckets, each of which sorts in front of the next."""

    cdef View view
    cdef Family family
    cdef bint prog
    cdef int form
    cdef readonly size_t buckets
    cdef size_t splitter_n
    cdef Splitter* splitters
    cdef list cells         # by metric: the bucket of each slot, as bytearray of uint16_t
    cdef list drops         # by metric: how many label sets it had removed
    cdef list keep

    def __init__(self, View view not None, Family family not None, bint prog, int form):
        self.view, self.family, self.prog, self.form = view, family, prog, form
        self.keep, self.cells, self.drops = [], [], []
        self._split()
        for i in range(len(family.metrics)):
            self._assign(i)

    cdef int _split(self) except -1:
        """Choose the buckets by the label sets in a part of the slots."""
        cdef size_t slots = 0
        cdef size_t step
        cdef size_t weight = 0
        cdef size_t passed = 0
        cdef size_t i
        cdef Metric metric
        cdef Family family
        cdef Snapshot part
        cdef Take take
        for metric in self.family.metrics:
            slots += <size_t>nm_load(&metric.table.slabs) * SLAB
        step = max(slots // TRIED, <size_t>1)
        # Not a divisor of a slab's size, or the same few places of each would be looked at.
        step += step > 1 and step % 2 == 0
        part = self.view.part(self.family.metrics)
        for i in range(part.table.n):
            memset(&take, 0, sizeof(Take))
            take.step, take.rows, take.bytes = step, NO_SLOT, SIZE_MAX
            self.view.fill(part, i, &take)
        family = Family(part, self.family.name, part.members, self.prog, self.form)
        family.sort(part, False)
        for i in range(family.count):
            weight += self._weight(family, i)
        self.buckets = min(max(weight * step // self.view.piece, family.count * step // PART_ROWS) + 1,
                           <size_t>(NO_BUCKET - 1))
        self.buckets = min(self.buckets, family.count + 1)
        self.splitters = <Splitter*>room_of(self.keep, self.buckets * sizeof(Splitter))
        for i in range(family.count):
            if self.splitter_n + 1 < self.buckets and passed * self.buckets >= weight * (self.splitter_n + 1):
                self._keep_splitter(family, i)
            passed += self._weight(family, i)
        self.buckets = self.splitter_n + 1
        return 0

    cdef size_t _weight(self, Family family, size_t i) noexcept:
        cdef Member* member = &family.members[family.samples[i].mark // 16]
        cdef const Datum* d = &member.view.rows[family.samples[i].slot]
        cdef size_t line = member.fixed - 4 * NUM_TEXT + row_bytes(member.view.m, d)
        return line * (member.view.m.nranges + 2) if member.view.m.type == TYPE_BUCKETS else line

    cdef int _keep_splitter(self, Family family, size_t i) except -1:
        cdef Member* member = &family.members[family.samples[i].mark // 16]
        cdef Splitter* splitter = &self.splitters[self.splitter_n]
        cdef size_t room = max(SPLITTER_BYTES // self.buckets, <size_t>SPLITTER_LEAST)
        cdef uint32_t label
        cdef Str value
        splitter.label = <Str*>room_of(self.keep, member.nlabels * sizeof(Str))
        splitter.nlabels = member.nlabels
        for label in range(member.nlabels):
            value = label_of(member, family.samples[i].slot, label)
            splitter.label[label] = str_of(self.keep, value.p[:min(value.n, room)])
            if value.n > room:
                break
            room -= value.n
        self.splitter_n += 1
        return 0

    cdef int _assign(self, size_t i) except -1:
        """Find the bucket of each label set of a metric."""
        cdef Metric metric = current(self.view.store, self.family.metrics[i])
        cdef Member* member = &self.family.members[i]
        cdef size_t n
        cdef uint16_t* cell
        cdef bytearray cells
        cdef StoreTable* store = self.view.store.table
        with nogil:
            store.lock.acquire()
            n = <size_t>metric.table.slabs * SLAB
            store.lock.release()
        cells = bytearray(b"\xff" * 2) * n
        cell = <uint16_t*><char*>cells
        self.drops.append((metric, nm_load(&metric.table.drops)))
        with nogil:
            assign_buckets(store, metric.table, member, self.splitters, self.splitter_n, cell, n)
        self.cells.append(cells)
        return 0

    cdef Family bucket(self, uint16_t number):
        """The label sets of a bucket, in order."""
        cdef Snapshot part = self.view.part(self.family.metrics)
        cdef Family family
        cdef Member* member
        cdef bytearray cells
        cdef Metric metric
        cdef size_t i
        cdef Take take
        for i in range(part.table.n):
            cells = self.cells[i]
            memset(&take, 0, sizeof(Take))
            take.step, take.rows, take.bytes, take.bucket = 1, NO_SLOT, SIZE_MAX, number
            take.cell = <const uint16_t*><char*>cells
            take.cells = <size_t>len(cells) // 2
            self.view.fill(part, i, &take)
            metric, dropped = self.drops[i]
            if metric is not part.members[i] or dropped != nm_load(&metric.table.drops):
                member = &self.family.members[i]
                with nogil:
                    keep_bucket(member, &part.table.metric[i], self.splitters, self.splitter_n, number)
        return self.view.in_order(Family(part, self.family.name, part.members, self.prog, self.form), part)


cdef Metric current(Store store, Metric metric):
    """The metric that has the data now: programs may be loaded anew while a page is made."""
    cdef Metric other
    if not metric.table.counted:
        for other in store.families.get(metric.name, ()):
            if (other.program, other.type, other.keys, other.buckets) == (
                    metric.program, metric.type, metric.keys, metric.buckets):
                return other
    return metric


cdef class View:
    """See _core.pyi."""

    cdef Store store
    cdef size_t piece
    cdef Snapshot whole     # of a small store, until the page is made
    cdef Snapshot outline   # metrics, and how many label sets they have
    cdef readonly list warnings

    def __init__(self, Store store not None, size_t whole, size_t piece):
        cdef Metric metric
        cdef size_t size = 0
        self.store, self.piece, self.warnings = store, piece, []
        for metric in store.metrics():
            size += self._estimate(metric)
        if size <= whole:
            self.whole = Snapshot(store)
        self.outline = Snapshot(store, store.metrics() if self.whole is None else self.whole.metrics())

    cdef size_t _estimate(self, Metric metric) noexcept:
        """Bytes that a metric takes on a page, rather too many."""
        cdef MetricTable* m = metric.table
        cdef size_t count = nm_load(&m.count)
        cdef size_t memory = nm_load(&m.memory)     # without the lock
        cdef size_t labels = min(count * sizeof(Datum), memory)
        cdef size_t names = len(metric.name) + len(metric.program) + 48
        for key in metric.keys:
            names += len(<str>key) + 4
        if m.type == TYPE_BUCKETS:
            labels = min(labels + count * block_cost(hist_size(m)), memory)
        return (memory - labels + count * names) * (m.nranges + 2 if m.type == TYPE_BUCKETS else 1)

    def metrics(self):
        return list(self.outline.members)

    cdef Snapshot part(self, list metrics):
        """An empty snapshot of the metrics, open: `fill` puts rows in."""
        cdef Snapshot part = Snapshot(self.store, [current(self.store, metric) for metric in metrics])
        cdef StoreTable* store = self.store.table
        cdef SnapTable* table = part.table
        cdef size_t i
        for i in range(table.n):
            table.metric[i].count = 0
        with nogil:
            snapshot_open(store, table)
        return part

    cdef int fill(self, Snapshot part, size_t i, Take* take) except -1:
        cdef StoreTable* store = self.store.table
        cdef SnapMetric* view = &part.table.metric[i]
        cdef bint good
        with nogil:
            good = take_rows(store, view, take)
        if not good:
            raise MemoryError
        return 0

    def rows(self, Metric metric not None):
        cdef Snapshot part
        cdef Take take
        if self.whole is not None:
            yield from self.whole.rows(metric)
            return
        memset(&take, 0, sizeof(Take))
        take.step = 1
        while not take.done:
            take.rows, take.bytes = LIST_ROWS, self.piece
            part = self.part([metric])
            self.fill(part, 0, &take)
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
            text = self.whole.prometheus(emit_prog_label=emit_prog_label, emit_timestamp=emit_timestamp, prefix=prefix,
                                         openmetrics=openmetrics, names=names, reserved=reserved)
            self.warnings, self.whole = self.whole.warnings, None
            yield text
            return
        families = gather_families(self.outline, emit_prog_label, prefix, names, reserved, form)
        if openmetrics:
            families = openmetrics_families(self.outline, families)
        self.warnings = self.outline.warnings
        for family in families:
            write_head(&out.b, family, openmetrics)
            for sorted_family in self._sorted(family, emit_prog_label, form):
                sorted_family.name, sorted_family.word = family.name, family.word
                write_family(&out.b, sorted_family, emit_timestamp, openmetrics)
                sorted_family = None
                if out.b.n >= self.piece:
                    yield out.take()
        yield out.take()

    def metrics_json(self, *, bint emit_prog_label=True, str prefix="", names=None, reserved=frozenset()):
        cdef Family family
        cdef Family sorted_family
        cdef Output out = Output()
        cdef bint keyed
        if self.whole is not None:
            text = self.whole.metrics_json(emit_prog_label=emit_prog_label, prefix=prefix, names=names,
                                           reserved=reserved)
            self.warnings, self.whole = self.whole.warnings, None
            yield text
            return
        separator = b"{"
        families = gather_families(self.outline, emit_prog_label, prefix, names, reserved, FORM_JSON)
        self.warnings = self.outline.warnings
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
        put_text(&out.b, b"}" if families else b"{}")
        yield out.take()

    def json(self):
        cdef Metric metric
        cdef Snapshot part
        cdef Output out = Output()
        cdef Take take
        cdef bytes separator = b"[" + pad(1)
        cdef list metrics
        if self.whole is not None:
            text = self.whole.json(False)
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
            memset(&take, 0, sizeof(Take))
            take.step = 1
            while not take.done:
                take.rows, take.bytes = PART_ROWS, self.piece // 2
                part = self.part([metric])
                self.fill(part, 0, &take)
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

    cdef Family in_order(self, Family family, Snapshot part):
        family.sort(part, False)
        self.warnings += [text for text in part.warnings if text not in self.warnings]
        return family

    cdef bint _is_small(self, Family family) except *:
        cdef Metric metric
        cdef size_t size = 0
        for metric in family.metrics:
            size += self._estimate(metric)
        return size <= self.piece

    cdef Family _whole(self, Family family, bint prog, int form):
        cdef Snapshot part = self.part(family.metrics)
        cdef size_t i
        cdef Take take
        for i in range(part.table.n):
            memset(&take, 0, sizeof(Take))
            take.step, take.rows, take.bytes = 1, NO_SLOT, SIZE_MAX
            self.fill(part, i, &take)
        return self.in_order(Family(part, family.name, part.members, prog, form), part)

    def _sorted(self, Family family, bint prog, int form):
        """The family's label sets in order, in families of about a piece."""
        cdef Division division
        if self._is_small(family):
            yield self._whole(family, prog, form)
            return
        division = Division(self, family, prog, form)
        for number in range(division.buckets):
            yield division.bucket(<uint16_t>number)
