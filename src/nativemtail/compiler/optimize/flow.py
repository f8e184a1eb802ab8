"""Control flow, and the registers that an instruction reads and writes.

Jumps only go forward but those of `every`, so the order of the instructions is that of execution within a round.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nativemtail.compiler.opcodes import JUMPS, MATCHES, OPS
from nativemtail.compiler.program import Instr

KEYED = frozenset(["DATUM", "DEL", "EXPIRE", "HDATUM", "HDEL"])
"""Instructions that read c registers from b on: the keys of a series."""
RUNS_OF_REGISTERS = {"SUBST": 3, "SUBSTRE": 2, "SUBSTR": 3, "SPLIT": 3}
"""Instructions that read this many registers from b on."""

READS = {
    op.name: frozenset(re.findall(r"\br([abc])\b", op.operands.removeprefix("ra = ") if op.writes else op.operands))
    for op in OPS.values()
}
"""The fields that name single registers to read."""


def reads(instr: Instr) -> Sequence[int]:
    """The registers that an instruction reads."""
    if instr.op in KEYED:
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


def targets(code: Sequence[Instr]) -> set[int]:
    """The targets of jumps."""
    return {instr.d for instr in code if instr.op in JUMPS} | {instr.e for instr in code if instr.op in MATCHES}


def definitions(code: Sequence[Instr]) -> Counter[int]:
    """How often each register is written."""
    return Counter(instr.a for instr in code if OPS[instr.op].writes)


def uses(code: Sequence[Instr]) -> Counter[int]:
    """How often each register is read."""
    return Counter(register for instr in code for register in reads(instr))


def with_reads(instr: Instr, other: Mapping[int, int]) -> Instr:
    """A copy that reads the registers in `other` instead of their keys."""
    moved = instr.copy()
    for letter in READS[instr.op]:
        register = getattr(instr, letter)
        setattr(moved, letter, other.get(register, register))
    return moved


def without(code: Sequence[Instr], gone: Sequence[bool]) -> list[Instr]:
    """The code without the instructions in `gone`; the others are copied only if their jumps change."""
    place = [0]
    for is_gone in gone:
        place.append(place[-1] + (not is_gone))
    kept = []
    for instr, is_gone in zip(code, gone, strict=True):
        if is_gone:
            continue
        if instr.op in JUMPS:
            instr = replace(instr, d=place[instr.d])
        elif instr.op in MATCHES:
            instr = replace(instr, e=place[instr.e])
        kept.append(instr)
    return kept
