"""Names and where they are visible (spec language.md §4.2, §4.3, successor.md §2.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position
from nativemtail.compiler.types import NONE, Type


class Kind(Enum):
    """The kinds of symbols; the values are used in error messages."""

    VAR = "variable"
    CONST = "named pattern constant"
    DECO = "decorator"
    GROUP = "capture group"


@dataclass(slots=True, eq=False)
class Usage:
    """Whether a declaration was used; shared by the number and the name of a capture group."""

    seen: bool = False


@dataclass(slots=True, eq=False)
class Symbol:
    """A name declared at `pos`."""

    kind: Kind
    name: str
    pos: Position
    usage: Usage = field(default_factory=Usage)
    type: Type = NONE


@dataclass(slots=True, eq=False)
class VarSymbol(Symbol):
    """A metric: `type` is that of the value, `keys` has one for each key."""

    decl: ast.VarDecl = field(kw_only=True)
    keys: tuple[Type, ...] = ()


@dataclass(slots=True, eq=False)
class ConstSymbol(Symbol):
    """A pattern constant."""

    decl: ast.ConstDecl = field(kw_only=True)
    length: int | None = None
    """Bytes of the pattern; None until it is evaluated."""


@dataclass(slots=True, eq=False)
class DecoSymbol(Symbol):
    """A decorator; not `complete` while its own body is checked."""

    decl: ast.DecoDecl = field(kw_only=True)
    complete: bool = False
    next_scope: Scope | None = None
    """The scope at its `next`, which code inside a use of the decorator sees."""


@dataclass(slots=True, eq=False)
class GroupSymbol(Symbol):
    """`$1` or `$name`.  A later pattern of the scope redefines numbers, but not names."""

    pattern: ast.Pattern | ast.Fields = field(kw_only=True)
    group: int = 0
    label: str = ""
    """How the note on an unused group names it."""


FREE_STEPS = 100
MAX_STEPS = 2_000_000
"""Limit for the scopes that all lookups of a program visit, not counting the first `FREE_STEPS` of each lookup.

With decorators inside decorators each lookup could visit thousands.
"""


class TooComplex(Exception):
    """The lookups of a program exceeded `MAX_STEPS`."""


@dataclass(slots=True)
class Effort:
    """The cost of lookups so far."""

    steps: int = 0


def _is_number_of_named(symbol: Symbol) -> bool:
    return isinstance(symbol, GroupSymbol) and symbol.label != symbol.name


def _key(name: str, kind: Kind) -> str:
    return f"${name}" if kind is Kind.GROUP else name


class Scope:
    """A table of names, in which those of capture groups begin with `$`.

    Lookup goes outwards, through `prefill` (a decorator's scope at `next`) before `parent`.  There, as in mtail, a
    named capture group can be found by its name only, not by its number.
    """

    __slots__ = ("effort", "parent", "prefill", "table")

    def __init__(self, parent: Scope | None = None, prefill: Scope | None = None) -> None:
        self.effort: Effort = parent.effort if parent is not None else Effort()
        self.parent = parent
        self.prefill = prefill
        self.table: dict[str, Symbol] = {}

    def insert(self, symbol: Symbol) -> Symbol | None:
        """Add `symbol`; if its name is taken in this scope, returns the symbol that has it instead."""
        present = self.table.setdefault(_key(symbol.name, symbol.kind), symbol)
        return None if present is symbol else present

    def lookup(self, name: str, kind: Kind) -> Symbol | None:
        """Look up the nearest symbol of that kind and mark it as used.  Raises TooComplex."""
        key = _key(name, kind)
        for scope, prefilled in self._outwards():
            symbol = scope.table.get(key)
            if symbol is not None and symbol.kind is kind and not (prefilled and _is_number_of_named(symbol)):
                symbol.usage.seen = True
                return symbol
        return None

    def _outwards(self) -> Iterator[tuple[Scope, bool]]:
        """This scope and the outer ones, each with whether it is visible through a decorator."""
        waiting: list[Scope] = []
        seen: set[int] = set()
        scope: Scope | None = self
        while scope is not None or waiting:
            if scope is None or id(scope) in seen:
                if not waiting:
                    return
                scope = waiting.pop()
                continue
            seen.add(id(scope))
            self.effort.steps += len(seen) > FREE_STEPS
            if self.effort.steps > MAX_STEPS:
                raise TooComplex
            yield scope, bool(waiting)
            if scope.prefill is not None and scope.parent is not None:
                waiting.append(scope.parent)
                scope = scope.prefill
            else:
                scope = scope.parent
