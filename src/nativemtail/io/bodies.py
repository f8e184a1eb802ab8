"""Bodies of HTTP requests → lines: plain lines, JSON records, and both forms in which Loki takes lines."""

from __future__ import annotations

import codecs
import importlib.util
import json
import re
import zlib
from collections.abc import Generator, Iterator
from typing import Any

from nativemtail.io.protobuf import BadMessage, texts

_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS = 64
"""Parts of a gzip body at most; each costs a little, however small it is."""
_SPACES = " \t\n\r"
_SPACE = re.compile(f"[{_SPACES}]*")
_LINE_ENDS = str.maketrans("\n\r", "  ")
_LOKI = '{"streams": [{"stream": {…}, "values": [["TIME", "LINE"], …]}, …]}'


class BadBody(ValueError):
    """A body that cannot be taken; the text is for its sender."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def decompress(data: bytes, most: int) -> bytes:
    """What a gzip body contains.  Raises BadBody, also if that is more than `most` bytes."""
    parts: list[bytes] = []
    left = most
    for _ in range(_MEMBERS):
        decoder = zlib.decompressobj(_GZIP)
        try:
            part = decoder.decompress(data, left + 1)
        except zlib.error as error:
            raise BadBody(400, f"The body is not gzip, as Content-Encoding says: {error}.") from None
        left -= len(part)
        if left < 0:
            raise _too_large(most)
        if not decoder.eof:
            raise BadBody(400, "The body, which is compressed with gzip, is incomplete.")
        parts.append(part)
        data = decoder.unused_data
        if not data:
            return b"".join(parts)
    raise BadBody(400, f"The body has more than {_MEMBERS} gzip members: compress it in one piece.")


def _too_large(most: int) -> BadBody:
    return BadBody(413, f"The body has more than {most} bytes when it is decoded: send fewer lines at a time.")


def has_snappy() -> bool:
    """Whether `unsnap` can be called: its library is an extra (`pip install nativemtail[loki]`)."""
    return importlib.util.find_spec("cramjam") is not None


def unsnap(data: bytes, most: int) -> bytes:
    """What a body in Snappy's block format contains.  Raises BadBody, also if that is more than `most` bytes."""
    import cramjam

    try:
        if cramjam.snappy.decompress_raw_len(data) > most:  # it would be allocated at once
            raise _too_large(most)
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise BadBody(400, f"The body is not compressed with Snappy, as Loki's protobuf form is: {error}.") from None


def json_lines(body: bytes) -> bytes:
    """One line for each value of a text of JSON values, and for each element of those that are arrays.

    Each is the text that was sent, with its line ends replaced by spaces.  Raises BadBody.
    """
    body = body.removeprefix(codecs.BOM_UTF8).strip()
    if body[:1] != b"[" and b"\n" not in body and b"\r" not in body:
        return body
    text = body.decode("utf-8", "surrogateescape")
    try:
        return "\n".join(_values(text)).encode("utf-8", "surrogateescape")
    except RecursionError:
        raise BadBody(400, "The JSON of the body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        hint = "Lines that are not JSON have another Content-Type, text/plain say."
        raise BadBody(400, f"The body is not JSON, as Content-Type says: {error}. {hint}") from None


def _values(text: str) -> Iterator[str]:
    at = _skip(text, 0)
    while at < len(text):
        if text[at] != "[":
            end = _end(text, at)
            yield _one_line(text[at:end])
        else:
            end = yield from _elements(text, at)
        at = _skip(text, end)


def _elements(text: str, at: int) -> Generator[str, None, int]:
    """The elements of the array at `at`; returns where it ends."""
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        end = _end(text, at)
        yield _one_line(text[at:end])
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == "]":
            return at + 1
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
        at = _skip(text, at + 1)


def _one_line(text: str) -> str:
    return text.translate(_LINE_ENDS) if "\n" in text or "\r" in text else text


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    if text[at : at + 1] not in _SPACES:
        return at
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


# Only the ends of values matter: numbers become True, which takes no memory, and no time that grows with their digits.
_SCAN = json.JSONDecoder(object_pairs_hook=bool, parse_int=bool, parse_float=bool)
_READ = json.JSONDecoder(parse_int=bool, parse_float=bool)


def _end(text: str, at: int) -> int:
    return _SCAN.raw_decode(text, at)[1]


def loki_lines(body: bytes) -> bytes:
    """The lines of all streams, in the order in which they stand there.  Raises BadBody."""
    try:
        found = list(_entries(_READ.decode(body.decode("utf-8", "replace"))))
    except RecursionError:
        raise BadBody(400, "The JSON of the body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise BadBody(400, f"The body is not JSON, as Content-Type says: {error}.") from None
    except (LookupError, TypeError):
        raise BadBody(400, f"The body is not what Loki takes, {_LOKI}.") from None
    return "\n".join(found).encode("utf-8", "surrogatepass")


def _entries(body: Any) -> Iterator[str]:
    """Raises LookupError and TypeError if the body has another form."""
    for stream in body["streams"]:
        for entry in stream["values"]:
            line = entry[1]
            if type(line) is not str:
                raise TypeError
            yield line.removesuffix("\n")


def loki_message_lines(body: bytes) -> bytes:
    """As `loki_lines`, of the protobuf message that Loki takes, a `PushRequest`.

    Its field 1 are streams, whose field 2 are entries, whose field 2 is a line (Loki's `pkg/push/push.proto`).
    """
    found: list[bytes] = []
    try:
        for stream in texts(body, 0, len(body), 1):
            for entry in texts(body, *stream, 2):
                line = b""
                for begin, end in texts(body, *entry, 2):
                    line = body[begin:end]
                found.append(line.removesuffix(b"\n"))
    except BadMessage as error:
        raise BadBody(400, f"The body is not what Loki takes, a protobuf PushRequest: {error}.") from None
    return b"\n".join(found)
