"""Guards: the patterns of which a line must match one for a program to change anything, and guard slices.

The prefilter may skip a program on a line only where running it could have changed nothing: no metric, no time of a
series, no counted error.  That is decided on the instructions, by reachability: assume that none of a set of patterns
matches, walk every other branch, and see whether an instruction that changes a metric can still be reached.

Instructions that can still be reached may fail, however, for example the strptime of a syslog prefix.  They are the
program's *guard slice* (in the sense of program slicing).  It runs without effect on the lines that
the prefilter skips, once for all programs that share it, and only if it fails are these programs run.  If it merely
parses a time at the start of the line, a plain scan finds that time, and a memo holds the last one that parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from nativemtail.compiler.fields import is_fields
from nativemtail.compiler.opcodes import LINE_MATCHES, OPS, POOLS, SLOTS, Effect
from nativemtail.compiler.optimize.dce import without_dead_code
from nativemtail.compiler.optimize.flow import successors
from nativemtail.compiler.program import Instr, Program
from nativemtail.compiler.regex import prefix, ucd
from nativemtail.compiler.regex.parser import parse

_STORES = frozenset(op.name for op in OPS.values() if op.effect is Effect.STORE)
_TRIES = 64
"""Limit for the patterns of a guard that are tried when searching for a cheaper one."""
_RARE = 0.01
"""Guards that are expected on fewer lines than this count as equal: without the log, estimates are no better."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A program need not run on a line that no pattern of `patterns` matches, unless its slice fails there."""

    patterns: frozenset[int]
    slice: list[Instr]
    """The guard slice: the instructions that can still fail; empty if none can."""


def reach(code: Sequence[Instr], failing: Collection[int]) -> frozenset[int] | None:
    """Walk `code` on the assumption that no pattern of `failing` matches the line.

    Returns the patterns of `failing` that the walk relied on, or None if a metric can still be changed.
    """
    seen = bytearray(len(code))
    todo = [0]
    met = set()
    while todo:
        at = todo.pop()
        if seen[at]:
            continue
        seen[at] = True
        instr = code[at]
        if instr.op in _STORES:
            return None
        if instr.op in LINE_MATCHES and instr.d in failing:
            met.add(instr.d)
            todo.append(instr.e)
        else:
            todo.extend(reversed(successors(code, at)))
    return frozenset(met)


def first_unguarded(program: Program, failing: Collection[int]) -> int:
    """The line of the first instruction that can change a metric although no pattern of `failing` matches."""
    code = without_dead_code(program.code, failing)
    return next(program.where(instr)[1] for instr in code if instr.op in _STORES)


def program_guard(program: Program, costs: Mapping[int, float]) -> Guard | None:
    """The cheapest guard found for `program`; None: it must run on every line.

    `costs` has, for each pattern with a prefilter, the fraction of lines that is expected to pass it.  Outer patterns
    usually name a service, which also writes much that the program ignores, so the innermost patterns are preferred
    as long as they are rare.
    """
    patterns = reach(program.code, costs)
    if patterns is None:
        return None
    usable = set(costs)
    todo = sorted(patterns, key=lambda p: -costs[p])
    for _ in range(_TRIES):
        if not todo:
            break
        pattern = todo.pop(0)
        other = reach(program.code, usable - {pattern})
        if other is not None and _cost(other, costs) < max(_cost(patterns, costs), _RARE):
            usable.discard(pattern)
            todo += sorted(other - patterns, key=lambda p: -costs[p])
            patterns = other
    rest = without_dead_code(program.code, patterns)
    return Guard(patterns, rest if any(OPS[instr.op].effect is Effect.FAULT for instr in rest) else [])


def _cost(patterns: Collection[int], costs: Mapping[int, float]) -> float:
    return sum(costs[pattern] for pattern in patterns)


def isolated(program: Program, code: Sequence[Instr]) -> Program:
    """A guard slice as a program without anything that it does not use, so that equal slices give equal programs."""
    part = Program(program.name, registers=program.registers)
    slots: dict[int, int] = {}
    places: dict[tuple[str, int], int] = {}
    for each in code:
        instr = replace(each, line=0)
        part.code.append(instr)
        if instr.op in SLOTS:
            slot = getattr(instr, SLOTS[instr.op])
            setattr(instr, SLOTS[instr.op], slots.setdefault(slot, len(slots)))
        if instr.op not in POOLS:
            continue
        operand, pool = POOLS[instr.op]
        number: int = getattr(instr, operand)
        mine = getattr(part, pool)
        if (pool, number) not in places:
            places[pool, number] = len(mine)
            mine.append(getattr(program, pool)[number])
            if pool == "patterns":
                part.captures.append(program.captures[number])
        setattr(instr, operand, places[pool, number])
    part.slots = len(slots)
    return part


def leading_time(part: Program) -> list[tuple[int, int, int]] | None:
    """The runs of characters that make up the time, if a guard slice only parses the start of the line.

    For each the ASCII set as bits, the least and the most number (0xFFFFFFFF: any).
    """
    if [instr.op for instr in part.code] != ["MATCH", "CAPSM", "STRPTIME", "END"]:
        return None
    match, capture, strptime, _end = part.code
    if match.e != 3 or capture.b != match.a or strptime.a != capture.a or is_fields(part.patterns[0]):
        return None
    runs = prefix.leading_group(parse(part.patterns[0]), capture.c)
    if runs is None:
        return None
    return [(ucd.ascii_bits(run.ranges), run.least, 0xFFFFFFFF if run.most is None else run.most) for run in runs]
