"""Selects the required literals that the prefilter searches for, and the patterns to try where one is found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nativemtail.compiler.prefilter.literals import RequiredLiteral
from nativemtail.compiler.tables import LiteralSpec

Required = frozenset[RequiredLiteral] | None
"""The required literals of a pattern; None: it is tried on every line."""


WORTHLESS = 0.5
"""A pattern whose required literals are expected on more than this fraction of lines has no prefilter."""

_NO_LETTERS = re.compile(rb"(?:\\x[0-9a-f]{2}|\[[^\]]*\]|[^A-Za-z\\])*")


def cost(required: Iterable[RequiredLiteral]) -> float:
    """The fraction of lines that is expected to have one of the literals, at most."""
    return sum(map(_cost, required))


def _cost(literal: RequiredLiteral) -> float:
    """Digits and punctuation alone: usually a time, which is on every line."""
    return max(literal.cost, 0.75) if literal.regex and _NO_LETTERS.fullmatch(literal.text) else literal.cost


def worthwhile(required: Required) -> Required:
    """The required literals, unless they are expected on too many lines."""
    return None if required is None or cost(required) > WORTHLESS else required


class Selection(NamedTuple):
    literals: list[LiteralSpec]
    """The literals to search for, each with the patterns to try where it is found."""
    prefiltered: frozenset[int]
    """Numbers of the patterns that are tried only there."""


def select(required: Sequence[Required], sought: Iterable[int]) -> Selection:
    """`required` are the literals of all patterns, `sought` the patterns whose literals must be searched for.

    Another pattern also has a prefilter if all of its literals happen to be searched for anyway.
    """
    found = frozenset[RequiredLiteral]().union(*(required[number] or () for number in sought))
    patterns: dict[RequiredLiteral, list[int]] = {}
    prefiltered = []
    for number, literals in enumerate(required):
        if literals is not None and literals <= found:
            prefiltered.append(number)
            for literal in literals:
                patterns.setdefault(literal, []).append(number)
    specs = [_spec(literal, numbers) for literal, numbers in patterns.items()]
    return Selection(specs, frozenset(prefiltered))


def _spec(literal: RequiredLiteral, patterns: list[int]) -> LiteralSpec:
    if literal.regex:
        return LiteralSpec(literal.text, literal.caseless, None, patterns)
    return LiteralSpec(hyperscan_literal(literal.text), literal.caseless, literal.text, patterns)


_PLAIN = re.compile(rb"[A-Za-z0-9_ ]")


def hyperscan_literal(text: bytes) -> bytes:
    """An expression that matches `text` and nothing else."""
    return b"".join(text[at : at + 1] if _PLAIN.match(text, at) else b"\\x%02x" % byte for at, byte in enumerate(text))
