"""Uses of patterns: the slot that holds the match of each use, and the groups of it that are read.

Each occurrence of a pattern has match results of its own, a *slot*; equal texts are one pattern of the program.
"""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.codegen.emit import Emitter


class Slots:
    def __init__(self, out: Emitter) -> None:
        self._out = out
        self._latest: dict[int, int] = {}  # id of a use → its latest slot
        self._patterns: dict[int, int] = {}  # slot → number of its pattern
        self._groups: list[int] = []  # the highest group of each slot that is read
        self._awaited: set[int] = set()  # ids of uses whose groups were read before the use itself was compiled
        self.matched: frozenset[int] = frozenset()
        """Slots that are proven to have matched at the current instruction."""

    def match(self, use: ast.Expr, text: bytes) -> tuple[int, int]:
        """Allocate the slot for a match; returns the slot and the number of the pattern."""
        program = self._out.program
        number = self._out.constant(program.patterns, text)
        if number == len(program.captures):
            program.captures.append(-1)
        slot = self._latest[id(use)] if id(use) in self._awaited else self._new(use)
        self._awaited.discard(id(use))
        self._patterns[slot] = number
        return slot, number

    def capture(self, expr: ast.Capref) -> int | None:
        """The slot that a capture group is read from."""
        use = expr.pattern
        if use is None:
            self._out.ice(expr, f'No regular expression bound to capref "{expr.name}"')
            return None
        if id(use) not in self._latest:  # a later pattern of the same condition (successor.md §2.5)
            self._new(use)
            self._awaited.add(id(use))
        slot = self._latest[id(use)]
        self.read(slot, expr.group)
        return slot

    def read(self, slot: int, group: int) -> None:
        """Record that a group of a slot is read."""
        self._groups[slot] = max(self._groups[slot], group)

    def renew(self, expr: ast.Expr) -> None:
        """Code of a decorator that is generated again gets new slots."""
        self._latest.pop(id(expr), None)
        for child in ast.children(expr):
            self.renew(child)

    def finish(self) -> None:
        """Store in the program how many slots it has, and which groups of its patterns are read."""
        program = self._out.program
        program.slots = len(self._groups)
        for slot, number in self._patterns.items():
            program.captures[number] = max(program.captures[number], self._groups[slot])

    def _new(self, use: ast.Expr) -> int:
        self._latest[id(use)] = slot = len(self._groups)
        self._groups.append(-1)
        return slot
