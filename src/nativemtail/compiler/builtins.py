"""The single table of builtins: the lexer reserves the names, the checker uses the signatures.

A builtin with an `opcode` is a single instruction, and needs nothing else in the compiler.
"""

from __future__ import annotations

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
