"""Finds the copies that were made of a log before it was truncated, and contain text that was not read yet."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Protocol

from nativemtail.io.generations import Made, birth, newer
from nativemtail.io.lineage import LATER
from nativemtail.io.listing import Listings
from nativemtail.io.position import Identity, Position, identity

_CLOCK_SLACK = 2_000_000_000
_MAX_SEEN = 256
_LISTINGS = 20
_RENAMES = 0.001
_AT_ONCE = 64
"""At most this many copies are opened before the first is read; more are found later."""


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

    def open(self, path: str) -> int:
        """Open a copy.  Raises OSError."""


class PreservedText:
    """A copy of a truncated file, open as `fd`, to be read from `offset` to its end."""

    def __init__(self, path: str, fd: int, info: os.stat_result) -> None:
        self.fd = fd
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

        If there are very many, only the oldest: the next call, after those were read, returns the others.
        Raises OSError if there are no descriptors; the call must then be repeated.
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
        """Possible copies, the one that may go on where reading stood first; the name of the last known copy."""
        opened = _Opened()
        last: str | None = None
        for _ in range(_LISTINGS):
            opened.close()
            siblings, last = self._new_siblings()
            opened = self._open(siblings, last)
            again, last_again = self._new_siblings()
            if not opened.has_moved and last == last_again and _names(siblings) == _names(again):
                break
            time.sleep(_RENAMES)  # copies are being renamed, one after another: none may be missed
        self._seen.update(dict.fromkeys(opened.seen))
        return opened.copies, last

    def _open(self, siblings: list[tuple[str, os.stat_result]], last: str | None) -> _Opened:
        """Open the copy that contains what was read, and the oldest of those that are newer than it or than `last`."""
        log, position, opened = self._log, self._log.position, _Opened()
        by_name = {os.path.basename(path): (path, info) for path, info in siblings}
        after = last if log.is_catching_up else None
        try:
            for path, info in sorted(siblings, key=lambda pair: pair[1].st_mtime_ns):
                copy = opened.add(log, path, info)
                if copy is None:
                    continue
                if copy.size >= position.offset and position.fits(copy.fd):
                    after = copy.name
                    break
                opened.copies.pop().close()
            base = os.path.basename(log.path)
            later = newer(list(by_name), base, after) if after is not None else []
            for name in later[:_AT_ONCE]:
                opened.add(log, *by_name[name])
            opened.seen -= {_version(by_name[name][1]) for name in later[_AT_ONCE:]}
        except OSError:
            opened.close()
            raise
        return opened

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
            except OSError as error:
                if error.errno in LATER:
                    raise
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


class _Opened:
    """Copies that were opened, and what was looked at."""

    def __init__(self) -> None:
        self.copies: list[PreservedText] = []
        self.seen: set[tuple[int, ...]] = set()
        self.has_moved = False
        """Whether some were no longer where they had been seen."""

    def add(self, log: Log, path: str, info: os.stat_result) -> PreservedText | None:
        """Open a file; None if it cannot be opened, or contains what the log contains.  Raises OSError: try again."""
        try:
            copy = PreservedText(path, log.open(path), info)
        except OSError as error:
            if error.errno in LATER:
                raise
            self.has_moved |= error.errno == errno.ENOENT
            return None
        is_moved = identity(os.fstat(copy.fd)) != identity(info)
        self.has_moved |= is_moved
        # A copy of the present content, perhaps incomplete, is not marked as seen: the next truncation may need it.
        if is_moved or not copy.size or log.holds(copy.fd):
            copy.close()
            return None
        self.seen.add(_version(info))
        self.copies.append(copy)
        return copy

    def close(self) -> None:
        while self.copies:
            self.copies.pop().close()


def _version(info: os.stat_result) -> tuple[int, ...]:
    """Changes when a file is written."""
    return *identity(info), info.st_mtime_ns, info.st_size


def _names(siblings: list[tuple[str, os.stat_result]]) -> set[tuple[str, Identity]]:
    return {(path, identity(info)) for path, info in siblings}
