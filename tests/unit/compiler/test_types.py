"""Least upper bounds and unification (spec language.md §5)."""

from __future__ import annotations

import pytest

from nativemtail.compiler.types import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    PATTERN,
    STRING,
    UNDEF,
    Dimension,
    Function,
    Type,
    Variable,
    is_complete,
    lub,
    resolve,
    unify,
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (BOOL, INT, INT),
        (BOOL, FLOAT, FLOAT),
        (INT, FLOAT, FLOAT),
        (BOOL, STRING, STRING),
        (INT, STRING, STRING),
        (FLOAT, STRING, STRING),
        (STRING, PATTERN, PATTERN),
        (PATTERN, BOOL, BOOL),
        (PATTERN, INT, BOOL),
        (PATTERN, FLOAT, None),
        (NONE, INT, None),
        (NONE, NONE, NONE),
        (UNDEF, INT, INT),
    ],
)
def test_lub_is_symmetric(a: Type, b: Type, expected: Type | None) -> None:
    assert lub(a, b) is expected
    assert lub(b, a) is expected


def test_lub_of_a_variable_is_the_other() -> None:
    a, b = Variable(), Variable()
    assert lub(a, INT) is INT
    assert lub(INT, a) is INT
    assert lub(a, b) is b


def test_a_variable_is_bound_once() -> None:
    variable = Variable()
    assert unify(variable, INT)
    assert unify(variable, STRING)
    assert resolve(variable) is INT
    assert not unify(variable, NONE)


def test_variables_are_bound_together() -> None:
    a, b = Variable(), Variable()
    assert unify(a, b)
    assert unify(b, a)
    assert resolve(a) is resolve(b)
    assert unify(a, FLOAT)
    assert resolve(b) is FLOAT


def test_structures_unify_pairwise() -> None:
    key, value = Variable(), Variable()
    assert unify(Dimension((key,), value), Dimension((STRING,), INT))
    assert (resolve(key), resolve(value)) == (STRING, INT)
    assert not unify(Dimension((key,), value), Dimension((STRING, STRING), INT))
    assert unify(Function((INT,), INT), Function((FLOAT,), STRING))
    assert not unify(Function((INT,), INT), Function((NONE,), STRING))
    assert not unify(Function((), INT), Dimension((), INT))


def test_printed_forms() -> None:
    assert repr(Function((), STRING)) == "→ String"
    assert repr(Function((STRING, INT), INT)) == "String→Int→Int"
    assert repr(Dimension((STRING, INT), FLOAT)) == "String⨯Int⨯Float"
    variable = Variable()
    assert repr(variable) == f"typeVar{variable.number}"
    assert not is_complete(Dimension((variable,), INT))
    unify(variable, INT)
    assert repr(variable) == "Int"
    assert is_complete(Function((variable,), INT))
