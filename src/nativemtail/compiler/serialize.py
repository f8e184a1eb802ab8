"""Serialises compiled programs and their tables, so that a start need not compile them again.

The form is `marshal` of tuples without names.  It is valid for one version of these files and of Python only, and must
not be read from a file that another user could have written; `cache.py` ensures both.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from nativemtail.compiler.framing import Framing
from nativemtail.compiler.includes import File
from nativemtail.compiler.logfilter import LogFilter
from nativemtail.compiler.program import Instr, MetricDecl, Program
from nativemtail.compiler.tables import (
    Automaton,
    FieldSpecs,
    FieldTable,
    FramingSpec,
    GuardSlice,
    LiteralSpec,
    OnePass,
    PatternSpec,
    ProgramSpec,
    Tables,
    Teddy,
    Window,
)

Key = tuple[str, bytes, tuple[tuple[Any, ...], ...]]
"""Name and text of a program and what it may include: with versions and options they determine its compiled form."""


class Stored(NamedTuple):
    """Compiled programs, and the tables built from some of them, which are decoded on demand."""

    programs: dict[Key, Any]
    planned: tuple[Key, ...]
    """The programs of `tables`, in load order."""
    tables: Any
    database: bytes
    """Hyperscan's database, serialised."""

    def program(self, key: Key) -> Program | None:
        row = self.programs.get(key)
        return None if row is None else _program(row)

    def plan(self, keys: Sequence[Key], metrics: Sequence[Sequence[object]]) -> Tables | None:
        """The tables for these programs, with the metrics of each; None if they were built for others."""
        return _tables(self.tables, metrics) if self.planned == tuple(keys) else None


def key(name: str, text: bytes, files: tuple[File, ...]) -> Key:
    return name, text, tuple(map(tuple, files))


def key_of(program: Program) -> Key:
    return key(program.name, program.source, program.files)


def dump(programs: Sequence[Program], tables: Tables, database: bytes) -> bytes:
    """Serialise a plan for `load`."""
    rows = {key_of(program): _plain(program) for program in programs}
    return marshal.dumps((rows, tuple(map(key_of, programs)), _plain(tables), database))


def load(data: bytes) -> Stored:
    """Read what `dump` returned.  Raises ValueError, EOFError or TypeError if it notices that it is something else."""
    programs, planned, tables, database = marshal.loads(data)
    return Stored(programs, planned, tables, database)


def _plain(value: Any) -> Any:
    """Nested tuples and lists instead of classes, without the programs' metrics, which belong to the caller."""
    if isinstance(value, ProgramSpec):
        value = value._replace(metrics=[])
    if is_dataclass(value):
        return tuple(_plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, list):
        return list(map(_plain, value))
    return value


def _program(row: Any) -> Program:
    name, source, files, metrics, code, begin, *rest = row
    program = Program(
        name,
        source,
        tuple(File._make(each) for each in files),
        [MetricDecl._make(each) for each in metrics],
        [Instr(*each) for each in code],
        [Instr(*each) for each in begin],
        *rest,
    )
    if program.log_filter is not None:
        program.log_filter = LogFilter._make(program.log_filter)
    if program.record is not None:
        program.record = Framing._make(program.record)
    return program


def _tables(row: Any, metrics: Sequence[Sequence[object]]) -> Tables:
    patterns, programs, literals, always, slices, teddy, framings = row
    return Tables(
        [_pattern(each) for each in patterns],
        [_spec(each)._replace(metrics=list(mine)) for each, mine in zip(programs, metrics, strict=True)],
        [LiteralSpec(*each) for each in literals],
        always,
        [GuardSlice(_spec(code), *rest) for code, *rest in slices],
        None if teddy is None else _teddy(teddy),
        [FramingSpec(*each) for each in framings],
    )


def _spec(row: Any) -> ProgramSpec:
    spec = ProgramSpec(*row)
    return spec if spec.log_filter is None else spec._replace(log_filter=LogFilter._make(spec.log_filter))


def _teddy(row: Any) -> Teddy:
    low, high, lengths, fold, windows = row
    return Teddy(low, high, lengths, fold, [Window(*each) for each in windows])


def _pattern(row: Any) -> PatternSpec:
    *plain, automaton, onepass, fields = row
    values: list[Any] = [*plain, _automaton(automaton), None if onepass is None else OnePass(*onepass), _fields(fields)]
    return PatternSpec(*values)


def _fields(row: Any) -> FieldSpecs | None:
    if row is None:
        return None
    specs = FieldSpecs(*row)
    return specs._replace(tables=[FieldTable(*table) for table in specs.tables])


def _automaton(row: Any) -> Automaton | None:
    return None if row is None else Automaton(*row)
