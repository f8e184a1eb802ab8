"""Compile errors: a position and a text each, reported together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nativemtail.compiler.ast import Position

MAX_ERRORS = 1000
"""Errors shown per program; a file that is no program could give one for each byte."""


class CompileError(Exception):
    """One or more errors of a program; `str()` gives mtail's form, one `position: message` a line."""

    def __init__(self, program: str, errors: list[tuple[Position | None, str]]) -> None:
        super().__init__(program, errors)
        self.program = program
        self.errors = errors

    def __str__(self) -> str:
        lines = [f"{pos}: {text}" if pos else text for pos, text in self.errors[:MAX_ERRORS]]
        if len(self.errors) > MAX_ERRORS:
            lines.append(f"and {len(self.errors) - MAX_ERRORS} more errors")
        return "\n".join(lines)


def internal(program: str, error: Exception) -> CompileError:
    """Report an internal error as a compile error, at the node that was being compiled if that is known."""
    from nativemtail.compiler import ast  # imported late: a start from the cache does not need it

    at = None
    frame = error.__traceback__
    while frame is not None:
        for value in frame.tb_frame.f_locals.values():
            if isinstance(value, ast.Node) and value.pos.line:
                at = value.pos
        frame = frame.tb_next
    place = "" if at else f"{program}: "
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return CompileError(program, [(at, f"{place}Internal compiler error, aborting compilation: {text}")])
