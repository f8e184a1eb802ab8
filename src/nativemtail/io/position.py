"""File identity and reading position: checksums before the offset show whether a file was rewritten."""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import NamedTuple

_NEWLINE = 0x0A

Bytes = bytes | bytearray | memoryview

Identity = tuple[int, int]
"""Device and inode."""

TAIL = 1024
"""Number of bytes before the reading position that are checksummed."""

BEGINNINGS = (64, 128, 256, 512)
"""Of so many first bytes there are checksums, too: they show which file a short copy is becoming."""


def identity(info: os.stat_result) -> Identity:
    return info.st_dev, info.st_ino


class Position(NamedTuple):
    """The offset read up to, with checksums of the `length` bytes before it and of the first `head` bytes.

    `beginnings` are checksums of the first `BEGINNINGS` bytes, as far as there are so many and they are known.
    """

    offset: int
    length: int = 0
    checksum: int = 0
    head: int = 0
    head_checksum: int = 0
    beginnings: tuple[int, ...] = ()

    @classmethod
    def of(cls, fd: int, offset: int) -> Position:
        """The position `offset` in the file's present content."""
        length = min(TAIL, offset)
        with contextlib.suppress(OSError):
            before = os.pread(fd, length, offset - length)
            head = os.pread(fd, length, 0) if offset > length else before
            text = distinctive(before)
            if len(before) == length and text:
                return cls(offset, len(text), zlib.crc32(text), *_head(head if is_distinctive(head) else b""))
        return cls(offset)

    @classmethod
    def at_beginning(cls, fd: int) -> Position:
        """Offset 0, with a checksum of the first bytes: of those that follow, unlike all others."""
        with contextlib.suppress(OSError):
            head = os.pread(fd, TAIL, 0)
            if head and is_distinctive(head):
                return cls(0, 0, 0, *_head(head))
        return cls(0)

    @classmethod
    def in_text(cls, offset: int, head: Bytes, tail: Bytes) -> Position:
        """A position in a text of which `head` and `tail` are the first and the last bytes up to it."""
        return cls(offset, len(tail), zlib.crc32(tail), *_head(head))

    def fits(self, fd: int) -> bool:
        """Whether a file's beginning and the bytes before the offset match the checksums; False if unknown."""
        if not self.length:
            return False
        try:
            before = os.pread(fd, self.length, self.offset - self.length)
            head = os.pread(fd, self.head, 0)
        except OSError:
            return False
        is_same = len(before) == self.length and zlib.crc32(before) == self.checksum
        return is_same and len(head) == self.head and zlib.crc32(head) == self.head_checksum

    def is_begun_in(self, fd: int) -> bool:
        """Whether a file is shorter and has the same beginning, as a copy that is being made."""
        try:
            size = os.fstat(fd).st_size
            length, checksum = self._beginning(size)
            if not length or size >= self.offset:
                return False
            text = os.pread(fd, length, 0)
        except OSError:
            return False
        return len(text) == length and is_distinctive(text) and zlib.crc32(text) == checksum

    def _beginning(self, most: int) -> tuple[int, int]:
        """The longest beginning of up to `most` bytes that has a checksum, and that; 0 if there is none."""
        if TAIL <= self.head <= most:
            return self.head, self.head_checksum
        found = [pair for pair in zip(BEGINNINGS, self.beginnings, strict=False) if pair[0] <= most]
        return found[-1] if found else (0, 0)


def _head(head: Bytes) -> tuple[int, int, tuple[int, ...]]:
    """The length of the first bytes, their checksum, and those of `BEGINNINGS`."""
    beginnings = tuple(zlib.crc32(head[:end]) for end in BEGINNINGS if end <= len(head))
    return len(head), zlib.crc32(head), beginnings


def is_distinctive(before: Bytes) -> bool:
    """Whether bytes can identify a file: NULs cannot, as they may be a hole that a late write fills."""
    return 0 not in before


def distinctive(before: bytes) -> bytes:
    """The end of some bytes that can identify a file: what follows the last NUL."""
    return before[before.rfind(0) + 1 :]


class Counted(NamedTuple):
    """A position in a log whose text may be in another file; `is_read_on`: its reader will also read what follows."""

    position: Position
    is_read_on: bool = False


class Cursor:
    """A position that advances as text is read, with checksums of the bytes as they were read."""

    __slots__ = ("_beginnings", "_checksum", "_head", "_head_checksum", "_line_end", "length", "offset")

    def __init__(self, position: Position) -> None:
        self.go_to(position)

    def go_to(self, position: Position) -> None:
        self.offset = position.offset
        self.length = position.length
        self._checksum = position.checksum
        self._head = position.head
        self._head_checksum = position.head_checksum
        self._beginnings = position.beginnings
        self._line_end: Position | None = None

    @property
    def position(self) -> Position:
        return Position(self.offset, self.length, self._checksum, self._head, self._head_checksum, self._beginnings)

    @property
    def line_end(self) -> Position:
        """The end of the last complete line."""
        return self._line_end or self.position

    def follows(self, before: memoryview) -> bool:
        """Whether `before` are the `length` bytes before the offset, as they were read."""
        return not self.length or zlib.crc32(before) == self._checksum

    def advance(self, before: Bytes, new: Bytes) -> None:
        """Advance by the length of `new`, which follows `before`."""
        if not new:
            return
        if new[-1] == _NEWLINE:
            self._line_end = None
        elif end := _line_end(new):
            self._pass(before, new[:end])
            before = _last(before, new[:end])
            self._line_end = self.position
            new = new[end:]
        elif self._line_end is None:
            self._line_end = self.position
        self._pass(before, new)

    def pass_hole(self, end: int) -> None:
        """Advance to `end` over NULs, of which there are no checksums."""
        self.offset = end
        self._line_end = None

    def _pass(self, before: Bytes, new: Bytes) -> None:
        if self._head == self.offset < TAIL:
            self._extend_head(new[: TAIL - self._head])
        tail = distinctive(_last(before, new))
        self.length = len(tail)
        self._checksum = zlib.crc32(tail)
        self.offset += len(new)

    def _extend_head(self, more: Bytes) -> None:
        for number, end in enumerate(BEGINNINGS):
            if number == len(self._beginnings) and self._head < end <= self._head + len(more):
                self._beginnings += (zlib.crc32(more[: end - self._head], self._head_checksum),)
        self._head_checksum = zlib.crc32(more, self._head_checksum)
        self._head += len(more)


def _last(before: Bytes, new: Bytes) -> bytes:
    """The last bytes of what was read."""
    return bytes(new[-TAIL:]) if len(new) >= TAIL else (bytes(before) + bytes(new))[-TAIL:]


def _line_end(text: Bytes) -> int:
    """The length of the complete lines in `text`."""
    for size in (TAIL, len(text)):
        end = bytes(text[-size:]).rfind(b"\n") + 1
        if end:
            return max(0, len(text) - size) + end
    return 0
