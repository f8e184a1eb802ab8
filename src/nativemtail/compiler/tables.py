"""The engine's input: all loaded programs as packed code, patterns and prefilter.  Built by `plan.py`.

Without postponed annotations, which `NamedTuple` would parse one by one: this module is part of every start.
"""

from typing import NamedTuple

from nativemtail.compiler.logfilter import LogFilter


class Automaton(NamedTuple):
    """An automaton packed for the core, with 32-bit numbers; the first state is `start`."""

    states: bytes
    start: int
    classes: bytes
    """By class: index of its first range; then the total."""
    ranges: bytes
    """First and last character of each range."""
    edges: bytes
    """By state: index of its first entry in `sources`; then the total."""
    sources: bytes
    """The SPLIT and ASSERT states that lead to each state."""


class OnePass(NamedTuple):
    """A pattern for the one-pass matcher: packed operations, and the pool that they point into."""

    ops: bytes
    pool: bytes
    prefix_length: int
    """Length of the literal at the pool's start that begins each match; 0: matches begin at the start of the text."""
    known: int
    """Characters of it that the operations begin after."""
    sure: int
    """A failure at or before this operation proves that no match begins here."""
    optional: bool
    """Some group may take no part in a match."""


class FieldTable(NamedTuple):
    """What is wanted of a text, as a tree: packed FieldNodes, FieldEdges, numbers of spans, and texts."""

    nodes: bytes
    edges: bytes
    leaves: bytes
    pool: bytes
    needed: bytes
    """By span: whether it must be there."""
    common: int
    """Spans of the text."""
    each: int
    """Spans of each element of the array that `every` goes through."""


class FieldSpecs(NamedTuple):
    """A field pattern."""

    format: int
    separator: int
    tables: list[FieldTable]
    """One, or two: the text is read for each."""
    fields: bytes
    """Packed FieldSpecs; the spans of elements are numbered from 0."""
    paths: list[bytes]


class PatternSpec(NamedTuple):
    text: bytes
    bytes_form: bytes
    utf_form: bytes
    re2_form: bytes
    flags: int
    captures: int
    """The highest group that any program reads; -1: only whether it matches."""
    prefiltered: bool
    """Whether it is tried only on lines with one of its required literals."""
    automaton: Automaton | None
    """For patterns of `subst` and `every`; None otherwise, or if it would be too large."""
    onepass: OnePass | None
    """For ASCII texts; None: not a one-pass pattern."""
    fields: FieldSpecs | None = None
    """For field patterns, which have no other forms."""


class LiteralSpec(NamedTuple):
    """A required literal, or a short byte pattern in place of one."""

    expression: bytes
    """The expression for Hyperscan."""
    caseless: bool
    literal: bytes | None
    """The text itself; None for a byte pattern."""
    patterns: list[int]
    """Numbers of the patterns that are tried on a line with it."""


class Window(NamedTuple):
    """A window: bytes that the multi-literal matcher looks up at a candidate, and the literals that have them."""

    text: bytes
    """At most eight bytes, each with the bits of `Teddy.fold` set."""
    needles: list[tuple[int, int]]
    """Numbers of required literals, and where in the literal the window ends."""


class Teddy(NamedTuple):
    """Tables with which the multi-literal matcher (core/teddy.hpp) finds all required literals without Hyperscan."""

    low: bytes
    """16 bytes for each of six or seven neighbouring bytes, the last one first: low nibble → bit set of buckets."""
    high: bytes
    """16 bytes for the last byte: high nibble → bit set of buckets."""
    lengths: bytes
    """Length of the windows of each bucket."""
    fold: int
    """0x20 if case is ignored in windows, else 0."""
    windows: list[Window]


class ProgramSpec(NamedTuple):
    name: str
    code: bytes
    lines: bytes
    """The source line of each instruction, as 32-bit numbers."""
    begin: bytes
    begin_lines: bytes
    ints: list[int]
    floats: list[float]
    strings: list[bytes]
    layouts: list[tuple[bytes, bytes]]
    metrics: list[object]
    """The `_core.Metric` of each declaration; the compiler only passes them on."""
    patterns: list[int]
    slot_pairs: list[int]
    """By slot: pairs of offsets that a match of a text other than the line needs; 0 if it matches lines."""
    registers: int
    places: list[str]
    """Names of the included files that instructions come from (program.py, Instr.line)."""
    log_filter: LogFilter | None
    triggers: frozenset[int] | None
    """Triggers: numbers of the patterns of which one must match; None: the program runs on every line."""
    lookahead: list[tuple[int, tuple[int, ...]]]
    """Series that it looks up if its first pattern matches: the metric, and the groups that are the label values."""


class FramingSpec(NamedTuple):
    """A record statement, and the programs that have it."""

    key: str
    """It as text, which tells it from others, also of other plans."""
    container: int
    joined: int
    pattern: int
    """The number of its pattern, which single lines or messages are tried with; -1: none."""
    docker: int
    """The number of the pattern that reads docker's lines; -1: none."""
    first: bytes
    """For each byte what it says at the start of a line about the pattern (regex/firstbyte.py); empty: nothing."""
    size: int
    separator: int
    most: int
    timeout: int
    programs: list[int]


class GuardSlice(NamedTuple):
    """Code that runs without effect on lines that the prefilter skips.  If it fails, `programs` are run."""

    code: ProgramSpec
    programs: list[int]
    runs: list[tuple[int, int, int]] | None
    """If it parses a time that a plain scan finds at the start of the line: per run of characters the ASCII set as
    bits, the least and the most number (0xFFFFFFFF: any); the time's layout is the code's only one."""


class Tables(NamedTuple):
    patterns: list[PatternSpec]
    programs: list[ProgramSpec]
    literals: list[LiteralSpec]
    always: list[int]
    """Numbers of the programs that run on every line."""
    guard_slices: list[GuardSlice]
    teddy: Teddy | None
    """Tables of the multi-literal matcher; None if Hyperscan is as fast."""
    framings: list[FramingSpec]
    """The record statements; programs in none of them see lines."""
