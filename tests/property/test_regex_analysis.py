"""What dialects, analysis and required literals say of random patterns, held against matching itself.

The oracle is Python's `re`, on patterns that mean the same there as in Go.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nativemtail.compiler.prefilter.literals import RequiredLiteral, required_literals
from nativemtail.compiler.regex import analysis
from nativemtail.compiler.regex.dialects import to_pcre2
from nativemtail.compiler.regex.parser import parse
from nativemtail.compiler.regex.tree import Node

ATOMS = [
    "a",
    "b",
    "ab",
    "ks",
    "zeb",
    "1",
    r"\.",
    " ",
    r"\d",
    r"\w",
    "[ab]",
    "[^a]",
    "[1-3]",
    ".",
    r"\b",
    "^",
    "(?i:ks)",
    "()",
]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{2,}", "{0,2}?"]

Patterns = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        inner.map(lambda part: f"({part})"),
        st.tuples(inner, st.sampled_from(REPEATS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)
Lines = st.text(alphabet="aabbkKsSzeb123. x", max_size=12)


SAMPLES = [
    ("a", "a"), ("zeb", "zeb"), ("ks", "ks"), (r"\.", "."), (r"\d", "7"), (r"\w", "q"), ("[^a]", "~"), ("[1-3]", "2"),
    (".", "#"), ("(?i:ks)", "kS"), ("(?i:Zeb)", "zEB"), ("(x)", "x"), (r"\b", ""), ("=q", "=q"), ("[ab]z", "bz"),
]  # fmt: skip
COUNTS = [
    ("*", 0),
    ("*", 2),
    ("+", 1),
    ("+", 3),
    ("?", 0),
    ("?", 1),
    ("{2}", 2),
    ("{1,3}", 2),
    ("{2,}", 4),
    ("{0,2}?", 1),
]

Matches = st.recursive(
    st.sampled_from(SAMPLES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(
            lambda parts: ("".join(pattern for pattern, _ in parts), "".join(text for _, text in parts))
        ),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda parts: (f"(?:{'|'.join(pattern for pattern, _ in parts)})", parts[-1][1])
        ),
        st.tuples(inner, st.sampled_from(COUNTS)).map(
            lambda pair: (f"(?:{pair[0][0]}){pair[1][0]}", pair[0][1] * pair[1][1])
        ),
    ),
    max_leaves=8,
)
"""A pattern, and a text that it should match."""


def search(pattern: str, line: str) -> re.Match[str] | None:
    return re.search(pattern, line, re.ASCII)


def contains(line: bytes, literal: RequiredLiteral) -> bool:
    pattern = literal.text if literal.regex else re.escape(literal.text)
    return re.search(pattern, line, re.IGNORECASE if literal.caseless else 0) is not None


@given(Patterns, Lines)
def test_pcre2_form_means_the_same(pattern: str, line: str) -> None:
    tree = parse(pattern.encode())
    assume(analysis.same_in_pcre2(tree))
    written = to_pcre2(tree, False).decode().removeprefix("(*NO_START_OPT)").replace(r"\z", r"\Z")
    expected, found = search(pattern, line), search(written, line)
    assert (found and (found.span(), found.groups())) == (expected and (expected.span(), expected.groups()))


@settings(max_examples=300)
@given(Lines, Matches, Lines)
def test_every_match_contains_a_factor(before: str, match: tuple[str, str], after: str) -> None:
    pattern, text = match
    line = before + text + after
    found = required_literals(parse(pattern.encode()))
    if found is not None and search(pattern, line):
        assert any(contains(line.encode(), literal) for literal in found)


@given(Patterns, Lines)
def test_facts_hold(pattern: str, line: str) -> None:
    tree = parse(pattern.encode())
    match = search(pattern, line)
    if match is None:
        assert not analysis.always_matches(tree)
        return
    assert match.end() - match.start() >= analysis.min_len(tree)
    assert match.start() == 0 or not analysis.anchored(tree)


def strings_of(tree: Node) -> frozenset[RequiredLiteral]:
    found = required_literals(tree)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(?i)kiosk", "KIO\u017f\u212a".encode()),
        ("(?i)kiosk", b"xKiOsK"),
        ("[é-ü]zebra", "üzebra".encode()),
        ("(?i)straße", "STRA\u1e9eE".encode()),
        ("(?i)σας", "ΣΑΣ".encode()),
        ("[^a]zebra", b"\xffzebra"),
        (r"[\x{FFF0}-\x{FFFF}]=zebra", b"\xe2\x82=zebra"),
        (r"\x{FFFD}+zebra", b"\xff\xfezebra"),
    ],
)
def test_literals_beyond_ascii(pattern: str, line: bytes) -> None:
    assert any(contains(line, literal) for literal in strings_of(parse(pattern.encode())))
