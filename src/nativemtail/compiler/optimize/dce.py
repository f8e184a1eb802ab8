"""Dead-code elimination: unreachable instructions, unused values, tests whose outcome makes no difference.

Jumps only go forward, so one pass from the end sees every use of a register before its definition; but for those of
`every`, where all that its block reads counts as read after it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nativemtail.compiler.opcodes import BACK, CAPTURES, JUMPS, LINE_MATCHES, MATCHES, OPS, Effect
from nativemtail.compiler.optimize.flow import reads, successors, uses, without
from nativemtail.compiler.program import Instr


def without_dead_code(code: list[Instr], failing: Collection[int] = ()) -> list[Instr]:
    """Equivalent code, on the assumption that no pattern of `failing` matches the line."""
    code = [Instr("JMP", d=i.e, line=i.line) if i.op in LINE_MATCHES and i.d in failing else i for i in code]
    while True:
        shorter = without(code, [not needed for needed in _needed(code)])
        if len(shorter) == len(code):
            return shorter
        code = shorter


def without_unused_values(code: Sequence[Instr]) -> list[Instr]:
    """The code without values that are not read in any branch; a quick pass before `without_dead_code`."""
    used = uses(code)
    gone = [False] * len(code)
    for at in range(len(code) - 1, -1, -1):
        instr = code[at]
        if OPS[instr.op].writes and OPS[instr.op].effect is Effect.NONE and not used[instr.a]:
            gone[at] = True
            used.subtract(reads(instr))
    return without(code, gone)


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
    is_asked = any(needed[at] and instr.op == "JMATCHED" for at, instr in enumerate(code))
    jumped_to = {
        successors(code, at)[-1]
        for at, instr in enumerate(code)
        if needed[at] and (instr.op in JUMPS or instr.op in MATCHES)
    }
    live = 0  # the registers whose values are read from here on, as bits
    live_at: dict[int, int] = {}  # the same at the targets of jumps
    slots: set[int] = set()
    target = list(range(len(code) + 1))  # final target of a jump to each instruction
    for at in range(len(code) - 1, -1, -1):
        instr = code[at]
        if not needed[at]:
            target[at] = target[at + 1]
            continue
        following = successors(code, at)
        if at + 1 not in following:
            live = 0
        for to in following:
            if instr.op == BACK:
                for inside in code[instr.d : at]:
                    live |= _reads(inside)
                    slots.update([inside.b] if inside.op in CAPTURES else [])
            elif to != at + 1 and live_at[to] != live:  # equal sets share an object
                live |= live_at[to]
        if _idle(code, at, target, live, slots, is_asked):
            needed[at] = False
            target[at] = target[instr.d if instr.op == "JMP" else at + 1]
        else:
            if OPS[instr.op].writes and live >> instr.a & 1:
                live ^= 1 << instr.a
            live |= _reads(instr)
            if instr.op in CAPTURES:
                slots.add(instr.b)
        if at in jumped_to:
            live_at[at] = live
    return needed


def _reads(instr: Instr) -> int:
    """The registers that an instruction reads, as bits."""
    registers = 0
    for register in reads(instr):
        registers |= 1 << register
    return registers


def _idle(code: list[Instr], at: int, target: list[int], live: int, slots: set[int], matched_is_asked: bool) -> bool:
    """Whether the instruction can be dropped, given what is needed after it."""
    instr = code[at]
    op = OPS[instr.op]
    if instr.op == "SETM":
        return not matched_is_asked
    if instr.op == BACK or (instr.op in MATCHES and op.effect is not Effect.NONE):
        return False
    if instr.op in JUMPS:
        return target[instr.d] == target[at + 1]
    if instr.op in MATCHES:
        return target[instr.e] == target[at + 1] and instr.a not in slots
    return op.writes and op.effect is Effect.NONE and not live >> instr.a & 1
