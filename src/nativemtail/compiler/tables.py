"""What the engine takes: all loaded programs as packed code, patterns and prefilter.  `plan.py` makes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Automaton:
    """Packed for the core, numbers with 32 bits; the first state is at `start`."""

    states: bytes
    start: int
    classes: bytes
    """Where the ranges of each class begin, and after the last one where they end."""
    ranges: bytes
    """First and last character of each."""
    edges: bytes
    """Where `sources` begins for each state, and after the last one where it ends."""
    sources: bytes
    """The SPLIT and ASSERT states that go to it."""


@dataclass(frozen=True, slots=True)
class OnePass:
    """What the one-pass matcher needs: packed operations, and the tables that they point into."""

    ops: bytes
    pool: bytes
    prefix_length: int
    """Length of the literal, first in the pool, that a match begins with; 0: it begins at the start of the text."""
    known: int
    """Characters of it that the operations begin after."""
    sure: int
    """A failure of an operation up to this one means that there is no match from here."""
    optional: bool
    """Some group may take no part in a match."""


@dataclass(frozen=True, slots=True)
class PatternSpec:
    text: bytes
    bytes_form: bytes
    utf_form: bytes
    re2_form: bytes
    flags: int
    captures: int
    """The highest group that any program reads; -1: only whether it matches."""
    prefiltered: bool
    """Whether it is only tried on lines with one of its required literals."""
    automaton: Automaton | None
    """For patterns whose matches are replaced; None also where it would be too large."""
    onepass: OnePass | None
    """How to match it in ASCII texts without PCRE2."""


@dataclass(frozen=True, slots=True)
class LiteralSpec:
    """A required literal, or a short byte pattern in place of one."""

    expression: bytes
    """For Hyperscan."""
    caseless: bool
    literal: bytes | None
    """The text itself; None for a byte pattern."""
    patterns: list[int]
    """Numbers of those that are tried on a line with it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes that the multi-literal matcher confirms, and the literals that they lead to."""

    text: bytes
    """At most eight, with the bits of `Teddy.fold` set in each."""
    needles: list[tuple[int, int]]
    """Numbers of required literals, and where in the literal the window ends."""


@dataclass(frozen=True, slots=True)
class Teddy:
    """What the multi-literal matcher (core/teddy.hpp) needs to find all required literals without Hyperscan."""

    low: bytes
    """For each of six or seven neighbouring bytes, the last one first, 16 bytes: low nibble → buckets, as bits."""
    high: bytes
    """Likewise 16 bytes for the high nibble of the last."""
    lengths: bytes
    """Bytes of the windows of each bucket."""
    fold: int
    """0x20 where upper and lower case are confirmed as one, else 0."""
    windows: list[Window]


@dataclass(frozen=True, slots=True)
class ProgramSpec:
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
    metrics: list[object]
    """What `_core` keeps the data in; the compiler only passes them on."""
    patterns: list[int]
    slot_pairs: list[int]
    """Per slot the pairs of offsets that a match of other text than the line needs, 0 for matches of the line."""
    registers: int
    log_filter: frozenset[str] | None
    triggers: frozenset[int] | None
    """Numbers of the patterns of which one must match for the program to run; None: it runs on every line."""
    lookahead: list[tuple[int, tuple[int, ...]]]
    """Series that it wants on each line that its first pattern matches: the metric, and the pattern's groups."""


@dataclass(frozen=True, slots=True)
class GuardSlice:
    """Code that is run without effect on lines that the prefilter skips: if it fails, `programs` run there."""

    code: ProgramSpec
    programs: list[int]
    runs: list[tuple[int, int, int]] | None
    """If it parses a time that a plain scan finds at the start of the line: per run of characters the ASCII set as
    bits, the least and the most number (0xFFFFFFFF: any); the time's layout is the code's only one."""


@dataclass(frozen=True, slots=True)
class Tables:
    patterns: list[PatternSpec]
    programs: list[ProgramSpec]
    literals: list[LiteralSpec]
    always: list[int]
    """Numbers of the programs that run on every line."""
    guard_slices: list[GuardSlice]
    teddy: Teddy | None
    """How the multi-literal matcher finds the literals; None where Hyperscan is as fast."""
