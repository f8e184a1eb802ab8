"""Common-subexpression elimination and sinking.

The code generator computes a value for every use, in a new register.  `shared` replaces a computation by a copy if its
value has been computed already on every path to it; `sunk` computes values directly in the registers that they would be
copied to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from nativemtail.compiler.opcodes import CAPTURES, MATCHES, OPS, Effect
from nativemtail.compiler.optimize.flow import (
    KEYED,
    RUNS_OF_REGISTERS,
    definitions,
    reads,
    successors,
    targets,
    uses,
    with_reads,
    without,
)
from nativemtail.compiler.program import Instr

_VARYING = frozenset(["GETI", "GETF", "GETS", "TSTAMP", "UTIME", "FNAME", "DEFINED"])
"""Not shared: a second run may give another value, or costs nothing."""


def shared(code: Sequence[Instr]) -> list[Instr]:
    """Replaces computations of known values by copies, and reads of copies by reads of the original."""
    return list(_Sharing(code).run())


class _Sharing:
    def __init__(self, code: Sequence[Instr]) -> None:
        self.code = code
        self.once = {register for register, count in definitions(code).items() if count == 1}
        self.same: dict[int, int] = {}  # copy → its original
        self.known: dict[Hashable, int] = {}  # value → register that holds it here
        self.order: list[Hashable] = []  # of insertion into `known`
        self.kept: dict[int, int] = {}  # jump target → length of the prefix of `order` that is known on all paths to it
        self.matches: Counter[int] = Counter()  # by slot, so far

    def run(self) -> Iterator[Instr]:
        falls = True
        for at, instr in enumerate(self.code):
            if at in self.kept:
                known = self.kept.pop(at)
                self._forget(min(known, len(self.order)) if falls else known)
            instr = self._renamed(instr)
            if instr.op in MATCHES:
                self.matches[instr.a] += 1
            yield self._shared(instr)
            for to in successors(self.code, at):
                if to != at + 1:
                    self.kept[to] = min(self.kept.get(to, len(self.order)), len(self.order))
            falls = at + 1 in successors(self.code, at)

    def _forget(self, known: int) -> None:
        for value in self.order[known:]:
            del self.known[value]
        del self.order[known:]
        self.kept = {target: min(count, known) for target, count in self.kept.items()}

    def _learn(self, value: Hashable, register: int) -> None:
        self.known[value] = register
        self.order.append(value)

    def _renamed(self, instr: Instr) -> Instr:
        if instr.op in RUNS_OF_REGISTERS:
            return instr
        if instr.op in KEYED:
            if not instr.c:
                return instr
            values = tuple(self.same.get(register, register) for register in reads(instr))
            if not self.once.issuperset(values):
                return instr
            if len(values) > 1 and values not in self.known:
                self._learn(values, instr.b)
            return replace(instr, b=values[0] if len(values) == 1 else self.known[values])
        return with_reads(instr, self.same)

    def _shared(self, instr: Instr) -> Instr:
        op = OPS[instr.op]
        if not op.writes or op.effect is Effect.STORE or instr.op in _VARYING or instr.a not in self.once:
            return instr
        if not self.once.issuperset(reads(instr)):
            return instr
        if instr.op == "MOV":
            self.same[instr.a] = instr.b
            return instr
        if instr.op in RUNS_OF_REGISTERS:
            return instr
        times = self.matches[instr.b] if instr.op in CAPTURES else 0
        value = (instr.op, instr.b, instr.c, instr.d, instr.e, times)
        if value in self.known:
            self.same[instr.a] = self.known[value]
            return Instr("MOV", instr.a, self.known[value], line=instr.line)
        self._learn(value, instr.a)
        return instr


def sunk(code: Sequence[Instr]) -> list[Instr]:
    """Compute values directly in the registers that they would be copied to.

    Captures that are used only as text are not converted to numbers first.
    """
    code = [instr.copy() for instr in code]
    defined = definitions(code)
    used = uses(code)
    as_text = Counter(instr.b for instr in code if instr.op == "I2S")
    origin: dict[int, Instr] = {}  # register → where it was computed since the last target of a jump
    jumped_to = targets(code)
    for at, instr in enumerate(code):
        if at in jumped_to:
            origin.clear()
        if instr.op == "I2S":
            number = origin.get(instr.b)
            if number and number.op in ("CAPI", "CAPIM") and used[instr.b] == as_text[instr.b] == 1:
                number.op, instr.op = "CAPIS", "MOV"
        if instr.op == "MOV" and instr.b in origin and used[instr.b] == 1 and defined[instr.a] == 1:
            source = origin.pop(instr.b)
            source.a = instr.a
            instr.b = instr.a
            origin[instr.a] = source
        elif OPS[instr.op].writes and defined[instr.a] == 1:
            origin[instr.a] = instr
    return without(code, [instr.op == "MOV" and instr.a == instr.b for instr in code])
