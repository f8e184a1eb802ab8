"""Which file it is, and where in it reading stands: offset and checksums tell whether it still is what was read."""

from __future__ import annotations

import contextlib
import os
import zlib
from dataclasses import dataclass
from typing import NamedTuple

Identity = tuple[int, int]
"""Device and inode."""

TAIL = 1024
"""Bytes before the reading position that tell whether a file still is what it was."""


def identity(info: os.stat_result) -> Identity:
    return info.st_dev, info.st_ino


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading stands: the offset, and checksums of the `length` bytes before it and of the file's `head`."""

    offset: int
    length: int = 0
    checksum: int = 0
    head: int = 0
    head_checksum: int = 0

    @classmethod
    def of(cls, fd: int, offset: int) -> Position:
        """The position `offset` as the file is now."""
        length = min(TAIL, offset)
        with contextlib.suppress(OSError):
            before = os.pread(fd, length, offset - length)
            head = os.pread(fd, length, 0) if offset > length else before
            if len(before) == length and is_telling(before):
                return cls(offset, length, zlib.crc32(before), len(head), zlib.crc32(head))
        return cls(offset)

    def fits(self, fd: int) -> bool:
        """Whether a file begins, and has before the offset, as what was read; False when that is unknown."""
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
    """Where a log stood whose text may be in another file; `is_read_on`: its reader reads what comes after it, too."""

    position: Position
    is_read_on: bool = False


def is_telling(before: bytes | bytearray | memoryview) -> bool:
    """NULs may be a hole that a late write has yet to fill: they tell nothing."""
    return 0 not in before
