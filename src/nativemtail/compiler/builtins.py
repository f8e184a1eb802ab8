"""The tables of builtins and functions: the lexer reserves the builtins' names, the checker uses the signatures.

A builtin with an `opcode` is a single instruction, and needs nothing else in the compiler.  The functions are those
that mtail does not have; their names are not reserved (beyond README §1, §10).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from nativemtail.compiler.types import BOOL, FLOAT, INT, NONE, PATTERN, STRING, Type


class Builtin(NamedTuple):
    """A signature (spec language.md §6)."""

    params: tuple[Type | None, ...]
    """None for a parameter of any type."""
    result: Type
    opcode: str = ""
    """The instruction that takes the arguments as strings and integers, and gives the result."""


BUILTINS = {
    "bool": Builtin((None,), BOOL),
    "defined": Builtin((None,), BOOL),
    "float": Builtin((None,), FLOAT),
    "getfilename": Builtin((), STRING, "FNAME"),
    "int": Builtin((None,), INT),
    "len": Builtin((STRING,), INT),
    "settime": Builtin((INT,), NONE),
    "string": Builtin((None,), STRING),
    "strptime": Builtin((STRING, STRING), NONE),
    "strtol": Builtin((STRING, INT), INT, "STRTOL"),
    "subst": Builtin((PATTERN, STRING, STRING), STRING),
    "timestamp": Builtin((), INT, "TSTAMP"),
    "tolower": Builtin((STRING,), STRING, "LOWER"),
}


class Kind(Enum):
    """What a function takes as an argument."""

    TEXT = "a String"
    """A number counts as its text."""
    STRING = "a String, no number"
    NUMBER = "a number"
    INT = "an Int"
    PREFIX = "a quoted prefix"


class Function(NamedTuple):
    params: dict[str, Kind]
    """Names, as hints show them, to kinds; `…` stands for any number of further ones like the last."""
    result: Type | None
    """None: the type of the arguments, Int only if all are."""
    opcode: str = ""
    """The instruction, without the suffix for the type if `result` is None."""


_TEXT, _NUMBER, _INT = Kind.TEXT, Kind.NUMBER, Kind.INT
FUNCTIONS = {
    "abs": Function({"x": _NUMBER}, None, "ABS"),
    "ceil": Function({"x": _NUMBER}, FLOAT, "CEIL"),
    "exp": Function({"x": _NUMBER}, FLOAT, "EXP"),
    "floor": Function({"x": _NUMBER}, FLOAT, "FLOOR"),
    "ip_in": Function({"address": _TEXT, "prefix": Kind.PREFIX, "…": Kind.PREFIX}, BOOL, "IPIN"),
    "ln": Function({"x": _NUMBER}, FLOAT, "LN"),
    "log10": Function({"x": _NUMBER}, FLOAT, "LOG10"),
    "max": Function({"a": _NUMBER, "b": _NUMBER, "…": _NUMBER}, None, "MAX"),
    "min": Function({"a": _NUMBER, "b": _NUMBER, "…": _NUMBER}, None, "MIN"),
    "round": Function({"x": _NUMBER}, FLOAT, "ROUND"),
    "split": Function({"text": _TEXT, "separator": _TEXT, "piece": _INT}, STRING, "SPLIT"),
    "sqrt": Function({"x": _NUMBER}, FLOAT, "SQRT"),
    "substr": Function({"text": _TEXT, "from": _INT, "count": _INT}, STRING, "SUBSTR"),
    "toupper": Function({"text": Kind.STRING}, STRING, "UPPER"),
    "trim": Function({"text": _TEXT}, STRING, "TRIM"),
    "trimprefix": Function({"text": _TEXT, "prefix": _TEXT}, STRING, "TRIMPRE"),
    "trimsuffix": Function({"text": _TEXT, "suffix": _TEXT}, STRING, "TRIMSUF"),
    "unixtime": Function({}, FLOAT, "UTIME"),
}
