"""The compressed files that match a pattern, and the logs that they may be copies of."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from itertools import islice

from nativemtail.io.archive import ArchiveReader, Stage
from nativemtail.io.bounded import trim
from nativemtail.io.descriptors import Descriptors, open_as
from nativemtail.io.followed import Followed, LogPath
from nativemtail.io.loop import Loop
from nativemtail.io.position import Counted, Identity, Position, identity
from nativemtail.io.sources import Context, Source
from nativemtail.io.table import Table
from nativemtail.io.timers import Timers

_TICK = 0.25
_AT_ONCE = 16
_MAX_COMPARED = 1024
_MAX_PLAIN = 1024


class Archives:
    """Reads compressed files, a few at a time.  Calls `look` for a path whose file turns out not to be compressed."""

    def __init__(
        self,
        context: Context,
        loop: Loop,
        timers: Timers,
        table: Table,
        descriptors: Descriptors,
        opener: Callable[[str], int],
        look: Callable[[str], None],
    ) -> None:
        self._context = context
        self._loop = loop
        self._timers = timers
        self._table = table
        self._descriptors = descriptors
        self._opener = opener
        self._look = look
        self._archives: dict[ArchiveReader, list[LogPath]] = {}
        self._unread: dict[ArchiveReader, None] = {}
        self._plain: dict[Identity, None] = {}

    def is_plain(self, who: Identity) -> bool:
        """Whether a file turned out not to be compressed, despite its name."""
        return who in self._plain

    def open(
        self, path: str, fd: int, info: os.stat_result, not_before: int, is_history: bool, log: str = ""
    ) -> ArchiveReader:
        """A reader of a compressed file at `path`; if it was once at `log`, its lines count under that name."""
        source = self._context.hold(log or path)
        reader = ArchiveReader(self, self._context, source, path, fd, identity(info), not_before)
        self._archives[reader] = []
        self._table.readers[reader.identity] = reader
        self._context.counters.log_opens_total[source.name] += 1
        left = self._table.last_positions.pop(reader.made, None)
        if is_history or (left is not None and left.offset == info.st_size and left.fits(fd)):
            reader.skip_all()
        else:
            self._begin(reader)
            if log:
                self._loop.queue(reader)  # others may wait for it
        return reader

    def unread(self) -> list[ArchiveReader]:
        """Those that were rotated files of logs, and are not read to their ends."""
        return [
            reader
            for reader, paths in ((reader, self._archives[reader]) for reader in self._unread)
            if all(path.path != reader.source.name for path in paths)
        ]

    def bind(self, reader: ArchiveReader, path: LogPath) -> None:
        self._archives[reader].append(path)
        reader.has_moved()

    def release(self, reader: ArchiveReader, path: LogPath) -> None:
        """`path` no longer names the file."""
        self._archives[reader].remove(path)
        reader.has_moved()
        self._leave(reader)

    def check(self, reader: ArchiveReader, path: str, info: os.stat_result) -> None:
        """Check whether the file, which is the same as before, was written to.  Raises OSError."""
        if reader.stage is Stage.DONE and reader.has_changed(info):
            reader.look(info, self._opener(path))
            self._begin(reader)

    def close(self, archive: ArchiveReader) -> None:
        self._table.remember(archive.made, archive.raw)
        self._context.counters.log_closes_total[archive.source.name] += 1
        self._table.readers.pop(archive.identity, None)
        archive.has_moved()
        self._unread.pop(archive, None)
        self._descriptors.forget(archive)
        del self._archives[archive]
        archive.close()
        self._context.release(archive.source)

    # For the readers

    def sources_of(self, archive: ArchiveReader) -> list[Source]:
        return [path.source for path in self._archives.get(archive, ())]

    def open_again(self, archive: ArchiveReader) -> int:
        names = [path.path for path in self._archives[archive]] or [archive.path]
        fd = open_as(names, lambda fd: identity(os.fstat(fd)) == archive.identity, self._opener)
        if fd is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._descriptors.used(archive)
        return fd

    def counted(self, archive: ArchiveReader) -> list[Counted]:
        names = self._compared_with(archive)
        found = [Counted(position) for name in names for position in self._table.past(name)]
        for reader in self._readers_of(names):
            found += reader.counted()
        return found

    def is_held(self, archive: ArchiveReader, end: Position) -> bool:
        readers = self._readers_of(self._compared_with(archive))
        return any(reader.is_open and end.fits(reader.fd) for reader in readers)

    def finished(self, archive: ArchiveReader) -> None:
        if archive.position.length and archive.has_new_end:
            self._table.note_past(archive.source.name, archive.position)
        self._unread.pop(archive, None)
        archive.has_moved()
        self._descriptors.forget(archive)
        self._take_turns()
        self._leave(archive)

    def not_compressed(self, archive: ArchiveReader) -> None:
        paths = self._archives[archive]
        for path in paths:
            path.reader = None
        again = [path.path for path in paths]
        paths.clear()
        self.close(archive)
        self._table.last_positions.pop(archive.made, None)
        self._plain[archive.identity] = None
        trim(self._plain, _MAX_PLAIN)
        for name in again:
            self._look(name)

    def _begin(self, reader: ArchiveReader) -> None:
        self._unread[reader] = None
        reader.has_moved()
        self._descriptors.used(reader)
        self._timers.every("archives", _TICK, self._take_turns)
        self._take_turns()

    def _take_turns(self) -> bool:
        """Queue a few at a time, to bound the number of open files."""
        for reader in islice(self._unread, _AT_ONCE):
            self._loop.queue(reader)
        return bool(self._unread)

    def _leave(self, archive: ArchiveReader) -> None:
        """Forget it if it is done and has no path."""
        if archive.stage is Stage.DONE and not self._archives.get(archive, True):
            self.close(archive)

    def _compared_with(self, archive: ArchiveReader) -> set[str]:
        """The logs that `archive` may be a copy of: those that it is named after, or all if there are few."""
        start = archive.path.rfind("/") + 2
        names = {archive.path[:at] for at in range(start, len(archive.path)) if archive.path[at] in ".-"}
        names |= {archive.path, archive.source.name}
        table = self._table
        past = table.past_names if len(table.readers) <= _MAX_COMPARED else []
        if len(past) + len(table.readers) <= _MAX_COMPARED:
            names.update(past, table.paths, table.rotated)
        return names

    def _readers_of(self, names: set[str]) -> Iterator[Followed]:
        """The readers of logs of these names, including those being drained."""
        found: dict[Followed, None] = {}
        for name in names:
            table = self._table
            for reader in (table.reader_at(name), table.rotated.get(name), *table.generations.get(name, ())):
                # A copy that was never read is no evidence; the log that it was copied from is.
                if isinstance(reader, Followed) and not (reader.is_copy and reader.is_untouched):
                    found[reader] = None
        return iter(found)
