"""What a compilation gave, as bytes and back, so that a start need not compile again.

The form is `marshal`'s, of tuples without names: it belongs to one version of these files and of Python, and nothing
but a text that this process's user has written may be read (`cache.py` sees to both).
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from nativemtail.compiler.program import Instr, MetricDecl, Program
from nativemtail.compiler.tables import (
    Automaton,
    GuardSlice,
    LiteralSpec,
    OnePass,
    PatternSpec,
    ProgramSpec,
    Tables,
    Teddy,
    Window,
)

Key = tuple[str, bytes]
"""Name and text of a program: all that its compiled form depends on, but for versions and options."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Programs that were compiled, and the tables that were built of some of them, not decoded yet."""

    programs: dict[Key, Any]
    planned: tuple[Key, ...]
    """The programs of `tables`, in load order."""
    tables: Any
    database: bytes
    """Hyperscan's, serialized."""

    def program(self, key: Key) -> Program | None:
        row = self.programs.get(key)
        return None if row is None else _program(row)

    def plan(self, keys: Sequence[Key], metrics: Sequence[Sequence[object]]) -> Tables | None:
        """The tables for these programs, with the metrics of each; None if they were built for others."""
        return _tables(self.tables, metrics) if self.planned == tuple(keys) else None


def key(program: Program) -> Key:
    return program.name, program.source


def dump(programs: Sequence[Program], tables: Tables, database: bytes) -> bytes:
    """For `load`, all of a plan."""
    rows = {key(program): _plain(program) for program in programs}
    return marshal.dumps((rows, tuple(map(key, programs)), _plain(tables), database))


def load(data: bytes) -> Stored:
    """What `dump` gave.  Raises ValueError, EOFError or TypeError for anything else, as far as it notices."""
    programs, planned, tables, database = marshal.loads(data)
    return Stored(programs, planned, tables, database)


def _plain(value: Any) -> Any:
    """Nested tuples and lists instead of classes, without the metrics of programs, which are not the compiler's."""
    if isinstance(value, ProgramSpec):
        value = replace(value, metrics=[])
    if is_dataclass(value):
        return tuple(_plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, list):
        return list(map(_plain, value))
    return value


def _program(row: Any) -> Program:
    name, source, metrics, code, begin, *rest = row
    return Program(
        name,
        source,
        [MetricDecl._make(each) for each in metrics],
        [Instr(*each) for each in code],
        [Instr(*each) for each in begin],
        *rest,
    )


def _tables(row: Any, metrics: Sequence[Sequence[object]]) -> Tables:
    patterns, programs, literals, always, slices, teddy = row
    return Tables(
        [_pattern(each) for each in patterns],
        [replace(ProgramSpec(*each), metrics=list(mine)) for each, mine in zip(programs, metrics, strict=True)],
        [LiteralSpec(*each) for each in literals],
        always,
        [GuardSlice(ProgramSpec(*code), *rest) for code, *rest in slices],
        None if teddy is None else _teddy(teddy),
    )


def _teddy(row: Any) -> Teddy:
    low, high, lengths, fold, windows = row
    return Teddy(low, high, lengths, fold, [Window(*each) for each in windows])


def _pattern(row: Any) -> PatternSpec:
    *plain, automaton, onepass = row
    values: list[Any] = [*plain, _automaton(automaton), None if onepass is None else OnePass(*onepass)]
    return PatternSpec(*values)


def _automaton(row: Any) -> Automaton | None:
    return None if row is None else Automaton(*row)
