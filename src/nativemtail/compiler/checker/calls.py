"""Calls of builtins: signatures, and rules beyond signatures (spec language.md §6)."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast, timelayout
from nativemtail.compiler.ast import merge_all
from nativemtail.compiler.builtins import BUILTINS
from nativemtail.compiler.checker.context import ERROR, Context, failed, type_of
from nativemtail.compiler.checker.patterns import Patterns
from nativemtail.compiler.types import STRING, Function, Type, unify
from nativemtail.gotext import go_quote

_HINT_LAYOUT = "\n\tRefer to the documentation at https://golang.org/pkg/time/#pkg-constants for advice."


class Calls:
    """`expr` checks an argument at a depth, and returns the node that replaces it."""

    def __init__(self, context: Context, patterns: Patterns, expr: Callable[[ast.Expr, int], ast.Expr]) -> None:
        self.context = context
        self.patterns = patterns
        self._expr = expr

    def call(self, node: ast.Call, depth: int) -> None:
        params, result, _ = BUILTINS[node.name]
        node.type = result
        if node.args and self.context.too_deep(merge_all(node.args), depth + 1):
            return
        node.args[:] = [self._argument(node, arg, depth + 2) for arg in node.args]
        if any(map(failed, node.args)):
            return
        if len(node.args) != len(params):
            wanted = "incomplete type" if None in params else repr(Function(_known(params), result))
            text = f"call to `{node.name}': type mismatch; expected {wanted} received incomplete type"
            self.context.error(node.pos, text)
            node.type = ERROR
            return
        for param, arg in zip(params, node.args, strict=True):
            if param is not None and not unify(param, type_of(arg)):
                text = f"call to `{node.name}': type mismatch; expected {param!r} received {type_of(arg)!r}"
                self.context.error(node.pos, text)
                node.type = ERROR
                return
        self._special(node)

    def _argument(self, call: ast.Call, arg: ast.Expr, depth: int) -> ast.Expr:
        """Check a call of `subst` with a pattern, whose groups are not declared."""
        if call.name == "subst" and arg is call.args[0]:
            if isinstance(arg, ast.Id) and self.context.is_constant(arg):
                arg = ast.Pattern(arg.pos, [arg])
            if isinstance(arg, ast.Pattern) and not self.context.is_sum(arg):
                return self.patterns.pattern(arg, depth, declares=False)
        return self._expr(arg, depth)

    def _special(self, node: ast.Call) -> None:
        """Check the rules beyond the signature."""
        last = node.args[-1] if node.args else None
        if last is None:
            return
        type_ = type_of(last)
        if node.name == "defined" and not isinstance(last, ast.Capref):
            self.context.error(last.pos, "defined() expects a capture group reference as its argument")
        elif node.name == "tolower" and type_ is not STRING:
            self.context.error(last.pos, f"Expecting a String for argument 1 of tolower(), not {type_!r}.")
        elif node.name == "strptime" and type_ is not STRING:
            self.context.error(last.pos, f"Expecting a format string for argument 2 of strptime(), not {type_!r}.")
        elif node.name == "strptime" and not isinstance(last, ast.StringLit):
            self.context.error(node.pos, "Internal error: exprlist child is not string literal.")
        elif node.name == "strptime" and isinstance(last, ast.StringLit):
            layout = last.value.decode()
            if not timelayout.is_valid(layout):
                self.context.error(
                    last.pos, f"invalid time format string {go_quote(layout)}{_HINT_LAYOUT}{_meant(layout)}"
                )


def _meant(layout: str) -> str:
    from nativemtail.compiler import layouthints  # imported late: only for programs with errors

    meant = layouthints.suggestion(layout)
    if meant:
        return f"\n\tWrite {go_quote(meant)}."
    if layouthints.has_underscore(layout):
        return '\n\tNo `_\' can be read: capture date and time each, and write strptime($date + " " + $time, …).'
    return ""


def _known(params: tuple[Type | None, ...]) -> tuple[Type, ...]:
    return tuple(param for param in params if param is not None)
