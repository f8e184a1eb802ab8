"""The bounds of histograms that are declared by a rule: `linear(…)` and `exponential(…)` (beyond README §8)."""

from __future__ import annotations

from fractions import Fraction

SPACINGS = {"linear": ("a start, a width above 0", 0), "exponential": ("a start above 0, a factor above 1", 1)}
"""Word to what it takes, and what its second argument must exceed."""

MOST = 1000
_DIGITS = 100
_EXPONENT = 400
"""A number with more digits, or a larger exponent, counts as the float that it is: exactly it may take gigabytes."""


def exact(text: str) -> Fraction:
    """The decimal that a number literal writes."""
    _, _, exponent = text.lower().partition("e")
    if len(text) > _DIGITS or abs(int(exponent or "0")) > _EXPONENT:
        return Fraction(float(text))
    return Fraction(text)


def spaced(word: str, start: Fraction, step: Fraction, count: Fraction) -> list[float]:
    """The bounds, worked out exactly and rounded once.  Raises ValueError with the message for wrong numbers."""
    takes, least = SPACINGS[word]
    if step <= least or not 2 <= count <= MOST or (word == "exponential" and start <= 0):
        raise ValueError(f"{word}() takes {takes} and a count from 2 to {MOST}.")
    if word == "linear":
        return [_rounded(*(start + at * step).as_integer_ratio()) for at in range(int(count))]
    above, below = start.as_integer_ratio()
    bounds = []
    for _ in range(int(count)):
        bounds.append(_rounded(above, below))
        above *= step.numerator  # not as fractions, which would be reduced each time
        below *= step.denominator
    return bounds


def _rounded(above: int, below: int) -> float:
    try:
        return above / below
    except OverflowError:
        return float("inf")
