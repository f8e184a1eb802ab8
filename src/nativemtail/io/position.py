"""File identity and reading position: checksums before the offset show whether a file was rewritten."""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import NamedTuple

Identity = tuple[int, int]
"""Device and inode."""

TAIL = 1024
"""Number of bytes before the reading position that are checksummed."""


def identity(info: os.stat_result) -> Identity:
    return info.st_dev, info.st_ino


class Position(NamedTuple):
    """The offset read up to, with checksums of the `length` bytes before it and of the first `head` bytes."""

    offset: int
    length: int = 0
    checksum: int = 0
    head: int = 0
    head_checksum: int = 0

    @classmethod
    def of(cls, fd: int, offset: int) -> Position:
        """The position `offset` in the file's present content."""
        length = min(TAIL, offset)
        with contextlib.suppress(OSError):
            before = os.pread(fd, length, offset - length)
            head = os.pread(fd, length, 0) if offset > length else before
            if len(before) == length and is_distinctive(before):
                return cls(offset, length, zlib.crc32(before), len(head), zlib.crc32(head))
        return cls(offset)

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


class Counted(NamedTuple):
    """A position in a log whose text may be in another file; `is_read_on`: its reader will also read what follows."""

    position: Position
    is_read_on: bool = False


def is_distinctive(before: bytes | bytearray | memoryview) -> bool:
    """Whether bytes can identify a file: NULs cannot, as they may be a hole that a late write fills."""
    return 0 not in before
