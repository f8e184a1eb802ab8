"""What the first byte of a text says about a pattern that is anchored there.

So that the pattern of a `record` statement need not be tried on most lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from nativemtail.compiler.regex import tree

_ALL = (1 << 256) - 1
_NOT_ASCII = _ALL ^ (1 << 128) - 1


class Verdict(IntEnum):
    NO = 0
    PERHAPS = 1
    YES = 2


def verdicts(node: tree.Node) -> bytes | None:
    """For each byte whether the pattern matches a text that begins with it; None if that decides nothing.

    A text that is empty does not match.
    """
    parts = node.subs if isinstance(node, tree.Concat) else [node]
    if len(parts) < 2 or not isinstance(parts[0], tree.BeginText):
        return None
    first = _first(parts[1:])
    if first is None or first == _ALL:
        return None
    sure = 0 if first & _NOT_ASCII or len(parts) > 2 or not _is_one(parts[1]) else first
    return bytes((first >> byte & 1) + (sure >> byte & 1) for byte in range(256))


def _first(parts: Sequence[tree.Node]) -> int | None:
    """The bytes that matches of the parts in turn begin with, bit by bit; None if that is not known."""
    union = 0
    for part in parts:
        found, is_optional = _of(part)
        if found is None:
            return None
        union |= found
        if not is_optional:
            return union
    return None


def _of(part: tree.Node) -> tuple[int | None, bool]:
    """The bytes that matches of the part begin with, and whether it may match nothing."""
    if isinstance(part, tree.Literal):
        part = tree.Literal(part.runes[0], part.fold)
    if isinstance(part, (tree.Literal, tree.Class, tree.AnyNotNL, tree.Any)):
        return _bytes(part), False
    if isinstance(part, tree.Capture):
        return _of(part.sub)
    if isinstance(part, (tree.Star, tree.Quest, tree.Plus, tree.Repeat)):
        if isinstance(part, tree.Repeat) and part.max == 0:
            return None, True
        found, is_optional = _of(part.sub)
        is_optional |= isinstance(part, (tree.Star, tree.Quest)) or (isinstance(part, tree.Repeat) and part.min == 0)
        return found, is_optional
    if isinstance(part, tree.Concat):
        return _first(part.subs), False
    if isinstance(part, tree.Alternate):
        return _any_of([_of(sub) for sub in part.subs])
    return None, True


def _any_of(branches: list[tuple[int | None, bool]]) -> tuple[int | None, bool]:
    union = 0
    for found, is_optional in branches:
        if found is None or is_optional:
            return None, True
        union |= found
    return union, False


def _bytes(part: tree.Node) -> int:
    found = 0
    for low, high in tree.char_ranges(part):
        if low < 0x80:
            found |= (1 << min(high, 0x7F) + 1) - (1 << low)
        if high >= 0x80:
            found |= _NOT_ASCII
    return found


def _is_one(part: tree.Node) -> bool:
    """Whether the part matches as soon as one character does."""
    if isinstance(part, tree.Capture):
        return _is_one(part.sub)
    return tree.is_char(part) or (isinstance(part, tree.Plus) and tree.is_char(part.sub))
