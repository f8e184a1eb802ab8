"""Register allocation: a register is reused after the last use of its value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nativemtail.compiler.opcodes import BACK, OPS
from nativemtail.compiler.optimize.flow import KEYED, RUNS_OF_REGISTERS, reads, with_reads
from nativemtail.compiler.program import Instr


def allocated(code: Sequence[Instr]) -> tuple[list[Instr], int]:
    """The code with registers reallocated, and how many it needs.  Rows of registers stay consecutive."""
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    rows: set[tuple[int, int]] = set()
    for at, instr in enumerate(code):
        touched = list(reads(instr))
        if len(touched) > 1 and (instr.op in KEYED or instr.op in RUNS_OF_REGISTERS):
            rows.add((touched[0], touched[-1]))
        if OPS[instr.op].writes:
            touched.append(instr.a)
        for register in touched:
            begin.setdefault(register, at)
            end[register] = at
    for at, instr in enumerate(code):
        if instr.op == BACK:  # the block of `every` may run again
            for register, last in end.items():
                if begin[register] < instr.d <= last < at:
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
    """Group the registers that must stay consecutive, the others alone; both arguments are sorted."""
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
    moved = replace(instr, b=place[instr.b] if instr.c else 0) if instr.op in KEYED else with_reads(instr, place)
    if op.writes:
        moved.a = place[instr.a]
    return moved
