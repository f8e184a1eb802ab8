"""What a compilation gave, as bytes and back, so that a start need not compile again.

The form is `marshal`'s, of tuples without names: it belongs to one version of these files and of Python, and nothing
but a text that this process's user has written may be read (`cache.py` sees to both).
"""

from __future__ import annotations

import marshal

from nativemtail.compiler.program import Instr, MetricDecl, Program
from nativemtail.compiler.tables import (
    Automaton,
    Chain,
    FactorSpec,
    PatternSpec,
    ProgramSpec,
    Residue,
    Seek,
    Tables,
    Window,
)
from nativemtail.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

Key = tuple[str, bytes]
"""Name and text of a program: all that its compiled form depends on, but for versions and options."""


class Stored(Record):
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

    def plan(self, keys: Sequence[Key], metrics: Sequence[Sequence[Any]]) -> Tables | None:
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
    if isinstance(value, ProgramSpec):
        value = value.replace(metrics=[])
    if isinstance(value, Record):
        return tuple(_plain(getattr(value, name)) for name in value.names)
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


def _tables(row: Any, metrics: Sequence[Sequence[Any]]) -> Tables:
    patterns, programs, factors, always, residues, seek = row
    return Tables(
        [_pattern(each) for each in patterns],
        [_spec(each, mine) for each, mine in zip(programs, metrics, strict=True)],
        [FactorSpec(*each) for each in factors],
        always,
        [Residue(_spec(code, ()), *rest) for code, *rest in residues],
        None if seek is None else _seek(seek),
    )


def _seek(row: Any) -> Seek:
    low, high, lengths, fold, windows = row
    return Seek(low, high, lengths, fold, [Window._make(each) for each in windows])


def _pattern(row: Any) -> PatternSpec:
    *plain, automaton, chain = row
    values: list[Any] = [*plain, _automaton(automaton), None if chain is None else Chain._make(chain)]
    return PatternSpec(*values)


def _automaton(row: Any) -> Automaton | None:
    if row is None:
        return None
    return Automaton(*row)


def _spec(row: Any, metrics: Sequence[Any]) -> ProgramSpec:
    spec = ProgramSpec(*row)
    spec.metrics = list(metrics)
    return spec
