# The lines of samples: Prometheus 0.0.4 and OpenMetrics 1.0.  No lock is held.

# Parts of lines.  The caller has reserved the space that these write to.

cdef inline char* put_bytes(char* out, const char* p, size_t n) noexcept nogil:
    memcpy(out, p, n)
    return out + n


cdef inline char* put_escaped(char* out, Str s) noexcept nogil:
    """Write a label value, escaped; takes at most twice its length."""
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
    """The number that Prometheus gets for a value that is not a histogram (spec metrics-export.md §1.4)."""
    if m.type == TYPE_INT:
        return <double>d.v.i
    return d.v.f if m.type == TYPE_FLOAT else 0.0


cdef struct Style:
    int form
    bint times
    bint signed_times
    Str name                # of the samples of counters and gauges
    Str bucket              # of the other samples of histograms
    Str sum
    Str count


cdef inline int64_t to_millis(int64_t nanos) noexcept nogil:
    """Milliseconds, rounded down."""
    cdef int64_t millis = nanos // 1000000
    return millis - 1 if nanos % 1000000 < 0 else millis


cdef char* put_time(char* out, int64_t nanos, const Style* style) noexcept nogil:
    """Write a blank and the time: milliseconds, or seconds with three decimals for OpenMetrics."""
    cdef int64_t millis = to_millis(nanos)
    cdef uint32_t rest
    out[0] = c" "
    out += 1
    if style.form == FORM_TEXT:     # Prometheus rejects a page with a sign here
        return out + fmt_int(millis if style.signed_times else max(millis, <int64_t>0), out)
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
    """Write the labels from the brace on, without the last quote and brace; nothing if there are none."""
    cdef uint32_t i
    key_labels(member.view.m, d.key, member.values)
    for i in range(member.nlabels):
        out = put_bytes(out, member.piece[i].p, member.piece[i].n)
        out = put_escaped(out, member.values[member.key[i]] if member.key[i] >= 0
                          else member.constant[-1 - member.key[i]])
    return out


cdef size_t line_room(Member* member, const Datum* d) noexcept nogil:
    """Upper bound for the bytes of a sample line."""
    cdef const char* at = d.key
    cdef uint32_t i
    for i in range(member.view.m.nkeys):
        key_next(&at)
    return member.fixed + 2 * <size_t>(at - d.key)


cdef inline char* put_end(char* out, const Style* style, int64_t time) noexcept nogil:
    if style.times:
        out = put_time(out, time, style)
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
            below = h.total         # NaN is in no range, but OpenMetrics counts it in +Inf
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
        prefetch_samples(members, s, i, n)
        member = &members[s[i].mark // 16]
        d = &member.view.rows[s[i].slot]
        if member.view.m.type == TYPE_BUCKETS:
            write_histogram(b, &scratch, member, d, style)
        else:
            write_value(b, member, d, style)
    buf_free(&scratch)
