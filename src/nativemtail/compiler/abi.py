"""Numbers and struct layouts that Python and the native code share, defined once.

The compiler reads them here; `setup.py` writes `core/abi.pxi` (for Cython) and `core/abi.hpp` (for C++) from `pxi()`
and `hpp()`, so that the two sides cannot drift apart.  The instruction set is in opcodes.py.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

from nativemtail.compiler.opcodes import FAULTS, OPS

_C_TYPES = {"uint8_t": "B", "uint16_t": "H", "uint32_t": "I", "uint64_t": "Q", "int32_t": "i"}
_HEAD = "Made by setup.py from compiler/abi.py; do not edit."


class Struct:
    """A C struct without padding; `pack` takes its fields in order."""

    def __init__(self, name: str, meaning: str, *fields: tuple[str, str]) -> None:
        """`fields`: type and name of each."""
        self.name = name
        self.meaning = meaning
        self.fields = fields
        self.struct = struct.Struct("=" + "".join(_C_TYPES[kind] for kind, _ in fields))
        self.pack = self.struct.pack
        self.size = self.struct.size

    def offsets(self) -> dict[str, int]:
        """Where each field begins."""
        formats = [_C_TYPES[kind] for kind, _ in self.fields]
        return {name: struct.calcsize("=" + "".join(formats[:i])) for i, (_, name) in enumerate(self.fields)}


class MetricKind(IntEnum):
    """Kinds of metrics, numbered as in the JSON form (spec metrics-export.md §2.1)."""

    COUNTER = 1
    GAUGE = 2
    TIMER = 3
    TEXT = 4
    HISTOGRAM = 5


class ValueType(IntEnum):
    """Types of values, numbered as in the JSON form."""

    INT = 0
    FLOAT = 1
    STRING = 2
    BUCKETS = 3


class PatternFlag(IntFlag):
    """Flags: facts about a pattern."""

    PCRE2 = 1
    """PCRE2 gives Go's captures."""
    LINEAR = 2
    """PCRE2 gives Go's captures, and its backtracking is linear in the line."""
    ALWAYS = 4
    """The pattern matches every line."""
    LITERAL = 8
    """The pattern is a single literal, the one that the prefilter searches for."""
    STEPPED = 16
    """The form for RE2 itself consumes the characters before a match."""
    FIELDS = 32
    """A field pattern."""


class FieldFormat(IntEnum):
    """What a field pattern reads."""

    JSON = 0
    LOGFMT = 1
    CSV = 2
    RECORD = 3
    """What `record` says of its container."""


class Container(IntEnum):
    """What lines say of the messages that they have parts of."""

    NONE = 0
    CRI = 1
    DOCKER = 2


class Joined(IntEnum):
    """How lines, or messages of containers, make up a record."""

    NONE = 0
    START = 1
    END = 2
    CONTINUE = 3
    LINES = 4
    CSV = 5


class FieldType(IntEnum):
    """Types of fields."""

    STRING = 0
    INT = 1
    FLOAT = 2


class OnePassCode(IntEnum):
    """Operations of the one-pass matcher (compiler/regex/onepass/, core/onepass.hpp)."""

    FIXED = 0
    RUN = 1
    LAST = 2
    FIRST = 3
    ESCAPED = 4
    SAVE = 5
    TRY = 6
    JUMP = 7
    END = 8
    WORD = 9
    DONE = 10
    SPAN = 11


NO_SLOT = 255
"""The slot of a one-pass operation that saves no position."""


class Automaton(IntEnum):
    """States of the automaton that finds all matches (compiler/regex/automaton.py, core/match/automaton.pxi)."""

    CHAR = 0
    SPLIT = 1
    ASSERT = 2
    MATCH = 3


class Assertion(IntEnum):
    """The assertions of ASSERT states."""

    BEGIN_TEXT = 0
    END_TEXT = 1
    BEGIN_LINE = 2
    END_LINE = 3
    WORD = 4
    NO_WORD = 5


class LayoutOp(IntEnum):
    """The elements that a step of a time layout reads (compiler/timelayout.py, core/time/elements.pxi)."""

    END = 0
    YEAR4 = 1
    YEAR2 = 2
    MONTH_LONG = 3
    MONTH_SHORT = 4
    MONTH = 5
    WEEKDAY_LONG = 6
    WEEKDAY_SHORT = 7
    DAY = 8
    YEAR_DAY = 9
    HOUR24 = 10
    HOUR12 = 11
    MINUTE = 12
    SECOND = 13
    FRACTION = 14
    OPTIONAL_FRACTION = 15
    HALF_DAY = 16
    ZONE_NAME = 17
    OFFSET = 18


LAYOUT_FLAGS = {
    "FIXED": 1,  # numbers: all digits must be there
    "BLANK": 2,  # numbers: blanks may stand for leading digits
    "FRACTION_NEXT": 4,  # SECOND: the next element is a fraction
    "LOWER": 1,  # HALF_DAY: am, pm
    "COLON": 1,  # OFFSET: colons between the numbers
    "MINUTES": 2,
    "SECONDS": 4,
    "ZULU": 8,  # `Z` stands for +00:00
}
"""Flags of the steps; what a bit means depends on the element."""

INSTR = Struct(
    "Instr",
    "one instruction (compiler/opcodes.py)",
    ("uint16_t", "op"),
    ("uint16_t", "a"),
    ("uint16_t", "b"),
    ("uint16_t", "c"),
    ("int32_t", "d"),
    ("int32_t", "e"),
)
ONEPASS_OP = Struct(
    "OnePassOp",
    "one operation of the one-pass matcher",
    ("uint8_t", "code"),
    ("uint8_t", "slot"),
    ("uint8_t", "then"),
    ("uint8_t", "behind"),
    ("uint8_t", "n"),
    ("uint8_t", "back"),
    ("uint16_t", "target"),
    ("uint32_t", "table"),
    ("uint32_t", "literal"),
    ("uint32_t", "least"),
    ("uint32_t", "most"),
)
AUTOMATON_STATE = Struct(
    "AutomatonState",
    "one state of the automaton that finds all matches",
    ("int32_t", "op"),
    ("int32_t", "x"),
    ("int32_t", "y"),
)
LAYOUT_HEADER = Struct(
    "LayoutHeader",
    "what a compiled time layout begins with: its number of steps, and the length of its text",
    ("uint32_t", "count"),
    ("uint32_t", "length"),
)
LAYOUT_STEP = Struct(
    "LayoutStep",
    "one step of a time layout: `literal` bytes of its text to match, then the `element` bytes that name the part",
    ("uint8_t", "op"),
    ("uint8_t", "flags"),
    ("uint16_t", "unused"),
    ("uint32_t", "literal"),
    ("uint32_t", "element"),
)
FIELD_NODE = Struct(
    "FieldNode",
    "what a field pattern wants of a value (compiler/fields.py, core/fields.hpp)",
    ("uint64_t", "lengths"),
    ("uint32_t", "first"),
    ("uint32_t", "names"),
    ("uint32_t", "indexes"),
    ("uint32_t", "leaf"),
    ("uint32_t", "leaves"),
    ("uint32_t", "low"),
    ("uint32_t", "high"),
    ("uint32_t", "each"),
    ("uint32_t", "has_each"),
    ("uint32_t", "unused"),
)
FIELD_EDGE = Struct(
    "FieldEdge",
    "a step to a value: a name of `key` bytes, or the index `key`",
    ("uint32_t", "text"),
    ("uint32_t", "key"),
    ("uint32_t", "child"),
)
FIELD_SPEC = Struct(
    "FieldSpec",
    "a field of a field pattern, in the order written",
    ("uint32_t", "span"),
    ("uint8_t", "type"),
    ("uint8_t", "optional"),
    ("uint8_t", "of_element"),
    ("uint8_t", "unused"),
)
STRUCTS = (INSTR, ONEPASS_OP, AUTOMATON_STATE, LAYOUT_HEADER, LAYOUT_STEP, FIELD_NODE, FIELD_EDGE, FIELD_SPEC)


PLACE_SHIFT = 24
"""The lines of instructions have the number of an included file from this bit on (program.py)."""


def _enums() -> dict[str, dict[str, int]]:
    """Names and numbers for Cython, by prefix."""
    return {
        "KIND": dict(MetricKind.__members__),
        "TYPE": dict(ValueType.__members__),
        "OP": {op.name: op.number for op in OPS.values()},
        "FAULT": {name: number for number, name in enumerate(FAULTS)},
        "PATTERN": dict(PatternFlag.__members__),
        "FIELDS": dict(FieldFormat.__members__),
        "FIELD": dict(FieldType.__members__),
        "CONTAINER": dict(Container.__members__),
        "JOINED": dict(Joined.__members__),
        "AUTOMATON": dict(Automaton.__members__),
        "ASSERT": dict(Assertion.__members__),
        "PLACE": {"SHIFT": PLACE_SHIFT},
        "LAY": {**LayoutOp.__members__, **LAYOUT_FLAGS},
    }


def pxi() -> str:
    """The text of `core/abi.pxi`."""
    lines = [f"# {_HEAD}"]
    for prefix, members in _enums().items():
        lines += ["", "cdef enum:"]
        lines += [f"    {prefix}_{name} = {int(number)}" for name, number in members.items()]
    lines += ["", 'cdef extern from "core/abi.hpp" namespace "nm" nogil:']
    for layout in STRUCTS:
        lines.append(f"    ctypedef struct {layout.name}:    # {layout.meaning}")
        lines += [f"        {kind} {name}" for kind, name in layout.fields]
    return "\n".join(lines) + "\n"


def hpp() -> str:
    """The text of `core/abi.hpp`."""
    lines = [f"// {_HEAD}", "#pragma once", "#include <cstddef>", "#include <cstdint>", "", "namespace nm {"]
    for layout in STRUCTS:
        lines += ["", f"struct {layout.name} {{  // {layout.meaning}"]
        lines += [f"    {kind} {name};" for kind, name in layout.fields]
        lines += ["};", f"static_assert(sizeof({layout.name}) == {layout.size});"]
        lines += [f"static_assert(offsetof({layout.name}, {name}) == {at});" for name, at in layout.offsets().items()]
    codes = ", ".join(f"k{op.name.capitalize()} = {int(op)}" for op in OnePassCode)
    lines += ["", f"enum : uint8_t {{ {codes} }};", f"constexpr uint8_t kNoSlot = {NO_SLOT};"]
    return "\n".join([*lines, "", "}  // namespace nm", ""])
