"""The records of the logs that are followed: their files and how far each is counted, as `saved.py` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from nativemtail.io.archive import ArchiveReader, Stage
from nativemtail.io.archives import Archives
from nativemtail.io.followed import Followed
from nativemtail.io.generations import name_of
from nativemtail.io.position import Position
from nativemtail.io.saved import PAST, Place, Record, Saved, SavedLog, key_of
from nativemtail.io.succession import Succession
from nativemtail.io.table import Table


class Positions:
    """Remembers what was recorded of each log.  Belongs to the loop's thread."""

    def __init__(
        self,
        table: Table,
        archives: Archives,
        succession: Succession,
        saved: Saved,
        is_awaited: Callable[[str], bool],
    ) -> None:
        self._table = table
        self._archives = archives
        self._succession = succession
        self._marks: dict[str, Hashable] = {}
        self._keys = {name: key_of(log) for name, log in saved.logs.items()}
        self._unseen = set(saved.logs)
        self._is_awaited = is_awaited

    def changed(self) -> dict[str, Record | None]:
        """The records of the logs that changed since the last call, by key; None for a log that is forgotten."""
        found: dict[str, Record | None] = {}
        unread = self._unread_archives()
        names = dict.fromkeys([*self._table.paths, *self._table.generations, *unread])
        for name in names:
            readers = list(self._readers(name, unread.get(name, [])))
            past = tuple(position for position in self._table.ends(name) if position.length or position.head)[-PAST:]
            mark = past, tuple(_mark_of(reader) for reader in readers), self._table.reader_at(name) is not None
            if self._marks.get(name) != mark:
                self._marks[name] = mark
                log = self._log(name, readers, past)
                self._keys[name] = key_of(log)
                found[self._keys[name]] = log.to_dict()
        self._unseen -= names.keys()
        self._unseen = {name for name in self._unseen if self._is_awaited(name)}
        for name in self._keys.keys() - names.keys() - self._unseen:
            self._marks.pop(name, None)
            found[self._keys.pop(name)] = None
        return found

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
        return id(reader), reader.path, reader.progress
    return id(reader), reader.path, reader.stage is Stage.DONE, reader.counted_to.offset


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
