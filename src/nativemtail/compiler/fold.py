"""Constant folding: arithmetic on two number literals is done at compile time (spec language.md §5.6)."""

from __future__ import annotations

import math
from collections.abc import Callable

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position
from nativemtail.compiler.errors import CompileError

_Number = ast.IntLit | ast.FloatLit


def _wrap(value: int) -> int:
    """`value` in 64-bit two's complement."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _truncate(value: float) -> int:
    """A float as Go on amd64 converts it to int64."""
    return int(value) if -(2.0**63) <= value < 2.0**63 else -(1 << 63)


def _divide(a: int, b: int) -> int:
    """Integer division that truncates towards zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _power(a: float, b: float) -> float:
    """The same computation as `float_power` in core/native.hpp at run time."""
    size = abs(b)
    if not math.isfinite(a) or not math.isfinite(b) or a in (0, 1) or size >= 2.0**63:
        return _c_power(a, b)
    if a < 0 and size % 1:
        return math.nan
    if size == 0.5:
        return math.sqrt(a) if b > 0 else 1 / math.sqrt(a)
    part, whole = math.modf(size)
    if part > 0.5:
        part -= 1
        whole += 1
    product = math.exp(part * math.log(a)) if part else 1.0
    product, scale = _squared(product, a, int(whole))
    try:
        return math.ldexp(1 / product, -scale) if b < 0 else math.ldexp(product, scale)
    except OverflowError:
        return math.copysign(math.inf, product)


def _squared(product: float, a: float, times: int) -> tuple[float, int]:
    """`product` multiplied by `a`, `times` times, as a number and a power of two."""
    scale = 0
    base, exponent = math.frexp(a)
    while times:
        if abs(exponent) > 4096:  # out of range, whatever follows
            return product, scale + exponent
        if times & 1:
            product *= base
            scale += exponent
        base *= base
        exponent *= 2
        if base < 0.5:
            base += base
            exponent -= 1
        times >>= 1
    return product, scale


def _c_power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else math.nan


def _divide_float(a: float, b: float) -> float:
    return a / b


def _remainder(a: float, b: float) -> float:
    return math.nan if math.isinf(a) else math.fmod(a, b)


_INT: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": lambda a, b: a - b * _divide(a, b),
    "**": lambda a, b: _truncate(_power(float(a), float(b))),
}
_FLOAT: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide_float,
    "%": _remainder,
    "**": _power,
}
_ZERO_ERRORS = {"/": "divide by zero", "%": "mod by zero"}


class _Folder:
    def __init__(self) -> None:
        self.errors: list[tuple[Position | None, str]] = []

    def expr(self, root: ast.Expr) -> ast.Expr:
        """Fold bottom-up, without recursion: a tree before checking may be as deep as the program is long."""
        holder = ast.Conv(root.pos, root)
        order: list[ast.Expr] = []
        stack: list[ast.Expr] = [holder]
        while stack:
            node = stack.pop()
            order.append(node)
            stack.extend(_children(node))
        for node in reversed(order):
            self.replace_children(node)
        return holder.operand

    def replace_children(self, node: ast.Expr) -> None:
        if isinstance(node, ast.Binary):
            node.lhs, node.rhs = self.value(node.lhs), self.value(node.rhs)
        elif isinstance(node, (ast.Unary, ast.Conv)):
            node.operand = self.value(node.operand)
        elif isinstance(node, ast.Index):
            node.keys[:] = map(self.value, node.keys)
        elif isinstance(node, ast.Call):
            node.args[:] = map(self.value, node.args)

    def value(self, node: ast.Expr) -> ast.Expr:
        """`node`, or the literal that it evaluates to."""
        if isinstance(node, ast.Unary) and node.op == "-" and isinstance(node.operand, _Number):
            return _negative(node.pos, node.operand)
        if not isinstance(node, ast.Binary) or node.op not in _INT:
            return node
        a, b = node.lhs, node.rhs
        if not isinstance(a, _Number) or not isinstance(b, _Number):
            return node
        if node.op in _ZERO_ERRORS and b.value == 0:
            self.errors.append((node.pos, _ZERO_ERRORS[node.op]))
            return node
        literal: _Number
        if isinstance(a, ast.IntLit) and isinstance(b, ast.IntLit):
            literal = ast.IntLit(node.pos, _wrap(_INT[node.op](a.value, b.value)))
        else:
            literal = ast.FloatLit(node.pos, _FLOAT[node.op](float(a.value), float(b.value)))
        literal.type = node.type
        return literal


def _negative(pos: Position, number: _Number) -> _Number:
    is_int = isinstance(number, ast.IntLit)
    literal = ast.IntLit(pos, _wrap(-int(number.value))) if is_int else ast.FloatLit(pos, -number.value)
    literal.type = number.type
    return literal


def _children(node: ast.Expr) -> list[ast.Expr]:
    if isinstance(node, ast.Binary):
        return [node.lhs, node.rhs]
    if isinstance(node, (ast.Unary, ast.Conv)):
        return [node.operand]
    if isinstance(node, ast.Index):
        return node.keys
    return node.args if isinstance(node, ast.Call) else []


def fold(name: str, root: ast.Block) -> ast.Block:
    """Fold the expressions of `root` in place, except those of `del`, as mtail does.

    Raises CompileError for a division of two literals by zero.
    """
    folder = _Folder()
    blocks = [root]
    while blocks:
        for stmt in blocks.pop().stmts:
            if isinstance(stmt, ast.ExprStmt):
                stmt.expr = folder.expr(stmt.expr)
            elif isinstance(stmt, ast.Cond):
                if stmt.cond is not None:
                    stmt.cond = folder.expr(stmt.cond)
                blocks.extend(filter(None, (stmt.truth, stmt.otherwise)))
            elif isinstance(stmt, ast.Every):
                if stmt.subject is not None:
                    stmt.subject = folder.expr(stmt.subject)
                blocks.extend(filter(None, (stmt.body, stmt.otherwise)))
            elif isinstance(stmt, (ast.DecoDecl, ast.DecoUse, ast.Begin)):
                blocks.append(stmt.body)
    if folder.errors:
        raise CompileError(name, sorted(folder.errors, key=lambda error: error[0] or ast.NOWHERE))
    return root
