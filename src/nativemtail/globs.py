"""Globs that name files, as in Go (spec inputs.md §1)."""

from __future__ import annotations

import os
from typing import NamedTuple

_META = frozenset("*?[\\")


class BadPattern(ValueError):
    """A malformed glob; the text is Go's."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


class _Class(NamedTuple):
    """A `[…]` of a pattern: ranges of characters, both ends included."""

    negated: bool
    ranges: tuple[tuple[str, str], ...]

    def has(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


_STAR = None
_ANY = _Class(True, ())
Token = str | _Class | None
"""Part of a path component: a character, a class, or `_STAR`."""


class Glob:
    """A path pattern with the rules of Go's filepath.Match and filepath.Glob.

    `*` matches any characters but `/`, `?` one of them, `[a-z]` and `[^…]` a class; `\\` escapes the next character; a
    leading dot is not special.  Raises `BadPattern`.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._parts = [_compile(part) if _META.intersection(part) else part for part in pattern.split("/")]
        self.is_literal = all(isinstance(part, str) for part in self._parts)

    @property
    def root(self) -> str:
        """The deepest directory that contains everything that can match: the part before the first wildcard."""
        plain: list[str] = []
        for part in self._parts[:-1]:
            if not isinstance(part, str):
                break
            plain.append(part)
        return "/".join(plain) or "/"

    @property
    def last(self) -> list[str]:
        """The literal pieces between the wildcards of the last component, in order."""
        part = self._parts[-1]
        if isinstance(part, str):
            return [part]
        pieces = [""]
        for token in part:
            if isinstance(token, str):
                pieces[-1] += token
            else:
                pieces.append("")
        return pieces

    def matches(self, path: str) -> bool:
        """Whether `path` (absolute, clean) matches; does not look at the file system."""
        names = path.split("/")
        return len(names) == len(self._parts) and all(map(_part_matches, self._parts, names))

    def expand(self) -> list[str]:
        """The existing paths that match, sorted within each directory; unreadable directories are skipped."""
        found = [""]
        for part in self._parts[1:]:
            if isinstance(part, str):
                found = [f"{path}/{part}" for path in found]
            else:
                found = [f"{path}/{name}" for path in found for name in _names(path or "/") if _wild(part, name)]
        return [path for path in found if os.path.lexists(path)]


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _part_matches(part: str | list[Token], name: str) -> bool:
    return part == name if isinstance(part, str) else _wild(part, name)


def _wild(tokens: list[Token], name: str) -> bool:
    """Match with at most one retry point, so in time len(tokens) * len(name)."""
    t = n = 0
    star, mark = -1, 0
    while n < len(name):
        if t < len(tokens) and tokens[t] is _STAR:
            star, mark = t, n
            t += 1
        elif t < len(tokens) and _one(tokens[t], name[n]):
            t += 1
            n += 1
        elif star >= 0:
            mark += 1
            t, n = star + 1, mark
        else:
            return False
    return all(token is _STAR for token in tokens[t:])


def _one(token: Token, char: str) -> bool:
    return token.has(char) if isinstance(token, _Class) else token == char


def _compile(part: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            tokens.append(_STAR)
        elif char == "?":
            tokens.append(_ANY)
        elif char == "[":
            token, at = _compile_class(part, at)
            tokens.append(token)
        else:
            if char == "\\":
                char, at = _escaped(part, at)
            tokens.append(char)
    return tokens


def _escaped(part: str, at: int) -> tuple[str, int]:
    if at == len(part):
        raise BadPattern
    return part[at], at + 1


def _compile_class(part: str, at: int) -> tuple[_Class, int]:
    """The class whose `[` is before `at`, and where the pattern goes on."""
    negated = part.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or not part.startswith("]", at):
        low, at = _class_char(part, at)
        high = low
        if part.startswith("-", at):
            high, at = _class_char(part, at + 1)
        ranges.append((low, high))
    return _Class(negated, tuple(ranges)), at + 1


def _class_char(part: str, at: int) -> tuple[str, int]:
    if at >= len(part) or part[at] in "-]":
        raise BadPattern
    char, at = _escaped(part, at + 1) if part[at] == "\\" else (part[at], at + 1)
    if at == len(part):
        raise BadPattern
    return char, at
