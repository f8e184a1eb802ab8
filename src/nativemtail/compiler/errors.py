"""Compile errors: a position and a text each, reported together."""

from __future__ import annotations

from nativemtail.compiler.ast import Position


class CompileError(Exception):
    """One or more errors of a program; `str()` gives mtail's form, one `position: message` a line."""

    def __init__(self, program: str, errors: list[tuple[Position | None, str]]) -> None:
        super().__init__(program, errors)
        self.program = program
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(f"{pos}: {text}" if pos else text for pos, text in self.errors)
