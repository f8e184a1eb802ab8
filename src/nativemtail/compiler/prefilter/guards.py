"""What must be on a line for a program to be able to change anything.

A gate may skip a program only where running it could have changed nothing (design §3.5): no metric, no time of a
datum, no counted error.  That is decided on the instructions, by reachability: assume that a set of patterns does
not match, walk every other branch, and see whether an instruction that changes a metric can still be reached.

What can still be reached may fail, though: the strptime of a syslog prefix, say.  Those instructions are the program's
*residue*.  It runs dry on the lines that the gate would skip, shared by all programs that have the same one, and only
if it fails the program is run in earnest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nativemtail.compiler.opcodes import OPS, Effect
from nativemtail.compiler.optimize.dce import cleaned, successors
from nativemtail.compiler.program import Instr, Program

_STORES = frozenset(op.name for op in OPS.values() if op.effect is Effect.STORE)
_TRIES = 64
"""Patterns of a gate for which something better is looked for."""
_RARE = 0.01
"""A gate that lets no more of the lines through is as good as another by what is known without the log."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A program need not run on a line that no pattern of `patterns` matches, unless its residue fails."""

    patterns: frozenset[int]
    residue: list[Instr]
    """What can still fail; empty when nothing can."""


def reach(code: list[Instr], failing: Collection[int]) -> frozenset[int] | None:
    """Walk `code` on the assumption that no pattern of `failing` matches the line.

    The patterns of `failing` that the walk relied on; None where a metric can be changed all the same.
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
        if instr.op == "MATCH" and instr.d in failing:
            met.add(instr.d)
            todo.append(instr.e)
        else:
            todo.extend(reversed(successors(code, at)))
    return frozenset(met)


def first_unguarded(program: Program, failing: Collection[int]) -> int:
    """The line of the first instruction that changes a metric though no pattern of `failing` matches."""
    code = cleaned(program.code, failing)
    return next(instr.line for instr in code if instr.op in _STORES)


def program_gate(program: Program, costs: Mapping[int, float]) -> Gate | None:
    """The cheapest gate that was found for `program`; None: it must run on every line.

    `costs` has, for each pattern that can be gated, the fraction of lines that its gate is expected to let through.
    The patterns around the others most often name a service, which writes much that the program does not ask for, so
    the innermost ones are taken as long as they are rare.
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
    residue = cleaned(program.code, patterns)
    return Gate(patterns, residue if any(OPS[instr.op].effect is Effect.FAULT for instr in residue) else [])


def _cost(patterns: frozenset[int], costs: Mapping[int, float]) -> float:
    return sum(costs[pattern] for pattern in patterns)
