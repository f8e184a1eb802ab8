"""Which required literals are looked for, and which patterns are tried where one is found."""

from __future__ import annotations

import re

import pytest

from nativemtail.compiler.prefilter.literals import RequiredLiteral
from nativemtail.compiler.prefilter.select import WORTHLESS, cost, hyperscan_literal, select, worthwhile

ZEBRA, GNU, FIX = (RequiredLiteral(text, cost=0.001) for text in (b"zebra", b"gnu", b"fix"))


def test_the_literals_of_the_patterns_that_are_sought() -> None:
    found = select([frozenset([ZEBRA]), frozenset([GNU, FIX]), frozenset([FIX])], {1})
    assert {spec.literal: spec.patterns for spec in found.literals} == {b"gnu": [1], b"fix": [1, 2]}
    assert found.prefiltered == {1, 2}


def test_a_pattern_of_which_one_literal_is_not_sought_is_tried_everywhere() -> None:
    found = select([frozenset([ZEBRA, GNU]), frozenset([ZEBRA])], {1})
    assert found.prefiltered == {1}
    assert [spec.patterns for spec in found.literals] == [[1]]


def test_patterns_without_literals() -> None:
    found = select([None, frozenset()], {0})
    assert found.literals == []
    assert found.prefiltered == {1}, "what matches no line need never be tried"


@pytest.mark.parametrize(
    ("literal", "expected"),
    [(RequiredLiteral(b"[0-9]:", regex=True, cost=0.1), 0.75), (RequiredLiteral(b"[0-9]z", regex=True, cost=0.1), 0.1)],
)
def test_digits_and_punctuation_are_most_often_a_time(literal: RequiredLiteral, expected: float) -> None:
    assert cost([literal]) == expected


def test_frequent_literals_are_not_worth_it() -> None:
    assert worthwhile(frozenset([RequiredLiteral(b"x", cost=WORTHLESS), ZEBRA])) is None
    assert worthwhile(frozenset([ZEBRA])) == {ZEBRA}
    assert worthwhile(None) is None


@pytest.mark.parametrize("text", [b"plain", b"a.b*[c]\\", bytes(range(256))])
def test_expressions_match_their_text_alone(text: bytes) -> None:
    assert re.fullmatch(hyperscan_literal(text), text)
    assert not re.fullmatch(hyperscan_literal(text), text[:-1] + bytes([text[-1] ^ 1]))
