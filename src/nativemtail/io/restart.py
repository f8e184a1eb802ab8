"""What was kept of the logs, at the next start: which files are read on, from where, and what is lost."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator

from nativemtail.globs import Glob
from nativemtail.io.archive import ArchiveReader, is_archive
from nativemtail.io.archives import Archives
from nativemtail.io.descriptors import open_as
from nativemtail.io.followed import Followed
from nativemtail.io.generations import Made, bases
from nativemtail.io.lineage import Generation
from nativemtail.io.position import Identity, identity
from nativemtail.io.resume import Finder, Found, Opener, is_file_of
from nativemtail.io.saved import Place, Saved, SavedLog
from nativemtail.io.sources import Counters
from nativemtail.io.succession import Succession
from nativemtail.io.table import Table

_log = logging.getLogger(__name__)


class Restart:
    """The files of saved logs, until all that exist at the start are opened.

    `follow` makes a reader of a file that was at a path; `begin_drain` has it read to its end.
    """

    def __init__(
        self,
        saved: Saved,
        globs: Iterable[Glob],
        table: Table,
        archives: Archives,
        opener: Opener,
        follow: Callable[[str, int, os.stat_result, int], Followed],
        begin_drain: Callable[[Followed, str], None],
    ) -> None:
        self._archives = archives
        self._opener = opener
        self._follow = follow
        self._begin_drain = begin_drain
        self._readers: dict[str, tuple[list[Generation], Identity | None]] = {}
        self._saved = saved
        self._globs = list(globs)
        self._table = table
        self._finder = Finder(opener, saved.started, self._was_followed, saved.at)
        self._places: dict[int, list[Place]] = {}
        self._found: dict[Identity, Place] = {}
        self._lost: list[tuple[str, Place]] = []

    def is_new(self, path: str) -> bool:
        """Whether only patterns match that were not there before: the file is skipped, as at a first start."""
        if path in self._saved.logs:
            return False
        return not any(glob.pattern in self._saved.patterns and glob.matches(path) for glob in self._globs)

    def take_place(self, fd: int, who: Identity) -> Place | None:
        """How far the open file was counted, if it was followed and is not yet followed again."""
        place = self._found.pop(who, None) or self._known_place(fd)
        self._forget(place)
        return place

    def begin(self, succession: Succession) -> None:
        """Read what was at the paths of the logs and is no longer there, oldest first."""
        for path, files, present in self._logs():
            readers = [reader for found in files if (reader := self._read_on(path, found)) is not None]
            if readers:
                succession.resumed(path, readers)
            self._readers[path] = readers, present

    def before(self, path: str, who: Identity) -> tuple[list[Generation], bool]:
        """The readers of the files before the file `who` at the path, and whether there can be no others."""
        readers, present = self._readers.pop(path, ([], None))
        return readers, who == present

    def resume(self, reader: Followed, place: Place, info: os.stat_result) -> None:
        """Have a reader of the file at its path continue at its place."""
        reader.resume(place.position, in_cut_line=place.in_cut_line)
        # Copies that were made before the restart, after the last write, may be needed.
        reader.last_data_wall = min(reader.last_data_wall, info.st_mtime_ns)

    def _read_on(self, path: str, found: Found) -> Generation | None:
        """A reader of a file that was at `path`; None if it cannot be opened."""
        fd = open_as([found.path], lambda fd: identity(os.fstat(fd)) == found.identity, self._opener)
        if fd is None:
            return None
        known = self._table.readers.get(found.identity)
        if known is not None:
            os.close(fd)
            if isinstance(known, Followed | ArchiveReader) and known.lineage is None:
                return known
            return None  # it is in the order of the log that it was rotated from
        place, info = found.place, os.fstat(fd)
        reader: Followed | ArchiveReader
        if is_archive("", fd):
            reader = self._archives.open(found.path, fd, info, 0, is_history=False, log=path)
            reader.is_end_known = place is not None and not self._was_last(path, place)
        else:
            reader = self._follow(path, fd, info, 0)
            reader.name = found.path
        if place is not None:
            self._forget(place)
            reader.resume(place.position, in_cut_line=place.in_cut_line)
        if isinstance(reader, Followed):
            if place is not None and info.st_size <= place.position.offset and not self._was_present(path, place):
                reader.turn_of_rotation = -1
            self._begin_drain(reader, path)
        return reader

    def _was_present(self, path: str, place: Place) -> bool:
        """Whether a file was at the path of its log, so that its end is not among the past ones yet."""
        log = self._saved.logs.get(path)
        return log is not None and log.present is place

    def _was_last(self, path: str, place: Place) -> bool:
        """The same of a compressed file, which may have been found by an earlier start, and not read since."""
        log = self._saved.logs.get(path)
        is_last = log is not None and place in log.rotated[-1:] and place.position not in log.past
        return is_last or self._was_present(path, place)

    def _logs(self) -> Iterator[tuple[str, list[Found], Identity | None]]:
        """Each log with its files before the present one, oldest first, and the identity of that."""
        logs = [log for log in self._saved.logs.values() if self._is_wanted(log.path)]
        for log in logs:
            self._remember(log)
        # Others are named after those with short names, which therefore come first.
        for log in sorted([*logs, *self._unknown()], key=lambda log: len(log.path)):
            if log.present is not None and log.present.is_done:
                continue  # a compressed file, not a log that is rotated
            present = _present(log.path)
            if self._finder.is_in_place(log):
                yield log.path, [], present
                continue
            recovered = self._finder.recover(log)
            self._lost += [(log.path, place) for place in recovered.lost]
            here = recovered.present
            if here is not None and here.place is not None and here.identity not in self._table.readers:
                self._found[here.identity] = here.place
            yield log.path, recovered.before, present

    def count_lost(self, counters: Counters, pending: Collection[str]) -> None:
        """Count what is gone; all files that exist are open now, but for those at the `pending` paths."""
        for name, place in self._lost:
            if place.identity in self._table.readers or name in pending:
                continue  # it is read under another name, or may be later
            counters.lost_logs_total += 1
            known = f": {place.unread} bytes are known to be missing" if place.unread else ""
            _log.warning("%s: the file that was read before the restart is gone%s", name, known)

    def is_awaited(self, log: str) -> bool:
        """Whether a saved log that is not followed may be later: it cannot be opened, or its directory is missing,
        as if that were not mounted yet."""
        saved = self._saved.logs[log]
        if not saved.places or not self._is_wanted(log):
            return False
        if os.path.lexists(log):
            return True
        place = saved.places[-1]
        try:
            return os.stat(os.path.dirname(place.path)).st_dev != place.device
        except OSError:
            return True

    def _is_wanted(self, log: str) -> bool:
        return any(glob.matches(log) for glob in self._globs)

    def _remember(self, log: SavedLog) -> None:
        places = [*log.rotated, *([log.present] if log.present is not None else [])]
        for place in places:
            if place.is_done:
                self._table.remember(_made(place), place.position)
            else:
                self._places.setdefault(place.inode, []).append(place)
        for position in log.past:
            self._table.note_past(log.path, position)

    def _unknown(self) -> Iterator[SavedLog]:
        """Logs that appeared meanwhile, and may have been rotated since."""
        found: dict[str, None] = {}
        for glob in self._globs:
            if glob.pattern in self._saved.patterns:
                found.update(dict.fromkeys([*glob.expand(), *_rotated_from(glob)]))
        for path in found:
            if path not in self._saved.logs and not self._is_named_as_copy(path):
                yield SavedLog(path)

    def _is_named_as_copy(self, path: str) -> bool:
        start = path.rfind("/") + 2
        return any(path[at] in ".-" and path[:at] in self._saved.logs for at in range(start, len(path)))

    def _was_followed(self, fd: int) -> bool:
        return self._known_place(fd) is not None

    def _forget(self, place: Place | None) -> None:
        """It is read on; should its reader be closed, the table knows more."""
        if place is not None:
            places = self._places.get(place.inode, [])
            self._places[place.inode] = [each for each in places if each is not place]

    def _known_place(self, fd: int) -> Place | None:
        places = self._places.get(os.fstat(fd).st_ino, ())
        return next((place for place in places if is_file_of(place, fd)), None)


def _made(place: Place) -> Made:
    """The identity of a file that was read; a reboot may number its device anew."""
    device = place.device
    if place.birth:
        with contextlib.suppress(OSError):
            device = os.stat(os.path.dirname(place.path)).st_dev
    return Made(device, place.inode, place.birth)


def _rotated_from(glob: Glob) -> Iterator[str]:
    """The paths that match, after which files that do not match are named by a number or date."""
    for directory in Glob(os.path.dirname(glob.pattern)).expand():
        with contextlib.suppress(OSError):
            for name in os.listdir(directory):
                for base in bases(name):
                    path = os.path.join(directory, base)
                    if glob.matches(path) and not glob.matches(os.path.join(directory, name)):
                        yield path


def _present(path: str) -> Identity | None:
    try:
        return identity(os.stat(path))
    except OSError:
        return None
