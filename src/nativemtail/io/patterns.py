"""What a `-logs` element means, and the globs that name files (spec inputs.md §1)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

STREAM_SCHEMES = frozenset({"unix", "tcp"})
DATAGRAM_SCHEMES = frozenset({"unixgram", "udp"})
SEGMENTS_SCHEME = "zstd"
STDIN_NAMES = frozenset({"-", "/dev/stdin"})

MAX_ALTERNATIVES = 1000
"""Maximum number of patterns that one pattern with braces may expand to."""

_FILE_PREFIX = "file://"
_SCHEMES = STREAM_SCHEMES | DATAGRAM_SCHEMES | {SEGMENTS_SCHEME, "file"}
_META = frozenset("*?[\\")
_NO_MARKS = str.maketrans("", "", "+-.")


class BadPattern(ValueError):
    """A malformed glob; the text is Go's."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


class BadSource(ValueError):
    """An invalid element of `-logs`; the daemon does not start."""


class LogSpec(NamedTuple):
    """One element of `-logs`.

    `kind` is `path`, `stdin`, `unix`, `unixgram`, `tcp`, `udp` or `zstd`.  `name` is the source name that
    `getfilename()` gives, or for a path the absolute pattern.  `address` is the path or `host:port` of a socket, the
    directory of segments, else empty.
    """

    kind: str
    name: str
    address: str = ""


def parse_logs(values: Iterable[str]) -> list[LogSpec]:
    """Classify the elements, which are already split at commas; without duplicates, in order.

    Raises `BadSource` for a socket without an address, for segments without a directory, and for unknown schemes.
    """
    return list(dict.fromkeys(_parse_element(text) for value in values for text in alternatives(value)))


def alternatives(text: str) -> list[str]:
    """Expand `{a,b}` in a pattern.  Raises BadSource beyond MAX_ALTERNATIVES."""
    ready: list[str] = []
    todo = [text]
    while todo:
        if len(todo) + len(ready) > MAX_ALTERNATIVES:
            raise BadSource(f"{text}: the braces stand for more than {MAX_ALTERNATIVES} patterns")
        text_left = todo.pop()
        braces = _first_braces(text_left)
        if braces is None:
            ready.append(text_left)
        else:
            start, commas, end = braces
            places = [start, *commas, end]
            choices = [text_left[a + 1 : b] for a, b in pairwise(places)]
            todo.extend(text_left[:start] + choice + text_left[end + 1 :] for choice in reversed(choices))
    return ready


def _first_braces(text: str) -> tuple[int, list[int], int] | None:
    """The positions of the first brace pair with a comma: opening brace, commas, closing brace."""
    opened: list[tuple[int, list[int]]] = []
    found: list[tuple[int, list[int], int]] = []
    escaped = False
    for at, char in enumerate(text):
        if escaped or char == "\\":
            escaped = not escaped
        elif char == "{":
            opened.append((at, []))
        elif char == "," and opened:
            opened[-1][1].append(at)
        elif char == "}" and opened:
            start, commas = opened.pop()
            if commas:
                found.append((start, commas, at))
    return min(found, default=None)


def _parse_element(text: str) -> LogSpec:
    if text in STDIN_NAMES:
        return LogSpec("stdin", text)
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if separator and scheme in STREAM_SCHEMES | DATAGRAM_SCHEMES:
        # A URL's host is not part of a socket's path, nor a URL's path part of host:port.
        host, slash, path = rest.partition("/")
        address = slash + path if scheme.startswith("unix") else host
        if not address:
            raise BadSource("socket address cannot be empty, please provide a unix domain socket filename or host:port")
        return LogSpec(scheme, f"{scheme}://{address}", address)
    if separator and scheme == SEGMENTS_SCHEME:
        if not rest:
            raise BadSource("zstd:// needs the directory of the segments: zstd:///var/log/kumomta")
        directory = absolute(rest)
        return LogSpec(scheme, f"{scheme}://{directory}", directory)
    if text.startswith(_FILE_PREFIX):
        text = text.removeprefix(_FILE_PREFIX)
    elif separator and _is_scheme(scheme):
        raise BadSource(f'unsupported URL scheme "{scheme}": {text}; a file of that name is ./{text}')
    else:
        scheme, separator, rest = text.partition(":")
        if separator and scheme in _SCHEMES:
            raise BadSource(f"{text}: write {scheme}://{rest}; a file of that name is ./{text}")
    return LogSpec("path", absolute(text))


def _is_scheme(text: str) -> bool:
    return text[:1].isalpha() and text.isascii() and text.translate(_NO_MARKS).isalnum()


def absolute(path: str) -> str:
    """`path` against the working directory, without `.`, `..` and doubled slashes."""
    clean = os.path.abspath(path)
    return "/" + clean.lstrip("/")


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
