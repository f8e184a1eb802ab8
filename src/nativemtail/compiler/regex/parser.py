"""Pattern text → syntax tree, with the normal forms and error texts of Go's regexp/syntax (spec language.md §8).

The normal forms matter because the types of capture groups are read off the tree (§5.4): neighbouring characters become
one literal, alternatives of single characters one class, common prefixes of alternatives are taken out.

Nothing here recurses: a tree may be as deep as Go allows, and `simplify` shares nodes, so that a tree is in truth a
directed acyclic graph whose unfolded size may be large.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from nativemtail.compiler.regex import ucd
from nativemtail.compiler.regex.memo import remembered
from nativemtail.compiler.regex.ucd import Ranges


class RegexError(Exception):
    """A pattern that Go refuses; the text is Go's."""

    def __init__(self, reason: str, excerpt: str) -> None:
        shown = excerpt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        super().__init__(f"error parsing regexp: {reason}: `{shown}`")


# --- the tree ------------------------------------------------------------------------------------------------


_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


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
    """One or more characters; when `fold`, each is the least of those that it equals without regard to case.

    `modes` is how the parser stood; two single characters that differ in it do not merge into one.
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


@lru_cache(maxsize=64)  # all that is asked of a pattern is asked at once
def postorder(root: Node, parts: Callable[[Node], tuple[Node, ...]] = children) -> tuple[Node, ...]:
    """Every distinct node of the tree, children before parents, leftmost first; `parts` says what is below a node."""
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
    task: Generator[_Asked, _Answer, _Answer], begin: Callable[[_Asked], Generator[_Asked, _Answer, _Answer]]
) -> _Answer:
    """What `task` returns; what it yields is answered by a task that `begin` makes: recursion without the stack."""
    tasks = [task]
    answer: _Answer | None = None
    while tasks:
        try:
            asked = next(tasks[-1]) if answer is None else tasks[-1].send(answer)
        except StopIteration as done:
            tasks.pop()
            answer = done.value
        else:
            tasks.append(begin(asked))
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


# --- the parser ----------------------------------------------------------------------------------------------

MAX_REPEAT = 1000
MAX_HEIGHT = 1000
MAX_SIZE = (128 << 20) // 40
"""Instructions of the compiled form, as Go counts them."""
MAX_RANGES = 1 << 21
"""Over all classes of a pattern; Go allows eight times as many."""

_UNLIMITED = 1000
"""A pattern shorter than this can't reach any of the limits on height, size and ranges."""

_FOLD, _MULTILINE, _DOTALL, _LAZY = 1, 2, 4, 8
_MODES = {"i": _FOLD, "m": _MULTILINE, "s": _DOTALL, "U": _LAZY}

_PLAIN = re.compile(r"[^\\^$.|?*+()\[{\udc80-\udcff]+")
_BRACES = re.compile(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_INVALID = re.compile("[\udc80-\udcff]")
_OCTAL = re.compile(r"\\(?:0[0-7]{0,2}|[1-7][0-7]{1,2})")
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASSERTIONS: dict[str, Callable[[], Node]] = {
    "A": BeginText,
    "b": WordBoundary,
    "B": NoWordBoundary,
    "z": lambda: EndText(dollar=False),
}


def _span(text: str) -> Ranges:
    """`09AZ` → 0-9, A-Z."""
    return tuple((ord(lo), ord(hi)) for lo, hi in zip(text[::2], text[1::2], strict=True))


_PERL = {"d": _span("09"), "s": _span("\t\n\f\r  "), "w": _span("09AZ__az")}
_POSIX = {
    "alnum": _span("09AZaz"),
    "alpha": _span("AZaz"),
    "ascii": _span("\0\x7f"),
    "blank": _span("\t\t  "),
    "cntrl": _span("\0\x1f\x7f\x7f"),
    "digit": _span("09"),
    "graph": _span("!~"),
    "lower": _span("az"),
    "print": _span(" ~"),
    "punct": _span("!/:@[`{~"),
    "space": _span("\t\r  "),
    "upper": _span("AZ"),
    "word": _span("09AZ__az"),
    "xdigit": _span("09AFaf"),
}


MOST_BYTES = 32 << 20
"""Of trees that are kept for who asks again."""


def weight(node: Node) -> int:
    """About how many bytes the tree takes."""
    parts = postorder(node)
    return 100 * len(parts) + sum(16 * len(part.ranges) for part in parts if isinstance(part, Class))


@remembered(MOST_BYTES, weight)
def parse(text: bytes) -> Node:
    """The tree of a pattern.  Raises `RegexError`."""
    return _Parser(text.decode("utf-8", "surrogateescape")).parse()


class _Group:
    """An open parenthesis: what was parsed since then, and what to return to at its end."""

    __slots__ = ("alternatives", "index", "items", "modes", "name")

    def __init__(self, modes: int, index: int = 0, name: str | None = None) -> None:
        self.modes = modes
        self.index = index
        self.name = name
        self.items: list[Node] = []
        self.alternatives: list[Node] = []


class _Parser:
    """Invalid bytes stand in `text` as the lone surrogates U+DC80 to U+DCFF, which valid UTF-8 can't give."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.modes = 0
        self.groups = 0
        self.top = _Group(0)
        self.open: list[_Group] = []
        self.repetition: int | None = None
        self.limits = _Limits(text) if len(text) >= _UNLIMITED else None

    def parse(self) -> Node:
        text, end = self.text, len(self.text)
        while self.pos < end:
            plain = _PLAIN.match(text, self.pos)
            if plain:
                self.pos = plain.end()
                self.characters(plain.group())
                self.repetition = None
                continue
            start = self.pos
            repeats = _SYNTAX.get(text[start], _Parser.invalid)(self)
            self.repetition = start if repeats else None
        if self.open:
            raise RegexError("missing closing )", text)
        return self.alternation()

    # What each special character does; the result says whether it was a repetition.

    def invalid(self) -> bool:
        raise RegexError("invalid UTF-8", self.text[self.pos :])

    def parenthesis(self) -> bool:
        if self.text.startswith("(?", self.pos):
            self.extension()
        else:
            self.pos += 1
            self.enter(capture=True)
        return False

    def extension(self) -> None:
        """`(?P<name>`, `(?<name>`, `(?flags)` and `(?flags:`."""
        text, start = self.text, self.pos
        for opening in ("(?P<", "(?<"):
            if text.startswith(opening, start) and len(text) > start + len(opening):
                self.pos = start + len(opening)
                self.named_group(start)
                return
        modes, negative, seen = self.modes, False, False
        self.pos += 2
        while self.pos < len(text):
            char = self.take()
            if char in _MODES:
                modes = modes & ~_MODES[char] if negative else modes | _MODES[char]
                seen = True
            elif char == "-" and not negative:
                negative, seen = True, False
            elif char in ":)" and (seen or not negative):
                if char == ":":
                    self.enter(capture=False)
                self.modes = modes
                return
            else:
                break
        raise RegexError("invalid or unsupported Perl syntax", text[start : self.pos])

    def named_group(self, start: int) -> None:
        end = self.text.find(">", self.pos)
        if end < 0:
            self.check_utf8(start, len(self.text))
            raise RegexError("invalid named capture", self.text[start:])
        self.check_utf8(self.pos, end)
        name = self.text[self.pos : end]
        if not _NAME.fullmatch(name):
            raise RegexError("invalid named capture", self.text[start : end + 1])
        self.pos = end + 1
        self.enter(capture=True, name=name)

    def enter(self, *, capture: bool, name: str | None = None) -> None:
        self.groups += capture
        self.open.append(self.top)
        self.top = _Group(self.modes, self.groups if capture else 0, name)

    def close(self) -> bool:
        if not self.open:
            raise RegexError("unexpected )", self.text)
        node = self.alternation()
        group = self.top
        self.top = self.open.pop()
        self.modes = group.modes
        self.push(Capture(group.index, group.name, node) if group.index else node)
        self.pos += 1
        return False

    def bar(self) -> bool:
        self.end_alternative()
        self.pos += 1
        return False

    def caret(self) -> bool:
        self.pos += 1
        self.push(BeginLine() if self.modes & _MULTILINE else BeginText())
        return False

    def dollar(self) -> bool:
        self.pos += 1
        self.push(EndLine() if self.modes & _MULTILINE else EndText(dollar=True))
        return False

    def dot(self) -> bool:
        self.pos += 1
        self.push(Any() if self.modes & _DOTALL else AnyNotNL())
        return False

    def quantifier(self) -> bool:
        start = self.pos
        self.pos += 1
        sub, greedy = self.operand(start)
        kind = {"*": Star, "+": Plus, "?": Quest}[self.text[start]]
        self.top.items[-1] = self.checked(kind(sub, greedy))
        return True

    def braces(self) -> bool:
        start = self.pos
        match = _BRACES.match(self.text, start)
        if not match:
            self.pos += 1
            self.characters("{")
            return False
        self.pos = match.end()
        low = _count(match[1])
        high = low if match[2] is None else None if match[3] is None else _count(match[3])
        if low > MAX_REPEAT or (high is not None and not low <= high <= MAX_REPEAT):
            raise RegexError("invalid repeat count", match.group())
        sub, greedy = self.operand(start)
        node = Repeat(sub, low, high, greedy)
        self.top.items[-1] = self.checked(node)
        if (low >= 2 or (high or 0) >= 2) and not _repeats_within(node, MAX_REPEAT):
            raise RegexError("invalid repeat count", self.text[start : self.pos])
        return True

    def operand(self, start: int) -> tuple[Node, bool]:
        """What the repetition operator at `start` repeats, and whether it is greedy."""
        greedy = not self.modes & _LAZY
        if self.text.startswith("?", self.pos):
            self.pos += 1
            greedy = not greedy
        if self.repetition is not None:
            raise RegexError("invalid nested repetition operator", self.text[self.repetition : self.pos])
        if not self.top.items:
            raise RegexError("missing argument to repetition operator", self.text[start : self.pos])
        return self.top.items[-1], greedy

    def backslash(self) -> bool:
        kind = self.text[self.pos + 1 : self.pos + 2]
        if kind in _ASSERTIONS:
            self.pos += 2
            self.push(_ASSERTIONS[kind]())
        elif kind == "Q":
            self.quotation()
        elif kind == "C":
            raise RegexError("invalid escape sequence", "\\C")
        else:
            ranges = self.named_set()
            if ranges is None:
                self.characters(self.escape())
            else:
                self.push(Class(ranges))
        return False

    def quotation(self) -> None:
        start = self.pos + 2
        end = self.text.find("\\E", start)
        self.pos = end + 2
        if end < 0:
            self.pos = end = len(self.text)
        self.check_utf8(start, end)
        self.characters(self.text[start:end])

    def bracket(self) -> bool:
        self.push(Class(self.char_class()))
        return False

    # Pieces of text.

    def take(self) -> str:
        char = self.text[self.pos]
        if "\udc80" <= char <= "\udcff":
            self.invalid()
        self.pos += 1
        return char

    def check_utf8(self, start: int, end: int) -> None:
        bad = _INVALID.search(self.text, start, end)
        if bad:
            raise RegexError("invalid UTF-8", self.text[bad.start() : end])

    def named_set(self) -> Ranges | None:
        """`\\d`, `\\pL`, `\\p{Greek}` and the like, or None when the text is none of them."""
        kind = self.text[self.pos + 1 : self.pos + 2]
        if kind == "p" or kind == "P":
            return self.unicode_class(kind == "P")
        ranges = _PERL.get(kind.lower())
        if ranges is None:
            return None
        self.pos += 2
        return self.signed(ranges, kind.isupper())

    def signed(self, ranges: Ranges, negative: bool) -> Ranges:
        if self.modes & _FOLD:
            ranges = ucd.fold(ranges)
        return ucd.complement(ranges) if negative else ranges

    def unicode_class(self, negative: bool) -> Ranges:
        text, start = self.text, self.pos
        self.pos += 2
        if text.startswith("{", self.pos):
            end = text.find("}", self.pos)
            if end < 0:
                self.check_utf8(start, len(text))
                raise RegexError("invalid character class range", text[start:])
            self.check_utf8(start + 3, end)
            name = text[start + 3 : end]
            self.pos = end + 1
        else:
            name = self.take() if self.pos < len(text) else ""
        if name.startswith("^"):
            negative = not negative
            name = name[1:]
        ranges = ucd.named(name, bool(self.modes & _FOLD))
        if ranges is None:
            raise RegexError("invalid character class range", text[start : self.pos])
        return ucd.complement(ranges) if negative else ranges

    def escape(self) -> str:
        """The character that an escape sequence stands for."""
        start = self.pos
        self.pos += 1
        if self.pos == len(self.text):
            raise RegexError("trailing backslash at end of expression", "")
        char = self.take()
        if char == "x":
            value = self.hexadecimal()
            if value is not None:
                return chr(value)
        elif char in _CONTROLS:
            return _CONTROLS[char]
        elif char in "01234567":
            octal = _OCTAL.match(self.text, start)
            if octal:
                self.pos = octal.end()
                return chr(int(octal.group()[1:], 8))
        elif char.isascii() and not char.isalnum():
            return char
        raise RegexError("invalid escape sequence", self.text[start : self.pos])

    def hexadecimal(self) -> int | None:
        """After `\\x`: two digits, or any number in braces; None when malformed."""
        text, end = self.text, len(self.text)
        if self.pos == end:
            return None
        if self.take() != "{":
            if self.pos < end:
                self.take()
            digits = text[self.pos - 2 : self.pos]
            return int(digits, 16) if re.fullmatch("[0-9A-Fa-f]{2}", digits) else None
        value: int | None = None
        while self.pos < end:
            char = self.take()
            if char == "}":
                return value
            if char not in "0123456789ABCDEFabcdef":
                return None
            value = (value or 0) * 16 + int(char, 16)
            if value > ucd.MAX_RUNE:
                return None
        return None

    def char_class(self) -> Ranges:
        text, start = self.text, self.pos
        self.pos += 1
        negative = text.startswith("^", self.pos)
        self.pos += negative
        first = self.pos
        named: list[tuple[int, int]] = []
        plain: list[tuple[int, int]] = []
        while not text.startswith("]", self.pos) or self.pos == first:
            ranges = self.posix_class()
            if ranges is None and text.startswith("\\", self.pos):
                ranges = self.named_set()
            if ranges is not None:
                named.extend(ranges)
                continue
            at = self.pos
            low = high = self.class_char(start)
            if text.startswith("-", self.pos) and self.pos + 1 < len(text) and text[self.pos + 1] != "]":
                self.pos += 1
                high = self.class_char(start)
                if high < low:
                    raise RegexError("invalid character class range", text[at : self.pos])
            plain.append((low, high))
        self.pos += 1
        members = ucd.union(named + plain)
        if plain and self.modes & _FOLD:
            members = ucd.fold(members)
        return ucd.complement(members) if negative else members

    def posix_class(self) -> Ranges | None:
        text, start = self.text, self.pos
        end = text.find(":]", start + 2) if text.startswith("[:", start) else -1
        if end < 0:
            return None
        name = text[start + 2 : end]
        negative = name.startswith("^")
        ranges = _POSIX.get(name[negative:])
        if ranges is None:
            raise RegexError("invalid character class range", text[start : end + 2])
        self.pos = end + 2
        return self.signed(ranges, negative)

    def class_char(self, start: int) -> int:
        if self.pos == len(self.text):
            raise RegexError("missing closing ]", self.text[start:])
        return ord(self.escape() if self.text[self.pos] == "\\" else self.take())

    # Building the tree.

    def characters(self, runes: str) -> None:
        """Literal text, its last character on its own since a repetition may follow."""
        fold = bool(self.modes & _FOLD)
        if fold:
            runes = runes.upper() if runes.isascii() else "".join(chr(ucd.orbit(ord(rune))[0]) for rune in runes)
        for part in (runes[:-1], runes[-1:]):
            if part:
                self.push(Literal(part, fold, self.modes))

    def push(self, node: Node) -> None:
        if isinstance(node, Class):
            node = _simple_class(node, self.modes)
        self.top.items.append(self.checked(node))

    def checked(self, node: Node) -> Node:
        if self.limits:
            self.limits.check(node)
        return node

    def end_alternative(self) -> None:
        """What was parsed since the last `|` becomes an alternative; single characters join the one before."""
        node = _concatenation(self.top.items)
        self.top.items = []
        alternatives = self.top.alternatives
        if alternatives and _is_char(node) and _is_char(alternatives[-1]):
            alternatives[-1] = _merged([alternatives[-1], node])
        else:
            alternatives.append(self.checked(node))

    def alternation(self) -> Node:
        self.end_alternative()
        alternatives = [_named_any(node) for node in self.top.alternatives]
        node = alternatives[0] if len(alternatives) == 1 else on_heap(_alternation(alternatives), _alternation)
        if isinstance(node, Class):
            node = _simple_class(node, self.modes)
        return self.checked(node)


_SYNTAX: dict[str, Callable[[_Parser], bool]] = {
    "(": _Parser.parenthesis,
    ")": _Parser.close,
    "|": _Parser.bar,
    "^": _Parser.caret,
    "$": _Parser.dollar,
    ".": _Parser.dot,
    "[": _Parser.bracket,
    "*": _Parser.quantifier,
    "+": _Parser.quantifier,
    "?": _Parser.quantifier,
    "{": _Parser.braces,
    "\\": _Parser.backslash,
}


def _count(digits: str) -> int:
    return int(digits) if len(digits) <= 4 else MAX_REPEAT + 1


def _repeats_within(root: Node, limit: int) -> bool:
    """Whether nested counted repetitions make at most `limit` copies of anything."""
    stack = [(root, limit)]
    while stack:
        node, allowed = stack.pop()
        if isinstance(node, Repeat):
            copies = node.min if node.max is None else node.max
            if node.max == 0:
                continue
            if copies > allowed:
                return False
            allowed //= max(copies, 1)
        stack.extend((sub, allowed) for sub in children(node))
    return True


class _Limits:
    """The height of the tree, its size once compiled, and the ranges in its classes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ranges = 0
        self.known: dict[int, tuple[Node, int, int]] = {}

    def check(self, root: Node) -> None:
        """Measure a new node.  Raises `RegexError`."""
        stack = [root]
        while stack:
            node = stack[-1]
            below = children(node)
            unknown = [sub for sub in below if id(sub) not in self.known]
            if unknown and id(node) not in self.known:
                stack.extend(unknown)
                continue
            stack.pop()
            if id(node) in self.known:
                continue
            measured = [self.known[id(sub)] for sub in below]
            height = 1 + max((height for _, height, _ in measured), default=0)
            size = _size(node, [size for _, _, size in measured])
            self.known[id(node)] = (node, height, size)
            if isinstance(node, Class):
                self.ranges += len(node.ranges)
            if size > MAX_SIZE or self.ranges > MAX_RANGES:
                raise RegexError("expression too large", self.text)
            if height > MAX_HEIGHT:
                raise RegexError("expression nests too deeply", self.text)


def _size(node: Node, below: list[int]) -> int:
    size = sum(below)
    if isinstance(node, Literal):
        size = len(node.runes)
    elif isinstance(node, (Capture, Star)):
        size += 2
    elif isinstance(node, (Plus, Quest)):
        size += 1
    elif isinstance(node, Alternate):
        size += len(below) - 1
    elif isinstance(node, Repeat):
        if node.max is not None:
            size = node.max * size + node.max - node.min
        else:
            size = node.min * size + 1 if node.min else size + 2
    return max(size, 1)


# --- normal forms --------------------------------------------------------------------------------------------


def _is_char(node: Node) -> bool:
    return isinstance(node, (Class, AnyNotNL, Any)) or (isinstance(node, Literal) and len(node.runes) == 1)


def char_ranges(node: Node) -> Ranges:
    """The set that a node for one character matches."""
    if isinstance(node, Class):
        return node.ranges
    if isinstance(node, Literal):
        rune = ord(node.runes)
        return ucd.union((other, other) for other in ucd.orbit(rune)) if node.fold else ((rune, rune),)
    return ucd.EVERYTHING if isinstance(node, Any) else ucd.ALL_BUT_NEWLINE


def _simple_class(node: Class, modes: int) -> Node:
    """A class of one character, or of one in its two cases, is a literal."""
    ranges = node.ranges
    if len(ranges) > 2 or not ranges:
        return node
    low, high = ranges[0][0], ranges[-1][1]
    if low == high:
        return Literal(chr(low), False, modes & ~_FOLD)
    pair = high == low + 1 if len(ranges) == 1 else ranges[0][1] == low and ranges[1][0] == high
    return Literal(chr(low), True, modes | _FOLD) if pair and ucd.orbit(low) == (low, high) else node


def _named_any(node: Node) -> Node:
    if isinstance(node, Class):
        if node.ranges == ucd.EVERYTHING:
            return Any()
        if node.ranges == ucd.ALL_BUT_NEWLINE:
            return AnyNotNL()
    return node


def _merged(nodes: list[Node]) -> Node:
    """One node for several that each match one character."""
    first = nodes[0]
    if isinstance(first, Literal) and all(
        isinstance(node, Literal) and node.runes == first.runes and node.modes == first.modes for node in nodes
    ):
        return first
    return _named_any(Class(ucd.union(r for node in nodes for r in char_ranges(node))))


def _concatenation(items: list[Node]) -> Node:
    if not items:
        return Empty()
    joined: list[Node] = []
    run: list[Literal] = []
    for item in items:
        if isinstance(item, Literal):
            if run and run[0].fold != item.fold:
                joined.append(_joined(run))
                run = []
            run.append(item)
            continue
        if run:
            joined.append(_joined(run))
            run = []
        joined.append(item)
    if run:
        joined.append(_joined(run))
    if len(joined) == 1:
        return joined[0]
    subs: list[Node] = []
    for node in joined:
        if isinstance(node, Concat):
            subs.extend(node.subs)
        else:
            subs.append(node)
    return Concat(tuple(subs))


def _joined(run: list[Literal]) -> Literal:
    return run[0] if len(run) == 1 else Literal("".join(item.runes for item in run), run[0].fold, run[0].modes)


_Factoring = Generator[list[Node], Node, Node]
"""Yields lists of alternatives and is sent their factored form."""


def _alternation(alternatives: list[Node]) -> _Factoring:
    """Two or more alternatives as one node: common prefixes taken out, single characters and empties merged."""
    flat: list[Node] = []
    for node in alternatives:
        if isinstance(node, Alternate):
            flat.extend(node.subs)
        else:
            flat.append(node)
    flat = yield from _factor(flat, _literal_prefixes(flat))
    flat = yield from _factor(flat, _char_prefixes(flat))
    merged = _without_doubled_empties(_merge_chars(flat))
    return merged[0] if len(merged) == 1 else Alternate(tuple(merged))


_Prefix = tuple[Node, int]
"""A prefix and how many alternatives in a row have it."""


def _factor(alternatives: list[Node], prefixes: Iterable[_Prefix]) -> Generator[list[Node], Node, list[Node]]:
    factored: list[Node] = []
    done = 0
    for prefix, count in prefixes:
        if count == 1:
            factored.append(alternatives[done])
        else:
            rest = yield [_without_prefix(node, prefix) for node in alternatives[done : done + count]]
            factored.append(Concat((prefix, rest)))
        done += count
    return factored


def _head(node: Node) -> Node:
    return node.subs[0] if isinstance(node, Concat) else node


def _literal_prefixes(alternatives: list[Node]) -> list[_Prefix]:
    """Runs of neighbours that begin with the same literal text."""
    runs: list[_Prefix] = []
    common: Literal | None = None
    count = 0
    for node in alternatives:
        head = _head(node)
        if common is not None and isinstance(head, Literal) and head.fold == common.fold:
            same = _common_length(common.runes, head.runes)
            if same:
                if same < len(common.runes):
                    common = Literal(common.runes[:same], common.fold, common.modes)
                count += 1
                continue
        if count:
            runs.append((common or Empty(), count))
        common = head if isinstance(head, Literal) else None
        count = 1
    runs.append((common or Empty(), count))
    return runs


def _common_length(a: str, b: str) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _char_prefixes(alternatives: list[Node]) -> list[_Prefix]:
    """Runs of neighbours that begin with the same single character or class, or a fixed number of it."""
    runs: list[_Prefix] = []
    first: Node | None = None
    count = 0
    for node in alternatives:
        head = _head(node)
        if first is not None and _same_char(first, head):
            count += 1
            continue
        if first is not None:
            runs.append((first, count))
        first, count = head, 1
    assert first is not None
    runs.append((first, count))
    return runs


def _same_char(a: Node, b: Node) -> bool:
    if isinstance(a, Repeat) and isinstance(b, Repeat):
        fixed = a.min == a.max == b.min == b.max and a.greedy == b.greedy
        return fixed and _same_char(a.sub, b.sub) and not isinstance(a.sub, Repeat)
    if not _is_char(a) or type(a) is not type(b):
        return False
    if isinstance(a, Literal) and isinstance(b, Literal):
        return a.runes == b.runes and a.fold == b.fold
    return not isinstance(a, Class) or not isinstance(b, Class) or a.ranges == b.ranges


def _without_prefix(node: Node, prefix: Node) -> Node:
    head = _head(node)
    rest: Node = Empty()
    if isinstance(head, Literal) and isinstance(prefix, Literal) and len(head.runes) > len(prefix.runes):
        rest = Literal(head.runes[len(prefix.runes) :], head.fold, head.modes)
    if not isinstance(node, Concat):
        return rest
    subs = node.subs[1:] if isinstance(rest, Empty) else (rest, *node.subs[1:])
    return subs[0] if len(subs) == 1 else Concat(subs)


def _merge_chars(alternatives: list[Node]) -> list[Node]:
    merged: list[Node] = []
    run: list[Node] = []
    for node in alternatives:
        if _is_char(node):
            run.append(node)
            continue
        if run:
            merged.append(run[0] if len(run) == 1 else _merged(run))
            run = []
        merged.append(node)
    if run:
        merged.append(run[0] if len(run) == 1 else _merged(run))
    return merged


def _without_doubled_empties(alternatives: list[Node]) -> list[Node]:
    kept: list[Node] = []
    for node in alternatives:
        if not (kept and isinstance(node, Empty) and isinstance(kept[-1], Empty)):
            kept.append(node)
    return kept


# --- simplification ------------------------------------------------------------------------------------------


def simplify(root: Node) -> Node:
    """The tree without counted repetitions, as Go's Simplify: `x{2,4}` → `xx(?:x(?:x)?)?`.

    Copies are one shared node, so memory grows with the sum of the counts.
    """
    simple: dict[int, Node] = {}
    for node in postorder(root):
        below = children(node)
        subs = tuple(simple[id(sub)] for sub in below)
        if isinstance(node, (Star, Plus, Quest)):
            simple[id(node)] = _repetition(type(node), subs[0], node.greedy, node)
        elif isinstance(node, Repeat):
            simple[id(node)] = _expanded(node, subs[0])
        elif all(sub is old for sub, old in zip(subs, below, strict=True)):
            simple[id(node)] = node
        elif isinstance(node, Capture):
            simple[id(node)] = Capture(node.index, node.name, subs[0])
        else:
            simple[id(node)] = Concat(subs) if isinstance(node, Concat) else Alternate(subs)
    return simple[id(root)]


def _repetition(kind: type[Star | Plus | Quest], sub: Node, greedy: bool, node: Node | None = None) -> Node:
    if isinstance(sub, Empty):
        return sub
    if isinstance(sub, (Star, Plus, Quest)) and type(sub) is kind and sub.greedy == greedy:
        return sub
    if node is not None and children(node) == (sub,):
        return node
    return kind(sub, greedy)


def _expanded(node: Repeat, sub: Node) -> Node:
    low, high = node.min, node.max
    if high == 0:
        return Empty()
    if high is None:
        if low < 2:
            return _repetition(Plus if low else Star, sub, node.greedy)
        return Concat((sub,) * (low - 1) + (_repetition(Plus, sub, node.greedy),))
    if low == high == 1:
        return sub
    optional: Node | None = None
    for _ in range(low, high):
        optional = _repetition(Quest, sub if optional is None else Concat((sub, optional)), node.greedy)
    if not low:
        assert optional is not None
        return optional
    return Concat((sub,) * low + ((optional,) if optional is not None else ()))


# --- printing ------------------------------------------------------------------------------------------------

_META = frozenset(r"\.+*?()|[]{}^$")
_ESCAPES = {char: "\\" + letter for letter, char in _CONTROLS.items()}
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
    """The repetition operator, as all dialects write it."""
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
