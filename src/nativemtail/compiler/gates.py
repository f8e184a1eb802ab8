"""What must be on a line for a program to be able to change anything.

A gate may skip a program only where running it could have changed nothing (design §3.5): no metric, no time of a
datum, no counted error.  That is decided on the instructions, by reachability: assume that a set of patterns does
not match, walk every other branch, and see whether an instruction with an effect can still be reached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.program import Instr, Program

_EFFECTS = frozenset(op.name for op in OPS.values() if op.effect)


def reach(code: list[Instr], failing: Collection[int]) -> frozenset[int] | None:
    """Walk `code` on the assumption that no pattern of `failing` matches the line.

    The patterns of `failing` that the walk relied on; None where an instruction with an effect can be reached.
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
        if instr.op in _EFFECTS:
            return None
        if instr.op == "END":
            continue
        if instr.op == "MATCH" and instr.d in failing:
            met.add(instr.d)
            todo.append(instr.e)
            continue
        if instr.op in ("MATCH", "MATCHS"):
            todo.append(instr.e)
        elif instr.op in ("JMP", "JF", "JT", "JMATCHED"):
            todo.append(instr.d)
        if instr.op != "JMP":
            todo.append(at + 1)
    return frozenset(met)


def program_gate(program: Program, costs: Mapping[int, float]) -> frozenset[int] | None:
    """The patterns of which at least one must match for `program` to have an effect; None: it runs on every line.

    `costs` has, for each pattern that can be gated, the fraction of lines that its gate is expected to let through.
    Among the sound gates a cheap one is chosen: a nested pattern often says more than the one around it.
    """
    gate = reach(program.code, costs)
    if gate is None:
        return None
    usable = set(costs)
    for pattern in sorted(costs, key=lambda p: -costs[p]):
        if pattern not in gate:
            continue
        other = reach(program.code, usable - {pattern})
        if other is not None and _cost(other, costs) < _cost(gate, costs):
            usable.discard(pattern)
            gate = other
    return gate


def _cost(gate: frozenset[int], costs: Mapping[int, float]) -> float:
    return sum(costs[pattern] for pattern in gate)
