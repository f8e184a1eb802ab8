# A snapshot as text: Prometheus 0.0.4 and OpenMetrics 1.0, mtail's JSON, and JSON metrics.  No lock is held.
#
# Python decides by metric (names, types, what is left out and why); C does what there is by label set.  The samples of
# a family are sorted without comparing whole keys: by 8 bytes of the first label at a time, equal ones by the next 8
# and then by the next label, each round a radix sort.


cdef enum:
    FEW = 48                # samples up to which an insertion sort is used
    MORE = 9                # `rest` of a label value that goes on behind the 8 bytes looked at
    TWIN = 15               # of a sample that has the labels of the one before it

cdef enum:
    FORM_TEXT = 0
    FORM_OPENMETRICS = 1
    FORM_JSON = 2

cdef struct Member:         # one metric of a family
    SnapMetric* view
    uint32_t nlabels
    int* key                # by label in order of their names: which of the metric's keys, -1: the program
    Str* piece              # likewise: what stands in front of the value, such as {a=" and ",b="
    Str program             # valid UTF-8
    size_t fixed            # bytes of a line beside the label values and the number, at most
    uint32_t shape          # equal for metrics whose labels have the same names
    Str* values             # room for a key's label values
    Str* bound              # texts of the upper bounds of a histogram's ranges

cdef struct Sample:
    uint64_t word           # 8 bytes of a label value
    uint32_t slot
    uint32_t mark           # place of the member * 16 + bytes that are left of the value, from `word` on, or MORE

cdef struct Span:           # samples that are equal up to `offset` in the label
    size_t low
    size_t high
    uint32_t label
    size_t offset

cdef extern from "core/store.hpp" nogil:
    uint64_t nm_sort_word(const char* p, size_t n) noexcept


# Sorting.

cdef inline Str label_of(Member* member, uint32_t slot, uint32_t label) noexcept nogil:
    cdef const char* at
    cdef Str value = member.program
    cdef int i
    if member.key[label] >= 0:
        at = member.view.rows[slot].key
        for i in range(member.key[label] + 1):
            value = key_next(&at)
    return value


cdef enum:
    AHEAD_ROW = 16          # samples that a row is fetched ahead of its turn
    AHEAD_LABELS = 8        # and its label values, or the first KEY_NEAR bytes of them
    KEY_NEAR = 64


cdef inline void fetch_ahead(Member* members, const Sample* s, size_t i, size_t n) noexcept nogil:
    if i + AHEAD_ROW < n:
        nm_prefetch(&members[s[i + AHEAD_ROW].mark // 16].view.rows[s[i + AHEAD_ROW].slot], sizeof(Datum))
    if i + AHEAD_LABELS < n:
        nm_prefetch(members[s[i + AHEAD_LABELS].mark // 16].view.rows[s[i + AHEAD_LABELS].slot].key, KEY_NEAR)


cdef void load_words(Member* members, Sample* s, size_t n, uint32_t label, size_t offset) noexcept nogil:
    cdef size_t i
    cdef uint32_t place
    cdef Str value
    for i in range(n):
        fetch_ahead(members, s, i, n)
        place = s[i].mark // 16
        value = label_of(&members[place], s[i].slot, label)
        s[i].word = nm_sort_word(value.p + offset, value.n - offset)
        s[i].mark = place * 16 + <uint32_t>min(value.n - offset, <size_t>MORE)


cdef inline bint sample_after(const Sample* a, const Sample* b) noexcept nogil:
    return a.word > b.word or (a.word == b.word and a.mark % 16 > b.mark % 16)


cdef inline bint sample_ties(const Sample* a, const Sample* b) noexcept nogil:
    return a.word == b.word and a.mark % 16 == b.mark % 16


cdef void sort_few(Sample* s, size_t n) noexcept nogil:
    cdef size_t i
    cdef size_t at
    cdef Sample held
    for i in range(1, n):
        held = s[i]
        at = i
        while at and sample_after(&s[at - 1], &held):
            s[at] = s[at - 1]
            at -= 1
        s[at] = held


cdef inline uint8_t digit_of(const Sample* s, int digit) noexcept nogil:
    """Digit 0 is what is left, 1 to 8 are the bytes of the word from the last on."""
    return <uint8_t>(s.mark % 16) if digit == 0 else <uint8_t>(s.word >> 8 * (digit - 1))


cdef void sort_many(Sample* s, Sample* spare, size_t n) noexcept nogil:
    """Least digit first; digits in which all agree are skipped."""
    cdef size_t[256] at
    cdef size_t i
    cdef size_t sum
    cdef size_t count
    cdef int digit
    cdef uint64_t differ = 0
    cdef uint32_t marks = 0
    cdef Sample* source = s
    cdef Sample* target = spare
    for i in range(1, n):
        differ |= s[i].word ^ s[0].word
        marks |= (s[i].mark ^ s[0].mark) & 15
    for digit in range(9):
        if (marks if digit == 0 else differ >> 8 * (digit - 1) & 0xFF) == 0:
            continue
        memset(at, 0, sizeof(at))
        for i in range(n):
            at[digit_of(&source[i], digit)] += 1
        sum = 0
        for i in range(256):
            count = at[i]
            at[i] = sum
            sum += count
        for i in range(n):
            count = digit_of(&source[i], digit)
            target[at[count]] = source[i]
            at[count] += 1
        source, target = target, source
    if source != s:
        memcpy(s, source, n * sizeof(Sample))


cdef bint push_span(Buf* stack, size_t low, size_t high, uint32_t label, size_t offset) noexcept nogil:
    cdef Span span
    span.low = low
    span.high = high
    span.label = label
    span.offset = offset
    buf_put(stack, <const char*>&span, sizeof(Span))
    return not stack.failed


cdef size_t mark_twins(Member* members, Sample* s, size_t low, size_t high) noexcept nogil:
    """Of samples that agree in all values: those whose label names agree with the one before; the first, or `high`."""
    cdef size_t first = high
    cdef size_t i
    for i in range(low + 1, high):
        if members[s[i].mark // 16].shape == members[s[i - 1].mark // 16].shape:
            first = min(first, i)
            s[i].mark |= TWIN
    return first


cdef size_t drop_twins(Sample* s, size_t n) noexcept nogil:
    """How many are left."""
    cdef size_t kept = 0
    cdef size_t i
    for i in range(n):
        if s[i].mark % 16 != TWIN:
            s[kept] = s[i]
            kept += 1
    return kept


cdef bint sort_spans(Member* members, Sample* s, Sample* spare, Buf* stack, size_t* twin) noexcept nogil:
    """Sort what lies on the stack, stably; `twin` becomes the first duplicate found.  False without memory."""
    cdef Span span
    cdef size_t low
    cdef size_t high
    cdef Member* first
    while stack.n:
        stack.n -= sizeof(Span)
        memcpy(&span, stack.p + stack.n, sizeof(Span))
        first = &members[s[span.low].mark // 16]
        if span.label == first.nlabels:
            low = mark_twins(members, s, span.low, span.high)
            if low < span.high:
                twin[0] = min(twin[0], low)
            continue
        load_words(members, s + span.low, span.high - span.low, span.label, span.offset)
        if span.high - span.low <= FEW:
            sort_few(s + span.low, span.high - span.low)
        else:
            sort_many(s + span.low, spare, span.high - span.low)
        low = span.low
        while low < span.high:
            high = low + 1
            while high < span.high and sample_ties(&s[low], &s[high]):
                high += 1
            if high - low > 1:
                if s[low].mark % 16 == MORE:
                    push_span(stack, low, high, span.label, span.offset + 8)
                else:
                    push_span(stack, low, high, span.label + 1, 0)
                if stack.failed:
                    return False
            low = high
    return True


# Pieces of text.  These write where room has been made.

cdef inline char* put_bytes(char* out, const char* p, size_t n) noexcept nogil:
    memcpy(out, p, n)
    return out + n


cdef inline char* put_escaped(char* out, Str s) noexcept nogil:
    """A label value; at most twice its length."""
    cdef size_t i
    cdef char c
    for i in range(s.n):
        c = s.p[i]
        if c == c'"' or c == c"\\" or c == c"\n":
            out[0] = c"\\"
            out += 1
            c = c"n" if c == c"\n" else c
        out[0] = c
        out += 1
    return out


cdef inline char* put_number(char* out, double v, int form) noexcept nogil:
    cdef size_t n = fmt_prometheus(v, out)
    cdef size_t i
    if form == FORM_OPENMETRICS:
        for i in range(n):
            if out[i] == c"." or out[i] > c"9":
                return out + n
        out[n] = c"."
        out[n + 1] = c"0"
        n += 2
    return out + n


cdef inline double datum_number(const MetricTable* m, const Datum* d) noexcept nogil:
    """What Prometheus shows of a value that is no histogram (spec metrics-export.md §1.4)."""
    if m.type == TYPE_INT:
        return <double>d.v.i
    return d.v.f if m.type == TYPE_FLOAT else 0.0


cdef inline int64_t to_millis(int64_t nanos) noexcept nogil:
    """Rounded down."""
    cdef int64_t millis = nanos // 1000000
    return millis - 1 if nanos % 1000000 < 0 else millis


cdef char* put_time(char* out, int64_t nanos, int form) noexcept nogil:
    """A blank and the time: milliseconds, or seconds with three decimals."""
    cdef int64_t millis = to_millis(nanos)
    cdef uint32_t rest
    out[0] = c" "
    out += 1
    if form == FORM_TEXT:
        return out + fmt_int(max(millis, <int64_t>0), out)    # Prometheus refuses a page with a sign here
    if millis < 0:
        out[0] = c"-"
        out += 1
        millis = -millis
    out += fmt_int(millis // 1000, out)
    rest = <uint32_t>(millis % 1000)
    out[0] = c"."
    out[1] = <char>(c"0" + rest // 100)
    out[2] = <char>(c"0" + rest // 10 % 10)
    out[3] = <char>(c"0" + rest % 10)
    return out + 4


cdef char* put_labels(char* out, Member* member, const Datum* d) noexcept nogil:
    """Everything from the brace on, without the last quote and brace; nothing when there are no labels."""
    cdef uint32_t i
    key_labels(member.view.m, d.key, member.values)
    for i in range(member.nlabels):
        out = put_bytes(out, member.piece[i].p, member.piece[i].n)
        out = put_escaped(out, member.values[member.key[i]] if member.key[i] >= 0 else member.program)
    return out


cdef size_t line_room(Member* member, const Datum* d) noexcept nogil:
    """Bytes that one sample line takes at most."""
    cdef const char* at = d.key
    cdef uint32_t i
    for i in range(member.view.m.nkeys):
        key_next(&at)
    return member.fixed + 2 * <size_t>(at - d.key)


# Prometheus and OpenMetrics.

cdef struct Style:
    int form
    bint times
    Str name                # of the samples of counters and gauges
    Str bucket              # of the other samples of histograms
    Str sum
    Str count


cdef inline char* put_end(char* out, const Style* style, int64_t time) noexcept nogil:
    if style.times:
        out = put_time(out, time, style.form)
    out[0] = c"\n"
    return out + 1


cdef void write_value(Buf* b, Member* member, const Datum* d, const Style* style) noexcept nogil:
    cdef char* out
    if not buf_reserve(b, line_room(member, d) + style.name.n):
        return
    out = put_bytes(b.p + b.n, style.name.p, style.name.n)
    out = put_labels(out, member, d)
    out = put_bytes(out, b"\"} ", 3) if member.nlabels else put_bytes(out, b" ", 1)
    out = put_number(out, datum_number(member.view.m, d), style.form)
    b.n = put_end(out, style, d.time) - b.p


cdef void write_part(Buf* b, Str name, const char* labels, size_t n, const Str* le, double v, bint whole,
                     const Style* style, int64_t time) noexcept nogil:
    """One line of a histogram; `labels` as put_labels() wrote them; `whole`: a count."""
    cdef char* out
    if not buf_reserve(b, name.n + n + 160):
        return
    out = put_bytes(b.p + b.n, name.p, name.n)
    out = put_bytes(out, labels, n)
    if le != NULL:
        out = put_bytes(out, b"\",le=\"", 6) if n else put_bytes(out, b"{le=\"", 5)
        out = put_bytes(out, le.p, le.n)
    out = put_bytes(out, b"\"} ", 3) if n or le != NULL else put_bytes(out, b" ", 1)
    if whole and style.form == FORM_OPENMETRICS:
        out += fmt_int(<int64_t>v, out)
    else:
        out = put_number(out, v, style.form)
    b.n = put_end(out, style, time) - b.p


cdef void write_histogram(Buf* b, Buf* scratch, Member* member, const Datum* d, const Style* style) noexcept nogil:
    """Cumulative buckets, sum and count (spec metrics-export.md §1.5)."""
    cdef MetricTable* m = member.view.m
    cdef Hist* h = d.v.h
    cdef int64_t below = 0
    cdef uint32_t i
    cdef bint strict = style.form == FORM_OPENMETRICS
    buf_clear(scratch)
    if not buf_reserve(scratch, line_room(member, d)):
        b.failed = True
        return
    scratch.n = put_labels(scratch.p, member, d) - scratch.p
    for i in range(m.nranges):
        below += h.count[i]
        if strict and i + 1 == m.nranges:
            below = h.total         # NaN is in no range, but OpenMetrics wants them in +Inf
        write_part(b, style.bucket, scratch.p, scratch.n, &member.bound[i], <double>below, True, style, d.time)
    # OpenMetrics has a sum, and then a count, only where no observation can be negative.
    if not strict or (m.nranges and m.bound[0] >= 0 and h.sum >= 0):
        write_part(b, style.sum, scratch.p, scratch.n, NULL, h.sum, False, style, d.time)
        write_part(b, style.count, scratch.p, scratch.n, NULL, <double>h.total, True, style, d.time)


cdef void write_samples(Buf* b, Member* members, Sample* s, size_t n, const Style* style) noexcept nogil:
    cdef Buf scratch
    cdef Member* member
    cdef const Datum* d
    cdef size_t i
    memset(&scratch, 0, sizeof(Buf))
    for i in range(n):
        fetch_ahead(members, s, i, n)
        member = &members[s[i].mark // 16]
        d = &member.view.rows[s[i].slot]
        if member.view.m.type == TYPE_BUCKETS:
            write_histogram(b, &scratch, member, d, style)
        else:
            write_value(b, member, d, style)
    buf_free(&scratch)


# JSON (spec metrics-export.md §2).

cdef void put_json_char(Buf* b, uint32_t rune) noexcept nogil:
    """A character that JSON text cannot show as it is."""
    if rune == c'"' or rune == c"\\":
        buf_char(b, c"\\")
        buf_char(b, <char>rune)
    elif rune == c"\n":
        buf_put(b, b"\\n", 2)
    elif rune == c"\r":
        buf_put(b, b"\\r", 2)
    elif rune == c"\t":
        buf_put(b, b"\\t", 2)
    else:
        put_hex(b, b"\\u", rune, 4)


cdef void put_json(Buf* b, const char* p, size_t n) noexcept nogil:
    """A string, as Go writes it: <, >, & and the line separators are escaped, ill-formed bytes become \\ufffd."""
    cdef size_t i = 0
    cdef size_t start = 0
    cdef size_t width
    cdef uint32_t rune
    cdef uint8_t c
    buf_char(b, c'"')
    while i < n:
        c = <uint8_t>p[i]
        if 0x20 <= c < 0x80 and c != c'"' and c != c"\\" and c != c"<" and c != c">" and c != c"&":
            i += 1
            continue
        width = utf8_decode(p + i, n - i, &rune)
        if c < 0x80 or width == 0 or rune == 0x2028 or rune == 0x2029:
            buf_put(b, p + start, i - start)
            put_json_char(b, rune)
            start = i + (width if width else 1)
        i += width if width else 1
    buf_put(b, p + start, n - start)
    buf_char(b, c'"')


cdef void put_json_number(Buf* b, double v) noexcept nogil:
    """What is not finite comes as a string."""
    cdef bint finite = v - v == 0
    if not finite:
        buf_char(b, c'"')
    if buf_reserve(b, NUM_TEXT):
        b.n += fmt_json_float(v, b.p + b.n)
    if not finite:
        buf_char(b, c'"')


cdef struct JsonStyle:      # what stands between the data of a label set, blanks and line ends included
    Str open
    Str comma               # between labels
    Str value
    Str bucket              # in front of the first bucket
    Str buckets             # in front of the others
    Str count
    Str sum
    Str time
    Str end                 # of the value
    Str expiry
    Str close
    Str* bound              # names of the buckets, and the ranges they stand for, in the order of the names
    uint32_t* place


cdef inline void put_str(Buf* b, Str s) noexcept nogil:
    buf_put(b, s.p, s.n)


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
    """The label sets in order of creation."""
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


# JSON metrics: a family's value.

cdef void write_plain_value(Buf* b, Member* member, const Datum* d) noexcept nogil:
    """A number, or a histogram as an object."""
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


# By metric and by family.

_SUFFIXES = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count", "_created")}


cdef Str str_of(list keep, bytes text) except *:
    """`text` for C, good as long as `keep` is."""
    cdef Str s
    keep.append(text)
    s.p = PyBytes_AS_STRING(text)
    s.n = PyBytes_GET_SIZE(text)
    return s


cdef void* room_of(list keep, size_t n) except NULL:
    """Zeroed memory that lives as long as `keep`."""
    cdef bytearray room = bytearray(n if n else 1)
    keep.append(room)
    return <char*>room


cdef bytes take(Buf* b):
    """The content; frees the buffer."""
    cdef bytes text
    try:
        if b.failed:
            raise MemoryError
        text = PyBytes_FromStringAndSize(b.p, b.n)
    finally:
        buf_free(b)
    return text


cdef bytes quoted(bytes text):
    """As Go's %q."""
    cdef Buf b
    memset(&b, 0, sizeof(Buf))
    quote(&b, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return take(&b)


cdef str quoted_str(text):
    return quoted(as_bytes(text)).decode("utf-8", "replace")


cdef bytes json_bytes(text):
    cdef Buf b
    cdef bytes raw = as_bytes(text)
    memset(&b, 0, sizeof(Buf))
    put_json(&b, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return take(&b)


cdef bytes repaired(bytes text):
    cdef Buf b
    memset(&b, 0, sizeof(Buf))
    utf8_repair(&b, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), NULL)
    return take(&b)


cdef bytes g_text(double v):
    cdef char[NUM_TEXT] out
    return out[:fmt_g(v, out)]


cdef bytes help_text(text, bint openmetrics):
    cdef bytes raw = repaired(as_bytes(text)).replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return raw.replace(b'"', b'\\"') if openmetrics else raw


cdef class Family:
    """The metrics that are shown under one name, those without label sets left out."""

    cdef str name
    cdef str word           # counter, gauge or histogram
    cdef str source         # of the first metric
    cdef list metrics
    cdef list names         # sorted label names, by metric
    cdef list keep
    cdef Member* members
    cdef Sample* samples
    cdef size_t count

    def __init__(self, Snapshot snapshot, str name, list metrics, bint emit_prog_label, int form):
        cdef Metric metric
        cdef dict shapes = {}
        cdef list order = []
        self.name, self.word, self.source = name, _WORDS[metrics[0].kind], metrics[0].source
        for metric in metrics:
            names = sorted({*metric.keys, "prog"} if emit_prog_label else {*metric.keys})
            shape = shapes.setdefault(tuple(names), len(shapes))
            order.append((len(names), shape, len(order), metric, names))
        order.sort(key=lambda entry: entry[:3])
        self.keep = [snapshot]
        self.metrics = [entry[3] for entry in order]
        self.names = [entry[4] for entry in order]
        self.members = <Member*>room_of(self.keep, len(order) * sizeof(Member))
        for i, entry in enumerate(order):
            self.members[<size_t>i].shape = entry[1]
            self._fill(&self.members[<size_t>i], snapshot.view(entry[3]), entry[3], entry[4], emit_prog_label, form)
            self.count += self.members[<size_t>i].view.count

    def __dealloc__(self):
        free(self.samples)

    cdef int _fill(self, Member* member, SnapMetric* view, Metric metric, list names, bint prog, int form) except -1:
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
        member.program = str_of(keep, repaired(as_bytes(metric.program)))
        member.fixed = 4 * NUM_TEXT + 2 * member.program.n
        for i in range(member.nlabels):
            member.key[i] = -1 if prog and names[i] == "prog" else place[names[i]]
            start = b'",' if i else b"{"
            if form == FORM_JSON:
                member.piece[i] = str_of(keep, json_bytes(names[i]) + b":")
            else:
                member.piece[i] = str_of(keep, start + as_bytes(names[i]) + b'="')
            member.fixed += member.piece[i].n
        for i in range(view.m.nranges):
            member.bound[i] = str_of(keep, g_text(view.m.bound[i]))
        return 0

    cdef int sort(self, Snapshot snapshot, bint strict) except -1:
        """List the samples in order.  Of those with the same labels the first stays; if `strict`, raises ValueError."""
        cdef Sample* spare = NULL
        cdef Buf stack
        cdef size_t i
        cdef size_t n = len(self.metrics)
        cdef size_t filled = 0
        cdef size_t twin = self.count
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
                good = good and sort_spans(self.members, self.samples, spare, &stack, &twin)
            free(spare)
            buf_free(&stack)
        if not good:
            raise MemoryError
        if twin < self.count:
            if strict:
                raise ValueError(f"collected metric {self._describe(twin)} was collected before with the same name "
                                 "and label values")
            snapshot.warnings.append(self._shadowed(twin))
            self.count = drop_twins(self.samples, self.count)
        return 0

    def _shadowed(self, size_t at):
        cdef Metric metric = self.metrics[self.samples[at].mark // 16]
        return (f"{metric.source}: label sets of {quoted_str(self.name)} that another metric of this name has too: "
                f"{_RENAME}, or set --emit_prog_label")

    def _describe(self, size_t at):
        """A sample as the client library of mtail prints it."""
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
        return text + f"{self.word}:<{value} > }}"

    cdef bint is_monotonic(self) noexcept:
        """No sample that OpenMetrics forbids a counter: negative or not a number."""
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


cdef bint table_monotonic(MetricTable* m) noexcept nogil:
    """As is_monotonic(), of what is in the store now; GC_SLICE slots in each turn at the lock."""
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
    """Append the samples of the members from next[0] on that have as many labels as the first of them."""
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


cdef list gather_families(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved, int form):
    """The families to show, by name; `problems` says what is left out.

    Metrics without label sets are left out silently, but not from JSON metrics.
    """
    cdef dict found = {}
    cdef dict bad = problems(snapshot.members, emit_prog_label, prefix, reserved)
    cdef list families = []
    cdef Metric metric
    snapshot.warnings = []
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
    """`name` (in front of which comes no prefix), or a name that its samples have, is asked for."""
    return names is None or name in names or any(name + suffix in names for suffix in _SUFFIXES.get(word, ()))


cdef int check_help(Family family) except -1:
    """Names that differ in - and _ only have one name here, but not one help text (spec metrics-export.md §1.6)."""
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
            f"help: {quoted_str('defined at ' + source)}, constLabels: {{}}, variableLabels: [{' '.join(names)}]}}")


cdef int check_labels(Family family) except -1:
    for names in family.names:
        if names != family.names[0]:
            raise ValueError(inconsistent(family, family.source, names))
    return 0


cdef set names_of(Family family):
    """Every name that OpenMetrics reserves for the family."""
    return {family.name, *(family.name + suffix for suffix in _SUFFIXES.get(family.word, ()))}


cdef list openmetrics_families(Snapshot snapshot, list families):
    """Names and types as OpenMetrics has them, with the samples' names of the text format.

    A family that may not be a counter there, or whose name as one is taken, is of unknown type.  Families whose names
    clash with an earlier one are left out.
    """
    cdef set taken = set()
    cdef list kept = []
    cdef Family family
    for family in families:
        shown = family.name
        if family.word == "counter":
            family.name = shown.removesuffix("_total")
            if family.name in ("", shown) or not family.is_monotonic() or not taken.isdisjoint(names_of(family)):
                family.name, family.word = shown, "unknown"
        if taken.isdisjoint(names_of(family)):
            taken |= names_of(family)
            kept.append(family)
        else:
            snapshot.warnings.append(f"{quoted_str(shown)} is left out: OpenMetrics reserves its name for another")
    return kept


cdef int write_head(Buf* out, Family family, bint openmetrics) except -1:
    cdef bytes name = as_bytes(family.name)
    cdef bytes head = b"# HELP %s defined at %s\n# TYPE %s %s\n" % (
        name, help_text(family.source, openmetrics), name, as_bytes(family.word))
    buf_put(out, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    return 0


cdef int write_family(Buf* out, Family family, bint times, bint openmetrics) except -1:
    """The lines of its samples."""
    cdef Style style
    cdef list keep = []
    cdef bytes name = as_bytes(family.name)
    cdef bytes sample = name + b"_total" if openmetrics and family.word == "counter" else name
    style.form = FORM_OPENMETRICS if openmetrics else FORM_TEXT
    style.times = times
    style.name = str_of(keep, sample)
    style.bucket = str_of(keep, name + b"_bucket")
    style.sum = str_of(keep, name + b"_sum")
    style.count = str_of(keep, name + b"_count")
    with nogil:
        write_samples(out, family.members, family.samples, family.count, &style)
    return 0


cdef list sorted_families(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved, bint strict, int form):
    """Families whose samples are in order.  If `strict`, raises ValueError with the reason where §1.6 says so."""
    cdef Family family
    cdef list families = gather_families(snapshot, emit_prog_label, prefix, names, reserved, form)
    if strict:
        for family in families:
            check_help(family)
            check_labels(family)
    for family in families:
        family.sort(snapshot, strict)
    return families


cdef bytes render_prometheus(Snapshot snapshot, bint emit_prog_label, bint emit_timestamp, str prefix,
                             bint openmetrics, names, reserved, bint strict):
    cdef Buf out
    cdef Family family
    cdef int form = FORM_OPENMETRICS if openmetrics else FORM_TEXT
    cdef list families = sorted_families(snapshot, emit_prog_label, prefix, names, reserved, strict, form)
    if openmetrics:
        families = openmetrics_families(snapshot, families)
    memset(&out, 0, sizeof(Buf))
    try:
        for family in families:
            write_head(&out, family, openmetrics)
            write_family(&out, family, emit_timestamp, openmetrics)
        if out.failed:
            raise MemoryError
        return PyBytes_FromStringAndSize(out.p, out.n)
    finally:
        buf_free(&out)


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
    return take(&out)


cdef tuple json_frame(Family family, bint keyed):
    """What stands around the samples."""
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
    text = b'"help":%s,' % json_bytes("defined at " + family.source) if family.source else b""
    return b'%s:{%s"type":"%s","value":' % (json_bytes(family.name), text, as_bytes(family.word))


cdef bytes render_metrics_json(Snapshot snapshot, bint emit_prog_label, str prefix, names, reserved):
    cdef list parts = []
    cdef Family family
    for family in sorted_families(snapshot, emit_prog_label, prefix, names, reserved, False, FORM_JSON):
        parts.append(b"%s%s}" % (json_head(family), family_json(family)))
    return b"{%s}" % b",".join(parts)


cdef bytes pad(int depth):
    return b"\n" + b"  " * depth


cdef int json_style(JsonStyle* style, MetricTable* m, int depth, list keep) except -1:
    """What stands around the data of a label set whose object is indented by `depth` steps."""
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
    """What stands in front of and behind the label sets of a metric object (spec metrics-export.md §2.1)."""
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
    """What stands around the label sets of a metric that has some."""
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
    """The metrics as an array whose brackets stand at `depth`."""
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
