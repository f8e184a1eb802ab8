"""Posts bodies to one HTTP address, over one connection that is kept.

`http.client` does the protocol: the pushes of the daemon (export/transport.py) have streams, but no HTTP.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import http.client
import math
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TEXT = 4096
"""Bytes of an answer that are read; a longer one costs the connection."""
_SHOWN = 200


class Unreachable(Exception):
    """No answer came; the text says why."""


class Untrusted(Exception):
    """The server's certificate is not accepted, which will not change by itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    """The first line of the body, or the status in words."""
    retry_after: float
    """Seconds that the target asks for, or 0."""

    def __str__(self) -> str:
        return f"{self.status} {self.text}".rstrip()


class HttpTarget:
    """Raises ValueError for a URL that cannot be posted to.  Its user and password become Basic authentication."""

    def __init__(self, url: str, headers: Mapping[str, str], *, seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError(f"{url}: must be http://HOST… or https://HOST…")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers)
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._seconds = seconds
        self._shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._connection: http.client.HTTPConnection | None = None

    def __str__(self) -> str:
        """The URL without user and password."""
        return self._shown

    def post(self, body: bytes) -> Answer:
        """Raises Unreachable, Untrusted."""
        try:
            if self._connection is None:
                self._connection = self._connected()
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            text = response.read(_MOST_TEXT)
            answer = Answer(
                response.status,
                _first_line(text) or response.reason,
                _seconds_of(response.getheader("Retry-After", "")),
            )
            if not response.isclosed():
                self.close()
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Untrusted(error.verify_message) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(str(error) or type(error).__name__) from None
        return answer

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)


def _first_line(body: bytes) -> str:
    line = body.decode("utf-8", "replace").strip().partition("\n")[0]
    return "".join(c if c.isprintable() else " " for c in line[:_SHOWN])


def _seconds_of(header: str) -> float:
    """A Retry-After of seconds, or of the time until a date; 0 if it is neither."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
