"""A pattern as a sequence of items: runs of characters, choices, escapes, and marks at the ends of groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.ucd import ascii_bits

ANY_NUMBER = 0xFFFFFFFF
WIDTH = 16
"""Limit for the characters that one operation compares."""

_MAX_COPIES = 8
_MAX_ITEMS = 512
_MAX_NESTING = 40
_MAX_BRANCHES = 24


class Mark(NamedTuple):
    """Set the offset slot to the position."""

    slot: int


class Run(NamedTuple):
    """Between `least` and `most` characters of a set."""

    chars: int
    least: int
    most: int
    lazy: bool = False

    @property
    def exact(self) -> bool:
        return self.least == self.most


class Escaped(NamedTuple):
    """Any number of characters of a set, or of `escape` followed by one of another set."""

    chars: int
    escape: int
    escaped: int


class Choice(NamedTuple):
    """The first alternative that matches."""

    branches: list[list[Item]]


class End(NamedTuple):
    """The end of the text."""


class Word(NamedTuple):
    """The beginning or end of a word."""


Item = Mark | Run | Escaped | Choice | End | Word


class Unfit(Exception):
    """The pattern cannot be matched in one pass."""


class Reader:
    def __init__(self, captures: int) -> None:
        self._captures = captures
        self._left = _MAX_ITEMS

    def items(self, node: tree.Node, depth: int = 0) -> list[Item]:
        if depth > _MAX_NESTING:
            raise Unfit
        found = list(self._items(node, depth + 1))
        self._left -= len(found)
        if self._left < 0:
            raise Unfit
        return found

    def _items(self, node: tree.Node, depth: int) -> Iterable[Item]:
        match node:
            case tree.Literal():
                if len(node.runes) > _MAX_ITEMS:
                    raise Unfit
                return [_one(rune, node.fold) for rune in node.runes]
            case tree.Class() | tree.AnyNotNL() | tree.Any():
                return [Run(_chars(node), 1, 1)]
            case tree.Empty():
                return []
            case tree.EndText():
                return [End()]
            case tree.WordBoundary():
                return [Word()]
            case tree.Concat(subs):
                return [item for sub in subs for item in self.items(sub, depth)]
            case tree.Capture(index, _, sub):
                items = self.items(sub, depth)
                return items if index > self._captures else [Mark(2 * index), *items, Mark(2 * index + 1)]
            case tree.Star(sub, greedy):
                return [self._loop(sub, 0, greedy, depth)]
            case tree.Plus(sub, greedy):
                return [self._loop(sub, 1, greedy, depth)]
            case tree.Repeat(sub, least, most, greedy):
                return self._repeated(sub, least, most, greedy, depth)
            case tree.Quest(sub, greedy):
                return self._optional(sub, greedy, depth)
            case tree.Alternate(subs) if len(subs) <= _MAX_BRANCHES:
                return [Choice([self.items(sub, depth) for sub in subs])]
            case _:
                raise Unfit

    def _loop(self, sub: tree.Node, least: int, greedy: bool, depth: int) -> Item:
        if tree.is_char(sub):
            return Run(_chars(sub), least, ANY_NUMBER, not greedy)
        if isinstance(sub, tree.Alternate) and len(sub.subs) == 2 and not least and greedy:
            plain, pair = sorted(sub.subs, key=lambda part: isinstance(part, tree.Concat) or not tree.is_char(part))
            return self._escaped(plain, pair, depth)
        raise Unfit

    def _escaped(self, plain: tree.Node, pair: tree.Node, depth: int) -> Escaped:
        items = self.items(pair, depth)
        if isinstance(plain, tree.Plus) and plain.greedy:
            plain = plain.sub
        if not tree.is_char(plain) or len(items) != 2:
            raise Unfit
        escape, escaped = items
        if not (isinstance(escape, Run) and isinstance(escaped, Run) and escape.exact and escaped.exact):
            raise Unfit
        chars = _chars(plain)
        if escape.least != 1 or escaped.least != 1 or escape.chars & (escape.chars - 1) or escape.chars & chars:
            raise Unfit
        return Escaped(chars, escape.chars.bit_length() - 1, escaped.chars)

    def _repeated(self, sub: tree.Node, least: int, most: int | None, greedy: bool, depth: int) -> list[Item]:
        if tree.is_char(sub):
            if most == 0:
                return []
            return [Run(_chars(sub), least, ANY_NUMBER if most is None else most, not greedy and least != most)]
        if (least, most) == (0, 1):
            return self._optional(sub, greedy, depth)
        items = self.items(sub, depth)
        if least != most or least > _MAX_COPIES or any(isinstance(item, Mark) for item in walk(items)):
            raise Unfit
        return items * least

    def _optional(self, sub: tree.Node, greedy: bool, depth: int) -> list[Item]:
        if tree.is_char(sub):
            return [Run(_chars(sub), 0, 1, not greedy)]
        if not greedy:
            raise Unfit
        return [Choice([self.items(sub, depth), []])]


@lru_cache(maxsize=1024)
def _one(rune: str, fold: bool) -> Run:
    return Run(_chars(tree.Literal(rune, fold)), 1, 1)


def _chars(node: tree.Node) -> int:
    """The ASCII characters of a one-character node, as bits."""
    bits = ascii_bits(tree.char_ranges(node))
    if not bits:
        raise Unfit
    return bits


def walk(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        if isinstance(item, Choice):
            for branch in item.branches:
                yield from walk(branch)


def literal(items: Sequence[Item]) -> bytes:
    """The literal that must follow, as far as it is certain."""
    text = b""
    for item in items:
        if isinstance(item, (Mark, Word)):
            continue
        if not isinstance(item, Run) or not item.exact or item.chars & (item.chars - 1) or not item.least:
            break
        text += bytes([item.chars.bit_length() - 1]) * item.least
        if len(text) >= WIDTH:
            break
    return text[:WIDTH]


def known(items: Sequence[Item], width: int) -> tuple[int, int, list[tuple[int, int]]]:
    """How many of the next `width` characters, which are known, are covered by whole items, and by how many items.

    Also the marks among these items: slot, and characters before it.
    """
    count = 0
    marks: list[tuple[int, int]] = []
    for done, item in enumerate(items):
        if isinstance(item, Mark):
            marks.append((item.slot, count))
        elif isinstance(item, Run) and item.exact and count + item.least <= width:
            count += item.least
        else:
            return count, done, marks
    return count, len(items), marks


def leading_literal(items: Sequence[Item]) -> bytes:
    text = literal(items)
    if not text:
        raise Unfit
    return text
