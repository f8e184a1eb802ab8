"""State that all parts of the checker share: bounds, errors, the current scope."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from nativemtail.compiler import ast, types
from nativemtail.compiler.ast import Position
from nativemtail.compiler.lexer import OPERATORS
from nativemtail.compiler.symbols import ConstSymbol, GroupSymbol, Kind, Scope, Symbol, VarSymbol
from nativemtail.compiler.types import Type, resolve

ERROR = types.Base("type error")
"""The type of an expression with a reported error; suppresses follow-up errors."""

DEFAULT_LENGTH = 1024
DEFAULT_DEPTH = 100
MAX_DEPTH = 10_000


class Limits(Protocol):
    """The bounds of §7; 0 means the default."""

    @property
    def max_regexp_length(self) -> int:
        """Limit for a whole pattern, in bytes."""

    @property
    def max_recursion_depth(self) -> int:
        """Limit for the depth of the tree."""


class Context:
    def __init__(self, program: str, limits: Limits) -> None:
        self.program = program
        self.max_length = limits.max_regexp_length or DEFAULT_LENGTH
        self.max_depth = limits.max_recursion_depth or DEFAULT_DEPTH
        self.errors: list[tuple[Position | None, str]] = []
        self.notes: list[tuple[Position | None, str]] = []
        self.scope = Scope()
        self.begins = 0
        """Nesting of `begin` blocks."""
        self.current: Position | None = None
        """The latest statement."""
        self.deep_reported = False

    def error(self, pos: Position, text: str) -> None:
        self.errors.append((pos, text))

    def too_deep(self, pos: Position, depth: int) -> bool:
        """Whether the tree is too deep; reported once."""
        if depth <= min(self.max_depth, MAX_DEPTH):
            return False
        if not self.deep_reported:
            self.deep_reported = True
            self.error(pos, f"Expression exceeded maximum recursion depth of {self.max_depth}")
        return True

    def room(self, depth: int) -> int:
        """Levels that the tree may still have below `depth`."""
        return min(self.max_depth, MAX_DEPTH) - depth

    @contextmanager
    def inside(self, prefill: Scope | None = None) -> Iterator[Scope]:
        """A scope inside the current one; at its end, reports names declared in it and never used."""
        scope = self.scope = Scope(self.scope, prefill)
        yield scope
        assert scope.parent is not None
        self.scope = scope.parent
        for symbol in scope.table.values():
            if symbol.usage.seen:
                continue
            if isinstance(symbol, GroupSymbol):
                if symbol.label != "0":
                    text = f"capture group reference `{symbol.label}' at {symbol.pos} appears to be unused"
                    self.notes.append((symbol.pos, text))
            elif not self.deep_reported and symbol.pos.file == self.program:
                text = f"Declaration of {symbol.kind.value} `{symbol.name}' here is never used."
                self.error(symbol.pos, text)

    def declare(self, symbol: Symbol) -> bool:
        previous = self.scope.insert(symbol)
        if previous is None:
            return True
        what, verb, done = symbol.kind.value, "Redeclaration", "declared"
        name = f"@{symbol.name}" if symbol.kind is Kind.DECO else symbol.name
        if symbol.kind is Kind.CONST:
            what, verb, done = "pattern constant", "Redefinition", "defined"
        self.error(symbol.pos, f"{verb} of {what} `{name}' previously {done} at {previous.pos}")
        return False

    def find(self, node: ast.Id) -> VarSymbol | ConstSymbol | None:
        """The metric or, failing that, the constant that `node` names."""
        symbol = self.scope.lookup(node.name, Kind.VAR) or self.scope.lookup(node.name, Kind.CONST)
        if isinstance(symbol, (VarSymbol, ConstSymbol)):
            node.symbol = symbol.decl
            return symbol
        hint = f"\n\tTry adding `counter {node.name}' to the top of the program."
        if node.name == node.name.upper():
            hint = f"\n\tTry adding `const {node.name} /.../' earlier in the program."
        self.error(node.pos, f"Identifier `{node.name}' not declared.{hint}")
        return None

    def is_constant(self, name: ast.Expr) -> bool:
        if not isinstance(name, ast.Id) or self.scope.lookup(name.name, Kind.VAR):
            return False
        return self.scope.lookup(name.name, Kind.CONST) is not None

    def is_sum(self, pattern: ast.Pattern) -> bool:
        """Whether names joined by `+` are a sum: none of them is a constant (successor.md §2.4)."""
        parts = pattern.parts
        if len(parts) < 2 or any(isinstance(part, ast.RegexLit) for part in parts):
            return False
        return not any(self.is_constant(part) for part in parts)


def type_of(node: ast.Expr) -> Type:
    return ERROR if node.type is None else resolve(node.type)


def failed(node: ast.Expr) -> bool:
    return type_of(node) is ERROR


def operator_name(spelling: str) -> str:
    return OPERATORS[spelling.encode()]


def converted(node: ast.Expr, to: Type) -> ast.Expr:
    to = resolve(to)
    if type_of(node) is to:
        return node
    conv = ast.Conv(node.pos, node)
    conv.type = to
    return conv
