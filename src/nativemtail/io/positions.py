"""The records of the logs that are followed: their files and how far each is counted, as `saved.py` keeps them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice

from nativemtail.io.archive import ArchiveReader, Stage
from nativemtail.io.archives import Archives
from nativemtail.io.followed import Followed
from nativemtail.io.generations import name_of
from nativemtail.io.moved import Moved
from nativemtail.io.position import Position
from nativemtail.io.saved import PAST, Place, Record, Saved, SavedLog, key_of
from nativemtail.io.succession import Succession
from nativemtail.io.table import Table

FEW = 10
"""The records of this many logs are taken in about as long as a slice of a snapshot."""

_SLICE = 0.0003
"""Seconds."""
_AWAITED = 8
"""So many of the logs that are awaited are looked for at a time."""


class Positions:
    """Remembers what was recorded of each log, and looks only at those that moved.  Belongs to the loop's thread.

    Taking the records of many logs takes long, and all must be of one instant.  So most are taken before it, by
    `prepare`, a few at a time; a log that moves again until then is looked at once more.
    """

    def __init__(
        self,
        moved: Moved,
        table: Table,
        archives: Archives,
        succession: Succession,
        saved: Saved,
        is_awaited: Callable[[str], bool],
    ) -> None:
        self._moved = moved
        self._table = table
        self._archives = archives
        self._succession = succession
        self._marks: dict[str, Hashable] = {}
        self._keys = {name: key_of(log) for name, log in saved.logs.items()}
        self._unseen = dict.fromkeys(saved.logs)
        """Logs of which no file was found so far."""
        self._is_awaited = is_awaited
        self._is_first = True
        self._found: dict[str, Record | None] = {}

    def prepare(self) -> bool:
        """Look at some of the logs that moved; whether few are left, so that an instant can be fixed."""
        if len(self._moved) > FEW:
            self._look(time.perf_counter() + _SLICE)
        return len(self._moved) <= FEW

    def changed(self) -> dict[str, Record | None]:
        """The records of the logs that changed since the last call, by key; None for a log that is forgotten.

        All are of this instant.
        """
        self._look()
        self._look_for_awaited()
        found, self._found = self._found, {}
        return found

    def _look(self, limit: float = math.inf) -> None:
        if not self._moved:
            return
        unread = self._unread_archives()
        while self._moved and time.perf_counter() < limit:
            name = self._moved.take()
            try:
                self._look_at(name, unread.get(name, []))
            except BaseException:
                self._moved.note(name)
                raise

    def _look_at(self, name: str, archives: list[ArchiveReader]) -> None:
        if archives or name in self._table.paths or name in self._table.generations:
            self._unseen.pop(name, None)
            self._record(name, archives)
        elif name not in self._unseen:
            self._leave(name)

    def _record(self, name: str, archives: list[ArchiveReader]) -> None:
        readers = list(self._readers(name, archives))
        past = self._past(name)
        mark = past, tuple(_mark_of(reader) for reader in readers), self._table.reader_at(name) is not None
        if self._marks.get(name) != mark:
            log = self._log(name, readers, past)
            key = self._keys[name] = key_of(log)
            self._found[key] = log.to_dict()
            self._marks[name] = mark

    def _past(self, name: str) -> tuple[Position, ...]:
        return tuple(position for position in self._table.ends(name) if position.length or position.head)[-PAST:]

    def _leave(self, name: str) -> None:
        """The log is gone.  If there is a new one after a restart, what was counted must not be taken for new files."""
        if self._past(name):
            self._record(name, [])
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._marks.pop(name, None)
        key = self._keys.pop(name, None)
        if key is not None:
            self._found[key] = None

    def _look_for_awaited(self) -> None:
        """Forget the logs that need not be awaited any more."""
        count = len(self._unseen) if self._is_first else _AWAITED
        self._is_first = False
        for name in list(islice(self._unseen, count)):
            del self._unseen[name]
            if self._is_awaited(name):
                self._unseen[name] = None  # to be looked for again when it is its turn
            else:
                self._leave(name)

    def _unread_archives(self) -> dict[str, list[ArchiveReader]]:
        """The compressed rotated files that are not read to their ends, by the log's name."""
        found: dict[str, list[ArchiveReader]] = {}
        for archive in self._archives.unread():
            found.setdefault(archive.source.name, []).append(archive)
        return found

    def _readers(self, name: str, archives: Iterable[ArchiveReader]) -> Iterator[Followed | ArchiveReader]:
        """The readers of a log's files, oldest first; without copies of what other readers count."""
        present = self._table.reader_at(name)
        rotated: list[Followed | ArchiveReader] = [*archives, *self._table.generations.get(name, ())]
        ordered = [reader for reader in self._succession.order(name) if isinstance(reader, Followed | ArchiveReader)]
        ordered = [reader for reader in ordered if reader in rotated]
        earlier = [reader for reader in rotated if reader not in ordered]  # they left the order, having been read
        for reader in dict.fromkeys([*earlier, *ordered, *([present] if present is not None else [])]):
            is_copy = isinstance(reader, Followed) and reader.is_settling
            if isinstance(reader, Followed | ArchiveReader) and not is_copy:
                yield reader

    def _log(self, name: str, readers: list[Followed | ArchiveReader], past: tuple[Position, ...]) -> SavedLog:
        present: Place | None = None
        rotated: list[Place] = []
        for reader in readers:
            if isinstance(reader, Followed):
                rotated += _copies_of(reader)
            place = _place_of(reader)
            if reader is self._table.reader_at(name):
                present = place
            else:
                rotated.append(place)
        return SavedLog(name, present, tuple(rotated), past)


def _mark_of(reader: Followed | ArchiveReader) -> Hashable:
    """Changes when there is something to save."""
    if isinstance(reader, Followed):
        return reader.made, reader.path, reader.position, reader.progress
    return reader.made, reader.path, reader.stage is Stage.DONE, reader.counted_to


def _copies_of(reader: Followed) -> list[Place]:
    """The copies that `reader` reads before its file."""
    copies = reader.copies_counted_to()
    in_cut_line = reader.is_in_cut_line
    return [
        Place(path, *who, 0, position, position.offset, in_cut_line=in_cut_line and not at)
        for at, (path, who, position) in enumerate(copies)
    ]


def _place_of(reader: Followed | ArchiveReader) -> Place:
    if isinstance(reader, ArchiveReader) and reader.stage is Stage.DONE:
        return Place(reader.path, *reader.made, reader.raw, reader.raw.offset, is_done=True)
    path, position = reader.path, reader.counted_to
    in_cut_line = reader.is_in_cut_line and not (isinstance(reader, Followed) and reader.has_copies)
    if reader.is_open:
        path = name_of(reader.fd) or path
    if isinstance(reader, Followed) and reader.is_untouched and not position.offset:
        position = reader.beginning  # it is to be noticed if the file is truncated
    seen = max(reader.offset, position.offset)
    return Place(path, *reader.made, position, seen, in_cut_line=in_cut_line)
