"""The wire format of Protocol Buffers: the fields of a message that a stranger has sent."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LARGEST_NUMBER = 2**29 - 1


class BadMessage(ValueError):
    """What cannot be a message."""


def texts(data: bytes, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the strings, bytes or messages of field `wanted` begin and end in the message data[begin:end].

    The whole message is checked, up to the inside of other fields.  Raises BadMessage.
    """
    at = begin
    while at < end:
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(data, at - 1, end)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at, end)
        elif kind == _VARINT:
            size, at = 0, _varint(data, at, end)[1]
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise BadMessage(f"wire type {kind} at byte {at}")
        if not 0 < number <= _LARGEST_NUMBER:
            raise BadMessage(f"field number {number} at byte {at}")
        if size > end - at:
            raise BadMessage(f"a field at byte {at} that is longer than its message")
        if number == wanted:
            if kind != _BYTES:
                raise BadMessage(f"field {number} of wire type {kind} at byte {at}")
            yield at, at + size
        at += size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where it ends.  Raises BadMessage."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise BadMessage(f"a number that is cut at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
    raise BadMessage(f"a number beyond 64 bits at byte {at}")
