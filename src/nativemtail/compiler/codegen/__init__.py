"""The checked tree to instructions: stage five of spec language.md §1, execution as in runtime.md §2.

Every jump goes forward but those of `every`, whose rounds are bounded.
"""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.codegen.emit import ICE, Emitter
from nativemtail.compiler.codegen.statements import Statements
from nativemtail.compiler.codegen.variables import LeftoverWanted
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.optimize import optimized
from nativemtail.compiler.program import Instr, Program

MAX_OPERAND = 0xFFFF
"""The operands a, b and c of an instruction have 16 bits."""


def generate(name: str, root: ast.Block) -> tuple[Program, list[tuple[ast.Position, str]]]:
    """Code for the checked tree `root`, and the statements that always fail, with their run-time errors.

    Raises CompileError with the errors of spec language.md §9.4.
    """
    try:
        out = _emitted(name, root, keeps_leftovers=False)
    except LeftoverWanted:
        out = _emitted(name, root, keeps_leftovers=True)
    return _optimized(out), out.failures


def _emitted(name: str, root: ast.Block, keeps_leftovers: bool) -> Emitter:
    out = Emitter(name)
    statements = Statements(out, keeps_leftovers)
    statements.program(root)
    if out.errors:
        raise CompileError(name, out.errors)
    end = Instr("END", line=out.pos.line)
    out.code.append(end)
    out.resolve()
    out.program.begin.append(end.copy())
    statements.slots.finish()
    return out


def _optimized(out: Emitter) -> Program:
    program = out.program
    program.code, registers = optimized(program.code)
    program.begin, begin_registers = optimized(program.begin)
    program.registers = max(registers, begin_registers)
    for count, what in ((program.slots, "patterns"), (program.registers, "values at once")):
        if count > MAX_OPERAND:
            raise CompileError(program.name, [(out.pos, ICE + f"more than {MAX_OPERAND} {what}")])
    return program
