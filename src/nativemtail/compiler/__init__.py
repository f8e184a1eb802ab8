"""Program text to action tables.  Imports nothing of the runtime.

lexer, parser → ast → fold → checker (types) → fold → codegen → Program;   plan: all Programs → Tables
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.includes import NOTHING_INCLUDED, Included
from nativemtail.compiler.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from nativemtail.compiler import ast

    Trace = Callable[[str, ast.Block], None]
    """Called after each stage with its name and the resulting tree; from "checked" on the tree has types."""

__all__ = ["CompileError", "Options", "Program", "compile_program"]


class Options(NamedTuple):
    """Limits of the checker (spec language.md §7)."""

    max_regexp_length: int = 1024
    """Bytes of a whole pattern."""
    max_recursion_depth: int = 100
    """Depth of the syntax tree."""


def _no_trace(_stage: str, _root: ast.Block) -> None:
    pass


def compile_program(
    name: str,
    source: bytes,
    options: Options | None = None,
    trace: Trace = _no_trace,
    included: Included = NOTHING_INCLUDED,
) -> Program:
    """Compile one program; `name` is its file's base name, which all messages begin with.

    `included` has the files that it may include.

    Raises CompileError with every error of the first stage that found any (spec language.md §1).
    """
    from nativemtail.compiler import checker, codegen, fold, parser, warnings

    options = options or Options()
    sources = {name: source}
    root = parser.parse(name, source, included, sources)
    trace("parsed", root)
    root = fold.fold(name, root)
    trace("folded", root)
    notes = checker.check(name, root, options)
    trace("checked", root)
    root = fold.fold(name, root)
    trace("folded again", root)
    with checker.recursion_room():  # decorators are expanded inside each other
        program, failures = codegen.generate(name, root)
    program.source = source
    program.files = included.files
    program.notes = list(dict.fromkeys(f"{position}: {note}" if position else note for position, note in notes))
    program.warnings = warnings.warnings(root, sources, failures)
    return program
