"""Constant folding (spec language.md §5.6)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.compiler import ast, parser
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.fold import fold


def folded(expression: str) -> ast.Expr:
    root = fold("p", parser.parse("p", f"x = {expression}\n".encode()))
    stmt = root.stmts[0]
    assert isinstance(stmt, ast.ExprStmt)
    assert isinstance(stmt.expr, ast.Binary)
    return stmt.expr.rhs


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("2 * 3 ** 2", 36),
        ("2 ** -1", 0),
        ("10 ** 30", -(1 << 63)),
        ("9223372036854775807 + 1", -(1 << 63)),
        ("-9223372036854775808 / -1", -(1 << 63)),
        ("1 + 1.5", 2.5),
        ("7 % 2.5", 2.0),
        ("7 / 2.0", 3.5),
        ("0.0 ** -1", math.inf),
        ("2.0 ** 5000", math.inf),
    ],
)
def test_value(expression: str, value: float) -> None:
    literal = folded(expression)
    assert isinstance(literal, (ast.IntLit, ast.FloatLit))
    assert literal.value == value
    assert type(literal.value) is type(value)


def test_position_spans_the_operands() -> None:
    assert str(folded("1 + (2 * 3)").pos) == "p:1:5-14"


@pytest.mark.parametrize("expression", ["x + 1", "1 + x + 2", "1 < 2", "1 & 2", '"a" + 1'])
def test_others_stay(expression: str) -> None:
    assert isinstance(folded(expression), ast.Binary)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1 / 0 + (2 % 0)\nx = 1.0 / 0\n", [
            "1:5-9: divide by zero", "1:14-18: mod by zero", "2:5-11: divide by zero"]),
        ("1 == 1 {\n x[1 % 0.0] = len(1 / 0)\n} else {\n del x[2 / 0]\n}", [
            "2:4-10: mod by zero", "2:19-23: divide by zero"]),
    ],
)  # fmt: skip
def test_zero(source: str, expected: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        fold("p", parser.parse("p", source.encode()))
    assert str(caught.value).splitlines() == [f"p:{line}" for line in expected]


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1).filter(bool))
def test_quotient_and_remainder_belong_together(a: int, b: int) -> None:
    quotient, remainder = folded(f"{a} / {b}"), folded(f"{a} % {b}")
    assert isinstance(quotient, ast.IntLit)
    assert isinstance(remainder, ast.IntLit)
    assert (quotient.value * b + remainder.value - a) % (1 << 64) == 0
    assert abs(remainder.value) < abs(b)


@pytest.mark.slow
def test_deep_trees_fold() -> None:
    literal = folded("+".join(["1"] * 50_000))
    assert isinstance(literal, ast.IntLit)
    assert literal.value == 50_000
