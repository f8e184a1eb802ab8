"""Patterns as automata (core/match/automaton.pxi), for texts in which finding all matches one by one is not linear.

A state is {op, x, y}: CHAR matches a character of class x and goes to y; SPLIT goes to x or, if that leads to no match,
to y; ASSERT goes to y if assertion x holds; MATCH is the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from nativemtail.compiler.abi import AUTOMATON_STATE, Assertion
from nativemtail.compiler.abi import Automaton as State
from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.simplify import simplify
from nativemtail.compiler.regex.ucd import Ranges
from nativemtail.compiler.tables import Automaton

CHAR, SPLIT, ASSERT, MATCH = State.CHAR, State.SPLIT, State.ASSERT, State.MATCH
ASSERTIONS: dict[type[tree.Node], Assertion] = {
    tree.BeginText: Assertion.BEGIN_TEXT,
    tree.EndText: Assertion.END_TEXT,
    tree.BeginLine: Assertion.BEGIN_LINE,
    tree.EndLine: Assertion.END_LINE,
    tree.WordBoundary: Assertion.WORD,
    tree.NoWordBoundary: Assertion.NO_WORD,
}
MAX_STATES = 1000
"""The time per character of a text is proportional to the number of states."""


class _TooLarge(Exception):
    pass


_Step = Generator[tuple[tree.Node, int], int, int]
"""Yields a part and the state after it; receives the first state of the part."""


@dataclass(slots=True)
class _Builder:
    states: list[tuple[int, int, int]] = field(default_factory=lambda: [(MATCH, 0, 0)])
    classes: dict[Ranges, int] = field(default_factory=dict)

    def add(self, op: int, x: int, y: int) -> int:
        if len(self.states) == MAX_STATES:
            raise _TooLarge
        self.states.append((op, x, y))
        return len(self.states) - 1

    def char(self, ranges: Ranges, after: int) -> int:
        return self.add(CHAR, self.classes.setdefault(ranges, len(self.classes)), after)

    def part(self, node: tree.Node, after: int) -> _Step:
        if isinstance(node, tree.Capture):
            return (yield node.sub, after)
        if isinstance(node, tree.Concat):
            for sub in reversed(node.subs):
                after = yield sub, after
            return after
        if isinstance(node, tree.Alternate):
            first = yield node.subs[-1], after
            for sub in reversed(node.subs[:-1]):
                first = self.add(SPLIT, (yield sub, after), first)
            return first
        if isinstance(node, (tree.Star, tree.Plus, tree.Quest)):
            return (yield from self.repetition(node, after))
        return self.leaf(node, after)

    def repetition(self, node: tree.Star | tree.Plus | tree.Quest, after: int) -> _Step:
        if isinstance(node, tree.Quest):
            return self.choice((yield node.sub, after), after, node.greedy)
        loop = self.add(SPLIT, 0, 0)
        first = yield node.sub, loop
        self.states[loop] = (SPLIT, first, after) if node.greedy else (SPLIT, after, first)
        # As Go and RE2 have it: `x*` is `(?:x+)?`, which differs where x may be empty.
        return first if isinstance(node, tree.Plus) else self.choice(first, after, node.greedy)

    def choice(self, inside: int, after: int, greedy: bool) -> int:
        return self.add(SPLIT, inside, after) if greedy else self.add(SPLIT, after, inside)

    def leaf(self, node: tree.Node, after: int) -> int:
        if isinstance(node, tree.Empty):
            return after
        if isinstance(node, tree.NoMatch):
            return self.char((), after)
        if isinstance(node, tree.Literal):
            for rune in reversed(node.runes):
                after = self.char(tree.char_ranges(tree.Literal(rune, node.fold)), after)
            return after
        if type(node) in ASSERTIONS:
            return self.add(ASSERT, ASSERTIONS[type(node)], after)
        return self.char(tree.char_ranges(node), after)


def automaton(node: tree.Node) -> Automaton | None:
    """None when it would have more than `MAX_STATES` states."""
    builder = _Builder()
    try:
        start = tree.on_heap(builder.part(simplify(node), 0), lambda request: builder.part(*request))
    except _TooLarge:
        return None
    states = b"".join(AUTOMATON_STATE.pack(*state) for state in builder.states)
    return Automaton(states, start, *_classes(builder.classes), *_edges(builder.states))


def _classes(members: Iterable[Ranges]) -> tuple[bytes, bytes]:
    bounds = array("I", [0])
    ranges = array("I")
    for class_ in members:
        for low, high in class_:
            ranges.extend((low, high))
        bounds.append(len(ranges) // 2)
    return bounds.tobytes(), ranges.tobytes()


def _edges(states: list[tuple[int, int, int]]) -> tuple[bytes, bytes]:
    into: list[list[int]] = [[] for _ in states]
    for at, (op, x, y) in enumerate(states):
        if op == SPLIT:
            into[x].append(at)
        if op in (SPLIT, ASSERT):
            into[y].append(at)
    bounds = array("I", [0])
    sources = array("I")
    for those in into:
        sources.extend(those)
        bounds.append(len(sources))
    return bounds.tobytes(), sources.tobytes()
