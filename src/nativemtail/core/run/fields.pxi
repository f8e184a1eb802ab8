# Field patterns: from what a reader found in a text to captures.
#
# As for regular expressions, field i is the bytes from ov[2 i] to ov[2 i + 1] of the text, even if they are elsewhere (an
# unescaped text is in the arena).  Behind these pairs are the numbers.  If a field is not of its type, ov begins with the
# number of the field, and the place and length of its text.

cdef enum:
    WRONG_TYPE = 2          # result of a match, beside 1, 0 and -1
    WRONG_TEXT = 64         # bytes of a wrong text that are shown


cdef int find_fields(RunState* rs, const Fields* f, Str text) noexcept nogil:
    """Fill rs.spans and rs.rows: 1, 0 without a match, -1 without memory."""
    if rs.read_fields != f or rs.read_on != rs.serial or rs.read_text.p != text.p or rs.read_text.n != text.n:
        rs.read_fields = f
        rs.read_on = rs.serial
        rs.read_text = text
        rs.texts += text.n
        rs.read_result = read_fields(rs, f, text)
    return rs.read_result


cdef int read_fields(RunState* rs, const Fields* f, Str text) noexcept nogil:
    cdef const FieldTable* table
    cdef int i, rc = 1
    if text.n >> 32:
        return 0
    rs.rows.n = rs.rows.count = 0
    for i in range(f.table_n):
        table = &f.tables[i]
        if i == 0 or table.common:
            memset(rs.spans, 0, table.common * sizeof(FieldSpan))
        if f.format == FIELDS_JSON:
            rc = read_json(table[0], text.p, text.n, rs.spans, &rs.rows)
        elif f.format == FIELDS_CSV:
            rc = read_csv(table[0], text.p, text.n, rs.spans, &rs.rows)
        else:
            read_logfmt(table[0], text.p, text.n, rs.spans, &rs.rows)
        if rc != 1:
            return rc
    if lacks_wanted(f.tables[0], rs.spans, 0, f.tables[0].common):
        return 0
    return f.tables[f.table_n - 1].each == 0 or rs.rows.n != 0


cdef inline int take_number(const FieldSpec* spec, const FieldSpan* span, Str text, size_t* cell) noexcept nogil:
    """Convert the text of a field: 1, or WRONG_TYPE."""
    cdef int64_t whole = 0
    cdef double number = 0
    if span.kind == SPAN_LITERAL or span.kind == SPAN_CONTAINER:
        return WRONG_TYPE
    if spec.type == FIELD_FLOAT:
        if parse_float(text.p, text.n, &number) != 0:
            return WRONG_TYPE
        memcpy(cell, &number, sizeof(double))
        return 1
    if span.kind == SPAN_NUMBER:
        if not number_to_int(text.p, text.n, &whole):
            return WRONG_TYPE
    elif parse_int(text.p, text.n, 10, &whole) != 0:
        return WRONG_TYPE
    memcpy(cell, &whole, sizeof(int64_t))
    return 1


cdef inline bint text_of_span(RunState* rs, Str text, const FieldSpan* span, Str* out) noexcept nogil:
    """The text of a field; false without memory."""
    cdef size_t n = span.end - span.start
    cdef char* copy
    out.p = text.p + span.start
    out.n = n
    if span.kind == SPAN_BARE:
        out.p = b"true"
        out.n = 4
    elif span.kind in (SPAN_ESCAPED, SPAN_DOUBLED, SPAN_LOGFMT):
        copy = arena_get(&rs.arena, n)
        if copy == NULL:
            return False
        out.n = field_text(span.kind, out.p, n, copy)
        out.p = copy
    return True


cdef int take_fields(RunState* rs, const Fields* f, Str text, const FieldSpan* common, const FieldSpan* row,
                     size_t* ov) noexcept nogil:
    """Fill the captures: 1, WRONG_TYPE, or -1 without memory.  `row`: the spans of an element, its index before them."""
    cdef const FieldSpec* spec
    cdef const FieldSpan* span
    cdef Str value
    cdef int i
    for i in range(f.n):
        spec = &f.specs[i]
        span = &row[spec.span + 1] if spec.of_element else &common[spec.span]
        if span.kind == SPAN_ABSENT:
            ov[2 * i] = ov[2 * i + 1] = <size_t> -1
            continue
        if not text_of_span(rs, text, span, &value):
            return -1
        if spec.type != FIELD_STRING and take_number(spec, span, value, &ov[2 * f.n + i]) != 1:
            ov[0] = <size_t>i
            ov[1] = <size_t>value.p - <size_t>text.p
            ov[2] = value.n
            ov[3] = row.start if row != NULL else 0
            return WRONG_TYPE
        ov[2 * i] = <size_t>value.p - <size_t>text.p
        ov[2 * i + 1] = ov[2 * i] + value.n
    return 1


cdef int match_fields(RunState* rs, const Fields* f, Str text, size_t* ov) noexcept nogil:
    """1 matched, 0 not, WRONG_TYPE, -1 without memory.  The elements of `every` are taken one by one, later."""
    cdef int rc = find_fields(rs, f, text)
    if rc != 1 or f.tables[f.table_n - 1].each:
        return rc
    return take_fields(rs, f, text, rs.spans, NULL, ov)


cdef void put_path(Buf* out, Str path, size_t index) noexcept nogil:
    """Write the path as written, with the index of the element in its brackets."""
    cdef const char* brackets = <const char*>memmem(path.p, path.n, b"[]", 2) if path.n and path.p[0] != c'"' else NULL
    if brackets == NULL:
        buf_put(out, path.p, path.n)
        return
    buf_put(out, path.p, brackets + 1 - path.p)
    buf_int(out, <int64_t>index)
    buf_put(out, brackets + 1, path.p + path.n - brackets - 1)


cdef bint fail_field(RunState* rs, const Fields* f, const char* base, const size_t* ov, Failure* failure) noexcept nogil:
    """A field is not of its type; the message is the error's operand."""
    cdef Buf* out = &rs.arena.text
    cdef int i = <int>ov[0]
    cdef const char* text = <const char*>(<size_t>base + ov[1])
    cdef Str operand
    buf_clear(out)
    if f.format == FIELDS_CSV:
        buf_text(out, b"Column ")
        buf_put(out, f.paths[i].p, f.paths[i].n)
    else:
        buf_text(out, b"Field `")
        put_path(out, f.paths[i], ov[3])
        buf_text(out, b"'")
    buf_text(out, b" is not an int: " if f.specs[i].type == FIELD_INT else b" is not a float: ")
    quote(out, text, min(ov[2], <size_t>WRONG_TEXT))
    if ov[2] > WRONG_TEXT:
        buf_text(out, b"...")
    operand.p = out.p
    operand.n = 0 if out.failed else out.n
    return fail_with(failure, FAULT_FIELD, operand)
