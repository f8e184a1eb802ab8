"""A log that was replaced by a longer copy of itself, as rsync and editors do: reading continues at its position."""

from __future__ import annotations

import os
import time

from nativemtail.io.follow import GrowingFile
from nativemtail.io.generations import last_name_of
from nativemtail.io.position import TAIL

_DISTINCTIVE = 64
_PATIENCE = 1.0
_BYTES_A_SECOND = 16 << 20
_BACKUP = "~"


def is_continued(before: GrowingFile, fd: int, info: os.stat_result, is_moved: bool | None) -> bool:
    """Whether the file open as `fd`, which replaced that of `before`, begins with all that was read of it.

    That proves nothing for a file created in its place, to which the same lines may be written again.  While the old
    one still exists, the new one must have been renamed into place.  `is_moved` is None if that was not seen.
    """
    position = before.position
    if is_moved is False or not position.offset or info.st_size < position.offset or not position.fits(fd):
        return False
    if is_moved and not before.has_names():
        return True
    return (is_moved or not before.has_names()) and is_distinctive_text(fd, position.offset)


class Doubt:
    """Decides whether a file created under a log's name is the same log saved by an editor, or the next log.

    An editor renames the log, writes all of it to a new file, and then deletes the old one or keeps it as `NAME~`.  The
    next log may begin like the last: the decision waits as long as both are alike, but not longer than an editor takes.
    """

    __slots__ = ("_until", "before")

    def __init__(self, before: GrowingFile) -> None:
        self.before = before
        self._until = time.monotonic() + _PATIENCE + before.offset / _BYTES_A_SECOND

    @classmethod
    def of(cls, path: str, before: GrowingFile) -> Doubt | None:
        """A doubt, if the file of `before` was renamed from `path`, which now names another one."""
        if not before.offset or not before.is_open:
            return None
        name = last_name_of(before.fd)
        return cls(before) if name is not None and name != os.path.realpath(path) else None

    def is_same_log(self, fd: int) -> bool | None:
        """Whether the file open as `fd` is the previous log; None if that is not decided yet."""
        before, position = self.before, self.before.position
        if not before.is_open:
            return False
        new, old = os.fstat(fd), os.fstat(before.fd)
        is_whole = new.st_size >= position.offset
        is_alike = position.fits(fd) if is_whole else not new.st_size or before.holds(fd)
        if not is_alike:
            # It may have grown past the old one during the comparison.
            return None if not is_whole and os.fstat(fd).st_size >= position.offset else False
        if not old.st_nlink:
            return is_whole and new.st_mtime_ns <= old.st_ctime_ns  # it was written before the old one was deleted
        if is_whole and (last_name_of(before.fd) or "").endswith(_BACKUP) and is_distinctive_text(fd, position.offset):
            return True
        return False if time.monotonic() > self._until else None

    def take_over(self, fd: int) -> int:
        """Continue the log in the file open as `fd`; the offset to read from."""
        return take_over(self.before, fd)


def take_over(before: GrowingFile, fd: int) -> int:
    """Let the file open as `fd` continue `before`; the offset to read from."""
    offset = before.drop_line()
    if before.is_open and before.is_held_by(fd):
        before.skip_to_end()
    return offset


def is_distinctive_text(fd: int, offset: int) -> bool:
    """Whether the bytes before the offset are unlikely to be written twice."""
    length = min(TAIL, offset)
    lines = os.pread(fd, length, offset - length).split(b"\n")
    return length >= _DISTINCTIVE and 2 * len(set(lines)) > len(lines)
