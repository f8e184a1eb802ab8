"""The type of a capture group, inferred from the characters that its pattern can match (spec language.md §5.4)."""

from __future__ import annotations

from typing import NamedTuple

from nativemtail.compiler.regex import tree

_SIGN, _DIGIT, _FRACTION, _OTHER = 1, 2, 4, 8
_KINDS = {"+": _SIGN, "-": _SIGN, ".": _FRACTION, "e": _FRACTION, "E": _FRACTION} | dict.fromkeys("0123456789", _DIGIT)


class _Content(NamedTuple):
    """The kinds of characters that a node prints, as a set of bits, and the number of `.` among them (2 for more)."""

    kinds: int
    dots: int


_UNKNOWN = _Content(_OTHER, 0)


def group_types(node: tree.Node) -> list[str]:
    """`Int`, `Float` or `String` for groups 1, 2, … of a parsed pattern.

    Groups under `{0}` count as absent: the list ends with the last group that is there, and has `None` for others.
    The types are those of the pattern after `simplify`, but its repetitions are not expanded for that.
    """
    contents: dict[int, _Content] = {}
    types: dict[int, str] = {}
    for part in tree.postorder(node, _parts):
        contents[id(part)] = _content(part, contents)
        if isinstance(part, tree.Capture):
            types[part.index] = _group_type(_simple(part.sub), contents)
    return [types.get(index, "None") for index in range(1, max(types, default=0) + 1)]


def _parts(node: tree.Node) -> tuple[tree.Node, ...]:
    return () if isinstance(node, tree.Repeat) and node.max == 0 else tree.children(node)


def _simple(node: tree.Node) -> tree.Node:
    """`x` for `x{1}`, as `simplify` leaves it."""
    while isinstance(node, tree.Repeat) and node.min == node.max == 1:
        node = node.sub
    return node


def _content(node: tree.Node, contents: dict[int, _Content]) -> _Content:
    if isinstance(node, tree.Literal):
        return _of_text(node.runes)
    if isinstance(node, tree.Class):
        # Any range of more than twelve characters has one that cannot be part of a number.
        if any(high - low > 12 for low, high in node.ranges):
            return _UNKNOWN
        return _of_text("".join(chr(rune) for low, high in node.ranges for rune in range(low, high + 1)))
    if isinstance(node, tree.Repeat):
        if node.max == 0:
            return _UNKNOWN
        kinds, dots = contents[id(node.sub)]
        return _Content(kinds, min(2, dots * max(node.min, node.max or 1)))
    if isinstance(node, (tree.Star, tree.Plus, tree.Quest, tree.Capture, tree.Concat, tree.Alternate)):
        kinds = dots = 0
        for sub in node.subs if isinstance(node, (tree.Concat, tree.Alternate)) else (node.sub,):
            content = contents[id(sub)]
            kinds |= content.kinds
            dots += content.dots
        return _Content(kinds, min(dots, 2))
    return _UNKNOWN


def _of_text(text: str) -> _Content:
    kinds = 0
    for char in set(text):
        kinds |= _KINDS.get(char, _OTHER)
    return _Content(kinds, min(text.count("."), 2))


def _group_type(node: tree.Node, contents: dict[int, _Content]) -> str:
    if not isinstance(node, tree.Alternate):
        return _text_type(node, contents)
    types = {_text_type(_simple(sub), contents) for sub in node.subs}
    return "String" if "String" in types else "Float" if "Float" in types else "Int"


def _text_type(node: tree.Node, contents: dict[int, _Content]) -> str:
    kinds, dots = contents[id(node)]
    if kinds & _OTHER or not kinds & ~_SIGN:
        return "String"
    if not kinds & _FRACTION:
        return "String" if isinstance(node, (tree.Alternate, tree.Class)) else "Int"
    return "Float" if dots < 2 else "String"
