"""A log that was replaced by a longer copy of itself, as rsync and `sed -i` do: reading goes on where it stood."""

from __future__ import annotations

import os

from nativemtail.io.follow import FileReader
from nativemtail.io.sources import TAIL

_TELLING = 64


def goes_on(before: FileReader, fd: int, info: os.stat_result, is_moved: bool | None) -> bool:
    """Whether the file of `fd`, which replaced that of `before`, begins with all that was read of it.

    That says nothing of a file that was created in its place and may be written with the same lines again, nor while
    the old one still exists: then it was rotated.  `is_moved` is None if nobody saw how the file came.
    """
    position = before.position
    if is_moved is False or not position.offset or info.st_size < position.offset or not position.fits(fd):
        return False
    return not before.has_names() and (is_moved is True or _is_telling(fd, position.offset))


def take_over(before: FileReader, fd: int) -> int:
    """Leave to the file of `fd` what it has of `before`: from where it is to be read."""
    offset = before.offset - before.leave_line()
    if before.is_open and before.is_held_by(fd):
        before.skip_to_end()
    return offset


def _is_telling(fd: int, offset: int) -> bool:
    """Whether what is in front of the offset is hardly written twice."""
    length = min(TAIL, offset)
    lines = os.pread(fd, length, offset - length).split(b"\n")
    return length >= _TELLING and 2 * len(set(lines)) > len(lines)
