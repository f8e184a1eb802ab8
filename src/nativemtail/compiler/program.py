"""The compiler's result for one program: typed instructions over registers, constants and declarations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from nativemtail.compiler.abi import PLACE_SHIFT
from nativemtail.compiler.framing import Framing
from nativemtail.compiler.includes import File
from nativemtail.compiler.logfilter import LogFilter

MAX_PLACES = 127


@dataclass(slots=True)
class Instr:
    """One instruction (see opcodes.py); `line` is the program's line that it came from.

    If that is in an included file, the bits from PLACE_SHIFT on number it, from 1, among the program's `places`.
    """

    op: str
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0
    line: int = 0

    def copy(self) -> Instr:
        return Instr(self.op, self.a, self.b, self.c, self.d, self.e, self.line)


class MetricDecl(NamedTuple):
    """A metric to create at load; `name` is the exported one, `kind` and `type` the numbers of the JSON form."""

    name: str
    kind: int
    type: int
    keys: tuple[str, ...]
    source: str
    buckets: tuple[float, ...]
    limit: int
    hidden: bool
    help: str = ""
    unit: str = ""


@dataclass(slots=True)
class Program:
    name: str
    source: bytes = b""
    """Its text."""
    files: tuple[File, ...] = ()
    """Where included files were looked for."""
    metrics: list[MetricDecl] = field(default_factory=list)
    code: list[Instr] = field(default_factory=list)
    begin: list[Instr] = field(default_factory=list)
    ints: list[int] = field(default_factory=list)
    floats: list[float] = field(default_factory=list)
    strings: list[bytes] = field(default_factory=list)
    layouts: list[bytes] = field(default_factory=list)
    patterns: list[bytes] = field(default_factory=list)
    """Texts of the patterns, each once."""
    captures: list[int] = field(default_factory=list)
    """For each pattern the highest group that is read; -1: only whether it matches."""
    registers: int = 0
    slots: int = 0
    """Number of slots: occurrences of patterns, each with its own match."""
    places: list[str] = field(default_factory=list)
    """Names of the included files that instructions come from, see `Instr.line`."""
    log_filter: LogFilter | None = None
    record: Framing | None = None
    notes: list[str] = field(default_factory=list)
    """Notes for the author, with positions."""
    warnings: list[str] = field(default_factory=list)
    """Warnings about likely mistakes, with positions and remedies."""

    def where(self, instr: Instr) -> tuple[str, int]:
        """The file and the line that an instruction came from."""
        place = instr.line >> PLACE_SHIFT
        return self.places[place - 1] if place else self.name, instr.line & (1 << PLACE_SHIFT) - 1
