"""Compile errors: a position and a text each, reported together."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nativemtail.compiler.ast import Position

MAX_ERRORS = 1000
"""So many errors of a program are told; a file that is no program could give one for each byte."""


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
