"""Finds the copies that were made of a log before it was truncated, and contain text that was not read yet."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Protocol

from nativemtail.io.generations import Made, birth, newer
from nativemtail.io.listing import Listings
from nativemtail.io.position import Identity, Position, identity

_CLOCK_SLACK = 2_000_000_000
_MAX_SEEN = 256
_LISTINGS = 20
_RENAMES = 0.001


class Log(Protocol):
    """The reader of the log that was truncated."""

    path: str
    identity: Identity
    closed: bool
    last_data_wall: int
    """When something was last read of the file itself, in nanoseconds since 1970."""
    is_catching_up: bool
    """Whether nothing was read of the file itself since its truncation."""

    @property
    def position(self) -> Position: ...

    def holds(self, fd: int) -> bool:
        """Whether the file contains what the file open as `fd` contains now."""

    def look_around(self) -> None:
        """Handle pending events about file names, which may close the reader."""

    def is_in_place(self) -> bool:
        """Whether the file is still at its path, so that new copies there are copies of it."""

    def claim(self, fd: int) -> bool:
        """Whether this reader may read the copy, because no other reader does."""


class PreservedText:
    """A copy of a truncated file, to be read from `offset` to its end.  Raises OSError if it cannot be opened."""

    def __init__(self, path: str, info: os.stat_result) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.path = path
        self.name = os.path.basename(path)
        self.size = info.st_size
        self.offset = 0

    def read_into(self, target: memoryview) -> int:
        try:
            count = os.preadv(self.fd, [target], self.offset)
        except OSError:
            return 0
        self.offset += count
        return count

    def close(self) -> None:
        os.close(self.fd)


class CopySearch:
    """The search for copies of one log, which remembers those that were looked at."""

    __slots__ = ("_listings", "_log", "_oldest", "_seen", "last_copy")

    def __init__(self, log: Log, listings: Listings) -> None:
        self._log = log
        self._listings = listings
        self._oldest = 0
        self._seen: dict[tuple[int, ...], None] = {}
        self.last_copy: Made | None = None
        """The newest known rotated file: newer ones may be copies of text that was never read."""

    def ignore_before(self, oldest: int) -> None:
        """Copies that were last written before `oldest`, in nanoseconds since 1970, are of earlier content."""
        self._oldest = oldest

    def find(self) -> list[PreservedText]:
        """Copies that were made before the truncation, and contain text that was not read yet, oldest first.

        The first must contain, before the offset, the bytes that were read there.  Rotated files that are newer than it
        come from truncations that were not noticed: they are read from their beginning.  So are those newer than the
        last known copy if nothing was read since.  Other files are ignored.
        """
        log = self._log
        position = log.position
        new, last = self._open_siblings()
        log.look_around()
        if log.closed:
            for copy in new:
                copy.close()
            return []
        first = next((copy for copy in new if copy.size >= position.offset and position.fits(copy.fd)), None)
        if first is not None:
            first.offset, last = position.offset, first.name
        elif not log.is_catching_up:
            last = None
        base = os.path.basename(log.path)
        later = newer([copy.name for copy in new], base, last) if last is not None and log.is_in_place() else []
        by_name = {copy.name: copy for copy in new}
        known = Made.of(first.fd) if first is not None else self.last_copy
        oldest = known.birth if known is not None else 0
        unread = [copy for copy in map(by_name.__getitem__, later) if birth(copy.fd) >= oldest]
        unread = [copy for copy in unread if not position.fits(copy.fd)]
        found = [copy for copy in ([first] if first is not None else []) + unread if log.claim(copy.fd)]
        newest = unread[-1] if unread else first
        if newest is not None:
            self.last_copy = Made.of(newest.fd)
        for copy in new:
            if copy not in found:
                copy.close()
        return found

    def _open_siblings(self) -> tuple[list[PreservedText], str | None]:
        """Possible copies in the order in which they were written; the name of the last known copy."""
        opened: list[tuple[PreservedText, os.stat_result]] = []
        last: str | None = None
        for _ in range(_LISTINGS):
            for copy, _info in opened:
                copy.close()
            siblings, last = self._new_siblings()
            opened, moved = _opened(siblings)
            again, last_again = self._new_siblings()
            if not moved and last == last_again and _names(siblings) == _names(again):
                break
            time.sleep(_RENAMES)  # copies are being renamed, one after another: none may be missed
        found: list[PreservedText] = []
        for copy, info in sorted(opened, key=lambda pair: pair[1].st_mtime_ns):
            if not copy.size or self._log.holds(copy.fd):
                # A copy of the present content, perhaps incomplete: the next truncation may need it.
                copy.close()
            else:
                self._seen[_version(info)] = None
                found.append(copy)
        return found, last

    def _new_siblings(self) -> tuple[list[tuple[str, os.stat_result]], str | None]:
        """Files named like the log plus a suffix, changed since it was last read, and not looked at before.

        Also returns the name of the last known copy.
        """
        while len(self._seen) > _MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        found: list[tuple[str, os.stat_result]] = []
        last: str | None = None
        for _ in range(_LISTINGS):
            try:
                siblings = list(self._siblings())
            except FileNotFoundError:
                time.sleep(_RENAMES)  # a file is being renamed
            except OSError:
                break
            else:
                found = [(path, info) for path, info in siblings if self._is_new(info)]
                known = self.last_copy
                here = [path for path, info in siblings if known is not None and known.is_at(path, info)]
                last = os.path.basename(here[0]) if here else None
                break
        return found, last

    def _siblings(self) -> Iterator[tuple[str, os.stat_result]]:
        """Files named like the log plus a suffix.  Raises FileNotFoundError if one has just disappeared."""
        directory, base = os.path.split(self._log.path)
        for name in self._listings.beginning_with(directory, base + ".", base + "-"):
            path = os.path.join(directory, name)
            yield path, os.lstat(path)

    def _is_new(self, info: os.stat_result) -> bool:
        log = self._log
        if not stat.S_ISREG(info.st_mode) or identity(info) == log.identity or _version(info) in self._seen:
            return False
        return info.st_mtime_ns >= max(self._oldest, log.last_data_wall - _CLOCK_SLACK)


def _opened(siblings: list[tuple[str, os.stat_result]]) -> tuple[list[tuple[PreservedText, os.stat_result]], bool]:
    """Those that can be opened, and whether some are no longer where they were seen."""
    opened: list[tuple[PreservedText, os.stat_result]] = []
    moved = False
    for path, info in siblings:
        try:
            copy = PreservedText(path, info)
        except OSError as error:
            moved |= error.errno == errno.ENOENT
        else:
            if identity(os.fstat(copy.fd)) == identity(info):
                opened.append((copy, info))
            else:
                copy.close()
                moved = True
    return opened, moved


def _version(info: os.stat_result) -> tuple[int, ...]:
    """Changes when a file is written."""
    return *identity(info), info.st_mtime_ns, info.st_size


def _names(siblings: list[tuple[str, os.stat_result]]) -> set[tuple[str, Identity]]:
    return {(path, identity(info)) for path, info in siblings}
