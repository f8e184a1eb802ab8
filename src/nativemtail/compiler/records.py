"""`record` (beyond README §5): the patterns and captures that belong to its framings."""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position
from nativemtail.compiler.fields import FieldPattern, Wanted, encoded
from nativemtail.compiler.framing import Framing

CAPTURES = ("stream", "logtime")
GIVEN = encoded(FieldPattern("record", 0, tuple(Wanted(name, (name.encode(),), "string", True) for name in CAPTURES)))
"""Stands among the patterns of a program for what cri and docker say of a record."""
DOCKER = encoded(
    FieldPattern(
        "json", ord(","), tuple(Wanted(name, (name.encode(),), "string", True) for name in ("log", "stream", "time"))
    )
)
"""What is read of a line of docker's."""


def tried(framing: Framing) -> list[bytes]:
    """The patterns that lines are tried with."""
    texts = [] if framing.pattern is None else [framing.pattern]
    return [*texts, DOCKER] if framing.container == "docker" else texts


def framing(stmt: ast.Record) -> Framing:
    pattern = None if stmt.pattern is None else stmt.pattern.text
    return Framing(stmt.container, stmt.joined, pattern, stmt.count, stmt.separator, stmt.most, stmt.timeout)


def given_captures(pos: Position) -> ast.Fields:
    """`$stream` and `$logtime`."""
    return ast.Fields(pos, "record", [ast.Field(pos, name, "string", name, True) for name in CAPTURES], GIVEN, False)
