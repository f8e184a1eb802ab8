"""Patterns: their text, concatenated from constants, and their capture groups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from nativemtail.compiler import ast, budget
from nativemtail.compiler.ast import Position, merge_all
from nativemtail.compiler.checker.context import ERROR, Context
from nativemtail.compiler.regex import captypes, tree
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.symbols import ConstSymbol, GroupSymbol, Kind, Symbol, Usage, VarSymbol
from nativemtail.compiler.types import BY_NAME, FLOAT, INT, NONE, PATTERN, STRING, Type

_LENGTH_CAP = (1 << 63) - 1
"""Bound on pattern text: constants made of constants can double in length with every line."""

_HINT_LENGTH = "\n\tExcessively long patterns are likely to cause compilation and runtime performance problems."


class TooExpensive(Exception):
    """The patterns of the program exceed the budget."""


class _Regex(NamedTuple):
    """What the checker needs to know about a pattern's text."""

    error: str
    groups: list[Type]
    names: list[str | None]


class Patterns:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.spent = budget.Spent()
        self.places: dict[bytes, Position] = {}
        """The first occurrence of each pattern."""
        self._known: dict[bytes, _Regex] = {}

    def concatenation_too_deep(self, pattern: ast.Pattern, depth: int) -> bool:
        """Check the depth of mtail's tree, where each `+` is a node whose left side is the `+` before it."""
        room = self.context.room(depth)
        parts = len(pattern.parts)
        return parts > room and self.context.too_deep(merge_all(pattern.parts[: max(1, parts - room)]), depth + parts)

    def evaluate(self, pattern: ast.Pattern) -> int | None:
        """Set the pattern's text if it is not too long; its length, or None after an error."""
        pieces: list[bytes] = []
        length: int | None = 0
        for part in pattern.parts:
            if isinstance(part, ast.RegexLit):
                part.type = PATTERN
                pieces.append(part.text)
                size: int | None = len(part.text)
            else:
                size, text = self.fragment(part)
                pieces.append(text)
            length = None if size is None or length is None else min(length + size, _LENGTH_CAP)
        pattern.type = PATTERN
        if length is not None and length <= self.context.max_length:
            pattern.text = b"".join(pieces)
        return length

    def fragment(self, name: ast.Id) -> tuple[int | None, bytes]:
        name.type = PATTERN
        symbol = self.context.find(name)
        if isinstance(symbol, VarSymbol):
            hint = "\n\tTry using a `const'-defined pattern fragment."
            self.context.error(name.pos, f"Can't append variable `{name.name}' to this pattern.{hint}")
        if not isinstance(symbol, ConstSymbol):
            return None, b""
        unknown = symbol.length is None and not symbol.decl.pattern.type
        if unknown or symbol.length == 0:
            hint = f"\n\tTry {'defining it earlier in the program' if unknown else 'a pattern that is not empty'}."
            self.context.error(name.pos, f"Can't evaluate pattern fragment `{name.name}' here.{hint}")
        return symbol.length or None, symbol.decl.text

    def pattern(self, pattern: ast.Pattern, depth: int, declares: bool = True) -> ast.Pattern:
        """Check a use of a pattern; `declares`: its groups become visible in the current scope."""
        if self.context.too_deep(pattern.pos, depth) or self.concatenation_too_deep(pattern, depth):
            pattern.type = ERROR
            return pattern
        length = self.evaluate(pattern)
        if length is None:
            return pattern
        if length > self.context.max_length:
            text = (
                f"Exceeded maximum regular expression pattern length of {self.context.max_length} bytes with {length}."
            )
            self.context.error(pattern.pos, text + _HINT_LENGTH)
            return pattern
        regex = self._timed(pattern)
        if regex.error:
            self.context.error(pattern.pos, regex.error)
        elif declares:
            self._declare_groups(pattern, regex)
        return pattern

    def fields(self, node: ast.Fields) -> ast.Fields:
        """Check a use of a field pattern; its fields become visible in the current scope."""
        node.type = PATTERN
        for number, field in enumerate(node.fields):
            type_ = {"int": INT, "float": FLOAT}.get(field.kind, STRING)
            symbol = GroupSymbol(
                Kind.GROUP, field.name, node.pos, Usage(seen=True), type_, pattern=node, group=number, label=field.name
            )
            present = self.context.scope.insert(symbol)
            if present is not None:
                self._redeclared(present, node)
        return node

    def _timed(self, pattern: ast.Pattern) -> _Regex:
        self.places.setdefault(pattern.text, pattern.pos)
        before = time.thread_time()
        regex = self._regex(pattern.text)
        if not self.spent.add(pattern.text, time.thread_time() - before):
            raise TooExpensive
        return regex

    def _regex(self, text: bytes) -> _Regex:
        if text not in self._known:
            try:
                node = parse(text)
            except RegexError as error:
                self._known[text] = _Regex(str(error), [], [])
            else:
                # A group that simplification removes, as in `(a){0}`, does not exist in mtail; its type is None.
                groups = [BY_NAME[name] for name in captypes.group_types(node)]
                names = [n if t is not NONE else None for n, t in zip(tree.group_names(node), groups, strict=False)]
                self._known[text] = _Regex("", [NONE, *groups], [None, *names])
        return self._known[text]

    def _declare_groups(self, pattern: ast.Pattern, regex: _Regex) -> None:
        for group, (type_, name) in enumerate(zip(regex.groups, regex.names, strict=True)):
            usage = Usage()
            label = name or str(group)
            symbol = GroupSymbol(
                Kind.GROUP, str(group), pattern.pos, usage, type_, pattern=pattern, group=group, label=label
            )
            present = self.context.scope.insert(symbol)
            if isinstance(present, GroupSymbol) and name is None:
                present.pattern, present.group = pattern, group
            elif present is not None:
                self._redeclared(present, pattern)
            if name is None or present is not None:
                continue
            alias = GroupSymbol(Kind.GROUP, name, pattern.pos, usage, type_, pattern=pattern, group=group, label=name)
            present = self.context.scope.insert(alias)
            if present is not None and not (isinstance(present, GroupSymbol) and present.pattern is pattern):
                self._redeclared(present, pattern)

    def _redeclared(self, present: Symbol, pattern: ast.Pattern | ast.Fields) -> None:
        text = f"Redeclaration of capture group `{present.name}' previously declared at {present.pos}"
        self.context.error(pattern.pos, text)

    def pieces(self, expr: ast.Expr) -> Iterator[bytes]:
        """The pattern that mtail makes of an expression that is not one: all literals in it, concatenated."""
        match expr:
            case ast.StringLit():
                yield expr.value
            case ast.IntLit():
                yield b"%d" % expr.value
            case ast.FloatLit():
                yield f"{expr.value:g}".encode()
            case ast.Pattern():
                yield expr.text
            case ast.Id():
                yield self.fragment(expr)[1]
            case ast.Binary() if expr.op != "+":
                self.context.error(expr.pos, f"internal error: Invalid operator in concatenation: {expr.op}")
            case _:
                for child in ast.children(expr):
                    yield from self.pieces(child)
