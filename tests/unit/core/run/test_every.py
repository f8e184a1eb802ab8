"""`every /…/` on long lines: what is found one match after the other and what the automaton finds are the same."""

from __future__ import annotations

import re
import time

import pytest
from engines import Machine

MANY = 6000
"""Matches after which the automaton has taken over, whatever the pattern."""
PATTERNS = [
    "(?P<k>a).*z|a",
    "a(?P<k>.)?",
    r"(?P<k>\w)\b|(a)",
    "(?P<k>é)?",
    r"\b(?P<k>\w)",
    "^(?P<k>a)|b$|.",
    "(?:(?P<k>a)|b)c?",
    r"(?P<k>[ab]{2})$|a|b|(\w{5})\b",
]
TEXTS = ["ab" * MANY, "aé b" * MANY, "a\udcffb\udce6\udc97a" * MANY, "ab" * MANY + "zbc" + "a" * MANY]


def rounds(pattern: str, text: str, *, groups: bool) -> dict[tuple[str, ...], int]:
    keys, labels = ("m, k", "[$0][$k]") if groups else ("m", "[$0]")
    machine = Machine(f"counter c by {keys}\nevery /{pattern}/ {{\n  c{labels}++\n}}\n")
    machine.feed(text.encode("utf-8", "surrogateescape") + b"\n")
    assert machine.faults() == []
    return machine.values("c")


def expected(pattern: str, text: str, *, groups: bool) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    last = -1
    for match in re.finditer(pattern, text, re.ASCII):
        if match.start() != match.end() or match.start() != last:
            labels = (match[0], match["k"] or "") if groups else (match[0],)
            key = tuple(re.sub("[\udc80-\udcff]", "\ufffd", label) for label in labels)
            found[key] = found.get(key, 0) + 1
        last = match.end()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS, ids=["ascii", "utf", "invalid", "end"])
@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_rounds_of_long_lines(pattern: str, groups: bool, text: str) -> None:
    assert rounds(pattern, text, groups=groups) == expected(pattern, text, groups=groups)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["a.*z|a", "(?:(a).*z|(a))Q?", "a([a-x]*y)?"])
def test_linear_time(pattern: str) -> None:
    running = Machine(
        f"counter c\ncounter d by k\nevery /{pattern}/ {{\n  c++\n}}\nevery /{pattern}()/ {{\n  d[$1]++\n}}\n"
    )
    running.feed(b"a\n")

    def seconds(size: int) -> float:
        best = 1e9
        for _ in range(3):
            start = time.thread_time()
            running.feed(b"a" * size + b"\n")
            best = min(best, time.thread_time() - start)
        return best

    short, long = seconds(60_000), seconds(960_000)
    assert long < 16 * 1.5 * short
    assert running.faults() == []


def test_a_text_left_early_and_the_next_one() -> None:
    machine = Machine("counter c\nevery /a.*z|a/ {\n  c++\n  c % 5000 == 0 {\n    stop\n  }\n}\n")
    for _ in range(3):
        machine.feed(b"a" * 20_000 + b"\n")
    assert machine.value("c") == 15_000


def test_too_large_an_automaton_ends_in_a_fault() -> None:
    machine = Machine("counter c\nevery /a{900}.*z{900}|a/ {\n  c++\n}\n")
    machine.feed(b"a" * 2000 + b"\n")
    assert machine.value("c") == 2000
    machine.feed(b"a" * 200_000 + b"\n")
    assert machine.faults() == ["every went through too much text for this line"]
