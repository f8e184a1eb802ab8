"""Requests and responses, as passed between the server and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from urllib.parse import parse_qs, unquote, urlsplit

PLAIN = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that an answer may depend on; client and method are not among them."""

    path: str
    """Decoded."""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query_string: str = ""
    accept: str = ""
    """The Accept headers, joined by commas."""
    authority: str = ""
    """Host and port if the target has absolute form."""

    @classmethod
    def parse(cls, target: str, accept: str, max_fields: int) -> Request:
        """Parse a request target in origin or absolute form; raises ValueError for others and for a bad query.

        Bytes in the query that are not UTF-8 become surrogate escapes, as in file names.
        """
        authority = ""
        if not target.startswith("/"):
            parts = urlsplit(target)
            if parts.scheme not in ("http", "https"):
                raise ValueError("the request target is not a path")
            authority = parts.netloc
            target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        path, _, query = target.partition("?")
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=max_fields, errors="surrogateescape")
        return cls(unquote(path, errors="replace"), fields, query, accept, authority)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; the server adds length, date, compression, and the headers that every answer has."""

    status: int
    body: bytes
    content_type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()
    more: Iterator[bytes] | None = None
    """The rest of a large body, rendered piece by piece."""

    def head(self) -> Response:
        """The answer without its body."""
        return replace(self, body=b"", more=None)

    def pieces(self) -> Iterator[bytes]:
        """The whole body; releases each piece once it has been yielded."""
        return chain((self.body,) if self.body else (), self.more or ())


Answer = Callable[[Request], Response]


def plain(status: int, text: str) -> Response:
    """A plain-text answer."""
    return Response(status, text.encode("utf-8", "replace"))


def quality(header: str, *names: str) -> float | None:
    """The weight (`q`) that an Accept-like header gives to the first of `names` that it mentions; None if it does not.

    Weights that cannot be parsed count as 0 (RFC 9110 §12.4.2).
    """
    weights: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weights[name] = max(weights.get(name, 0.0), min(max(float(weight), 0.0), 1.0))
        except ValueError:
            weights.setdefault(name, 0.0)
    return next((weights[name] for name in names if name in weights), None)
