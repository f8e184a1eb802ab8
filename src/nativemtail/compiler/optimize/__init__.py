"""Optimisation of one program's code, in passes that each take and give a list of instructions."""

from __future__ import annotations

from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.optimize.cse import shared, sunk
from nativemtail.compiler.optimize.dce import without_dead_code, without_unused_values
from nativemtail.compiler.optimize.flow import targets
from nativemtail.compiler.optimize.registers import allocated
from nativemtail.compiler.program import Instr


def optimized(code: list[Instr]) -> tuple[list[Instr], int]:
    """Equivalent code, and how many registers it needs."""
    code, registers = allocated(sunk(without_unused_values(shared(code))))
    return _hashed_once(without_dead_code(code)), registers


def _hashed_once(code: list[Instr]) -> list[Instr]:
    """Mark each DATUM that has no keys, or the same keys as the last one that had any, so that their hash is reused."""
    keys: range | None = None
    jumped_to = targets(code)
    for at, instr in enumerate(code):
        if at in jumped_to:
            keys = None
        if instr.op == "DATUM":
            mine = range(instr.b, instr.b + instr.c)
            instr.e = int(keys == mine or not mine)
            keys = mine or keys
        if OPS[instr.op].writes and keys and instr.a in keys:
            keys = None
    return code
