"""Code without what does nothing: unreachable instructions, values that nobody reads, tests whose outcome is all one.

Jumps only go forward, so one pass from the end sees every use of a register before its definition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nativemtail.compiler.opcodes import CAPTURES, JUMPS, MATCHES, OPS, Effect
from nativemtail.compiler.program import Instr

_KEYED = frozenset(["DATUM", "DEL", "EXPIRE"])
RUNS_OF_REGISTERS = {"SUBST": 3, "SUBSTRE": 2}
"""Instructions that read so many registers from b on."""

READS = {
    op.name: frozenset(re.findall(r"\br([abc])\b", op.operands.removeprefix("ra = ") if op.writes else op.operands))
    for op in OPS.values()
}
"""The fields that name single registers to read."""


def reads(instr: Instr) -> int:
    """The registers that an instruction reads, as bits."""
    if instr.op in _KEYED:
        return ((1 << instr.c) - 1) << instr.b
    if instr.op in RUNS_OF_REGISTERS:
        return ((1 << RUNS_OF_REGISTERS[instr.op]) - 1) << instr.b
    registers = 0
    for letter in READS[instr.op]:
        registers |= 1 << getattr(instr, letter)
    return registers


def _jumps(instr: Instr) -> bool:
    return instr.op in JUMPS or instr.op in MATCHES


def successors(code: Sequence[Instr], at: int) -> list[int]:
    instr = code[at]
    if instr.op == "END" or instr.op == "FAIL":
        return []
    if instr.op == "JMP":
        return [instr.d]
    if instr.op in JUMPS:
        return [at + 1, instr.d]
    if instr.op in MATCHES:
        return [at + 1, instr.e]
    return [at + 1]


def cleaned(code: list[Instr], failing: Collection[int] = ()) -> list[Instr]:
    """An equivalent of `code`, on the assumption that no pattern of `failing` matches the line."""
    code = [Instr("JMP", d=i.e, line=i.line) if i.op == "MATCH" and i.d in failing else i for i in code]
    while True:
        shorter = _compacted(code, _needed(code))
        if len(shorter) == len(code):
            return shorter
        code = shorter


def _reachable(code: list[Instr]) -> bytearray:
    seen = bytearray(len(code))
    seen[0] = True
    for at in range(len(code)):
        if seen[at]:
            for to in successors(code, at):
                seen[to] = True
    return seen


def _needed(code: list[Instr]) -> bytearray:
    """Which instructions must stay."""
    needed = _reachable(code)
    asked = any(needed[at] and instr.op == "JMATCHED" for at, instr in enumerate(code))
    targets = {successors(code, at)[-1] for at, instr in enumerate(code) if needed[at] and _jumps(instr)}
    live = 0  # the registers whose values are read from here on, as bits
    live_at: dict[int, int] = {}  # the same where jumps go
    slots: set[int] = set()
    target = list(range(len(code) + 1))  # where a jump to an instruction really ends up
    for at in range(len(code) - 1, -1, -1):
        instr = code[at]
        if not needed[at]:
            target[at] = target[at + 1]
            continue
        following = successors(code, at)
        if at + 1 not in following:
            live = 0
        for to in following:
            if to != at + 1 and live_at[to] != live:  # equal ones stay one object
                live |= live_at[to]
        if _idle(code, at, target, live, slots, asked):
            needed[at] = False
            target[at] = target[instr.d if instr.op == "JMP" else at + 1]
        else:
            if OPS[instr.op].writes and live >> instr.a & 1:
                live ^= 1 << instr.a
            live |= reads(instr)
            if instr.op in CAPTURES:
                slots.add(instr.b)
        if at in targets:
            live_at[at] = live
    return needed


def _idle(code: list[Instr], at: int, target: list[int], live: int, slots: set[int], matched_is_asked: bool) -> bool:
    """Whether nothing is different without the instruction, given what is needed behind it."""
    instr = code[at]
    op = OPS[instr.op]
    if instr.op == "SETM":
        return not matched_is_asked
    if instr.op in JUMPS:
        return target[instr.d] == target[at + 1]
    if instr.op in MATCHES:
        return target[instr.e] == target[at + 1] and instr.a not in slots
    return op.writes and op.effect is Effect.NONE and not live >> instr.a & 1


def _compacted(code: list[Instr], needed: bytearray) -> list[Instr]:
    place = [0] * (len(code) + 1)
    for at in range(len(code)):
        place[at + 1] = place[at] + needed[at]
    kept = []
    for at, instr in enumerate(code):
        if not needed[at]:
            continue
        if instr.op in JUMPS:
            instr = instr.copy()
            instr.d = place[instr.d]
        elif instr.op in MATCHES:
            instr = instr.copy()
            instr.e = place[instr.e]
        kept.append(instr)
    return kept
