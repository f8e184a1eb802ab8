"""Where reading of a file begins (row `new-file`): history is skipped, new files are read from their beginning."""

from __future__ import annotations

import contextlib
import os
import time

from nativemtail.io import watch
from nativemtail.io.bounded import trim
from nativemtail.io.changes import Changes
from nativemtail.io.descriptors import OPEN_FLAGS
from nativemtail.io.directories import Directories
from nativemtail.io.followed import Followed
from nativemtail.io.generations import Made, birth, newer, plain
from nativemtail.io.listing import Listings
from nativemtail.io.position import Identity, identity
from nativemtail.io.replaced import is_continued, take_over
from nativemtail.io.restart import Restart
from nativemtail.io.resume import whole
from nativemtail.io.saved import Place
from nativemtail.io.table import REMEMBERED, Table

_CLOCK_GRAIN = 20_000_000
_MAX_ARRIVALS = 8
"""For each path, how so many files that came to it are remembered."""


class FirstOffsets:
    """Knows which files existed at the start, and how files came to their paths."""

    def __init__(self, changes: Changes, table: Table, directories: Directories, listings: Listings) -> None:
        self._changes = changes
        changes.observe(self)
        self._table = table
        self._directories = directories
        self._listings = listings
        self._at_start: dict[str, tuple[Identity, int]] = {}
        self._arrivals: dict[str, dict[Identity | None, bool]] = {}
        """By path: whether each file was renamed to it, not created there; None stands for the last one."""
        self.is_starting = False
        """Whether the files that exist at the start are being opened."""
        self.started = 0
        """When following began, in nanoseconds since 1970."""
        self._restart: Restart | None = None
        self._from_beginning = False

    def begin(self, restart: Restart | None, started: int, *, from_beginning: bool) -> None:
        """Following begins now, or began at `started` and goes on; `from_beginning` skips no history.

        `restart` is None if positions are not kept.
        """
        self.started = started or time.time_ns() - _CLOCK_GRAIN
        self._restart = restart
        self._from_beginning = from_beginning

    def take_place(self, fd: int, who: Identity) -> Place | None:
        """Where to continue in a file that was followed before a restart."""
        return self._restart.take_place(fd, who) if self._restart is not None else None

    def of(self, path: str, fd: int, info: os.stat_result) -> int | None:
        """The offset to begin at in a file that is not being read; None for a possible copy."""
        if self.is_starting:
            return self._of_existing(path, fd, info)
        at_start = self._at_start.pop(path, None)
        if at_start is not None and at_start[0] == identity(info):
            return at_start[1] if at_start[1] <= info.st_size else 0
        left = self._table.last_positions.pop(Made.of(fd), None)
        if left is not None and left.fits(fd):
            return left.offset
        before, who = self._table.before(path), identity(info)
        if before is not None and is_continued(before, fd, info, self.is_moved_in(path, who)):
            return take_over(before, fd)
        if before is not None and self._is_edited(before, path, who) and not _may_be_restored(before, fd, info):
            return info.st_size
        is_within_reach = before is None or before.identity[0] != info.st_dev
        if is_within_reach and self.is_history(fd, info):
            return info.st_size
        return None if self._table.is_named_as_copy(path) else 0

    def is_archive_history(self, path: str, fd: int, info: os.stat_result) -> bool:
        """Whether a compressed file that is not being read existed at the start."""
        if self.is_starting:
            return self._is_skipped(path)
        was_here = self._at_start.pop(path, (None, 0))[0] == identity(info)
        return was_here or (self._table.before(path) is None and self.is_history(fd, info))

    def _is_skipped(self, path: str) -> bool:
        """Whether what exists at the start is skipped: at a first start, or if a pattern is new."""
        return not self._from_beginning and (self._restart is None or self._restart.is_new(path))

    def _of_existing(self, path: str, fd: int, info: os.stat_result) -> int | None:
        is_new = self._restart is None or self._restart.is_new(path)
        if is_new and self._restart is not None:
            self._skip_rotated(path)
        if is_new:
            return 0 if self._from_beginning else info.st_size
        if not self._table.is_named_as_copy(path):
            return 0
        return info.st_size if self.is_history(fd, info) else None

    def is_history(self, fd: int, info: os.stat_result) -> bool:
        """Whether the file was created before the start; False if the clock was set back since."""
        made = birth(fd) or info.st_mtime_ns
        return made < self.started < time.time_ns()

    def is_moved_in(self, path: str, who: Identity) -> bool | None:
        """Whether a file that was opened at `path` was renamed to it, not created there; None if that was not seen."""
        self._changes.catch_up()  # the file may have been found before its event was read
        arrivals = self._arrivals.get(path, {})
        return arrivals.get(who, arrivals.get(None))

    def rotated_last(self, path: str) -> Made | None:
        """The newest rotated file of `path`."""
        directory, base = os.path.split(path)
        with contextlib.suppress(OSError):
            names = self._listings.beginning_with(directory, base + ".", base + "-")
            for name in newer(names, base, None)[-1:]:
                return Made.at(os.path.join(directory, name))
        return None

    def _skip_rotated(self, path: str) -> None:
        """Remember the newest rotated file of `path` as counted: after a restart only those that follow are read."""
        directory, base = os.path.split(path)
        with contextlib.suppress(OSError):
            names = self._listings.beginning_with(directory, base + ".", base + "-")
            called = {plain(name): name for name in names}
            for name in newer(list(called), base, None)[-1:]:
                fd = os.open(os.path.join(directory, called[name]), OPEN_FLAGS)
                try:
                    self._table.note_past(path, whole(fd))
                finally:
                    os.close(fd)

    def not_opened(self, path: str, info: os.stat_result) -> None:
        """A file at `path` could not be opened; what it contains at the start is history all the same."""
        if self.is_starting and self._is_skipped(path):
            self._at_start[path] = (identity(info), info.st_size)

    def path_gone(self, path: str) -> None:
        self._at_start.pop(path, None)

    def note(self, event: watch.Event) -> None:
        """Record at once how a file came to its path (created or moved), which is needed when it is opened."""
        if event.mask & watch.OVERFLOW:
            self._arrivals.clear()
        if event.mask & (watch.CREATE | watch.MOVED_TO):
            for directory in self._directories.of(event):
                path = os.path.join(directory.path, event.name)
                for named in (path, *self._directories.links_to(path)):
                    # A copy may become known, and be replaced, by the events that are read together with this one.
                    if self._table.is_known(named) or self._table.is_named_as_copy(named):
                        self._note_arrival(named, event)

    def _note_arrival(self, path: str, event: watch.Event) -> None:
        is_moved = bool(event.mask & watch.MOVED_TO)
        arrivals = self._arrivals.setdefault(path, {})
        if event.fd < 0:
            arrivals.clear()  # the inode of one of them may be reused
        else:
            who = identity(os.fstat(event.fd))
            arrivals.pop(who, None)
            arrivals[who] = is_moved
        arrivals.pop(None, None)
        arrivals[None] = is_moved
        trim(arrivals, _MAX_ARRIVALS)
        trim(self._arrivals, REMEMBERED)

    def _is_edited(self, before: Followed, path: str, who: Identity) -> bool:
        """Whether the file at `path` may be an edited version, made by a script, of a rotated file that was counted."""
        is_counted = (before.was_rotated or before.is_copy) and self._table.is_named_as_copy(path)
        return is_counted and not before.has_names() and self.is_moved_in(path, who) is not False


def _may_be_restored(before: Followed, fd: int, info: os.stat_result) -> bool:
    """Whether the file open as `fd` may become a copy of the one before: how it came there may be reported late."""
    return not info.st_size or before.position.is_begun_in(fd)
