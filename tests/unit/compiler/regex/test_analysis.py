"""Facts about patterns; that they hold on texts is in test_properties.py."""

from __future__ import annotations

import pytest

from nativemtail.compiler.regex import analysis
from nativemtail.compiler.regex.parser import parse

SAME = [r"(a|b)*", r"(a*b)+", r"(a*)?", r"(a?){2,3}", r"^(?:\w+ )*$", r"x{0,5}"]
NOT_SAME = [r"(a*)*", r"(|a)+", r"(?:^|a)*", r"(a?){2,}", r"(\b)*", r"(?:a*|b)+?"]


@pytest.mark.parametrize(("pattern", "same"), [(p, True) for p in SAME] + [(p, False) for p in NOT_SAME])
def test_same_in_pcre2(pattern: str, same: bool) -> None:
    assert analysis.same_in_pcre2(parse(pattern.encode())) == same


@pytest.mark.parametrize(("pattern", "same"), [(r"\B", False), (r"\B|a", False), (r"\Ba", True), (r"\b*", True)])
def test_same_in_re2(pattern: str, same: bool) -> None:
    assert analysis.same_in_re2(parse(pattern.encode())) == same


@pytest.mark.parametrize(
    ("pattern", "optimizable"),
    [
        (r"(a|)b*a", False),
        (r"(a|\b)b*a", False),
        (r"(foo|foobar)[^x]*y", False),
        (r"^(a|)b*a", True),
        (r"(a)?b*a", True),
        (r"(foo|bar)[^x]*y", True),
    ],
)
def test_start_optimizable(pattern: str, optimizable: bool) -> None:
    assert analysis.start_optimizable(parse(pattern.encode())) == optimizable


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        ("", 0), ("abc", 3), ("a|bc", 1), ("a*b+c?", 1), ("é", 2), ("€", 3), ("😀", 4), ("(?i)k", 1), ("(?i)ß", 2),
        ("[é€]", 2), (r"[\x{FFFD}]", 1), (r"\x{FFFD}a", 2), (".", 1), ("(ab){3}", 6), ("(ab){0}", 0),
        ("(a{1000}){1}", 1000),
    ],
)  # fmt: skip
def test_min_len(pattern: str, length: int) -> None:
    assert analysis.min_len(parse(pattern.encode())) == length


ANCHORED = [r"^a", r"\Aa", r"(^a|^b)", r"(?:^)+a", r"\b^a", r"(())^a", r"(^a){2}", r"^", r"(?:^|^)x"]
NOT_ANCHORED = [r"", r"a", r"a?^b", r"^a|b", r"(?m)^a", r"(?:^)?a", r"(?:^a)*", r"(^a){0,2}", r"$"]


@pytest.mark.parametrize(("pattern", "anchored"), [(p, True) for p in ANCHORED] + [(p, False) for p in NOT_ANCHORED])
def test_anchored(pattern: str, anchored: bool) -> None:
    assert analysis.anchored(parse(pattern.encode())) == anchored


ALWAYS = [
    "",
    "^",
    "$",
    ".*",
    "^.*$",
    "^(.*)$",
    "a*",
    "(?:x|)",
    "x?",
    "(.*)(.*)",
    "^a?",
    "a*$",
    r"^[^\n]*$",
    "(?m)^",
    "(?:)+",
]
NOT_ALWAYS = ["a", "^$", ".+", "^a*$", r"\b", r"\B", ".", "^.?$", "a*b", r"^[^x]*$", r".*\b"]


@pytest.mark.parametrize(("pattern", "always"), [(p, True) for p in ALWAYS] + [(p, False) for p in NOT_ALWAYS])
def test_always_matches(pattern: str, always: bool) -> None:
    assert analysis.always_matches(parse(pattern.encode())) == always


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"abc", b"abc"),
        (r"\Qa.b\E", b"a.b"),
        (r"a[b]c", b"abc"),
        (r"é", "é".encode()),
        (r"(?i)a", None),
        (r"\x{FFFD}", None),
        (r"\x{D800}", None),
        (r"", None),
        (r"(a)", None),
        (r"a|b", None),
    ],
)
def test_pure_literal(pattern: str, literal: bytes | None) -> None:
    assert analysis.pure_literal(parse(pattern.encode())) == literal


LINEAR = [
    "", "abc", r"^\S+ (\S+) (.*)$", r"foo (\d+) bar", r"\d{1,3}\.\d{1,3}", r"(\d+)", r"error: (.*)", r"^.*foo: (\d+)$",
    r"^(?P<date>\w+\s+\d+ [\d:]+)\s+(?P<host>[-\w.]+)\s+(?P<app>[^\[\s]+)\[(?P<pid>\d+)\]: ",
    r"x(?:ab)+y", r"^(?:a|bc)*d$",    r".*", r"^(.*) (.*)$", r"connected .*$",
]  # fmt: skip
NOT_LINEAR = [
    r"a*b", r".*foo", r"[a-z]+ \d", r"^(a*)*$", r"^(?:a+|b)*$", r"^(?:ab|(a).)*$", r"^(.*) (.*) x$",
    r"a.*b", r"(\S+)\[(\S+)\]",    r"^(?:a?b?)*c$", r"(?:a|b)+c", r"^(\w+\s?)*$", r"ab[^c]*c", r".{0,10}" * 50,
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "linear"), [(p, True) for p in LINEAR] + [(p, False) for p in NOT_LINEAR])
def test_linear(pattern: str, linear: bool) -> None:
    assert analysis.linear(parse(pattern.encode())) == linear
