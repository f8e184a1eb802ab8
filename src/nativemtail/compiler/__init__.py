"""Program text to action tables.  Imports nothing of the runtime.

    lexer, parser → ast → fold → checker (types) → fold → codegen → Program;   plan: all Programs → Tables
"""

from __future__ import annotations

from dataclasses import dataclass

from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.program import Program

__all__ = ["CompileError", "Options", "Program", "compile_program"]


@dataclass(frozen=True, slots=True)
class Options:
    """Limits of the checker (spec language.md §7)."""

    max_regexp_length: int = 1024
    """Bytes of a whole pattern."""
    max_recursion_depth: int = 100
    """Depth of the syntax tree."""


def compile_program(name: str, source: bytes, options: Options | None = None) -> Program:
    """Compile one program; `name` is its file's base name, which stands in all messages.

    Raises CompileError with every error of the first stage that found any (spec language.md §1).
    """
    from nativemtail.compiler import checker, codegen, fold, parser

    root = parser.parse(name, source)
    root = fold.fold(name, root)
    notes = checker.check(name, root, options or Options())
    root = fold.fold(name, root)
    program = codegen.generate(name, root)
    program.notes = notes
    return program
