"""Scopes: where lookup goes and what it costs (spec language.md §4.2, §4.5)."""

from __future__ import annotations

import pytest

from nativemtail.compiler import symbols
from nativemtail.compiler.ast import NOWHERE
from nativemtail.compiler.symbols import Kind, Scope, Symbol, TooComplex


def declare(scope: Scope, name: str, kind: Kind = Kind.VAR) -> Symbol:
    symbol = Symbol(kind, name, NOWHERE)
    assert scope.insert(symbol) is None
    return symbol


def test_the_first_of_a_name_stays() -> None:
    scope = Scope()
    first = declare(scope, "x")
    assert scope.insert(Symbol(Kind.DECO, "x", NOWHERE)) is first
    assert scope.lookup("x", Kind.DECO) is None
    assert scope.lookup("x", Kind.VAR) is first
    assert first.usage.seen


def test_lookup_passes_other_kinds() -> None:
    outer = Scope()
    metric = declare(outer, "x")
    inner = Scope(outer)
    constant = declare(inner, "x", Kind.CONST)
    assert inner.lookup("x", Kind.VAR) is metric
    assert inner.lookup("x", Kind.CONST) is constant
    assert outer.lookup("x", Kind.CONST) is None


def test_groups_have_names_of_their_own() -> None:
    scope = Scope()
    metric, group = declare(scope, "x"), declare(scope, "x", Kind.GROUP)
    assert scope.lookup("x", Kind.VAR) is metric
    assert scope.lookup("x", Kind.GROUP) is group


def test_a_decorators_scope_comes_before_the_place_of_use() -> None:
    root = Scope()
    in_root = declare(root, "r")
    at_next = Scope(Scope(root))
    in_decorator, shadow = declare(at_next, "d"), declare(at_next, "s")
    place = Scope(root)
    at_place = declare(place, "p")
    declare(place, "s")
    body = Scope(place, at_next)
    found = [body.lookup(name, Kind.VAR) for name in "rdsp"]
    assert found == [in_root, in_decorator, shadow, at_place]


def test_lookups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "FREE_STEPS", 0)
    monkeypatch.setattr(symbols, "MAX_STEPS", 10)
    scope = Scope(Scope())
    for _ in range(5):
        scope.lookup("x", Kind.VAR)
    with pytest.raises(TooComplex):
        scope.lookup("x", Kind.VAR)
