"""The patterns of one program take so much time and room, and no more."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from engines import Loaded, compile_all

from nativemtail.compiler import CompileError, budget, patterns, plan
from nativemtail.compiler.patterns import facts
from nativemtail.compiler.regex import ucd


def program(patterns: list[str]) -> str:
    return "counter c\n" + "".join(f"/{pattern}/ {{\n  c++\n}}\n" for pattern in patterns)


def planned(*texts: str) -> Loaded:
    loaded = compile_all(texts)
    plan.build(loaded)
    return loaded


HARD = r"(?:[\pL\x{3001}]?[\pN\x{3002}]?){15}q"


@pytest.fixture(autouse=True)
def _afresh() -> None:
    facts.cache_clear()


def test_reading_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 1e-9)
    with pytest.raises(
        CompileError, match=r"^p0.mtail:2:1-3: The patterns of this program take too much: 1 of them took"
    ):
        compile_all([program(["a", "b"])])


@pytest.mark.slow
def test_planning_is_bounded_at_the_pattern_that_takes_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by three seconds when the hard one is parsed, by one hundredth for the others."""
    loaded = compile_all([program(["a"]), program(["b", "c", HARD, *(f"d{number}" for number in range(300))])])
    clock = 0.0
    parse = patterns.parse

    def parse_slowly(text: bytes) -> Any:
        nonlocal clock
        clock += 3.0 if text == HARD.encode() else 0.01
        return parse(text)

    monkeypatch.setattr(patterns, "parse", parse_slowly)
    monkeypatch.setattr(patterns, "time", SimpleNamespace(thread_time=lambda: clock))
    with pytest.raises(CompileError) as caught:
        plan.build(loaded)
    assert caught.value.program == "p1.mtail"
    message = r"p1.mtail:8:1: The patterns of this program take too much: \d{3} of them took 10 seconds. "
    assert re.match(message + r"This one took longest, 6000 ms: /" + re.escape(HARD), str(caught.value))


def test_room_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = compile_all([program(["a", r"\pL+ x", "b"])])
    monkeypatch.setattr(budget, "BYTES", 1 << 14)
    with pytest.raises(
        CompileError, match=r"^p0.mtail:\d:1: The patterns of this program take too much: . of them took 0 MiB"
    ):
        plan.build(loaded)


def test_long_patterns_are_cut_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 1e-9)
    with pytest.raises(CompileError, match=r"/a{60}…/\n\tTry simpler patterns"):
        compile_all([program(["a" * 100])])


def test_each_program_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [program([rf"\pL+ {number}"]) for number in range(20)]
    loaded = compile_all(texts)
    assert all(len(spec.utf_form) > 5000 for spec in plan.build(loaded).patterns)
    monkeypatch.setattr(budget, "BYTES", 100_000)
    plan.build(loaded)


def test_sets_share_what_stays_as_it_is() -> None:
    letters = ucd.named("L", folded=False)
    assert letters is not None
    more = ucd.union((*letters, (0x3000, 0x3000)))
    assert sum(1 for pair in more if any(pair is other for other in letters)) > len(letters) - 3


@pytest.mark.parametrize(
    ("a", "b", "meet"),
    [
        (((1, 5),), ((5, 9),), True),
        (((1, 5),), ((6, 9),), False),
        (((1, 2), (8, 9)), ((3, 7),), False),
        (((1, 2), (8, 9)), ((3, 8),), True),
        ((), ((3, 8),), False),
        ((), (), False),
    ],
)
def test_meet(a: ucd.Ranges, b: ucd.Ranges, meet: bool) -> None:
    assert ucd.meet(a, b) == ucd.meet(b, a) == meet
    assert bool(ucd.intersection(a, b)) == meet
    assert ucd.meet(a, a) == bool(a)
