"""What is left to read of the logs until each is read to where it ended at the start."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection

from nativemtail.io.archive import ArchiveReader, Stage
from nativemtail.io.followed import Copy, Followed, Reader
from nativemtail.io.sources import Counters
from nativemtail.io.table import Table
from nativemtail.io.timers import Timers

PATIENCE = 60.0
"""A log without progress for this many seconds no longer counts."""

_TICK = 0.02

_log = logging.getLogger(__name__)


class _Backlog:
    """The readers of one log, each with the end of its file at the start; or a file that cannot be opened."""

    def __init__(self, now: float) -> None:
        self.ends: dict[Followed | ArchiveReader, int] = {}
        self.unopened = 0
        self.since = now
        self.left = -1

    def update(self, now: float) -> int:
        """Bytes that are left."""
        for reader in [reader for reader, end in self.ends.items() if _is_done(reader, end)]:
            del self.ends[reader]
        left = self.unopened + sum(max(1, end - reader.used) for reader, end in self.ends.items())
        if left != self.left:
            self.left, self.since = left, now
        return left


class CatchUp:
    """Belongs to the loop's thread, but for `left`.  `pending` are the logs that cannot be opened yet."""

    def __init__(
        self,
        table: Table,
        pending: Collection[str],
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._pending = pending
        self._clock = clock
        self._logs: dict[str, _Backlog] = {}
        self._table = table
        for reader in table.readers.values():
            self._add(reader)
        for path in pending:
            self._backlog(path).unopened = _size_of(path)
        self.left = 0
        """Bytes that are left; may be read from any thread."""
        self.check()

    def keep_checking(self, timers: Timers) -> None:
        timers.every("catch_up", _TICK, self.check)

    def check(self) -> bool:
        """Update `left`; whether anything is left."""
        now = self._clock()
        left = 0
        for name, backlog in list(self._logs.items()):
            if backlog.unopened and name not in self._pending:
                backlog.unopened = 0
                self._add(self._table.reader_at(name))
            rest = backlog.update(now)
            if not rest:
                del self._logs[name]
            elif now - backlog.since >= PATIENCE:
                del self._logs[name]
                self._counters.limits_total["catch_up"] += 1
                text = "%s: no progress for %d seconds: the metrics are shown without the %d bytes that are left"
                _log.warning(text, name, PATIENCE, rest)
            else:
                left += rest
        self.left = left
        return left > 0

    def _add(self, reader: Reader | None) -> None:
        if isinstance(reader, Followed | ArchiveReader):
            name = reader.sources[0].name if reader.sources else reader.path
            self._backlog(name).ends[reader] = _end_of(reader)

    def _backlog(self, name: str) -> _Backlog:
        return self._logs.setdefault(name, _Backlog(self._clock()))


def _is_done(reader: Followed | ArchiveReader, end: int) -> bool:
    if isinstance(reader, ArchiveReader):
        return reader.closed or reader.stage is Stage.DONE
    if reader.copy is Copy.UNDECIDED:
        return reader.closed or not end
    return reader.closed or reader.is_settling or (not reader.has_copies and (reader.eof or reader.offset >= end))


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
