"""Octet counting on streams of syslog messages (RFC 6587, section 3.4.1)."""

from __future__ import annotations

import re

from nativemtail._core import whole_frames


class OctetFraming:
    """Turns `LENGTH SP MESSAGE` frames into lines, incrementally; other streams pass unchanged.

    A stream is octet-counted if it begins with a length, a space and a syslog priority.  A frame that does not end in
    a newline gets one; newlines within a frame separate lines.  After a malformed length the rest is taken as lines.
    """

    HELD = 16
    """The output exceeds the input by at most this many bytes."""

    _BEGIN = re.compile(rb"[1-9]\d{0,7} <\d")
    _MAYBE = re.compile(rb"(?:[1-9]\d{0,7}(?: <?)?)?\Z")
    _MAX_DIGITS = 8

    def __init__(self) -> None:
        self._counting: bool | None = None
        self._held = b""
        self._left = 0

    def decode(self, data: bytes) -> bytes:
        """The lines in the next bytes of the stream, as far as they are complete."""
        if self._counting is None:
            data = self._held + data
            self._held = b""
            if self._MAYBE.match(data):
                self._held = data
                return b""
            self._counting = self._BEGIN.match(data) is not None
        return self._frames(data) if self._counting else data

    def end(self) -> bytes:
        """The bytes still held back at the end of the stream."""
        held, self._held = self._held, b""
        return b"" if self._counting else held

    def _frames(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._left and not self._held:
                lines, at = whole_frames(data, at)
                out.append(lines)
                if at == len(data):
                    break
            if self._left:
                part = data[at : at + self._left]
                out.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left and not part.endswith(b"\n"):
                    out.append(b"\n")
                continue
            at, malformed = self._length(data, at)
            if malformed:
                self._counting = False
                out += (self._held, data[at:])
                self._held = b""
                break
        return b"".join(out)

    def _length(self, data: bytes, at: int) -> tuple[int, bool]:
        """Parse a frame's length, or as much as is there; the next offset, and whether the length is malformed."""
        if not self._held:
            while at < len(data) and data[at] in b"\n\r\0":
                at += 1
        end = at
        while end < len(data) and 48 <= data[end] <= 57 and end - at <= self._MAX_DIGITS:
            end += 1
        digits = self._held + data[at:end]
        if len(digits) > self._MAX_DIGITS:
            return at, True
        if end == len(data):
            self._held = digits
            return end, False
        if data[end] != 32 or not digits:
            return at, True
        self._held = b""
        self._left = int(digits)
        return end + 1, False
