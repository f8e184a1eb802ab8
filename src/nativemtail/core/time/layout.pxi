# Compiled layouts of strptime (compiler/timelayout.py), and the errors of parsing.

cdef struct Layout:                 # an unpacked view of a compiled layout; the steps may be unaligned
    uint32_t count
    const char* steps
    Str text

cdef enum TimeFault:                # why a text does not parse
    TIME_OK = 0
    TIME_BAD                        # the expected literal or element is not there
    TIME_EXTRA
    TIME_MONTH_RANGE
    TIME_HOUR_RANGE
    TIME_MINUTE_RANGE
    TIME_SECOND_RANGE
    TIME_FRACTION_RANGE
    TIME_DAY_RANGE
    TIME_YEAR_DAY_RANGE
    TIME_YEAR_DAY_MONTH
    TIME_YEAR_DAY_DAY
    TIME_MEMORY                     # not a compiled layout

cdef struct TimeError:
    TimeFault fault
    Str expected                    # part of the layout
    size_t at                       # offset in the text where it failed


cdef inline LayoutStep layout_step(const Layout* layout, uint32_t i) noexcept nogil:
    cdef LayoutStep step
    memcpy(&step, layout.steps + i * sizeof(LayoutStep), sizeof(LayoutStep))
    return step


cdef inline bint layout_open(const uint8_t* prog, size_t prog_len, Layout* layout) noexcept nogil:
    cdef LayoutHeader head
    cdef size_t start
    if prog_len < sizeof(LayoutHeader):
        return False
    memcpy(&head, prog, sizeof(LayoutHeader))
    start = sizeof(LayoutHeader) + <size_t>head.count * sizeof(LayoutStep)
    layout.count = head.count
    layout.steps = <const char*>prog + sizeof(LayoutHeader)
    layout.text = Str(<const char*>prog + start, head.length)
    return head.count > 0 and start <= prog_len and prog_len - start == head.length


cdef bint layout_check(const uint8_t* prog, size_t prog_len) noexcept nogil:
    """Whether the bytes are safe for `time_parse`: the steps cover the layout, and only the last one is the end."""
    cdef Layout layout
    cdef LayoutStep step
    cdef size_t sum = 0
    cdef uint32_t i
    if not layout_open(prog, prog_len, &layout):
        return False
    for i in range(layout.count):
        step = layout_step(&layout, i)
        if step.op > LAY_OFFSET or (step.op == LAY_END) != (i == layout.count - 1):
            return False
        if step.op == LAY_FRACTION and step.element < 2:
            return False
        sum += <size_t>step.literal + step.element
    return sum == layout.text.n
