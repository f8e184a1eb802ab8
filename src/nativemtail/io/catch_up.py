"""What is left to read of the logs until each is read to where it ended at the start."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable

from nativemtail.io.archive import ArchiveReader, Stage
from nativemtail.io.followed import Copy, Followed, Reader, State
from nativemtail.io.sources import Counters
from nativemtail.io.table import Table
from nativemtail.io.timers import Timers

PATIENCE = 60.0
"""A log without progress for this many seconds no longer counts."""

_TICK = 0.02

_log = logging.getLogger(__name__)

Backlog = Callable[[], dict[str, int]]
"""Bytes that are left, by log; those of which nothing is left are missing."""


class CatchUp:
    """Belongs to the loop's thread, but for `left`."""

    def __init__(
        self, backlogs: Iterable[Backlog], counters: Counters, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backlogs = list(backlogs)
        self._counters = counters
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        self._given_up: set[str] = set()
        self.left = 0
        """Bytes that are left; may be read from any thread."""
        self.check()

    def keep_checking(self, timers: Timers) -> None:
        timers.every("catch_up", _TICK, self.check)

    def check(self) -> bool:
        """Update `left`; whether anything is left."""
        now = self._clock()
        found = {name: left for backlog in self._backlogs for name, left in backlog().items()}
        for name in self._given_up & found.keys():
            del found[name]
        for name, left in list(found.items()):
            before, since = self._seen.get(name, (-1, now))
            if left != before:
                since = now
            elif now - since >= PATIENCE:
                self._give_up(name, found.pop(name))
            self._seen[name] = left, since
        self.left = sum(found.values())
        if not self.left:
            self._backlogs.clear()
            self._seen.clear()
        return self.left > 0

    def _give_up(self, name: str, left: int) -> None:
        self._given_up.add(name)
        self._counters.limits_total["catch_up"] += 1
        text = "%s: no progress for %d seconds: the metrics are shown without the %d bytes that are left"
        _log.warning(text, name, PATIENCE, left)


class FileBacklog:
    """What is left of files.  `pending` are paths that cannot be opened yet.

    As long as rotated files may be missing (`are_missing`), those that are found were there at the start.
    """

    def __init__(self, table: Table, pending: Collection[str], are_missing: Callable[[], Collection[str]]) -> None:
        self._table = table
        self._pending = pending
        self._are_missing = are_missing
        self._unopened = {path: _size_of(path) for path in pending}
        self._ends: dict[Followed | ArchiveReader, int] = {}
        self._known: set[Reader] = set()
        for reader in table.readers.values():
            self._add(reader)

    def __call__(self) -> dict[str, int]:
        missing = self._are_missing()
        for path in [path for path in self._unopened if path not in self._pending]:
            del self._unopened[path]
            self._add(self._table.reader_at(path))
        for generations in self._table.generations.values():
            for rotated in generations.keys() - self._known:
                self._add(rotated)
        left = dict(self._unopened)
        self._ends = {reader: end for reader, end in self._ends.items() if not _is_done(reader, end)}
        for reader, end in self._ends.items():
            name = reader.sources[0].name if reader.sources else reader.path
            left[name] = left.get(name, 0) + max(1, end - reader.used)
        for path in missing:
            left.setdefault(path, 1)
        return left

    def _add(self, reader: Reader | None) -> None:
        if isinstance(reader, Followed | ArchiveReader):
            self._known.add(reader)
            self._ends[reader] = _end_of(reader)


def _is_done(reader: Followed | ArchiveReader, end: int) -> bool:
    if isinstance(reader, ArchiveReader):
        return reader.closed or reader.stage is Stage.DONE
    if reader.copy is Copy.UNDECIDED:
        return reader.closed or not end
    if reader.closed or reader.is_settling:
        return True
    if reader.state is State.DRAINING and reader.pending:
        return False  # its last line is counted soon, as it may have been before
    return not reader.has_copies and (reader.eof or reader.offset >= end)


def _end_of(reader: Followed | ArchiveReader) -> int:
    try:
        return os.fstat(reader.fd).st_size if reader.is_open else reader.used
    except OSError:
        return reader.used


def _size_of(path: str) -> int:
    try:
        return max(1, os.stat(path).st_size)
    except OSError:
        return 1
