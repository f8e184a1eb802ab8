"""Chains against Python's `re`, which means the same as Go on these patterns; what they decide, and what they leave."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nativemtail._core_testing import _test_onepass

from nativemtail.compiler.regex.onepass import OnePass, onepass
from nativemtail.compiler.regex.parser import parse

MOST_LOOPS = 4
"""Python's `re` backtracks, with as high a power of the line's length."""

MATCHED, NO_MATCH, UNDECIDED = 1, 0, -1

SAME_IN_GO = st.characters(max_codepoint=127, exclude_characters="\x0b\x1c\x1d\x1e\x1f")
"""Python has these for white space."""

CHARS = ["a", "b", " ", ":", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[^:]", ".", "(?i:k)", "[ac-e:1]"]
COUNTS = ["", "", "", "{0}", "*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "+?", "{17}"]
WORDS = [r"\b", "ab", "a: ", "x1", "abab", "12", "=", "0123456789abcdefghij"]
ESCAPES = [r"(?:[^:\\]|\\.)*", r"(?:\\[ab]|[a-z ])*"]

Atoms = st.one_of(
    st.tuples(st.sampled_from(CHARS), st.sampled_from(COUNTS)).map("".join),
    st.sampled_from(WORDS),
    st.sampled_from(ESCAPES),
)
Parts = st.recursive(
    Atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        inner.map(lambda part: f"({part})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({')('.join(parts)})"),
        inner.map(lambda part: f"(?:{part})?"),
        st.lists(st.one_of(inner, st.just("")), min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        inner.map(lambda part: f"(?:{part}){{2}}"),
    ),
    max_leaves=6,
)
Patterns = st.tuples(
    st.sampled_from(["^", "^", "a", ": ", "ab", "(a)"]), st.lists(Parts, max_size=5).map("".join), st.sampled_from("$ ")
).map(lambda parts: "".join(parts).rstrip(" "))
Lines = st.one_of(
    st.text("aab: 1\\", max_size=14),
    st.lists(st.sampled_from([*WORDS[1:], "a", "b", ":", " ", "\\:", "kK", "7"]), max_size=24).map("".join),
)


def matched(found: OnePass, line: str, groups: int, behind: bytes = b"") -> tuple[int, list[tuple[int, int] | None]]:
    text = line.encode()
    rc, pairs = _test_onepass(found, text + behind, groups + 1, len(text))
    return rc, pairs


def loops(pattern: str) -> int:
    """At most so many are open one after the other; what is written once may be repeated."""
    return int(sum(map(pattern.count, "*+,")) * 2 ** pattern.count("){2}"))


@pytest.mark.slow
@settings(max_examples=1000)
@given(Patterns, st.lists(Lines, min_size=1, max_size=6), st.sampled_from([b"", b"aab: " * 12]), st.data())
def test_what_a_chain_decides_is_so(pattern: str, lines: list[str], behind: bytes, data: st.DataObject) -> None:
    compiled = re.compile(pattern)
    found = onepass(parse(pattern.encode()), compiled.groups)
    if found is None or loops(pattern) > MOST_LOOPS:
        return
    matching = data.draw(st.from_regex(compiled, alphabet=SAME_IN_GO))
    for line in (*lines, matching.strip("\n"), matching.strip("\n")[:-1]):
        expected = compiled.search(line)
        rc, pairs = matched(found, line, compiled.groups, behind)
        assert rc == UNDECIDED or rc == (expected is not None), line
        if rc == MATCHED and expected:
            spans = [expected.span(group) for group in range(compiled.groups + 1)]
            assert pairs == [None if span == (-1, -1) else span for span in spans], line


COMMON_LINE = (
    '10.2.3.4 - anna [02/Mar/2026:08:00:00 +0000] "GET /a/b.html HTTP/1.1" 200 5432 "https://x.example/" "curl/8"'
)
COMMON = r'^(\S+) \S+ (\S+) \[([^\]]+)\] "([A-Z]+) (\S+) (\S+)" (\d{3}) (\d+) "[^"]*" "([^"]*)"$'


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (COMMON, COMMON_LINE),
        (COMMON, COMMON_LINE[:-1]),
        (COMMON, COMMON_LINE.replace(" HTTP/1.1", "")),
        (r"^([A-Z][a-z]{2} [ 0-9]\d \d{2}:\d{2}:\d{2}) (\S+) ", "Mar  2 08:00:00 web1 x"),
        (r"^([A-Z][a-z]{2} [ 0-9]\d \d{2}:\d{2}:\d{2}) (\S+) ", "Mar  2 08:0:00 web1 x"),
        (r'"path":"((?:[^"\\]|\\.)*)",', '{"path":"a\\"b\\\\","x":1}'),
        (r'"path":"((?:[^"\\]|\\.)*)",', '{"path":"a\\"b\\","x":1'),
        (r" sshd(?:\[(\d+)\])?: ", "web1 sshd[12]: x"),
        (r" sshd(?:\[(\d+)\])?: ", "web1 sshd: x"),
        (r" sshd(?:\[(\d+)\])?: ", "web1 sshd[x]: x"),
        (r": (up|down|unknown) ", "eth0: up eth1: down "),
        (
            r": to=<[^>]*>,.* delay=(\d+\.?\d*),.* status=([a-z]+) ",
            ": to=<x>, a delay=1, delay=2.5, b status=sent (ok)",
        ),
        (r" ([a-z]+[a-z0-9]*): ", "web12 kernel eth0 lo0: x"),
        (r"Views: (\d+\.\d+)ms", "Views: 12ms, Views: 12.5ms"),
        (r"^(.*) took (\d+)$", "it took 5 but then took 17"),
        (r"^(.*?): (.*)$", "error: something: else"),
        (r"^(\w+)=(a|b|)$", "x="),
        (r": DHCP([A-Z]+) .*\bvia (\w+)", ": DHCPACK on x to y via eth0"),
        (r"\bvia (\w+)", "trivia a via b"),
        (r"^took (\d+)(ms) ", "took 17ms x"),
        (r"^a{0}(b{0})$", ""),
    ],
)
def test_common_patterns_are_decided(pattern: str, line: str) -> None:
    compiled = re.compile(pattern)
    found = onepass(parse(pattern.encode()), compiled.groups)
    assert found is not None
    expected = compiled.search(line)
    rc, pairs = matched(found, line, compiled.groups)
    if expected is None:
        assert rc == NO_MATCH
    else:
        assert rc == MATCHED
        assert pairs == [
            None if expected.start(group) < 0 else expected.span(group) for group in range(compiled.groups + 1)
        ]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"^(?:a|ab)c", "abc"),
        (r"^(?:a{17}b|[ab]{19})x", 17 * "a" + "bax"),
        (r"^.*?a:\d", "a:b a:1"),
        (r"^.* took (\d+)s$", "a took 5s, b took x"),
        (r"a[^b]*x\d", "a b" * 17 + "a x1"),
    ],
)
def test_what_another_choice_could_match_is_left_open(pattern: str, line: str) -> None:
    found = onepass(parse(pattern.encode()), 0)
    assert found is not None
    assert matched(found, line, 0)[0] == UNDECIDED


@pytest.mark.parametrize(
    "pattern",
    ["a|b", "x+y", "(a)*b", "^(?:ab)+", "", "$", "a^b", "é", "^.*(?i:error|bad)", r"^\w+\d+:", "(?:a|b)c"],
)
def test_other_patterns_are_no_chains(pattern: str) -> None:
    assert onepass(parse(pattern.encode()), 0) is None


def test_groups_that_nobody_reads_are_not_kept() -> None:
    found = onepass(parse(rb"^(a)(b)"), 1)
    assert found is not None
    assert matched(found, "ab", 1) == (MATCHED, [(0, 2), (0, 1)])


def test_a_long_line_takes_linear_time() -> None:
    found = onepass(parse(rb": [^;]*,.* x=\d+;"), -1)
    assert found is not None
    assert matched(found, ": " * 500_000, -1)[0] == UNDECIDED
