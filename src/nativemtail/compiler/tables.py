"""What the engine takes: all loaded programs as packed code, patterns and gates.  `plan.py` makes it."""

from __future__ import annotations

from nativemtail.record import NamedTuple, Record, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Automaton(Record):
    """Packed for the core, numbers with 32 bits; the first state is at `start`."""

    states: bytes
    start: int
    classes: bytes
    """Where the ranges of each class begin, and behind the last one where they end."""
    ranges: bytes
    """First and last character of each."""
    edges: bytes
    """Where `sources` begins for each state, and behind the last one where it ends."""
    sources: bytes
    """The SPLIT and ASSERT states that go to it."""


class Chain(NamedTuple):
    """What `core/chain.hpp` needs: packed operations, and the tables that they point into."""

    ops: bytes
    pool: bytes
    seek: int
    """Length of the literal, first in the pool, that a match begins with; 0: it begins at the start of the text."""
    known: int
    """Characters of it that the operations begin behind."""
    sure: int
    """A failure of an operation up to this one means that there is no match from here."""
    optional: bool
    """Some group may take no part in a match."""


class PatternSpec(Record):
    text: bytes
    bytes_form: bytes
    utf_form: bytes
    re2_form: bytes
    flags: int
    captures: int
    """The highest group that any program reads; -1: only whether it matches."""
    gated: bool
    """Whether it is only tried on lines with one of its factors."""
    automaton: Automaton | None
    """For patterns whose matches are replaced; None also where it would be too large."""
    chain: Chain | None
    """How to match it in ASCII texts without PCRE2."""


class FactorSpec(Record):
    expression: bytes
    caseless: bool
    literal: bytes | None
    patterns: list[int]
    """Numbers of those whose gate it opens."""


class Window(NamedTuple):
    """Bytes that the vector scan looks up, and what they lead to."""

    text: bytes
    """At most eight, with the bits of `Seek.fold` set in each."""
    needles: list[tuple[int, int]]
    """Numbers of literal factors, and where in the literal the window ends."""


class Seek(NamedTuple):
    """What `core/seek.hpp` needs to find all factors without Hyperscan."""

    low: bytes
    """For each of six or seven neighbouring bytes, the last one first, 16 bytes: low nibble → buckets, as bits."""
    high: bytes
    """Likewise 16 bytes for the high nibble of the last."""
    lengths: bytes
    """Bytes of the windows of each bucket."""
    fold: int
    """0x20 where upper and lower case are looked up as one, else 0."""
    windows: list[Window]


class ProgramSpec(Record):
    name: str
    code: bytes
    lines: bytes
    """Of each instruction the program's line, with 32 bits."""
    begin: bytes
    begin_lines: bytes
    ints: list[int]
    floats: list[float]
    strings: list[bytes]
    layouts: list[tuple[bytes, bytes]]
    metrics: list[Any]
    """What `_core` keeps the data in; the compiler only passes them on."""
    patterns: list[int]
    slot_pairs: list[int]
    """Per slot the pairs of offsets that a match of other text than the line needs, 0 for matches of the line."""
    registers: int
    log_filter: frozenset[str] | None
    gate: frozenset[int] | None = None
    """Numbers of the patterns of which one must match; None: runs on every line."""
    ahead: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """Label sets that it asks for on each line that its first pattern matches: the metric, and the pattern's groups."""


class Residue(Record):
    """Code that runs dry on every line: if it fails, `programs` run in earnest (compiler/prefilter/guards.py)."""

    code: ProgramSpec
    programs: list[int]
    runs: list[tuple[int, int, int]] | None
    """If it parses a time that a plain scan finds at the start of the line: per run of characters the ASCII set as
    bits, the least and the most number (0xFFFFFFFF: any); the time's layout is the code's only one."""


class Tables(Record):
    patterns: list[PatternSpec] = field(default_factory=list)
    programs: list[ProgramSpec] = field(default_factory=list)
    factors: list[FactorSpec] = field(default_factory=list)
    always: list[int] = field(default_factory=list)
    """Numbers of the programs that run on every line."""
    residues: list[Residue] = field(default_factory=list)
    seek: Seek | None = None
    """How to find the factors by a vector scan, if that pays."""
