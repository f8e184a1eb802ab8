"""Code without what does nothing: unreachable instructions, values that nobody reads, tests whose outcome is all one.

Jumps only go forward, so one pass from the end sees every use of a register before its definition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

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


def reads(instr: Instr) -> Collection[int]:
    """The registers that an instruction reads."""
    if instr.op in _KEYED:
        return range(instr.b, instr.b + instr.c)
    if instr.op in RUNS_OF_REGISTERS:
        return range(instr.b, instr.b + RUNS_OF_REGISTERS[instr.op])
    return [getattr(instr, letter) for letter in READS[instr.op]]


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
    live: list[frozenset[int]] = [frozenset()] * len(code)
    slots: set[int] = set()
    target = list(range(len(code) + 1))  # where a jump to an instruction really ends up
    for at in range(len(code) - 1, -1, -1):
        instr = code[at]
        if not needed[at]:
            target[at] = target[at + 1]
            continue
        after = frozenset[int]().union(*(live[to] for to in successors(code, at)))
        if _idle(code, at, target, after, slots, asked):
            needed[at] = False
            live[at] = after
            target[at] = target[instr.d if instr.op == "JMP" else at + 1]
            continue
        live[at] = after - {instr.a} if OPS[instr.op].writes else after
        live[at] |= frozenset(reads(instr))
        if instr.op in CAPTURES:
            slots.add(instr.b)
    return needed


def _idle(
    code: list[Instr], at: int, target: list[int], live: frozenset[int], slots: set[int], matched_is_asked: bool
) -> bool:
    """Whether nothing is different without the instruction, given what is needed behind it."""
    instr = code[at]
    op = OPS[instr.op]
    if instr.op == "SETM":
        return not matched_is_asked
    if instr.op in JUMPS:
        return target[instr.d] == target[at + 1]
    if instr.op in MATCHES:
        return target[instr.e] == target[at + 1] and instr.a not in slots
    return op.writes and op.effect is Effect.NONE and instr.a not in live


def _compacted(code: list[Instr], needed: bytearray) -> list[Instr]:
    place = [0] * (len(code) + 1)
    for at in range(len(code)):
        place[at + 1] = place[at] + needed[at]
    kept = []
    for at, instr in enumerate(code):
        if not needed[at]:
            continue
        if instr.op in JUMPS:
            instr = replace(instr, d=place[instr.d])
        elif instr.op in MATCHES:
            instr = replace(instr, e=place[instr.e])
        kept.append(instr)
    return kept
