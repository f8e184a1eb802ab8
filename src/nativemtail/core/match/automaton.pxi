# All matches of a pattern in a text, in time linear in the text.
#
# Searching for one match after another can be quadratic: `a.*z|a` looks for a z up to the end of the text after each a.
# So when the searches have read a text too many times (`substitute`), the rest is done with the pattern's automaton
# (compiler/regex/automaton.py).  A backward pass computes for each character the live states, from which a match can
# still be reached.  A forward walk then takes the first choice that leads to a live state, without backtracking.  To
# bound memory, live states are kept at the ends of stretches only, and recomputed for one stretch at a time.

cdef enum:
    STRETCH = 512               # bytes of text whose live states are recomputed at once
    MAX_KEPT = 268435456        # bytes for the live states at the ends of stretches

cdef struct Automaton:
    const AutomatonState* states         # NULL: the pattern is too large for one
    int32_t n
    int32_t start
    const uint32_t* classes
    const uint32_t* ranges
    const uint32_t* edges
    const uint32_t* sources

cdef struct Walk:
    const Automaton* a
    const char* text
    size_t n
    uint8_t* bounds             # the live states at each multiple of STRETCH
    uint8_t* near               # those at each place of one stretch, including its end
    size_t stretch              # number of that stretch; SIZE_MAX: none yet
    uint8_t* scratch            # the live states at two neighbouring places
    int32_t* stack
    uint32_t* seen              # by state: the last step of the walk that visited it
    uint32_t step


cdef bint in_class(const Automaton* a, int32_t number, uint32_t rune) noexcept nogil:
    cdef uint32_t low = a.classes[number]
    cdef uint32_t high = a.classes[number + 1]
    cdef uint32_t mid
    while low < high:
        mid = (low + high) // 2
        if rune > a.ranges[2 * mid + 1]:
            low = mid + 1
        elif rune < a.ranges[2 * mid]:
            high = mid
        else:
            return True
    return False


cdef inline bint is_word_byte(char c) noexcept nogil:
    return c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c"0" <= c <= c"9" or c == c"_"


cdef bint holds(int32_t assertion, const char* text, size_t n, size_t at) noexcept nogil:
    cdef bint boundary
    if assertion == ASSERT_BEGIN_TEXT:
        return at == 0
    if assertion == ASSERT_END_TEXT:
        return at == n
    if assertion == ASSERT_BEGIN_LINE:
        return at == 0 or text[at - 1] == 10
    if assertion == ASSERT_END_LINE:
        return at == n or text[at] == 10
    boundary = (at > 0 and is_word_byte(text[at - 1])) != (at < n and is_word_byte(text[at]))
    return boundary == (assertion == ASSERT_WORD)


cdef inline bint is_inside(Walk* w, size_t at) noexcept nogil:
    """Whether `at` is inside a character."""
    return at < w.n and (<uint8_t>w.text[at] & 0xC0) == 0x80


cdef void live_at(Walk* w, size_t at, const uint8_t* behind, uint8_t* live) noexcept nogil:
    """Compute the live states at `at`, given those after the character there."""
    cdef const Automaton* a = w.a
    cdef const AutomatonState* state
    cdef uint32_t rune = 0, k
    cdef int32_t i, top = 0
    if at < w.n:
        utf8_decode(w.text + at, w.n - at, &rune)
    for i in range(a.n):
        state = &a.states[i]
        if state.op == AUTOMATON_CHAR:
            live[i] = at < w.n and behind[state.y] and in_class(a, state.x, rune)
        else:
            live[i] = state.op == AUTOMATON_MATCH
        if live[i]:
            w.stack[top] = i
            top += 1
    while top:
        top -= 1
        i = w.stack[top]
        for k in range(a.edges[i], a.edges[i + 1]):
            state = &a.states[a.sources[k]]
            if not live[a.sources[k]] and (state.op == AUTOMATON_SPLIT or holds(state.x, w.text, w.n, at)):
                live[a.sources[k]] = True
                w.stack[top] = <int32_t>a.sources[k]
                top += 1


cdef void back_over(Walk* w, size_t first, size_t last, uint8_t* live, uint8_t* kept) noexcept nogil:
    """Take `live` from the states at `last` back to those at `first`; `kept`, unless NULL, gets those in between."""
    cdef size_t at = last
    cdef size_t n = w.a.n
    cdef uint8_t* behind = live + n
    if kept != NULL:
        memcpy(kept + (last - first) * n, live, n)
    while at > first:
        at -= 1
        if not is_inside(w, at):
            memcpy(behind, live, n)
            live_at(w, at, behind, live)
        if kept != NULL:
            memcpy(kept + (at - first) * n, live, n)


cdef bint walk_begin(Walk* w, const Automaton* a, const char* text, size_t n, size_t first) noexcept nogil:
    """Run the backward pass over text[first:n]; false without memory."""
    cdef size_t stretches = n // STRETCH + 2
    cdef size_t number = n // STRETCH
    cdef uint8_t* live
    cdef size_t end = n
    memset(w, 0, sizeof(Walk))
    w.a = a
    w.text = text
    w.n = n
    w.stretch = SIZE_MAX
    if stretches > MAX_KEPT // <size_t>a.n:
        return False
    w.bounds = <uint8_t*>calloc(stretches, a.n)
    w.near = <uint8_t*>malloc(<size_t>(STRETCH + 1) * a.n)
    w.stack = <int32_t*>malloc(<size_t>(2 * a.n + 2) * sizeof(int32_t))
    w.seen = <uint32_t*>calloc(a.n, sizeof(uint32_t))
    w.scratch = live = <uint8_t*>calloc(2, a.n)
    if w.bounds == NULL or w.near == NULL or w.stack == NULL or w.seen == NULL or live == NULL:
        walk_end(w)
        return False
    live_at(w, n, live + a.n, live)
    memcpy(w.bounds + (number + 1) * a.n, live, a.n)
    while True:
        back_over(w, number * STRETCH, end, live, NULL)
        memcpy(w.bounds + number * a.n, live, a.n)
        if number * STRETCH <= first:
            break
        end = number * STRETCH
        number -= 1
    return True


cdef void walk_end(Walk* w) noexcept nogil:
    free(w.bounds)
    free(w.near)
    free(w.scratch)
    free(w.stack)
    free(w.seen)


cdef uint8_t* walk_live(Walk* w, size_t at) noexcept nogil:
    """The live states at `at`; recomputes its stretch if it is another one."""
    cdef size_t n = w.a.n
    cdef size_t number = at // STRETCH
    cdef size_t first = number * STRETCH
    cdef size_t last = min(first + STRETCH, w.n)
    cdef uint8_t* live = w.scratch
    if number != w.stretch:
        memcpy(live, w.bounds + (number + 1) * n, n)
        back_over(w, first, last, live, w.near)
        w.stretch = number
    return w.near + (at - first) * n


cdef int32_t next_leaf(Walk* w, int32_t state, size_t at, const uint8_t* live) noexcept nogil:
    """The CHAR or MATCH state that the preferred path to a match reaches first from a live state."""
    cdef const AutomatonState* s
    cdef int32_t top = 1
    w.step += 1
    w.stack[0] = state
    while top:
        top -= 1
        state = w.stack[top]
        s = &w.a.states[state]
        if not live[state] or w.seen[state] == w.step:
            continue
        w.seen[state] = w.step
        if s.op == AUTOMATON_CHAR or s.op == AUTOMATON_MATCH:
            return state
        w.stack[top] = s.y
        top += 1
        if s.op == AUTOMATON_SPLIT:
            w.stack[top] = s.x
            top += 1
    return -1


cdef bint walk_next(Walk* w, size_t at, size_t* ov) noexcept nogil:
    """The first match that begins at or after `at`, which is the start of a character."""
    cdef int32_t state = w.a.start
    while not walk_live(w, at)[state] or is_inside(w, at):
        at += 1
        if at > w.n:
            return False
    ov[0] = at
    while True:
        state = next_leaf(w, state, at, walk_live(w, at))
        if state < 0 or w.a.states[state].op == AUTOMATON_MATCH:
            ov[1] = at
            return state >= 0
        at += 1
        while is_inside(w, at):
            at += 1
        state = w.a.states[state].y
