"""Files named like rotated copies of a followed log; their content decides whether they are copies.

A copy is settling while it is being made: what it contains then is counted by the log's own reader.
"""

from __future__ import annotations

import os
import time

from nativemtail.io.content import START, recognise
from nativemtail.io.followed import Copy, Followed
from nativemtail.io.generations import Made
from nativemtail.io.loop import Loop
from nativemtail.io.position import Identity, Position, identity
from nativemtail.io.sources import Settings
from nativemtail.io.table import Table
from nativemtail.io.timers import Timers

_TICK = 0.25
_LIMIT = 60.0
_WANTED = 1.0
"""For this many seconds a truncated log may need text from a copy."""
_SURE = 4096
"""Shorter files may begin alike by chance."""


class Copies:
    def __init__(self, loop: Loop, timers: Timers, table: Table, settings: Settings) -> None:
        self._loop = loop
        self._timers = timers
        self._table = table
        self._settings = settings
        self._settling: dict[Followed, float] = {}
        self._written: dict[str, Followed] = {}
        self.must_decide = False
        """While stopping, undecided files are decided at once."""

    def __contains__(self, copy: object) -> bool:
        """Whether `copy` is settling."""
        return copy in self._settling

    def begin(self, copy: Followed) -> None:
        """Examine the content of a file that is named as a copy, before any of it is delivered."""
        copy.copy = Copy.UNDECIDED
        copy.judged = -1
        copy.last_data = time.monotonic()
        self._settling[copy] = time.monotonic() + _LIMIT
        self._timers.every("settle", _TICK, self._settle)

    def forget(self, copy: Followed) -> None:
        self._settling.pop(copy, None)

    def becomes_log(self, copy: Followed) -> None:
        """Read it from its beginning, as a log of its own."""
        self._settling.pop(copy, None)
        copy.copy = Copy.NO
        copy.rewind()

    def is_own(self, copy: Followed) -> bool:
        """Whether its present content shows that it is not a copy; it is then read from its beginning."""
        size = os.fstat(copy.fd).st_size
        if copy.copy is Copy.BEING_MADE and _is_rewritten(copy, size):
            self.begin(copy)
        if copy.copy is Copy.BEING_MADE or size in (0, copy.judged):
            return False
        copy.judged = size
        content = recognise(os.pread(copy.fd, START, 0))
        if self._is_counted(copy) or (content is not None and not content.encoding):
            if size >= _SURE or not self._is_being_made(copy):
                copy.copy = Copy.BEING_MADE
            return False
        waiting = [log for log in self._table.readers_of_bases(copy.path) if log.may_want_copies()]
        is_early = time.monotonic() < self._settling.get(copy, 0.0) - _LIMIT + _WANTED
        if waiting and is_early and not self.must_decide:
            for log in waiting:
                self._loop.queue(log)
            copy.judged = -1
            return False
        self.becomes_log(copy)
        return True

    def is_undecided(self, copy: Followed) -> bool:
        """Whether nothing in it was read or counted: it may turn out to be a rotated file."""
        return copy.copy is Copy.UNDECIDED and copy.is_untouched and not self._is_counted(copy)

    def is_read(self, who: Identity) -> bool:
        """Whether a file is read, or was counted."""
        reader = self._table.readers.get(who)
        return reader is not None and not (isinstance(reader, Followed) and self.is_undecided(reader))

    def is_of_drained(self, path: str, fd: int) -> bool:
        """Whether a file was copied from one that was at the path, and is or was read to its end."""
        size = os.fstat(fd).st_size
        is_past = any(end.offset == size and end.fits(fd) for end in self._table.past(path))
        return is_past or any(reader.holds(fd) for reader in self._table.generations.get(path, ()))

    def claim(self, log: Followed, fd: int) -> bool:
        """Whether `log`, which was truncated, may read the copy: not if the copy is or was read as a log of its own."""
        info = os.fstat(fd)
        reader = self._table.readers.get(identity(info))
        left = self._table.last_positions.get(Made.of(fd))
        if isinstance(reader, Followed) and not reader.is_copy:
            return False
        if left is not None and left.fits(fd):
            return False
        end = Position.of(fd, info.st_size)
        self._table.remember(Made.of(fd), end)
        for source in log.sources[:1]:
            self._table.note_past(source.name, end)
        return True

    # Finished writers

    @property
    def has_written(self) -> bool:
        return bool(self._written)

    def written(self, path: str) -> None:
        """A writer of `path` closed it; with a pending event for that name it may have been an earlier file there."""
        reader = self._table.file_at(path)
        if reader is not None and reader.is_settling:
            self._written[path] = reader

    def renamed(self, path: str) -> None:
        """The name now belongs to another file."""
        self._written.pop(path, None)

    def lost_events(self) -> None:
        self._written.clear()

    def settle_written(self, changed: set[str]) -> None:
        """Treat closed files as complete, except those whose names have `changed` since."""
        for path in [path for path in self._written if path not in changed]:
            copy = self._written.pop(path, None)  # settling a copy may call this again
            if copy is not None and copy in self._settling:
                self._settled(copy)

    def _settle(self) -> bool:
        now = time.monotonic()
        for copy, limit in list(self._settling.items()):
            if copy.turn():
                self._loop.queue(copy)
            is_quiet = copy.copy is Copy.BEING_MADE and now - copy.last_data >= self._settings.flush
            if copy in self._settling and (is_quiet or now >= limit) and not self._is_being_made(copy):
                self._settled(copy)
        return bool(self._settling)

    def _settled(self, copy: Followed) -> None:
        """If the copy is complete, its content was counted; only what is appended from now on is new."""
        if copy.turn():
            self._loop.queue(copy)
        limit = self._settling.get(copy)
        if limit is None or self._is_being_restored(copy):
            return  # it is a log of its own by now, or is written in pieces, each of which may be followed by a close
        if copy.copy is Copy.BEING_MADE or (time.monotonic() >= limit and os.fstat(copy.fd).st_size):
            copy.copy = Copy.COUNTED
            self._settling.pop(copy, None)

    def _is_counted(self, copy: Followed) -> bool:
        """Whether the content of `copy` is or will be counted by the reader of the log that it is named after."""
        table = self._table
        left = table.last_positions.get(copy.made)
        is_claimed = left is not None and left.offset in (copy.offset, copy.judged) and left.fits(copy.fd)
        bases = table.bases(copy.path)
        drained = (reader for base in bases for reader in table.generations.get(base, ()) if reader is not copy)
        return (
            is_claimed
            or any(log.is_copied_in(copy.fd) for log in table.readers_of_bases(copy.path))
            or any(reader.is_copied_in(copy.fd) for reader in drained)
            or any(position.fits(copy.fd) for position in table.past_of_copy(copy))
            or self._is_being_restored(copy)
        )

    def _is_being_made(self, copy: Followed) -> bool:
        is_copied = any(log.is_being_copied(copy.fd) for log in self._table.readers_of_bases(copy.path))
        return is_copied or self._is_being_restored(copy)

    def _is_being_restored(self, copy: Followed) -> bool:
        """Whether `copy` may be an incomplete copy of a rotated file that was counted."""
        is_written = time.monotonic() - copy.last_data < _LIMIT
        return is_written and any(position.is_begun_in(copy.fd) for position in self._table.past_of_generation(copy))


def _is_rewritten(copy: Followed, size: int) -> bool:
    """Whether a copy of this size no longer contains what it contained when it was looked at last."""
    position = copy.position
    return size < position.offset or (position.length > 0 and not position.fits(copy.fd))
