"""Calls of builtins: signatures, and rules beyond signatures (spec language.md §6)."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast, prefixes, timelayout
from nativemtail.compiler.ast import merge_all
from nativemtail.compiler.builtins import BUILTINS, FUNCTIONS, Function, Kind
from nativemtail.compiler.checker.context import ERROR, Context, converted, failed, type_of
from nativemtail.compiler.checker.patterns import Patterns
from nativemtail.compiler.types import FLOAT, INT, STRING, Type, Variable, lub, unify
from nativemtail.compiler.types import Function as Signature
from nativemtail.gotext import go_quote

_HINT_LAYOUT = "\n\tRefer to the documentation at https://golang.org/pkg/time/#pkg-constants for advice."


_VALUES = (INT, FLOAT, STRING)
_KINDS: dict[Kind, tuple[Type, ...]] = {
    Kind.TEXT: _VALUES,
    Kind.STRING: (STRING,),
    Kind.NUMBER: (INT, FLOAT),
    Kind.INT: (INT,),
}
_WANTED = {
    Kind.TEXT: ("a String", ""),
    Kind.STRING: ("a String", "\n\tTry string()"),
    Kind.NUMBER: ("a number", "\n\tTry int() or float()"),
    Kind.INT: ("an Int", "\n\tTry int()"),
}


class Calls:
    """`expr` checks an argument at a depth, and returns the node that replaces it."""

    def __init__(self, context: Context, patterns: Patterns, expr: Callable[[ast.Expr, int], ast.Expr]) -> None:
        self.context = context
        self.patterns = patterns
        self._expr = expr

    def call(self, node: ast.Call, depth: int) -> None:
        if node.name in FUNCTIONS:
            self._function(node, FUNCTIONS[node.name], depth)
            return
        params, result, _ = BUILTINS[node.name]
        node.type = result
        if node.args and self.context.too_deep(merge_all(node.args), depth + 1):
            return
        node.args[:] = [self._argument(node, arg, depth + 2) for arg in node.args]
        if any(map(failed, node.args)):
            return
        if len(node.args) != len(params):
            wanted = "incomplete type" if None in params else repr(Signature(_known(params), result))
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

    def _function(self, node: ast.Call, function: Function, depth: int) -> None:
        node.type = ERROR if function.result is None else function.result
        if node.args and self.context.too_deep(merge_all(node.args), depth + 1):
            return
        node.args[:] = [self._expr(arg, depth + 2) for arg in node.args]
        kinds = list(function.params.values())
        least = len(kinds) - ("…" in function.params)
        if len(node.args) < least or ("…" not in function.params and len(node.args) > least):
            number = f"{least} argument{'' if least == 1 else 's'}"
            hint = f"\n\tWrite {node.name}({', '.join(function.params)})"
            self.context.error(node.pos, f"{node.name}() takes {number}, not {len(node.args)}.{hint}")
            return
        kinds += kinds[-1:] * (len(node.args) - len(kinds))
        good = [self._fits(node, at, kind) for at, kind in enumerate(kinds[: len(node.args)])]
        if function.result is None and all(good):
            self._common(node)

    def _fits(self, node: ast.Call, at: int, kind: Kind) -> bool:
        """Whether an argument of a function is of its kind; reports one that is not."""
        arg = node.args[at]
        type_ = type_of(arg)
        place = f"argument {at + 1} of {node.name}()"
        if failed(arg):
            return False
        if kind is Kind.PREFIX:
            problem = (
                prefixes.problem(arg.value)
                if isinstance(arg, ast.StringLit)
                else f"Expecting {kind.value} for {place}."
            )
            if problem:
                self.context.error(arg.pos, problem)
            return not problem
        if isinstance(type_, Variable):  # a metric whose type is not known yet
            return kind in (Kind.TEXT, Kind.NUMBER) or unify(STRING if kind is Kind.STRING else INT, type_)
        if type_ in _KINDS[kind]:
            return True
        wanted, hint = _WANTED[kind]
        self.context.error(arg.pos, f"Expecting {wanted} for {place}, not {type_!r}.{hint if type_ in _VALUES else ''}")
        return False

    def _common(self, node: ast.Call) -> None:
        """Give the call the type that all its arguments have in common, and convert them to it."""
        common = type_of(node.args[0])
        for arg in node.args[1:]:
            common = lub(common, type_of(arg)) or ERROR
        for arg in node.args:
            unify(common, type_of(arg))
        node.type = common
        node.args[:] = [converted(arg, common) for arg in node.args]

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
