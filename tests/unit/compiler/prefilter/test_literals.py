"""Which required literals are chosen; that every match contains one is in test_properties.py."""

from __future__ import annotations

import pytest

from nativemtail.compiler.prefilter.literals import MAX_LITERALS, RequiredLiteral, required_literals
from nativemtail.compiler.regex.parser import parse

LONG_S = "\u017f"
KELVIN = "\u212a"


def literals(*texts: str) -> frozenset[RequiredLiteral]:
    return frozenset(RequiredLiteral(text.encode()) for text in texts)


def caseless(*texts: str) -> frozenset[RequiredLiteral]:
    return frozenset(RequiredLiteral(text.encode(), caseless=text.isascii()) for text in texts)


def regex(text: str) -> frozenset[RequiredLiteral]:
    return frozenset([RequiredLiteral(text.encode(), regex=True)])


CHOSEN = [
    ("kernel panic", literals("kernel p")),
    (r"client (\S+) disconnected", literals(" disco")),
    ("(?:GET|POST) /", literals("GET /", "POST /")),
    ("colou?r", literals("color", "colour")),
    ("20[01]x", literals("200x", "201x")),
    ("(foo|bar)+: x", literals("foo: x", "bar: x")),
    ("status=(?:404|50[03])", literals("status=404", "status=50")),
    ("(?:ab|abc)d|xabd", literals("abd", "abcd")),
    ("x{3,}yy", literals("xxxyy")),
    (r"^(?P<a>\w+) (?P<b>zebra)\b.*$", literals(" zebra")),
    ("é+ß", literals("éß")),
    ("[äö]+ß=x", literals("ß=x")),
    (r"\x{FFFD}zebra", literals("zebra")),
    ("(?i)zebra", caseless("zebra")),
    ("(?i)zebras", caseless("zebras", LONG_S)),
    ("(?i)kiosk", caseless("kiosk", KELVIN, LONG_S)),
    ("(?i)é", literals("é", "É")),
    ("[Zz]ebra", caseless("zebra")),
    (r"(\d+)ms", regex("[0-9]ms")),
    (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", regex(r"[0-9][0-9]?[0-9]?\x2e" * 3)),
    ("a\nb", frozenset()),
    ("a\nb|zebra", literals("zebra")),
    (r"[^\x00-\x{10FFFF}]", frozenset()),
    ("", None),
    (".*", None),
    (r"\d+", None),
    ("(?:zebra)*", None),
    ("zebra|", None),
    (r"^\S+ \S+$", None),
    ("e", None),
    (r"\p{Greek}", None),
]


@pytest.mark.parametrize(("pattern", "expected"), CHOSEN)
def test_chosen(pattern: str, expected: frozenset[RequiredLiteral] | None) -> None:
    assert required_literals(parse(pattern.encode())) == expected


@pytest.mark.parametrize(
    ("rarer", "commoner"), [("zebra", "error"), ("xy", "e"), ("postfix", "fix"), ("zebra", "zeb"), ("q=", ": ")]
)
def test_cost_orders_by_rarity(rarer: str, commoner: str) -> None:
    def cost(text: str) -> float:
        found = required_literals(parse(text.encode()))
        return 1.0 if found is None else sum(factor.cost for factor in found)

    assert cost(rarer) < cost(commoner)


@pytest.mark.parametrize(
    "pattern",
    [
        "|".join(f"word{i}x" for i in range(MAX_LITERALS)),
        "(?:ab|cd|ef|gh){3}(?:ab|cd|ef|gh)zebra",
        "[äöüß]{4}zebra",
    ],
)
def test_many_alternatives_stay_within_the_bound(pattern: str) -> None:
    found = required_literals(parse(pattern.encode()))
    assert found is not None
    assert 0 < len(found) <= MAX_LITERALS


@pytest.mark.parametrize(
    "pattern",
    [
        b"(|a" * 250 + b")" * 250,
        b"a?" * 500,
        b"((a{0,10}){0,10}){0,10}" * 40,
        b"(?i)" + b"ks" * 500,
        b"[ab]{1,3}" * 110,
    ],
)
def test_hostile_patterns_are_quick(pattern: bytes) -> None:
    found = required_literals(parse(pattern))
    assert found is None or len(found) <= MAX_LITERALS
