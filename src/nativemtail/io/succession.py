"""Which files were at a path between two that were seen there: after a gap, the directory tells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from nativemtail.io.follow import FileReader, Identity
from nativemtail.io.generations import Entry, age_of, birth, entries, last_change, name_of, newer
from nativemtail.io.lineage import LATER, Lineage
from nativemtail.io.loop import Loop

OPEN_AHEAD = 64
"""So many generations of a path are opened before the first of them is read; the others are found later."""

UNKNOWN = 1 << 30
"""More files may have come to the path than were seen."""

_LISTINGS = 20
_QUIET = 2
_RENAMES = 0.001
_AGAIN = 0.02
_PATIENCE = 0.1


class Succession:
    """The lineages of the paths whose files were replaced.

    `catch_up` handles the events that wait and tells whether those were all.  `adopt` makes a reader of an open file
    that was at a path, or closes it and gives None if it is or was read already.
    """

    def __init__(
        self,
        loop: Loop,
        catch_up: Callable[[], bool],
        adopt: Callable[[str, int], FileReader | None],
        is_read: Callable[[Identity], bool],
        opener: Callable[[str], int],
    ) -> None:
        self._loop = loop
        self._catch_up = catch_up
        self._adopt = adopt
        self._is_read = is_read
        self._opener = opener
        self._lineages: dict[str, Lineage] = {}
        self._arrivals: dict[str, int] = {}
        self._open: dict[str, float] = {}

    def arrived(self, path: str) -> None:
        """An event told that the name was given to a file."""
        self._arrivals[path] = self._arrivals.get(path, 0) + 1

    def lost_events(self, paths: Iterable[str]) -> None:
        """Any of these names may have been given to any number of files."""
        self._arrivals.update(dict.fromkeys(paths, UNKNOWN))

    def begins(self, path: str, reader: FileReader) -> None:
        """A file was found at a path that had none: if others were renamed from it unseen, they come first."""
        self._arrivals.pop(path, None)
        if reader.is_untouched and not reader.offset:
            lineage = self._lineages[path] = Lineage()
            lineage.append(reader)
            self._begin_gap(path, lineage, reader)

    def succeeds(self, path: str, before: FileReader, reader: FileReader) -> None:
        """`reader` reads what is at the path now, `before` what was there when it was last seen."""
        lineage = self._lineages.setdefault(path, Lineage())
        if before.lineage is not lineage:
            lineage.append(before)
        lineage.append(reader)
        self._begin_gap(path, lineage, reader)

    def _begin_gap(self, path: str, lineage: Lineage, reader: FileReader) -> None:
        lineage.gap = lineage.gap or reader
        if path not in self._open:
            self._open[path] = time.monotonic() + _PATIENCE
            self._loop.after(0, self.resolve)

    def came_between(self, path: str, reader: FileReader) -> None:
        """`reader` reads a file that was at the path before the one that is there now."""
        lineage = self._lineages.get(path)
        if lineage is not None:
            lineage.insert(reader)

    def resolve(self) -> None:
        """Look for what came between, and let the generations be read."""
        if not self._open:
            return
        is_all = self._catch_up()
        now = time.monotonic()
        for path, limit in list(self._open.items()):
            lineage = self._lineages[path]
            if is_all or now > limit:
                del self._open[path]
                self._close_gap(path, lineage, self._arrivals.pop(path, 0 if is_all else UNKNOWN))
        for path, lineage in list(self._lineages.items()):
            if len(lineage) < 2 and path not in self._open:
                del self._lineages[path]
        if self._open:
            self._loop.after(0 if not is_all else _AGAIN, self.resolve)

    def drain(self) -> Iterator[None]:
        """Read all generations to their ends, oldest first."""
        while True:
            self.resolve()
            for lineage in list(self._lineages.values()):
                for reader in lineage.ready():
                    yield from reader.drain()
            if not self._open:
                return
            yield

    def _close_gap(self, path: str, lineage: Lineage, arrivals: int) -> None:
        before = lineage.before_gap
        last: FileReader | None = None
        base, anchor = self._base(path, lineage), None
        if before is not None and not before.closed and arrivals != 1:
            try:
                anchor = name_of(before.fd)
                if anchor is not None or arrivals:
                    last = self._find(path, base, anchor, lineage, arrivals)
            except OSError as error:
                if error.errno in LATER:
                    self._look_again(path)
                    return
        like = os.path.basename(anchor) if anchor is not None else None
        lineage.close_gap(lambda reader: _age(reader, base, like), last)
        if lineage.gap is not None:
            self._look_again(path)

    def _look_again(self, path: str) -> None:
        self._open[path] = 0.0
        self._arrivals[path] = UNKNOWN

    def _base(self, path: str, lineage: Lineage) -> str:
        """What rotated files are named after: the path, or the file that a link leads to."""
        if os.path.islink(path):
            for reader in reversed(list(lineage)):
                if reader.is_open:
                    return name_of(reader.fd) or path
        return path

    def _find(self, path: str, base: str, anchor: str | None, lineage: Lineage, arrivals: int) -> FileReader | None:
        """Adopt what the directory has of the gap; the last one, if there is more of it.

        Names that are being shifted may be missing in a listing: it is made again until it has nothing new.
        """
        before = lineage.before_gap
        assert before is not None
        directory, name = os.path.dirname(anchor or base), os.path.basename(base)
        oldest = birth(before.fd)
        done = {before.identity[1]}
        last: FileReader | None = None
        quiet = 0
        for _ in range(_LISTINGS):
            wanted = self._wanted(directory, name, anchor, before, done)
            for entry in wanted:
                if len(done) > OPEN_AHEAD:
                    return last
                fd = self._opened(os.path.join(directory, entry.name), entry)
                if fd is None:
                    continue  # it was renamed meanwhile
                done.add(entry.inode)
                if birth(fd) < oldest:
                    os.close(fd)
                    continue
                reader = self._adopt(path, fd)
                if reader is not None:
                    lineage.insert(reader)
                    last = reader
            quiet = 0 if wanted else quiet + 1
            if quiet == _QUIET or 0 < arrivals <= lineage.behind_gap:
                break
            time.sleep(_RENAMES)
        return None

    def _wanted(self, directory: str, base: str, anchor: str | None, before: FileReader, done: set[int]) -> list[Entry]:
        """The entries of rotated files that came after `before` and are not read, oldest first."""
        listed = {entry.name: entry for entry in entries(directory)}
        here = [entry.name for entry in listed.values() if entry.inode == before.identity[1]]
        like = next((name for name in here if name != base), os.path.basename(anchor) if anchor is not None else None)
        after = newer(list(listed), base, like, partial(last_change, directory))
        found = [listed[name] for name in after if listed[name].inode not in done]
        return [entry for entry in found if not self._is_read((before.identity[0], entry.inode))]

    def _opened(self, path: str, entry: Entry) -> int | None:
        """The file of an entry, if it still has that name."""
        try:
            fd = self._opener(path)
        except OSError as error:
            if error.errno in LATER:
                raise
            return None
        if os.fstat(fd).st_ino == entry.inode:
            return fd
        os.close(fd)
        return None


def _age(reader: FileReader, base: str, like: str | None) -> tuple[int, bool, tuple[int, ...]]:
    """By birth, and where clocks or file systems do not tell by name."""
    try:
        name = name_of(reader.fd)
        return birth(reader.fd), name == base, age_of(name, os.path.basename(base), like)
    except OSError:
        return 0, False, ()
