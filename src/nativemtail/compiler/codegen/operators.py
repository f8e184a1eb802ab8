"""Operators: arithmetic, bits and comparisons."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.compiler import ast
from nativemtail.compiler.builtins import BUILTINS
from nativemtail.compiler.codegen.emit import SUFFIX, Emitter, Kind, Value, type_name

TOKEN = {"=": 57398, "+": 57381, "-": 57380, "*": 57379, "%": 57378, "/": 57377, "**": 57382}
"""The numbers that goyacc, which made mtail's parser, gave these tokens; mtail prints them in its errors."""

_ARITHMETIC = {"+": "ADD", "-": "SUB", "*": "MUL", "/": "DIV", "%": "MOD", "**": "POW"}
_BITS = {"&": "ANDI", "|": "ORI", "^": "XORI", "<<": "SHLI", ">>": "SHRI"}
# operator → (instruction, whether to negate its result): so <=, >= and != are true for NaN (runtime.md §2.5)
COMPARE = {"<": ("LT", False), ">": ("GT", False), "==": ("EQ", False),
           ">=": ("LT", True), "<=": ("GT", True), "!=": ("EQ", True)}  # fmt: skip


def three(out: Emitter, op: str, kind: Kind, left: Value, right: Value, convert: Callable[[int, Kind], int]) -> Value:
    """`op` on two operands; the right one is converted first, because mtail pops it first."""
    b = convert(*right)
    a = convert(*left)
    register = out.registers()
    out.emit(op, register, a, b)
    return register, kind


def binary(out: Emitter, expr: ast.Binary, left: Value, right: Value) -> Value:
    """The operator of `expr` on its operands, whose values are `left` and `right`."""
    if expr.op in _BITS:
        return three(out, _BITS[expr.op], Kind.INT, left, right, out.as_int)
    if expr.op in COMPARE:
        return _comparison(out, expr, left, right)
    return _arithmetic(out, expr, left, right)


def complement(out: Emitter, register: int, kind: Kind) -> Value:
    """`~x`, which is `not x` of a Bool."""
    if kind is Kind.BOOL:
        return out.convert("NOTB", register), Kind.BOOL
    return out.convert("NOTI", out.as_int(register, kind)), Kind.INT


def minus(out: Emitter, expr: ast.Unary, register: int, kind: Kind) -> Value:
    """`-x` of a number."""
    text = type_name(expr.type)
    if kind is Kind.NOTHING or text not in ("Int", "Float"):
        out.ice(expr, f"no opcode for type {text} in op -")
        return register, kind
    if text == "Int":
        return out.convert("NEGI", out.as_int(register, kind)), Kind.INT
    return out.convert("NEGF", out.as_float(register, kind)), Kind.FLOAT


def _arithmetic(out: Emitter, expr: ast.Binary, left: Value, right: Value) -> Value:
    text = type_name(expr.type)
    if text == "Int":
        return three(out, _ARITHMETIC[expr.op] + "I", Kind.INT, left, right, out.as_int)
    if text == "Float":
        return three(out, _ARITHMETIC[expr.op] + "F", Kind.FLOAT, left, right, out.as_float)
    if text == "String" and expr.op == "+":
        return three(out, "CAT", Kind.STRING, left, right, out.as_string)
    out.ice(expr, f"no opcode for type {text} in op {TOKEN[expr.op]}")
    return left


def _comparison(out: Emitter, expr: ast.Binary, left: Value, right: Value) -> Value:
    text = type_name(expr.lhs.type)
    suffix = SUFFIX.get(text)
    if text == "Bool" and {left[1], right[1]} <= {Kind.INT, Kind.LEN}:  # results of ~
        suffix = "I"
    if suffix is None or text != type_name(expr.rhs.type):
        out.fail(f"cannot compare {left[1].value} with {right[1].value}")
        return out.registers(), Kind.BOOL
    convert = {"I": out.as_int, "F": out.as_float, "S": out.as_string}[suffix]
    name, negated = COMPARE[expr.op]
    if suffix == "S" and _guesses_numbers(expr.lhs):
        suffix = "N"
    register, kind = three(out, name + suffix, Kind.BOOL, left, right, convert)
    return (out.convert("NOTB", register), kind) if negated else (register, kind)


def _guesses_numbers(lhs: ast.Expr) -> bool:
    """Whether a comparison with this text on its left is mtail's untyped one, which compares as numbers if it can.

    That is so if mtail's type of the left side is a variable bound to String, not String itself: for calls, sums of
    texts that begin with one, metrics that are not declared as text, and series with keys.
    """
    if isinstance(lhs, ast.Binary):
        while isinstance(lhs, ast.Binary) and not isinstance(lhs.rhs, ast.Conv):
            lhs = lhs.lhs
        return _is_builtin(lhs)
    if isinstance(lhs, ast.Index) and not lhs.keys:
        lhs = lhs.base
    if isinstance(lhs, ast.Id):
        return isinstance(lhs.symbol, ast.VarDecl) and lhs.symbol.kind != "text"
    return isinstance(lhs, ast.Index) or _is_builtin(lhs)


def _is_builtin(expr: ast.Expr) -> bool:
    """Whether it calls a builtin of mtail; the texts of other functions are compared as texts."""
    return isinstance(expr, ast.Call) and expr.name in BUILTINS
