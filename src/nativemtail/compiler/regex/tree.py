"""The syntax tree of a pattern, walks over it, and its printed form.

Trees are walked without recursion, as they may be as deep as Go allows.  `simplify` shares nodes, so a tree is really a
directed acyclic graph, whose unfolded size may be large.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from nativemtail.compiler.regex import ucd
from nativemtail.compiler.regex.ucd import Ranges

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")

FOLD, MULTILINE, DOTALL, LAZY = 1, 2, 4, 8
"""Modes that a pattern turns on and off (`(?imsU)`), as bits."""


class Node:
    """Part of a pattern; `str()` is Go's printed form."""

    __slots__ = ()

    def __str__(self) -> str:
        return to_string(self)


class NoMatch(Node):
    __slots__ = ()


class Empty(Node):
    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Literal(Node):
    """One or more characters; if `fold`, case is ignored, and each is the least of the equivalent characters.

    `modes` are those in force there; single characters with different modes are not merged.
    """

    runes: str
    fold: bool
    modes: int = 0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Class(Node):
    """One character of a set, which may be empty."""

    ranges: Ranges


class AnyNotNL(Node):
    __slots__ = ()


class Any(Node):
    __slots__ = ()


class BeginLine(Node):
    __slots__ = ()


class EndLine(Node):
    __slots__ = ()


class BeginText(Node):
    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EndText(Node):
    """The end of the text; `dollar` when written `$`."""

    dollar: bool


class WordBoundary(Node):
    __slots__ = ()


class NoWordBoundary(Node):
    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Capture(Node):
    index: int
    name: str | None
    sub: Node


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Star(Node):
    sub: Node
    greedy: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plus(Node):
    sub: Node
    greedy: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Quest(Node):
    sub: Node
    greedy: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Repeat(Node):
    """Between `min` and `max` times; `max` None means any number.  `simplify` expands it."""

    sub: Node
    min: int
    max: int | None
    greedy: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Concat(Node):
    subs: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Alternate(Node):
    subs: tuple[Node, ...]


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, (Concat, Alternate)):
        return node.subs
    if isinstance(node, (Capture, Star, Plus, Quest, Repeat)):
        return (node.sub,)
    return ()


@lru_cache(maxsize=64)  # the analyses of a pattern run one after another
def postorder(root: Node, parts: Callable[[Node], tuple[Node, ...]] = children) -> tuple[Node, ...]:
    """Every distinct node of the tree, children before parents, leftmost first; `parts` gives what is below a node."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            below = parts(node)
            if below:
                stack.append((node, True))
                stack.extend((sub, False) for sub in reversed(below))
            else:
                order.append(node)
    return tuple(order)


def on_heap(
    task: Generator[_Request, _Answer, _Answer], begin: Callable[[_Request], Generator[_Request, _Answer, _Answer]]
) -> _Answer:
    """Run `task` and return its result; whatever it yields is computed by a task from `begin`: stackless recursion."""
    tasks = [task]
    answer: _Answer | None = None
    while tasks:
        try:
            request = next(tasks[-1]) if answer is None else tasks[-1].send(answer)
        except StopIteration as done:
            tasks.pop()
            answer = done.value
        else:
            tasks.append(begin(request))
            answer = None
    assert answer is not None
    return answer


def group_names(node: Node) -> list[str | None]:
    """The names of groups 1, 2, …; None for those without one.

    Groups under `{0}` are gone after `simplify`, and with them their numbers if they are the last.
    """
    names: dict[int, str | None] = {}
    for part in postorder(node):
        if isinstance(part, Capture):
            names[part.index] = part.name
    return [names.get(index) for index in range(1, max(names, default=0) + 1)]


def is_char(node: Node) -> bool:
    """Whether every match of the node is one character."""
    return isinstance(node, (Class, AnyNotNL, Any)) or (isinstance(node, Literal) and len(node.runes) == 1)


def char_ranges(node: Node) -> Ranges:
    """The set that a node for one character matches."""
    if isinstance(node, Class):
        return node.ranges
    if isinstance(node, Literal):
        rune = ord(node.runes)
        return ucd.union((other, other) for other in ucd.orbit(rune)) if node.fold else ((rune, rune),)
    return ucd.EVERYTHING if isinstance(node, Any) else ucd.ALL_BUT_NEWLINE


# --- printing ------------------------------------------------------------------------------------------------

CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
"""Letters of escape sequences."""

_META = frozenset(r"\.+*?()|[]{}^$")
_ESCAPES = {char: "\\" + letter for letter, char in CONTROLS.items()}
_FIXED: dict[type[Node], str] = {
    NoMatch: r"[^\x00-\x{10FFFF}]",
    Empty: "(?:)",
    AnyNotNL: "(?-s:.)",
    Any: "(?s:.)",
    BeginLine: "(?m:^)",
    EndLine: "(?m:$)",
    BeginText: r"\A",
    WordBoundary: r"\b",
    NoWordBoundary: r"\B",
}


def to_string(root: Node) -> str:
    """The printed form of Go's Regexp.String (before Go 1.22, which groups flags otherwise)."""
    out: list[str] = []
    stack: list[Node | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            out.append(item)
        else:
            stack.extend(reversed(_printed(item)))
    return "".join(out)


def _printed(node: Node) -> list[Node | str]:
    """The node's text, with its parts in place."""
    if isinstance(node, Literal):
        text = "".join(_escape(rune) for rune in node.runes)
        return [f"(?i:{text})" if node.fold else text]
    if isinstance(node, Class):
        return [_print_class(node.ranges)]
    if isinstance(node, EndText):
        return ["(?-m:$)" if node.dollar else r"\z"]
    if isinstance(node, Capture):
        inner: list[Node | str] = [] if isinstance(node.sub, Empty) else [node.sub]
        return [f"(?P<{node.name}>" if node.name else "(", *inner, ")"]
    if isinstance(node, (Star, Plus, Quest, Repeat)):
        return _print_repetition(node)
    if isinstance(node, Concat):
        return [part for sub in node.subs for part in _grouped(sub, isinstance(sub, Alternate))]
    if isinstance(node, Alternate):
        return [part for i, sub in enumerate(node.subs) for part in ((sub,) if i == 0 else ("|", sub))]
    return [_FIXED[type(node)]]


def _grouped(node: Node, needed: bool) -> list[Node | str]:
    return ["(?:", node, ")"] if needed else [node]


def _print_repetition(node: Star | Plus | Quest | Repeat) -> list[Node | str]:
    sub = node.sub
    compound = isinstance(sub, (Star, Plus, Quest, Repeat, Concat, Alternate)) or (
        isinstance(sub, Literal) and len(sub.runes) > 1
    )
    return [*_grouped(sub, compound), operator(node)]


def operator(node: Star | Plus | Quest | Repeat) -> str:
    """The repetition operator, which is the same in all dialects."""
    if isinstance(node, Repeat):
        most = "" if node.max is None else str(node.max)
        text = f"{{{node.min}}}" if node.min == node.max else f"{{{node.min},{most}}}"
    else:
        text = "*" if isinstance(node, Star) else "+" if isinstance(node, Plus) else "?"
    return text if node.greedy else text + "?"


def _print_class(ranges: Ranges) -> str:
    if not ranges:
        return _FIXED[NoMatch]
    sign = ""
    if len(ranges) > 1 and ranges[0][0] == 0 and ranges[-1][1] == ucd.MAX_RUNE:
        sign, ranges = "^", ucd.complement(ranges)
    parts = []
    for low, high in ranges:
        parts.append(_escape(chr(low), "-"))
        if low != high:
            parts.append("-" + _escape(chr(high), "-"))
    return f"[{sign}{''.join(parts)}]"


def _escape(rune: str, also: str = "") -> str:
    if rune.isprintable():
        return "\\" + rune if rune in _META or rune == also else rune
    if rune in _ESCAPES:
        return _ESCAPES[rune]
    return f"\\x{ord(rune):02x}" if ord(rune) < 0x100 else f"\\x{{{ord(rune):x}}}"
