# The samples of a family, and their order.
#
# Samples are radix-sorted by 8 bytes of the first label value at a time; groups of equal ones are sorted by the next 8
# bytes, then by the next label.  So whole keys are never compared.

cdef enum:
    FEW = 48                # up to this many samples an insertion sort is used
    MORE = 9                # `rest` of a label value that goes on after the 8 bytes looked at
    DUPLICATE = 15               # marks a sample with the same labels as the one before it

cdef enum:
    FORM_TEXT = 0
    FORM_OPENMETRICS = 1
    FORM_JSON = 2

cdef struct Member:         # one metric of a family
    SnapMetric* view
    uint32_t nlabels
    int* key                # by label in order of their names: which of the metric's keys, or -1 - i for constant i
    Str* piece              # by label: the text before the value, such as {a=" and ",b="
    Str* constant           # the program and the static labels, valid UTF-8
    size_t fixed            # upper bound for the bytes of a line without label values and number
    uint32_t shape          # equal for metrics with the same label names
    Str* values             # buffer for the label values of a key
    Str* bound              # texts of the upper bounds of a histogram's ranges

cdef struct Sample:
    uint64_t word           # 8 bytes of a label value
    uint32_t slot
    uint32_t mark           # index of the member * 16 + remaining bytes of the value, from `word` on, or MORE

cdef struct Span:           # samples that are equal up to `offset` in the label
    size_t low
    size_t high
    uint32_t label
    size_t offset


cdef inline Str label_of(Member* member, uint32_t slot, uint32_t label) noexcept nogil:
    cdef const char* at
    cdef Str value
    cdef int i
    if member.key[label] < 0:
        value = member.constant[-1 - member.key[label]]
    else:
        at = member.view.rows[slot].key
        for i in range(member.key[label] + 1):
            value = key_next(&at)
    return value


cdef enum:
    AHEAD_ROW = 16          # distance at which rows are prefetched, in samples
    AHEAD_LABELS = 8        # the same for label values, of which KEY_NEAR bytes are prefetched
    KEY_NEAR = 64


cdef inline void prefetch_samples(Member* members, const Sample* s, size_t i, size_t n) noexcept nogil:
    if i + AHEAD_ROW < n:
        prefetch(&members[s[i + AHEAD_ROW].mark // 16].view.rows[s[i + AHEAD_ROW].slot], sizeof(Datum))
    if i + AHEAD_LABELS < n:
        prefetch(members[s[i + AHEAD_LABELS].mark // 16].view.rows[s[i + AHEAD_LABELS].slot].key, KEY_NEAR)


cdef void load_words(Member* members, Sample* s, size_t n, uint32_t label, size_t offset) noexcept nogil:
    cdef size_t i
    cdef uint32_t place
    cdef Str value
    for i in range(n):
        prefetch_samples(members, s, i, n)
        place = s[i].mark // 16
        value = label_of(&members[place], s[i].slot, label)
        s[i].word = sort_word(value.p + offset, value.n - offset)
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
    """A digit of the radix sort: 0 is the rest, 1 to 8 are the bytes of the word from the last on."""
    return <uint8_t>(s.mark % 16) if digit == 0 else <uint8_t>(s.word >> 8 * (digit - 1))


cdef void sort_many(Sample* s, Sample* spare, size_t n) noexcept nogil:
    """LSD radix sort; digits in which all samples agree are skipped."""
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


cdef size_t mark_duplicates(Member* members, Sample* s, size_t low, size_t high) noexcept nogil:
    """Of samples that agree in all values: those whose label names agree with the one before; the first, or `high`."""
    cdef size_t first = high
    cdef size_t i
    for i in range(low + 1, high):
        if members[s[i].mark // 16].shape == members[s[i - 1].mark // 16].shape:
            first = min(first, i)
            s[i].mark |= DUPLICATE
    return first


cdef size_t drop_duplicates(Sample* s, size_t n) noexcept nogil:
    """Remove the duplicates; returns how many samples are left."""
    cdef size_t kept = 0
    cdef size_t i
    for i in range(n):
        if s[i].mark % 16 != DUPLICATE:
            s[kept] = s[i]
            kept += 1
    return kept


cdef bint sort_spans(Member* members, Sample* s, Sample* spare, Buf* stack, size_t* duplicate) noexcept nogil:
    """Sort the spans on the stack, stably; `duplicate` becomes the first duplicate.  False without memory."""
    cdef Span span
    cdef size_t low
    cdef size_t high
    cdef Member* first
    while stack.n:
        stack.n -= sizeof(Span)
        memcpy(&span, stack.p + stack.n, sizeof(Span))
        first = &members[s[span.low].mark // 16]
        if span.label == first.nlabels:
            low = mark_duplicates(members, s, span.low, span.high)
            if low < span.high:
                duplicate[0] = min(duplicate[0], low)
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
