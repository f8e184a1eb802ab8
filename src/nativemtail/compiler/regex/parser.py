"""Pattern text → syntax tree, with the normal forms and error texts of Go's regexp/syntax (spec language.md §8)."""

from __future__ import annotations

import re
from collections.abc import Callable

from nativemtail.compiler.regex import normal, tree, ucd
from nativemtail.compiler.regex.error import RegexError
from nativemtail.compiler.regex.limits import MAX_REPEAT, UNLIMITED, Limits, repeats_within
from nativemtail.compiler.regex.memo import remembered
from nativemtail.compiler.regex.scanner import Scanner

_MODES = {"i": tree.FOLD, "m": tree.MULTILINE, "s": tree.DOTALL, "U": tree.LAZY}

_PLAIN = re.compile(r"[^\\^$.|?*+()\[{\udc80-\udcff]+")
_BRACES = re.compile(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_ASSERTIONS: dict[str, Callable[[], tree.Node]] = {
    "A": tree.BeginText,
    "b": tree.WordBoundary,
    "B": tree.NoWordBoundary,
    "z": lambda: tree.EndText(dollar=False),
}

MOST_BYTES = 32 << 20
"""Limit for the cached trees, in bytes."""


def weight(node: tree.Node) -> int:
    """Approximate size of the tree in bytes."""
    parts = tree.postorder(node)
    return 100 * len(parts) + sum(16 * len(part.ranges) for part in parts if isinstance(part, tree.Class))


@remembered(MOST_BYTES, weight)
def parse(text: bytes) -> tree.Node:
    """Parse a pattern.  Raises `RegexError`."""
    return _Parser(text.decode("utf-8", "surrogateescape")).parse()


class _Group:
    """An open parenthesis: what was parsed inside it so far, and the state to restore at its end."""

    __slots__ = ("alternatives", "index", "items", "modes", "name")

    def __init__(self, modes: int, index: int = 0, name: str | None = None) -> None:
        self.modes = modes
        self.index = index
        self.name = name
        self.items: list[tree.Node] = []
        self.alternatives: list[tree.Node] = []


class _Parser(Scanner):
    """Parses a pattern from left to right, with an explicit stack of open groups."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.groups = 0
        self.top = _Group(0)
        self.open: list[_Group] = []
        self.repetition: int | None = None
        self.limits = Limits(text) if len(text) >= UNLIMITED else None

    def parse(self) -> tree.Node:
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

    # Handlers of the special characters; they return whether it was a repetition.

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
            char = self.next_char()
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
        self.push(tree.Capture(group.index, group.name, node) if group.index else node)
        self.pos += 1
        return False

    def bar(self) -> bool:
        self.end_alternative()
        self.pos += 1
        return False

    def caret(self) -> bool:
        self.pos += 1
        self.push(tree.BeginLine() if self.modes & tree.MULTILINE else tree.BeginText())
        return False

    def dollar(self) -> bool:
        self.pos += 1
        self.push(tree.EndLine() if self.modes & tree.MULTILINE else tree.EndText(dollar=True))
        return False

    def dot(self) -> bool:
        self.pos += 1
        self.push(tree.Any() if self.modes & tree.DOTALL else tree.AnyNotNL())
        return False

    def quantifier(self) -> bool:
        start = self.pos
        self.pos += 1
        sub, greedy = self.operand(start)
        kind = {"*": tree.Star, "+": tree.Plus, "?": tree.Quest}[self.text[start]]
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
        node = tree.Repeat(sub, low, high, greedy)
        self.top.items[-1] = self.checked(node)
        if (low >= 2 or (high or 0) >= 2) and not repeats_within(node, MAX_REPEAT):
            raise RegexError("invalid repeat count", self.text[start : self.pos])
        return True

    def operand(self, start: int) -> tuple[tree.Node, bool]:
        """What the repetition operator at `start` repeats, and whether it is greedy."""
        greedy = not self.modes & tree.LAZY
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
                self.push(tree.Class(ranges))
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
        self.push(tree.Class(self.char_class()))
        return False

    # Building the tree.

    def characters(self, runes: str) -> None:
        """Add literal text; its last character is a separate node, because a repetition may follow."""
        fold = bool(self.modes & tree.FOLD)
        if fold:
            runes = runes.upper() if runes.isascii() else "".join(chr(ucd.orbit(ord(rune))[0]) for rune in runes)
        for part in (runes[:-1], runes[-1:]):
            if part:
                self.push(tree.Literal(part, fold, self.modes))

    def push(self, node: tree.Node) -> None:
        if isinstance(node, tree.Class):
            node = normal.simple_class(node, self.modes)
        self.top.items.append(self.checked(node))

    def checked(self, node: tree.Node) -> tree.Node:
        if self.limits:
            self.limits.check(node)
        return node

    def end_alternative(self) -> None:
        """Make an alternative of what was parsed since the last `|`; single characters merge with the one before."""
        node = normal.concatenation(self.top.items)
        self.top.items = []
        alternatives = self.top.alternatives
        if alternatives and tree.is_char(node) and tree.is_char(alternatives[-1]):
            alternatives[-1] = normal.union_of_chars([alternatives[-1], node])
        else:
            alternatives.append(self.checked(node))

    def alternation(self) -> tree.Node:
        self.end_alternative()
        alternatives = [normal.named_any(node) for node in self.top.alternatives]
        node = (
            alternatives[0]
            if len(alternatives) == 1
            else tree.on_heap(normal.alternation(alternatives), normal.alternation)
        )
        if isinstance(node, tree.Class):
            node = normal.simple_class(node, self.modes)
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
