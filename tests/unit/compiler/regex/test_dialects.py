"""What is written for each engine; what it means is in test_properties.py."""

from __future__ import annotations

import re

import pytest

from nativemtail.compiler.regex.dialects import to_pcre2, to_re2
from nativemtail.compiler.regex.parser import parse

NEVER = r"(?:(?!))"

# Pattern, PCRE2 for UTF-8, PCRE2 for ASCII (None: the same), RE2 (None: as PCRE2 for UTF-8).
WRITTEN = [
    ("", "(?:)", None, None),
    ("a.b", r"a[^\n]b", None, None),
    ("(?s).", "(?s:.)", None, None),
    (r"^a$\z", r"\Aa\z\z", None, None),
    (r"(?m)^a$", r"(?<![^\n])a(?![^\n])", None, "(?m:^)a(?m:$)"),
    (r"\ba\B", r"\ba\B", None, None),
    (r"(\B)a*", r"(\B)a*", None, r"(?s:.)*?((\B)a*)"),
    (r"\B|a", r"(*NO_START_OPT)\B|a", None, r"(?s:.)*?(\B|a)"),
    (r"\s\S", r"[\x09\n\x0c\x0d ][^\x09\n\x0c\x0d ]", None, None),
    (r"\d\D", "[0-9][^0-9]", None, None),
    ("#-é\t/", r"\#\-\xe9\x09\/", NEVER, None),
    ("(?i)abc1", "(?i:ABC1)", None, None),
    ("(?i)ask", r"(?i:A)[Ss\x{17f}][Kk\x{212a}]", "(?i:ASK)", None),
    ("(?i)é", r"[\xc9\xe9]", NEVER, None),
    ("(?i)12", "12", None, None),
    ("[é-ü]", r"[\xe9-\xfc]", NEVER, None),
    ("[aé]*", r"[a\xe9]*", "[a]*", None),
    ("[^é]", r"[^\xe9]", "(?s:.)", None),
    (r"[^\x00-\x{10FFFF}]+", f"{NEVER}+", None, r"[^\x00-\x{10FFFF}]+"),
    (r"\x{D800}", NEVER, None, r"[^\x00-\x{10FFFF}]"),
    (r"[a\x{D800}]", "[a]", None, None),
    (r"[\]\-^\\]", r"[\-\\-\^]", None, None),
    ("(a)(?P<n>b)", "(a)(b)", None, None),
    ("(?:ab)+?(?:a|b)*c{2}d{2,}?e{1,3}", "(?:ab)+?[ab]*c{2}d{2,}?e{1,3}", None, None),
    ("(?:ab|b)*(?:^)*", r"(?:ab|b)*(?:\A)*", None, None),
    ("(?:a*)*(?i:x)?", "(?:a*)*(?:(?i:X))?", None, None),
    ("ab|cd|", "(*NO_START_OPT)ab|cd|(?:)", None, "ab|cd|(?:)"),
    ("^(?:ab|cd|)", r"\A(?:ab|cd|(?:))", None, None),
    ("x(?:ab|cd)y", "x(?:ab|cd)y", None, None),
]


@pytest.mark.parametrize(("pattern", "utf", "plain", "re2"), WRITTEN)
def test_written(pattern: str, utf: str, plain: str | None, re2: str | None) -> None:
    tree = parse(pattern.encode())
    assert to_pcre2(tree, True) == utf.encode()
    assert to_pcre2(tree, False) == (utf if plain is None else plain).encode()
    assert to_re2(tree) == (utf if re2 is None else re2).encode()


@pytest.mark.parametrize(
    ("captures", "expected"), [(None, b"((a)(b))(c)*"), (2, b"((a)(?:b))(?:c)*"), (0, b"(?:(?:a)(?:b))(?:c)*")]
)
def test_captures(captures: int | None, expected: bytes) -> None:
    tree = parse(b"((?P<x>a)(b))(c)*")
    assert to_pcre2(tree, True, captures) == expected
    assert to_re2(tree, captures) == expected


def test_unicode_classes_are_ranges() -> None:
    assert to_pcre2(parse(rb"\p{Greek}"), True).startswith(rb"[\x{370}-\x{373}\x{375}-\x{377}")
    assert to_re2(parse(rb"(?i)\p{Lu}")).startswith(rb"[A-Za-z\xb5\xc0-\xd6")
    assert to_pcre2(parse(rb"\P{Greek}"), False) == b"(?s:.)"


def test_deep_patterns_are_written_without_recursion() -> None:
    tree = parse(b"(" * 499 + b"a" + b")" * 499)
    assert to_pcre2(tree, True, 0) == b"(?:" * 499 + b"a" + b")" * 499
    assert re.fullmatch(rb"\(+a\)+", to_re2(tree))
