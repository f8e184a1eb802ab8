"""Sets of characters: range arithmetic, case folding and the Unicode classes that a pattern can name.

A set is a tuple of inclusive ranges of code points, sorted, neither touching nor overlapping.  Tables for characters
outside ASCII are built when a pattern first needs them.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import groupby

Ranges = tuple[tuple[int, int], ...]

MAX_RUNE = 0x10FFFF
EVERYTHING: Ranges = ((0, MAX_RUNE),)
ALL_BUT_NEWLINE: Ranges = ((0, 9), (11, MAX_RUNE))

_LONG_S = 0x17F
_KELVIN = 0x212A

_CATEGORY_ALIASES = {
    "any": "Any",
    "assigned": "Assigned",
    "ascii": "ASCII",
    "other": "C",
    "control": "Cc",
    "cntrl": "Cc",
    "format": "Cf",
    "unassigned": "Cn",
    "privateuse": "Co",
    "surrogate": "Cs",
    "letter": "L",
    "casedletter": "LC",
    "lowercaseletter": "Ll",
    "modifierletter": "Lm",
    "otherletter": "Lo",
    "titlecaseletter": "Lt",
    "uppercaseletter": "Lu",
    "mark": "M",
    "combiningmark": "M",
    "spacingmark": "Mc",
    "enclosingmark": "Me",
    "nonspacingmark": "Mn",
    "number": "N",
    "decimalnumber": "Nd",
    "digit": "Nd",
    "letternumber": "Nl",
    "othernumber": "No",
    "punctuation": "P",
    "punct": "P",
    "connectorpunctuation": "Pc",
    "dashpunctuation": "Pd",
    "closepunctuation": "Pe",
    "finalpunctuation": "Pf",
    "initialpunctuation": "Pi",
    "otherpunctuation": "Po",
    "openpunctuation": "Ps",
    "symbol": "S",
    "currencysymbol": "Sc",
    "modifiersymbol": "Sk",
    "mathsymbol": "Sm",
    "othersymbol": "So",
    "separator": "Z",
    "lineseparator": "Zl",
    "paragraphseparator": "Zp",
    "spaceseparator": "Zs",
}


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """A set from ranges in any order, which may overlap."""
    merged: list[tuple[int, int]] = []
    for each in sorted(ranges):  # most are kept as the same objects
        lo, hi = each
        if merged and lo <= merged[-1][1] + 1:
            if hi > merged[-1][1]:
                merged[-1] = (merged[-1][0], hi)
        else:
            merged.append(each)
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    gaps = []
    after = 0
    for lo, hi in ranges:
        if lo > after:
            gaps.append((after, lo - 1))
        after = hi + 1
    if after <= MAX_RUNE:
        gaps.append((after, MAX_RUNE))
    return tuple(gaps)


def intersection(a: Ranges, b: Ranges) -> Ranges:
    common = []
    i = j = 0
    while i < len(a) and j < len(b):
        lo, hi = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if lo <= hi:
            common.append((lo, hi))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def meet(a: Ranges, b: Ranges) -> bool:
    """Whether they have a character in common."""
    if a is b:
        return bool(a)
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i][1] < b[j][0]:
            i += 1
        elif b[j][1] < a[i][0]:
            j += 1
        else:
            return True
    return False


@lru_cache(maxsize=1024)
def ascii_bits(ranges: Ranges) -> int:
    """The ASCII characters of the set, as bits."""
    bits = 0
    for low, high in ranges:
        if low < 0x80:
            bits |= (1 << (min(high, 0x7F) + 1)) - (1 << low)
    return bits


def contains(ranges: Ranges, rune: int) -> bool:
    i = bisect_right(ranges, (rune, MAX_RUNE)) - 1
    return i >= 0 and ranges[i][1] >= rune


# --- case folding --------------------------------------------------------------------------------------------


def orbit(rune: int) -> tuple[int, ...]:
    """All characters that are equal to `rune` when case is ignored, itself included, in ascending order."""
    if rune < 0x80:
        return _ASCII_ORBITS[rune]
    return _orbits().get(rune, (rune,))


def fold(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The set with everything that is equal to a member when case is ignored."""
    added = []
    for lo, hi in ranges:
        added.append((lo, hi))
        if hi >= 0x80:
            folding = _folding()
            runes: Iterable[int] = folding[bisect_left(folding, lo) : bisect_right(folding, hi)]
        else:
            runes = range(max(lo, 0x41), min(hi, 0x7A) + 1)
        added.extend((other, other) for rune in runes for other in orbit(rune))
    return union(added)


def _ascii_orbit(rune: int) -> tuple[int, ...]:
    char = chr(rune)
    if not char.isalpha():
        return (rune,)
    both = (ord(char.upper()), ord(char.lower()))
    return both + {"k": (_KELVIN,), "s": (_LONG_S,)}.get(char.lower(), ())


_ASCII_ORBITS = tuple(_ascii_orbit(rune) for rune in range(0x80))


def _simple_fold(rune: int) -> int:
    """Simple case folding.  Python's is the full one, which agrees where it gives a single character."""
    folded = chr(rune).casefold()
    if len(folded) == 1:
        return ord(folded)
    lower = chr(rune).lower()
    return ord(lower) if len(lower) == 1 else rune


@cache
def _orbits() -> dict[int, tuple[int, ...]]:
    by_fold: dict[int, set[int]] = {}
    for rune in range(0x20000):
        folded = _simple_fold(rune)
        if folded != rune:
            by_fold.setdefault(folded, {folded}).add(rune)
    return {rune: tuple(sorted(members)) for members in by_fold.values() for rune in members}


@cache
def _folding() -> list[int]:
    return sorted(_orbits())


# --- named classes -------------------------------------------------------------------------------------------


@cache
def named(name: str, folded: bool) -> Ranges | None:
    """The class that `\\p{name}` stands for, closed under case folding when `folded`; None when there is none.

    Names are those of general categories and scripts, compared without regard to case, blanks, `_` and `-`.
    """
    key = name.replace("_", "").replace("-", "").replace(" ", "").lower()
    ranges = _category(key)
    if ranges is None:
        ranges = _script(key)
    return fold(ranges) if folded and ranges is not None else ranges


def _category(key: str) -> Ranges | None:
    name = _CATEGORY_ALIASES.get(key, key)
    if name == "Any":
        return EVERYTHING
    if name == "ASCII":
        return ((0, 0x7F),)
    if name == "Assigned":
        return complement(_categories()["cn"])
    if name.lower() == "lc":
        return union(r for part in ("ll", "lt", "lu") for r in _categories()[part])
    if len(name) == 1:
        parts = [ranges for part, ranges in _categories().items() if part[0] == name.lower()]
        return union(r for ranges in parts for r in ranges) if parts else None
    return _categories().get(name.lower())


@cache
def _categories() -> dict[str, Ranges]:
    found: dict[str, list[tuple[int, int]]] = {}
    start = 0
    for category, run in groupby(map(unicodedata.category, map(chr, range(MAX_RUNE + 1)))):
        length = sum(1 for _ in run)
        found.setdefault(category.lower(), []).append((start, start + length - 1))
        start += length
    return {category: tuple(ranges) for category, ranges in found.items()}


def _script(key: str) -> Ranges | None:
    from nativemtail.compiler.regex.scripts import SCRIPTS

    text = next((text for name, text in SCRIPTS.items() if name.replace("_", "").lower() == key), None)
    if text is None:
        return None
    ranges = []
    end = 0
    for item in text.split():
        distance, _, more = item.partition("+")
        start = end + int(distance, 16)
        end = start + int(more or "0", 16)
        ranges.append((start, end))
    return tuple(ranges)
