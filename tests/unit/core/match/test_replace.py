"""subst(/re/, …): what is found one match after the other and what the automaton finds are the same."""

from __future__ import annotations

import re
import time

import pytest
from engines import Machine
from hypothesis import given, settings
from hypothesis import strategies as st

LONG = 4000
"""A text of this length with matches everywhere is finished with the automaton."""


def machine(pattern: str) -> Machine:
    return Machine(f'text t\n/^((?s:.*))$/ {{\n  t = subst(/{pattern}/, "<>", $1)\n}}\n')


def replaced(pattern: str, text: bytes) -> bytes:
    running = machine(pattern)
    running.feed(text)
    result: bytes = running.value("t")
    return result


def expected(pattern: str, text: bytes) -> bytes:
    """As Go's ReplaceAllLiteral, by Python's matches; for patterns that mean the same in both."""
    shown = text.decode("utf-8", "replace")
    compiled = re.compile(pattern, re.ASCII)
    at = copied = 0
    out = []
    while at <= len(shown) and (match := compiled.search(shown, at)):
        out.append(shown[copied : match.start()])
        if match.end() > copied or match.start() == 0:
            out.append("<>")
        copied = match.end()
        at = max(match.end(), at + 1)
    return ("".join(out) + shown[copied:]).encode()


PATTERNS = [
    "a", "a|b", "ab|a", "a|ab", "a.*z|a", "a.*?z|a", "[^a]b*", "b*", "b*?", "(?:ab)+|b", "(?:a|ba)*?b",
    "^a", "a$", "a?$", r"\b", r"\B", r"\ba", r"a\b|b\B", "a{2,3}", "a{2,3}?", "(a+)(b+)", "(?:a|)+b",
    "(a(b(c)?)?)+", "z|",
    "é|a", "[é-日]+", "(?i:A)B?", r"\W", r"\w+$|\w", "(?:a*b)*c|a", "x", "(?m:^)a", r"[ab]{0,5}c?\d*", "a(?:[^z]*z)?",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("unit", [b"a", b"ab", b"aab c", "aéb日".encode(), b"abcabc a1 ", b"ba"])
def test_long_texts(pattern: str, unit: bytes) -> None:
    text = unit * (LONG // len(unit))
    assert replaced(pattern, text) == expected(pattern, text)
    assert replaced(pattern, b"x" + text + b"z") == expected(pattern, b"x" + text + b"z")


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.sampled_from([pattern for pattern in PATTERNS if "$" not in pattern and "^" not in pattern]),
    st.lists(st.sampled_from([b"a", b"b", b"c", b"z", b" ", b"1", *map(str.encode, "é日")]), max_size=12),
)
def test_random_texts(pattern: str, units: list[bytes]) -> None:
    """Behind 3,000 matches that exhaust the search."""
    text = b"ab" * 3000 + b"".join(units) * 50
    assert replaced(pattern, text) == expected(pattern, text)


def test_invalid_utf8_stays() -> None:
    text = b"a\xffb\xe6\x97a" * 1000
    assert replaced("a.*z|a", text) == text.replace(b"a", b"<>")
    assert replaced("[^a]z*", text) == text.replace(b"\xe6\x97", b"<><>").replace(b"\xff", b"<>").replace(b"b", b"<>")


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["a.*z|a", "(?:a.*z|a)Q?", r"(\w+ )*x|\w", "a(?:[a-x]*y)?", "(?:(?:a*)*b)*c|a"])
def test_linear_time(pattern: str) -> None:
    running = machine(pattern)
    running.feed(b"a")

    def seconds(size: int) -> float:
        best = 1e9
        for _ in range(3):
            start = time.thread_time()
            running.feed(b"a" * size)
            best = min(best, time.thread_time() - start)
        return best

    short, long = seconds(60_000), seconds(960_000)
    assert long < 16 * 1.5 * short
    assert running.faults() == []


def test_too_large_an_automaton_ends_in_a_fault() -> None:
    running = machine("a{900}.*z{900}|a")
    running.feed(b"a" * 2000)
    assert running.value("t") == b"<>" * 2000
    running.feed(b"a" * 200_000)
    assert running.faults() == ["out of memory: a limit on texts, series or the whole process is reached"]
