"""Finds the files that were at a path between two that were seen there, by listing the directory."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import dropwhile, islice

from nativemtail.io.generations import (
    age_of,
    birth,
    is_generation,
    last_change,
    last_name_of,
    name_of,
    newer,
    plain,
    starts,
    text_age,
)
from nativemtail.io.lineage import LATER, Generation, Lineage
from nativemtail.io.listing import Listings
from nativemtail.io.loop import Loop
from nativemtail.io.position import Identity

OPEN_AHEAD = 64
"""At most this many generations of a path are opened before the first is read; more are found later."""

UNKNOWN = 1 << 30
"""The number of files that came to a path is unknown: there may be more than were seen."""

_LISTINGS = 20
_ROUNDS = 3
_QUIET = 2
_RENAMES = 0.001
_AGAIN = 0.02
_PATIENCE = 0.1
_DONE = object()
_FEW = 64
_AT_ONCE = 2048
"""At most this many gaps are resolved together, sharing listings, before the loop continues."""


class Succession:
    """Keeps the lineages of the paths whose files were replaced.

    `catch_up` handles pending events and returns whether those were all.  `adopt` makes a reader of an open file that
    was at a path; if the file is or was already read, it closes it and returns None.
    """

    def __init__(
        self,
        loop: Loop,
        catch_up: Callable[[], bool],
        adopt: Callable[[str, int], Generation | None],
        is_read: Callable[[Identity], bool],
        opener: Callable[[str], int],
        listings: Listings,
    ) -> None:
        self._loop = loop
        self._catch_up = catch_up
        self._adopt = adopt
        self._is_read = is_read
        self._opener = opener
        self._listings = listings
        self._since = 0.0
        self._forget_at = 0
        self._lineages: dict[str, Lineage] = {}
        self._arrivals: dict[str, int] = {}
        self._changes = 0
        self._open: dict[str, float] = {}
        self._rounds: dict[str, int] = {}

    def arrived(self, path: str) -> None:
        """An event reported that a file got this name."""
        self._arrivals[path] = self._arrivals.get(path, 0) + 1
        self._changes += 1

    def lost_events(self, paths: Iterable[str]) -> None:
        """Any number of files may have had these names."""
        self._arrivals.update(dict.fromkeys(paths, UNKNOWN))

    def appeared(self, path: str, reader: Generation) -> None:
        """A file was found at a path that had none: others that were renamed from it unseen are read first."""
        self._arrivals.pop(path, None)
        if reader.is_untouched and not reader.used:
            lineage = self._lineages[path] = Lineage()
            lineage.append(reader)
            lineage.gap = reader
            self._resolve_soon(path)

    def replaced(self, path: str, before: Generation, reader: Generation) -> None:
        """`reader` reads the file at the path now, `before` the one that was last seen there."""
        lineage = self._lineages.setdefault(path, Lineage())
        if before.lineage is None:
            lineage.prepend(before)
        elif before.lineage is not lineage:
            lineage.append(before)
        lineage.append(reader)
        lineage.begin_gap(before, _born)
        self._resolve_soon(path)

    def resumed(self, path: str, readers: Iterable[Generation]) -> None:
        """After a restart `readers` read the files that were at the path, one after another: none is missing."""
        lineage = self._lineages.setdefault(path, Lineage())
        for reader in readers:
            if reader.lineage is not lineage:
                lineage.append(reader)

    def order(self, path: str) -> list[Generation]:
        """The readers of the files that were at a path, oldest first, without those that were read."""
        return list(self._lineages.get(path, ()))

    @property
    def unresolved(self) -> list[str]:
        """The paths of which files may be missing."""
        return list(self._open)

    def _resolve_soon(self, path: str) -> None:
        self._changes += 1
        if path not in self._open:
            self._open[path] = time.monotonic() + _PATIENCE
            self._loop.after(0, self.resolve)

    def is_searching(self, path: str) -> bool:
        """Whether files that were at the path may still be found."""
        return path in self._open

    def was_between(self, path: str, reader: Generation) -> None:
        """`reader` reads a file that was at the path before the present one."""
        lineage = self._lineages.get(path)
        if lineage is not None:
            base = self._base(path, lineage)
            like = _like(lineage, os.path.basename(base))
            lineage.insert(reader, lambda each: _age(each, base, like))

    def resolve(self) -> None:
        """Find the missing generations, and let those after them be read."""
        if not self._open:
            return
        is_all = self._count_arrivals()
        now = time.monotonic()
        gaps: list[Iterator[None]] = []
        for path, limit in list(islice(self._open.items(), _AT_ONCE)):
            if is_all or now > limit:
                del self._open[path]
                arrivals = self._arrivals.pop(path, 0)
                if not is_all:
                    arrivals = UNKNOWN  # those of the events that wait are not counted yet
                gaps.append(self._close_gap(path, self._lineages[path], arrivals))
        while gaps:
            self._since = time.monotonic()  # so that all gaps share one listing of a directory
            gaps = [gap for gap in gaps if next(gap, _DONE) is not _DONE]
            if gaps:
                time.sleep(_RENAMES)
        self._forget()
        if self._open:
            self._loop.after(0 if not is_all else _AGAIN, self.resolve)

    def _count_arrivals(self) -> bool:
        """Handle events; whether every file that was seen at a path was counted.

        A file may be seen before the event that reports it, which would stand for another one that was not seen.
        """
        for _ in range(_ROUNDS):
            before = self._changes
            if not self._catch_up():
                return False
            if self._changes == before:
                return True
        return False

    def _forget(self) -> None:
        """Forget completed lineages; only when their number has doubled, as there may be many."""
        if len(self._lineages) >= self._forget_at:
            for path, lineage in list(self._lineages.items()):
                if len(lineage) < 2 and path not in self._open:
                    del self._lineages[path]
            self._forget_at = 2 * len(self._lineages) + _FEW

    def drain(self) -> Iterator[None]:
        """Read all generations to their ends, oldest first."""
        while True:
            self.resolve()
            for _ in range(len(self._open) // _AT_ONCE):
                yield
                self.resolve()
            for lineage in list(self._lineages.values()):
                for reader in lineage.ready():
                    yield from reader.drain()
            if not self._open:
                return
            yield

    def _close_gap(self, path: str, lineage: Lineage, arrivals: int) -> Iterator[None]:
        before = lineage.before_gap
        last: Generation | None = None
        base, anchor = self._base(path, lineage), None
        if before is not None and not before.closed and arrivals != 1:
            try:
                anchor = name_of(before.fd)
                if anchor is not None or arrivals:
                    last = yield from self._find(path, base, anchor, lineage, arrivals)
            except OSError as error:
                if error.errno in LATER:
                    self._look_again(path)
                    return
        like = plain(os.path.basename(anchor)) if anchor is not None else _like(lineage, os.path.basename(base))
        self._rounds.pop(path, None)
        lineage.close_gap(lambda reader: _age(reader, base, like), last)
        if lineage.gap is not None:
            self._look_again(path)

    def _look_again(self, path: str) -> None:
        self._open[path] = 0.0
        self._arrivals[path] = UNKNOWN

    def _base(self, path: str, lineage: Lineage) -> str:
        """The path that rotated files are named after: the path itself, or the target of a link."""
        if os.path.islink(path):
            for reader in reversed(list(lineage)):
                if reader.is_open:
                    return name_of(reader.fd) or path
        return path

    def _find(
        self, path: str, base: str, anchor: str | None, lineage: Lineage, arrivals: int
    ) -> Generator[None, None, Generation | None]:
        """Adopt the missing generations in the directory; returns the last one if there are more than may be open.

        A listing may miss files that are being renamed: it is repeated until nothing is new and nothing has moved.
        Each search waits at a `yield` for the next listing, which all searches share.
        """
        before = lineage.before_gap
        assert before is not None
        directory, name = os.path.dirname(anchor or base), os.path.basename(base)
        oldest = _born(before)
        done = {before.identity[1]}
        found: list[tuple[int, Generation]] = []
        quiet = 0
        seen: dict[str, int] = {}
        is_settled = True
        for _ in range(_LISTINGS):
            earlier, seen = seen, self._newer(directory, name, anchor, before)
            wanted = {
                entry: inode
                for entry, inode in seen.items()
                if inode not in done and not self._is_read((before.identity[0], inode))
            }
            is_settled = True
            for entry, listed in wanted.items():
                if len(done) > OPEN_AHEAD and _is_after(entry, seen, found):
                    if is_settled:
                        return _youngest(found)
                    break  # one that is older may have been missed
                fd = self._opened(os.path.join(directory, entry))
                if fd is None:
                    is_settled = False  # it was renamed meanwhile
                    continue
                inode = os.fstat(fd).st_ino  # that of another generation, if names are being shifted
                is_settled &= inode == listed
                if inode in done or self._is_read((before.identity[0], inode)) or birth(fd) < oldest:
                    os.close(fd)
                    done.add(inode)
                    continue
                done.add(inode)
                age = text_age(fd, entry)
                reader = self._adopt(path, fd)
                if reader is not None:
                    lineage.insert(reader)
                    found.append((age, reader))
            quiet = 0 if wanted else quiet + 1 if seen == earlier else 1
            if quiet == _QUIET or 0 < arrivals <= lineage.count_from_gap:
                return None
            yield
        self._rounds[path] = self._rounds.get(path, 0) + 1
        if not is_settled and self._rounds[path] < _ROUNDS:
            raise BlockingIOError(errno.EAGAIN, "names are being changed")
        return _youngest(found)

    def _newer(self, directory: str, base: str, anchor: str | None, before: Generation) -> dict[str, int]:
        """Rotated files newer than `before`, oldest first, with their inodes: 0 for those that just disappeared."""
        now = name_of(before.fd)
        like = os.path.basename(now) if now is not None and os.path.dirname(now) == directory else None
        if like is None or like == base:  # a hard link may have the rotated name
            names = [name for name in self._names(directory, base, None) if is_generation(base, plain(name))]
            here = (name for name in names if _inode(directory, name) == before.identity[1])
            like = next(here, os.path.basename(anchor) if anchor is not None else None)
        like = plain(like) if like is not None else None
        called: dict[str, str] = {}
        for name in self._names(directory, base, like):
            called.setdefault(plain(name), name)  # during compression both names exist
        names = newer(list(called), base, like, lambda name: last_change(directory, called.get(name, name)))
        found = {called[name]: inode for name in names if (inode := _inode(directory, called[name])) is not None}
        return found if name_of(before.fd) == now else {**found, base: 0}  # it was renamed meanwhile

    def _names(self, directory: str, base: str, like: str | None) -> list[str]:
        try:
            return self._listings.beginning_with(directory, *starts(base, like), since=self._since)
        except OSError as error:
            if error.errno in LATER:
                raise
            return []

    def _opened(self, path: str) -> int | None:
        """Open the file at `path`, which is no link; None if it was renamed meanwhile."""
        try:
            return self._opener(path) if not os.path.islink(path) else None
        except OSError as error:
            if error.errno in LATER:
                raise
            return None


def _youngest(found: list[tuple[int, Generation]]) -> Generation | None:
    return sorted(found, key=lambda pair: pair[0])[-1][1] if found else None


def _is_after(entry: str, seen: dict[str, int], found: list[tuple[int, Generation]]) -> bool:
    """Whether an entry of a listing, which is in order of age, is newer than all of `found`."""
    inodes = {reader.identity[1] for _, reader in found}
    after = dropwhile(lambda name: name != entry, seen)
    return not any(seen[name] in inodes for name in after)


def _inode(directory: str, name: str) -> int | None:
    """The inode of a name: 0 if it no longer exists, None for a directory."""
    try:
        info = os.lstat(os.path.join(directory, name))
    except OSError:
        return 0
    return info.st_ino if not stat.S_ISDIR(info.st_mode) else None


def _like(lineage: Lineage, base: str) -> str | None:
    """The name of some rotated file of the lineage, without the suffix of a compressor."""
    paths = (name_of(reader.fd) for reader in lineage if reader.is_open)
    names = (plain(os.path.basename(path)) for path in paths if path is not None)
    return next((name for name in names if is_generation(base, name)), None)


def _born(reader: Generation) -> int:
    try:
        return text_age(reader.fd, last_name_of(reader.fd))
    except OSError:
        return 0


def _age(reader: Generation, base: str, like: str | None) -> tuple[int, bool, int, tuple[int, ...]]:
    """A sort key: by when the text was begun, then ended, then by name where clocks or file systems do not decide.

    A file that was compressed after it was opened has lost its name: the last one counts.
    """
    try:
        now, last = name_of(reader.fd), last_name_of(reader.fd)
        begun = text_age(reader.fd, last)
        ended = os.fstat(reader.fd).st_mtime_ns if begun else 0
        is_present = now is not None and plain(now) == base
        return begun, is_present, ended, age_of(plain(last) if last else None, os.path.basename(base), like)
    except OSError:
        return 0, False, 0, ()
