"""What a `-logs` element means (spec inputs.md §1)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

STREAM_SCHEMES = frozenset({"unix", "tcp"})
DATAGRAM_SCHEMES = frozenset({"unixgram", "udp"})
SEGMENTS_SCHEME = "zstd"
HTTP_SCHEME = "http"
STDIN_NAMES = frozenset({"-", "/dev/stdin"})

MAX_ALTERNATIVES = 1000
"""Maximum number of patterns that one pattern with braces may expand to."""

_FILE_PREFIX = "file://"
_SCHEMES = STREAM_SCHEMES | DATAGRAM_SCHEMES | {SEGMENTS_SCHEME, HTTP_SCHEME, "file"}
_NO_MARKS = str.maketrans("", "", "+-.")


class BadSource(ValueError):
    """An invalid element of `-logs`; the daemon does not start."""


class LogSpec(NamedTuple):
    """One element of `-logs`.

    `kind` is `path`, `stdin`, `unix`, `unixgram`, `tcp`, `udp`, `http` or `zstd`.  `name` is the source name that
    `getfilename()` gives, or for a path the absolute pattern.  `address` is the path or `host:port` of a socket, the
    directory of segments, else empty.  `path` is that of an `http` URL, as written.
    """

    kind: str
    name: str
    address: str = ""
    path: str = ""


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
    if separator and scheme == HTTP_SCHEME:
        return _http(rest)
    if separator and scheme == "https":
        raise BadSource(f"{text}: sources have no TLS: put a proxy in front that ends it, and give its http:// address")
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


def _http(rest: str) -> LogSpec:
    """The source of an URL without its scheme."""
    address, _, path = rest.partition("/")
    if not address or set("?#@") & set(rest):
        raise BadSource(f"http://{rest}: expected http://HOST:PORT/PATH, without a query")
    return LogSpec(HTTP_SCHEME, f"http://{address}/{path}", address, f"/{path}")


def _is_scheme(text: str) -> bool:
    return text[:1].isalpha() and text.isascii() and text.translate(_NO_MARKS).isalnum()


def absolute(path: str) -> str:
    """`path` against the working directory, without `.`, `..` and doubled slashes."""
    clean = os.path.abspath(path)
    return "/" + clean.lstrip("/")
