"""Each value once: what the code generator computes for every use is computed where it is first needed.

The generator gives each value a register of its own.  `shared` replaces what was computed before, on every way that
leads there, by a copy; `merged` lets values be computed where they are wanted; `packed` lets registers be used again.
Jumps only go forward, so the order of the instructions is that of execution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from nativemtail.compiler.opcodes import CAPTURES, JUMPS, MATCHES, OPS, Effect
from nativemtail.compiler.optimize.dce import READS, RUNS_OF_REGISTERS, cleaned, successors
from nativemtail.compiler.program import Instr

_KEYED = frozenset(["DATUM", "DEL", "EXPIRE"])
_VARYING = frozenset(["GETI", "GETF", "GETS", "TSTAMP", "FNAME", "DEFINED"])
"""They may give another value the second time, or cost nothing."""


def optimized(code: list[Instr]) -> tuple[list[Instr], int]:
    """An equivalent of `code`, and how many registers it needs."""
    code = merged(_wanted(shared(code)))
    code, registers = packed(code)
    return _hashed_once(cleaned(code)), registers


def reads(instr: Instr) -> Sequence[int]:
    """The registers that an instruction reads."""
    if instr.op in _KEYED:
        return range(instr.b, instr.b + instr.c)
    if instr.op in RUNS_OF_REGISTERS:
        return range(instr.b, instr.b + RUNS_OF_REGISTERS[instr.op])
    return [getattr(instr, letter) for letter in READS[instr.op]]


def shared(code: Sequence[Instr]) -> list[Instr]:
    """Copies instead of values that are there already, and those read instead of their copies."""
    return list(_Sharing(code).run())


class _Sharing:
    def __init__(self, code: Sequence[Instr]) -> None:
        self.code = code
        self.once = {register for register, count in _definitions(code).items() if count == 1}
        self.same: dict[int, int] = {}  # copy → register that was first
        self.known: dict[Hashable, int] = {}  # value → register that has it here
        self.order: list[Hashable] = []  # of `known`
        self.kept: dict[int, int] = {}  # target of a jump → how much of `order` is known on all ways to it
        self.matches: Counter[int] = Counter()  # of slots, so far

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
        if instr.op in _KEYED:
            if not instr.c:
                return instr
            values = tuple(self.same.get(register, register) for register in reads(instr))
            if not self.once.issuperset(values):
                return instr
            if len(values) > 1 and values not in self.known:
                self._learn(values, instr.b)
            return replace(instr, b=values[0] if len(values) == 1 else self.known[values])
        return _with_reads(instr, self.same)

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


def _wanted(code: Sequence[Instr]) -> list[Instr]:
    """Without values that nobody reads."""
    used = _uses(code)
    gone = [False] * len(code)
    for at in range(len(code) - 1, -1, -1):
        instr = code[at]
        if OPS[instr.op].writes and OPS[instr.op].effect is Effect.NONE and not used[instr.a]:
            gone[at] = True
            used.subtract(reads(instr))
    return _without(code, gone)


def merged(code: Sequence[Instr]) -> list[Instr]:
    """Values are computed right into the registers that they would be copied to, and numbers that are only wanted as
    text not turned to numbers first."""
    code = [instr.copy() for instr in code]
    defined = _definitions(code)
    used = _uses(code)
    as_text = Counter(instr.b for instr in code if instr.op == "I2S")
    origin: dict[int, Instr] = {}  # register → where it was computed since the last target of a jump
    targets = _targets(code)
    for at, instr in enumerate(code):
        if at in targets:
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
    return _without(code, [instr.op == "MOV" and instr.a == instr.b for instr in code])


def packed(code: Sequence[Instr]) -> tuple[list[Instr], int]:
    """Registers are used again after their last use; how many are needed.  Those that are read in a row stay so."""
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    rows: set[tuple[int, int]] = set()
    for at, instr in enumerate(code):
        touched = list(reads(instr))
        if len(touched) > 1 and (instr.op in _KEYED or instr.op in RUNS_OF_REGISTERS):
            rows.add((touched[0], touched[-1]))
        if OPS[instr.op].writes:
            touched.append(instr.a)
        for register in touched:
            begin.setdefault(register, at)
            end[register] = at
    groups = list(_groups(sorted(begin), sorted(rows)))
    groups.sort(key=lambda group: min(begin[register] for register in group))
    place: dict[int, int] = {}
    free_at: list[int] = []  # for each register, from which instruction on it is free
    for group in groups:
        first = min(begin[register] for register in group)
        last = max(end[register] for register in group)
        size = group[-1] - group[0] + 1
        base = next(base for base in range(len(free_at) + 1) if all(at <= first for at in free_at[base : base + size]))
        free_at.extend([0] * (base + size - len(free_at)))
        free_at[base : base + size] = [last + 1] * size
        for register in group:
            place[register] = base + register - group[0]
    return [_placed(instr, place) for instr in code], len(free_at)


def _groups(registers: Sequence[int], rows: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Registers that must stay side by side, the others alone; both arguments are sorted."""
    group: list[int] = []
    last = -1
    left = list(reversed(rows))
    for register in registers:
        if register > last and group:
            yield group
            group = []
        group.append(register)
        while left and left[-1][0] <= register:
            last = max(last, left.pop()[1])
    if group:
        yield group


def _placed(instr: Instr, place: dict[int, int]) -> Instr:
    op = OPS[instr.op]
    moved = replace(instr, b=place[instr.b] if instr.c else 0) if instr.op in _KEYED else _with_reads(instr, place)
    if op.writes:
        moved.a = place[instr.a]
    return moved


def _with_reads(instr: Instr, other: Mapping[int, int]) -> Instr:
    """A copy that reads other registers, where `other` has them."""
    moved = instr.copy()
    for letter in READS[instr.op]:
        register = getattr(instr, letter)
        setattr(moved, letter, other.get(register, register))
    return moved


def _hashed_once(code: list[Instr]) -> list[Instr]:
    """Tell each DATUM whether it has no keys, or those of the last one that had any."""
    keys: range | None = None
    targets = _targets(code)
    for at, instr in enumerate(code):
        if at in targets:
            keys = None
        if instr.op == "DATUM":
            mine = range(instr.b, instr.b + instr.c)
            instr.e = int(keys == mine or not mine)
            keys = mine or keys
        if OPS[instr.op].writes and keys and instr.a in keys:
            keys = None
    return code


def _definitions(code: Sequence[Instr]) -> Counter[int]:
    return Counter(instr.a for instr in code if OPS[instr.op].writes)


def _uses(code: Sequence[Instr]) -> Counter[int]:
    return Counter(register for instr in code for register in reads(instr))


def _targets(code: Sequence[Instr]) -> set[int]:
    return {instr.d for instr in code if instr.op in JUMPS} | {instr.e for instr in code if instr.op in MATCHES}


def _without(code: Sequence[Instr], gone: Sequence[bool]) -> list[Instr]:
    place = [0]
    for is_gone in gone:
        place.append(place[-1] + (not is_gone))
    kept = [instr.copy() for instr, is_gone in zip(code, gone, strict=True) if not is_gone]
    for instr in kept:
        if instr.op in JUMPS:
            instr.d = place[instr.d]
        elif instr.op in MATCHES:
            instr.e = place[instr.e]
    return kept
