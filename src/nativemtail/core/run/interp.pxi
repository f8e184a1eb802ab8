# The interpreter: one program's instructions run over one line.
#
# `run_code` only dispatches, by branches that compare only for equality, so that they become a `switch`; the instructions
# are inline functions above it, by family.  Those that can fail return False and describe the error in a Failure.
# Code jumps back only to run a block with `every` again, which is bounded, so a line costs a bounded amount.

# --- patterns and captures -----------------------------------------------------------------------------------------

cdef int match_text(RunState* rs, PatternState* p, Captures* slot, Str text) noexcept nogil:
    """Match a text other than the line."""
    cdef int rc
    if p.pattern.flags & PATTERN_FIELDS:
        rc = match_fields(rs, p.pattern.texts.fields, text, slot.own)
        if rc > 0:
            note_captures(slot, rs.serial, text.p, slot.own)
        return rc
    rs.texts += text.n
    subject_set(&rs.other, text.p, text.n)
    rc = match_subject(&rs.matcher, p, &rs.other, slot.own)
    if rc == 1:
        note_captures(slot, rs.serial, text.p, slot.own)
    return rc


cdef inline bint capture(RunState* rs, Captures* slots, const Instr* i, Str* text, Failure* failure) noexcept nogil:
    """The text of a group of a pattern that may not have matched."""
    cdef Captures* slot = &slots[i.b]
    if slot.serial != rs.serial:
        return fail_numbers(failure, FAULT_NO_MATCH, i.b, 0)
    text[0] = captured(slot, i.c)
    return True


cdef inline bint read_int(Str text, int64_t base, bint wrapped, int64_t* out, Failure* failure) noexcept nogil:
    cdef int rc = parse_int(text.p, text.n, base, out)
    if rc == 0:
        return True
    fail_conversion(failure, FAULT_INT_SYNTAX + rc - 1, text, wrapped)
    failure.record.x = base
    return False


cdef inline bint read_float(Str text, bint wrapped, double* out, Failure* failure) noexcept nogil:
    cdef int rc = parse_float(text.p, text.n, out)
    return rc == 0 or fail_conversion(failure, FAULT_FLOAT_SYNTAX + rc - 1, text, wrapped)


cdef inline bint field_number(RunState* rs, const Captures* slot, const Instr* i, Failure* failure) noexcept nogil:
    """The number of a field; one that is absent is read as an empty text would be."""
    cdef Str none
    none.p, none.n = b"", 0
    if slot.serial != rs.serial:
        return fail_numbers(failure, FAULT_NO_MATCH, i.b, 0)
    if slot.ov[2 * i.c] == <size_t> -1:
        return fail_conversion(failure, FAULT_INT_SYNTAX if i.op == OP_FLDI else FAULT_FLOAT_SYNTAX, none, False)
    memcpy(&rs.regs[i.a].i, &slot.ov[2 * i.d + i.c], sizeof(int64_t))
    return True


cdef bint fail_match(RunState* rs, int rc, PatternState* p, const char* base, const size_t* ov, Failure* failure) noexcept nogil:
    """What the result of a match other than 1 and 0 means."""
    if rc == WRONG_TYPE:
        return fail_field(rs, p.pattern.texts.fields, base, ov, failure)
    if rc == TOO_MANY:
        return fail(failure, FAULT_ROUNDS)
    return fail(failure, FAULT_TEXTS if rc == TOO_LONG else FAULT_MEMORY)


cdef inline bint read_base(RunState* rs, const Instr* i, Failure* failure) noexcept nogil:
    """Convert text to an integer in the program's base."""
    cdef int64_t base = rs.regs[i.c].i
    if base <= 0 or base >= 2147483647:
        return fail_numbers(failure, FAULT_BASE_RANGE, base, 0)
    return read_int(rs.regs[i.b].s, base, False, &rs.regs[i.a].i, failure)


cdef inline bint canonical_int(RunState* rs, Str text, Str* out, Failure* failure) noexcept nogil:
    """A captured integer as text in canonical form."""
    cdef char number[32]
    cdef int64_t value = 0
    if is_int_text(text):
        out[0] = text
        return True
    if not read_int(text, 10, False, &value, failure):
        return False
    return arena_copy(&rs.arena, out, number, fmt_int(value, number)) or fail(failure, FAULT_MEMORY)


# --- numbers and texts ---------------------------------------------------------------------------------------------

cdef bint text_of(RunState* rs, const Instr* i, Failure* failure) noexcept nogil:
    """Convert a number to text."""
    cdef char number[32]
    cdef size_t n
    if i.op == OP_I2S:
        n = fmt_int(rs.regs[i.b].i, number)
    elif i.op == OP_F2S:
        n = fmt_g(rs.regs[i.b].f, number)
    else:
        n = fmt_G(rs.regs[i.b].f, number)
    return arena_copy(&rs.arena, &rs.regs[i.a].s, number, n) or fail(failure, FAULT_MEMORY)


cdef inline bint whole_number(const Instr* i, Reg* r, Failure* failure) noexcept nogil:
    """Convert a Float to an Int, cut towards zero."""
    cdef double x = r[i.b].f
    if x >= -9223372036854775808.0 and x < 9223372036854775808.0:
        r[i.a].i = <int64_t>x
        return True
    return fail_number(failure, FAULT_NO_INT, x)


cdef inline bint divide_ints(const Instr* i, Reg* r, Failure* failure) noexcept nogil:
    cdef int64_t x = r[i.b].i, y = r[i.c].i
    if y == 0:
        return fail_numbers(failure, FAULT_DIVIDE, x, y)
    r[i.a].i = divide(x, y) if i.op == OP_DIVI else modulo(x, y)
    return True


cdef inline bint shift_int(const Instr* i, Reg* r, Failure* failure) noexcept nogil:
    cdef int64_t by = r[i.c].i
    if by < 0 or by >= 2147483647:
        return fail_numbers(failure, FAULT_SHIFT, 0, by)
    r[i.a].i = shift_left(r[i.b].i, by) if i.op == OP_SHLI else shift_right(r[i.b].i, by)
    return True


cdef bint make_text(RunState* rs, const Instr* i, Failure* failure) noexcept nogil:
    """Make a text from other texts."""
    cdef Reg* r = &rs.regs[i.b]
    cdef Buf* out = &rs.arena.text
    buf_clear(out)
    if i.op == OP_LOWER or i.op == OP_UPPER:
        to_case(out, r.s.p, r.s.n, i.op == OP_UPPER)
    elif i.op == OP_SUBST:
        rs.texts += r[2].s.n
        subst(out, r[0].s, r[1].s, r[2].s, MAX_TEXT)
    else:
        rs.texts += r[1].s.n
        subject_set(&rs.other, r[1].s.p, r[1].s.n)
        substitute(&rs.matcher, &rs.patterns[i.d], &rs.other, r[0].s, out, MAX_TEXT)
    return arena_made(&rs.arena, &rs.regs[i.a].s) or fail(failure, FAULT_MEMORY)


cdef inline Str text_part(const Instr* i, Reg* r) noexcept nogil:
    cdef Reg* from_ = &r[i.b]
    if i.op == OP_TRIM:
        return trim(from_.s)
    if i.op == OP_TRIMPRE:
        return trim_prefix(from_.s, r[i.c].s)
    if i.op == OP_TRIMSUF:
        return trim_suffix(from_.s, r[i.c].s)
    if i.op == OP_SUBSTR:
        return substr(from_.s, from_[1].i, from_[2].i)
    return split(from_.s, from_[1].s, from_[2].i)


cdef bint compare_either(const Instr* i, Reg* r, Failure* failure) noexcept nogil:
    """Compare as numbers if the left text is a number, else as texts."""
    cdef double left = 0
    cdef int order = compare_guessing(r[i.b].s, r[i.c].s, &left)
    if order == INCOMPARABLE:
        fail_number(failure, FAULT_COMPARE, left)
        failure.operand = r[i.c].s
        return False
    r[i.a].i = order == (-1 if i.op == OP_LTN else 1 if i.op == OP_GTN else 0)
    return True


# --- metrics -------------------------------------------------------------------------------------------------------

cdef inline void add_one(RunState* rs, const Prog* prog, const Instr* i, Reg* r, int64_t one) noexcept nogil:
    cdef Datum* datum = r[i.b].datum
    datum_add_int(prog.metrics[i.d], datum, one, write_time(&rs.clock))
    r[i.a].i = datum.v.i


cdef bint set_text(RunState* rs, const Prog* prog, const Instr* i, Failure* failure) noexcept nogil:
    return (datum_set_text(prog.metrics[i.d], rs.regs[i.a].datum, rs.regs[i.b].s, write_time(&rs.clock))
            or fail(failure, FAULT_MEMORY))


cdef bint get_text(RunState* rs, const Instr* i, Failure* failure) noexcept nogil:
    cdef Str text = datum_text(rs.regs[i.b].datum)
    return arena_copy(&rs.arena, &rs.regs[i.a].s, text.p, text.n) or fail(failure, FAULT_MEMORY)


cdef bint expire(RunState* rs, const Prog* prog, const Instr* i, Failure* failure) noexcept nogil:
    """The label values of a missing datum, Go-quoted, are the error's operand."""
    cdef Reg* keys = &rs.regs[i.b]
    cdef Buf* out = &rs.arena.text
    cdef Str text
    cdef int k
    if metric_expire(prog.metrics[i.d], <Str*>keys, prog.ints[i.e]):
        return True
    buf_clear(out)
    for k in range(i.c):
        if k:
            buf_char(out, 32)
        quote(out, keys[k].s.p, min(keys[k].s.n, <size_t>FAULT_TEXT))
        if out.n > FAULT_TEXT:
            break
    text.p = out.p
    text.n = 0 if out.failed else out.n
    return fail_with(failure, FAULT_NO_DATUM, text)


# --- metrics in a history ------------------------------------------------------------------------------------------

cdef void note_untimed(RunState* rs, ProgState* state) noexcept nogil:
    """The program has set no time, so its write is left out: count the line, and note the first ones."""
    cdef Untimed* untimed = &state.untimed
    if untimed.serial == rs.serial:
        return
    untimed.serial = rs.serial
    if untimed.n < UNTIMED_NAMED:
        untimed.lines[untimed.n] = -1
        if rs.block.p <= rs.line.p < rs.block.p + rs.block.n:
            untimed.lines[untimed.n] = rs.lines_before + <int64_t>count_newlines(rs.block.p, rs.line.p) + 1
    untimed.n += 1


cdef void at_own_time(RunState* rs, MetricTable* m) noexcept nogil:
    """Series that are removed next end at the line's time."""
    if m.history != NULL and has_own_time(&rs.clock):
        m.history.ends_at = m.history.step_of(own_time(&rs.clock))


cdef void keep_write(MetricTable* m, const Datum* d, int64_t delta, double x, int64_t time) noexcept nogil:
    """`delta`: what was added to an Int; `x`: what was added to a Float, or observed."""
    cdef History* h = m.history
    if h == NULL:
        return
    if h.how == HISTORY_LATEST:
        h.put(d.slot, time, d.v.i)
    elif h.how == HISTORY_SUM:
        h.add(d.slot, time, 0, delta)
    else:
        h.add_exactly(d.slot, time, x)
        if h.how == HISTORY_OBSERVED and x == x:
            h.add(d.slot, time, HISTORY_BUCKET + range_of(m, x), 1)


cdef bint write_kept(RunState* rs, ProgState* state, const Instr* i, Failure* failure) noexcept nogil:
    """A write of a history: it is kept at the line's own time, and left out if that has none."""
    cdef Reg* r = rs.regs
    cdef MetricTable* m = state.prog.metrics[i.d]
    cdef Datum* d = r[i.b].datum if i.op == OP_HINC or i.op == OP_HDEC else r[i.a].datum
    cdef int64_t time, delta = 0
    cdef double x = 0
    if not has_own_time(&rs.clock):
        note_untimed(rs, state)
        if i.op == OP_HINC or i.op == OP_HDEC:
            r[i.a].i = d.v.i
        return True
    time = own_time(&rs.clock)
    if i.op == OP_HINC or i.op == OP_HDEC or i.op == OP_HINCBY:
        delta = r[i.b].i if i.op == OP_HINCBY else 1 if i.op == OP_HINC else -1
        datum_add_int(m, d, delta, time)
        if i.op != OP_HINCBY:
            r[i.a].i = d.v.i
    elif i.op == OP_HINCBYF:
        x = r[i.b].f
        datum_set_float(m, d, d.v.f + x, time)
    elif i.op == OP_HSETI:
        datum_set_int(m, d, r[i.b].i, time)
    elif i.op == OP_HSETF:
        datum_set_float(m, d, r[i.b].f, time)
    elif i.op == OP_HSETS:
        return datum_set_text(m, d, r[i.b].s, time) or fail(failure, FAULT_MEMORY)
    else:
        x = r[i.b].f
    keep_write(m, d, delta, x, time)
    return m.history == NULL or not m.history.failed or fail(failure, FAULT_MEMORY)


cdef bint in_history(RunState* rs, ProgState* state, const Instr* i, Failure* failure) noexcept nogil:
    """An instruction that only histories have."""
    cdef Reg* r = rs.regs
    cdef MetricTable* m
    if i.op == OP_HEND:
        put_frame(rs)
        return True
    m = state.prog.metrics[i.d]
    if i.op != OP_HDATUM and i.op != OP_HDEL and i.op != OP_HDELALL:
        return write_kept(rs, state, i, failure)
    at_own_time(rs, m)
    if i.op == OP_HDATUM:
        rs.clock.now += 1
        r[i.a].datum = metric_get(m, <Str*>&r[i.b], rs.clock.now)
        return r[i.a].datum != NULL or fail(failure, FAULT_MEMORY)
    if i.op == OP_HDEL:
        metric_del(m, <Str*>&r[i.b])
    else:
        metric_clear(m)
    return True


# Called through a variable, so that it is not inlined: the dispatch of ordinary runs would need more registers.
cdef bint (*IN_HISTORY)(RunState* rs, ProgState* state, const Instr* i, Failure* failure) noexcept nogil
IN_HISTORY = in_history


# --- time ----------------------------------------------------------------------------------------------------------

cdef bint fail_time(RunState* rs, const TimeLayout* layout, Str text, Failure* failure) noexcept nogil:
    """Go's text of a failed parse is the error's operand."""
    cdef Buf* out = &rs.arena.text
    cdef TimeError error = rs.clock.error
    cdef size_t n = min(text.n, <size_t>FAULT_TEXT)
    cdef Str operand
    error.at = min(error.at, n)
    buf_clear(out)
    buf_text(out, b"strptime (")
    buf_put(out, layout.text.p, layout.text.n)
    buf_text(out, b", ")
    buf_put(out, text.p, n)
    buf_text(out, b", ")
    buf_put(out, rs.tables.zone_name.p, rs.tables.zone_name.n)
    buf_text(out, b") failed: ")
    put_time_error(out, <const uint8_t*>layout.steps.p, layout.steps.n, text.p, n, &error)
    operand.p = out.p
    operand.n = 0 if out.failed else out.n
    return fail_with(failure, FAULT_TIME, operand)


cdef inline bint read_time(RunState* rs, ProgState* state, const Instr* i, Failure* failure) noexcept nogil:
    cdef TimeMemo* memo = state.memos[i.d]
    return (parse_time(&rs.clock, memo, rs.regs[i.a].s) == 0
            or fail_time(rs, memo.layout, rs.regs[i.a].s, failure))


# --- dispatch ------------------------------------------------------------------------------------------------------

cdef bint run_code(RunState* rs, ProgState* state, const Instr* code, bint dry) noexcept nogil:
    """Run `code` (of the program) over the line in `rs`.  Stops at END, true, or at the first run-time error, false.

    `dry`: a dry run of a guard slice, which writes nothing and whose error is not counted.
    """
    cdef const Prog* prog = state.prog
    cdef Captures* slots = state.slots
    cdef Reg* r = rs.regs
    cdef const Instr* i = code
    cdef const Instr* at = code
    cdef PatternState* pattern
    cdef Datum* datum
    cdef Str text
    cdef bint matched = False, may_match
    cdef Failure failure
    cdef int op, rc
    cdef Hashed hashed
    hashed.h = 0
    hashed.seen = 0
    rs.clock.is_set = False
    rs.rounds = 0
    while True:
        i = at
        at += 1
        op = i.op
        # --- control
        if op == OP_END:
            return True
        elif op == OP_JMP:
            at = code + i.d
        elif op == OP_JF:
            if r[i.a].i == 0:
                at = code + i.d
        elif op == OP_JT:
            if r[i.a].i != 0:
                at = code + i.d
        elif op == OP_JMATCHED:
            if matched:
                at = code + i.d
        elif op == OP_SETM:
            matched = i.a
        elif op == OP_FAIL:
            fail_with(&failure, FAULT_STATIC, prog.strings[i.d])
            break
        # --- patterns
        elif op == OP_MATCH:
            pattern = &rs.patterns[i.d]
            may_match = is_candidate(rs, pattern)
            while not may_match and code[i.e].op == OP_MATCH:  # usually several in a row cannot match
                i = code + i.e
                pattern = &rs.patterns[i.d]
                may_match = is_candidate(rs, pattern)
            rc = match_line(rs, pattern) if may_match else 0
            if rc == 1:
                at = i + 1
                note_captures(&slots[i.a], rs.serial, rs.line.p, pattern.ov)
            elif rc == 0:
                at = code + i.e
            else:
                fail(&failure, FAULT_MEMORY)
                break
        elif op == OP_MATCHS:
            rc = match_text(rs, &rs.patterns[i.d], &slots[i.a], r[i.b].s)
            if rc == 0:
                at = code + i.e
            elif rc < 0:
                fail(&failure, FAULT_MEMORY)
                break
        elif op == OP_FIELDS:
            pattern = &rs.patterns[i.d]
            rc = match_line(rs, pattern) if is_candidate(rs, pattern) else 0
            if rc == 1:
                note_captures(&slots[i.a], rs.serial, rs.line.p, pattern.ov)
            elif rc == 0:
                at = code + i.e
            else:
                fail_match(rs, rc, pattern, rs.line.p, pattern.ov, &failure)
                break
        elif op == OP_FIELDSS:
            pattern = &rs.patterns[i.d]
            rc = match_text(rs, pattern, &slots[i.a], r[i.b].s)
            if rc == 0:
                at = code + i.e
            elif rc != 1:
                fail_match(rs, rc, pattern, r[i.b].s.p, slots[i.a].own, &failure)
                break
        elif op == OP_EVERY or op == OP_EVERYS:
            pattern = &rs.patterns[i.d]
            rc = 0
            if op == OP_EVERYS:
                rc = first_round(rs, pattern, &slots[i.a], &r[i.b].s)
            elif is_candidate(rs, pattern):
                rc = first_round(rs, pattern, &slots[i.a], NULL)
            if rc == 0:
                at = code + i.e
            elif rc != 1:
                fail_match(rs, rc, pattern, slots[i.a].base, slots[i.a].own, &failure)
                break
        elif op == OP_AGAIN:
            pattern = slots[i.a].loop.pattern
            rc = next_round(rs, pattern, &slots[i.a])
            if rc == 1:
                at = code + i.d
            elif rc != 0:
                fail_match(rs, rc, pattern, slots[i.a].base, slots[i.a].own, &failure)
                break
        elif op == OP_DEFINED:
            r[i.a].i = slots[i.b].serial == rs.serial and slots[i.b].ov[2 * i.c] != <size_t> -1
        # --- captures
        elif op == OP_CAPSM:
            r[i.a].s = captured(&slots[i.b], i.c)
            if at.op == OP_STRPTIME:  # usual in decorators: saves a dispatch
                i = at
                at += 1
                if not read_time(rs, state, i, &failure):
                    break
        elif op == OP_CAPS:
            if not capture(rs, slots, i, &r[i.a].s, &failure):
                break
        elif op == OP_CAPI or op == OP_CAPIM:
            if not capture(rs, slots, i, &text, &failure) or not read_int(text, 10, False, &r[i.a].i, &failure):
                break
        elif op == OP_CAPIS:
            if not capture(rs, slots, i, &text, &failure) or not canonical_int(rs, text, &r[i.a].s, &failure):
                break
        elif op == OP_CAPF or op == OP_CAPFM:
            if not capture(rs, slots, i, &text, &failure) or not read_float(text, False, &r[i.a].f, &failure):
                break
        elif op == OP_FLDI or op == OP_FLDF:
            if not field_number(rs, &slots[i.b], i, &failure):
                break
        # --- constants
        elif op == OP_LDI:
            r[i.a].i = prog.ints[i.d]
        elif op == OP_LDF:
            r[i.a].f = prog.floats[i.d]
        elif op == OP_LDS:
            r[i.a].s = prog.strings[i.d]
        elif op == OP_MOV:
            r[i.a] = r[i.b]
        # --- conversions
        elif op == OP_I2F:
            r[i.a].f = <double>r[i.b].i
        elif op == OP_I2S or op == OP_F2S or op == OP_F2SG:
            if not text_of(rs, i, &failure):
                break
        elif op == OP_F2I:
            if not whole_number(i, r, &failure):
                break
        elif op == OP_S2I:
            if not read_int(r[i.b].s, 10, i.c, &r[i.a].i, &failure):
                break
        elif op == OP_S2F:
            if not read_float(r[i.b].s, i.c, &r[i.a].f, &failure):
                break
        elif op == OP_STRTOL:
            if not read_base(rs, i, &failure):
                break
        # --- integers
        elif op == OP_ADDI:
            r[i.a].i = wrap_add(r[i.b].i, r[i.c].i)
        elif op == OP_SUBI:
            r[i.a].i = wrap_sub(r[i.b].i, r[i.c].i)
        elif op == OP_MULI:
            r[i.a].i = wrap_mul(r[i.b].i, r[i.c].i)
        elif op == OP_DIVI or op == OP_MODI:
            if not divide_ints(i, r, &failure):
                break
        elif op == OP_POWI:
            r[i.a].i = power(r[i.b].i, r[i.c].i)
        elif op == OP_SHLI or op == OP_SHRI:
            if not shift_int(i, r, &failure):
                break
        elif op == OP_ANDI:
            r[i.a].i = r[i.b].i & r[i.c].i
        elif op == OP_ORI:
            r[i.a].i = r[i.b].i | r[i.c].i
        elif op == OP_XORI:
            r[i.a].i = r[i.b].i ^ r[i.c].i
        elif op == OP_NOTI:
            r[i.a].i = ~r[i.b].i
        elif op == OP_NEGI:
            r[i.a].i = wrap_sub(0, r[i.b].i)
        elif op == OP_ABSI:
            r[i.a].i = wrap_sub(0, r[i.b].i) if r[i.b].i < 0 else r[i.b].i
        elif op == OP_MINI:
            r[i.a].i = min(r[i.b].i, r[i.c].i)
        elif op == OP_MAXI:
            r[i.a].i = max(r[i.b].i, r[i.c].i)
        elif op == OP_NOTB:
            r[i.a].i = r[i.b].i == 0
        # --- floats
        elif op == OP_ADDF:
            r[i.a].f = r[i.b].f + r[i.c].f
        elif op == OP_SUBF:
            r[i.a].f = r[i.b].f - r[i.c].f
        elif op == OP_MULF:
            r[i.a].f = r[i.b].f * r[i.c].f
        elif op == OP_DIVF:
            r[i.a].f = r[i.b].f / r[i.c].f
        elif op == OP_MODF:
            r[i.a].f = fmod(r[i.b].f, r[i.c].f)
        elif op == OP_POWF:
            r[i.a].f = float_power(r[i.b].f, r[i.c].f)
        elif op == OP_NEGF:
            r[i.a].f = -r[i.b].f
        elif op == OP_MINF:
            r[i.a].f = least(r[i.b].f, r[i.c].f)
        elif op == OP_MAXF:
            r[i.a].f = greatest(r[i.b].f, r[i.c].f)
        elif (op == OP_ABSF or op == OP_FLOOR or op == OP_CEIL or op == OP_ROUND or op == OP_LN or op == OP_LOG10
              or op == OP_EXP or op == OP_SQRT):
            r[i.a].f = of_float(op, r[i.b].f)
        # --- texts
        elif op == OP_CAT:
            if not arena_join(&rs.arena, &r[i.a].s, r[i.b].s, r[i.c].s):
                fail(&failure, FAULT_MEMORY)
                break
        elif op == OP_LEN:
            r[i.a].i = <int64_t>r[i.b].s.n
        elif op == OP_TRIM or op == OP_TRIMPRE or op == OP_TRIMSUF or op == OP_SUBSTR or op == OP_SPLIT:
            r[i.a].s = text_part(i, r)
        elif op == OP_LOWER or op == OP_UPPER or op == OP_SUBST or op == OP_SUBSTRE:
            if not make_text(rs, i, &failure):
                break
        elif op == OP_FNAME:
            r[i.a].s = rs.source
        elif op == OP_IPIN:
            r[i.a].i = address_in(r[i.b].s, prog.strings[i.d])
        # --- comparisons
        elif op == OP_LTI:
            r[i.a].i = r[i.b].i < r[i.c].i
        elif op == OP_GTI:
            r[i.a].i = r[i.b].i > r[i.c].i
        elif op == OP_EQI:
            r[i.a].i = r[i.b].i == r[i.c].i
        elif op == OP_LTF:
            r[i.a].i = r[i.b].f < r[i.c].f
        elif op == OP_GTF:
            r[i.a].i = r[i.b].f > r[i.c].f
        elif op == OP_EQF:
            r[i.a].i = r[i.b].f == r[i.c].f
        elif op == OP_LTS:
            r[i.a].i = compare_text(r[i.b].s, r[i.c].s) < 0
        elif op == OP_GTS:
            r[i.a].i = compare_text(r[i.b].s, r[i.c].s) > 0
        elif op == OP_EQS:
            r[i.a].i = r[i.b].s.n == r[i.c].s.n and compare_text(r[i.b].s, r[i.c].s) == 0
        elif op == OP_LTN or op == OP_GTN or op == OP_EQN:
            if not compare_either(i, r, &failure):
                break
        # --- metrics
        elif op == OP_DATUM:
            rs.clock.now += 1
            if not i.e:
                hashed = hash_keys(<Str*>&r[i.b], i.c)
            datum = metric_get_hashed(prog.metrics[i.d], <Str*>&r[i.b], hashed, rs.clock.now)
            if datum == NULL:
                fail(&failure, FAULT_MEMORY)
                break
            r[i.a].datum = datum
            if at.op == OP_INC:  # the usual write: saves a dispatch
                i = at
                at += 1
                add_one(rs, prog, i, r, 1)
        elif op == OP_GETI:
            r[i.a].i = r[i.b].datum.v.i
        elif op == OP_GETF:
            r[i.a].f = r[i.b].datum.v.f
        elif op == OP_GETS:
            if not get_text(rs, i, &failure):
                break
        elif op == OP_INC:
            add_one(rs, prog, i, r, 1)
        elif op == OP_DEC:
            add_one(rs, prog, i, r, -1)
        elif op == OP_INCBY:
            datum_add_int(prog.metrics[i.d], r[i.a].datum, r[i.b].i, write_time(&rs.clock))
        elif op == OP_INCBYF:
            datum = r[i.a].datum
            datum_set_float(prog.metrics[i.d], datum, datum.v.f + r[i.b].f, write_time(&rs.clock))
        elif op == OP_SETI:
            datum_set_int(prog.metrics[i.d], r[i.a].datum, r[i.b].i, write_time(&rs.clock))
        elif op == OP_SETF:
            datum_set_float(prog.metrics[i.d], r[i.a].datum, r[i.b].f, write_time(&rs.clock))
        elif op == OP_SETS:
            if not set_text(rs, prog, i, &failure):
                break
        elif op == OP_OBSERVE:
            datum_observe(prog.metrics[i.d], r[i.a].datum, r[i.b].f, write_time(&rs.clock))
        elif op == OP_DEL:
            metric_del(prog.metrics[i.d], <Str*>&r[i.b])
        elif op == OP_DELALL:
            metric_clear(prog.metrics[i.d])
        elif op == OP_EXPIRE:
            if not expire(rs, prog, i, &failure):
                break
        # --- histories
        elif op == OP_HEND:
            IN_HISTORY(rs, state, i, &failure)
            return True
        elif (op == OP_HINC or op == OP_HDEC or op == OP_HINCBY or op == OP_HINCBYF or op == OP_HSETI or op == OP_HSETF
              or op == OP_HSETS or op == OP_HOBSERVE or op == OP_HDATUM or op == OP_HDEL or op == OP_HDELALL):
            if not IN_HISTORY(rs, state, i, &failure):
                break
        # --- time
        elif op == OP_SETTIME:
            set_time(&rs.clock, r[i.a].i)
        elif op == OP_SETTIMEF:
            if not set_fractional_time(&rs.clock, r[i.a].f):
                fail_number(&failure, FAULT_NO_TIME, r[i.a].f)
                break
        elif op == OP_STRPTIME:
            if not read_time(rs, state, i, &failure):
                break
        elif op == OP_TSTAMP:
            r[i.a].i = rs.clock.time.sec if rs.clock.is_set else rs.clock.now // 1000000000
        elif op == OP_UTIME:
            r[i.a].f = unix_time(&rs.clock)
        else:
            return True
    if code == prog.code and not dry and code[prog.code_n - 1].op == OP_HEND:
        IN_HISTORY(rs, state, &code[prog.code_n - 1], &failure)
    if not dry:
        failure.record.pc = <int32_t>(i - code)
        failure.record.begin = code == prog.begin
        note_fault(rs, state, &failure)
    return False


cdef void note_fault(RunState* rs, ProgState* state, const Failure* failure) noexcept nogil:
    cdef Str line
    line.p = rs.line.p
    line.n = rs.line.n
    faults_add(&state.faults, &failure.record, failure.operand, line, rs.source)
