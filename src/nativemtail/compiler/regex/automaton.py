"""Patterns as automata that core/replace.pxi runs, for texts on which finding match after match would not be linear.

A state is {op, x, y}: CHAR takes a character of class x and goes on to y; SPLIT goes to x or, if no match comes of
that, to y; ASSERT goes to y where assertion x holds; MATCH is the end.
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
"""Each character of a text takes time for each state."""


class _TooLarge(Exception):
    pass


_Step = Generator[tuple[tree.Node, int], int, int]
"""Asks for the first state of a part, given the state behind it."""


@dataclass(slots=True)
class _Builder:
    states: list[tuple[int, int, int]] = field(default_factory=lambda: [(MATCH, 0, 0)])
    classes: dict[Ranges, int] = field(default_factory=dict)

    def add(self, op: int, x: int, y: int) -> int:
        if len(self.states) == MAX_STATES:
            raise _TooLarge
        self.states.append((op, x, y))
        return len(self.states) - 1

    def char(self, ranges: Ranges, behind: int) -> int:
        return self.add(CHAR, self.classes.setdefault(ranges, len(self.classes)), behind)

    def part(self, node: tree.Node, behind: int) -> _Step:
        if isinstance(node, tree.Capture):
            return (yield node.sub, behind)
        if isinstance(node, tree.Concat):
            for sub in reversed(node.subs):
                behind = yield sub, behind
            return behind
        if isinstance(node, tree.Alternate):
            first = yield node.subs[-1], behind
            for sub in reversed(node.subs[:-1]):
                first = self.add(SPLIT, (yield sub, behind), first)
            return first
        if isinstance(node, (tree.Star, tree.Plus, tree.Quest)):
            return (yield from self.repetition(node, behind))
        return self.leaf(node, behind)

    def repetition(self, node: tree.Star | tree.Plus | tree.Quest, behind: int) -> _Step:
        if isinstance(node, tree.Quest):
            return self.choice((yield node.sub, behind), behind, node.greedy)
        loop = self.add(SPLIT, 0, 0)
        first = yield node.sub, loop
        self.states[loop] = (SPLIT, first, behind) if node.greedy else (SPLIT, behind, first)
        # As Go and RE2 have it: `x*` is `(?:x+)?`, which differs where x may be empty.
        return first if isinstance(node, tree.Plus) else self.choice(first, behind, node.greedy)

    def choice(self, inside: int, behind: int, greedy: bool) -> int:
        return self.add(SPLIT, inside, behind) if greedy else self.add(SPLIT, behind, inside)

    def leaf(self, node: tree.Node, behind: int) -> int:
        if isinstance(node, tree.Empty):
            return behind
        if isinstance(node, tree.NoMatch):
            return self.char((), behind)
        if isinstance(node, tree.Literal):
            for rune in reversed(node.runes):
                behind = self.char(tree.char_ranges(tree.Literal(rune, node.fold)), behind)
            return behind
        if type(node) in ASSERTIONS:
            return self.add(ASSERT, ASSERTIONS[type(node)], behind)
        return self.char(tree.char_ranges(node), behind)


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
