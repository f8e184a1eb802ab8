"""Finds the files of a saved log again, whatever happened to them while nobody looked.

The file that was read last may have been renamed, compressed, copied and truncated, or replaced.  An inode alone proves
nothing: the content decides (`Place`).  What became rotated files of the log since is read from the beginning.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nativemtail.io.compressed import Corrupt, decoder
from nativemtail.io.content import START, recognise
from nativemtail.io.generations import is_generation, last_change, newer, plain, starts, text_age
from nativemtail.io.position import TAIL, Identity, Position, identity
from nativemtail.io.replaced import is_distinctive_text
from nativemtail.io.saved import Place, SavedLog, fits

_LISTINGS = 20
_RENAMES = 0.001
_PIECE = 256 * 1024
_UNSEEN = 1_000_000_000
"""Nanoseconds: what was made so shortly before a save may not have been seen by then."""

Opener = Callable[[str], int]
"""Opens a file for reading.  Raises OSError."""


class Moved(Exception):
    """A file is no longer where the listing shows it: names are being changed."""


class Folder:
    """The regular files in a directory: listed until two listings agree, since one may miss what is being renamed."""

    def __init__(self, path: str, opener: Opener) -> None:
        self.path = path
        self._opener = opener
        self._inodes: dict[str, int] = {}
        self._names: list[str] = []
        self._by_inode: dict[int, str] = {}
        self.list_again()

    def list_again(self) -> None:
        seen: dict[str, int] | None = None
        for _ in range(_LISTINGS):
            if seen is not None:
                time.sleep(_RENAMES)
            earlier, seen = seen, self._listed()
            if seen == earlier:
                break
        self._inodes = seen or {}
        self._names = sorted(self._inodes)
        self._by_inode = {inode: name for name, inode in self._inodes.items()}

    def _listed(self) -> dict[str, int]:
        try:
            with os.scandir(self.path) as entries:
                return {entry.name: entry.inode() for entry in entries if not entry.is_symlink()}
        except OSError:
            return {}

    def beginning_with(self, *beginnings: str) -> list[str]:
        found: dict[str, None] = {}
        for beginning in beginnings:
            at = bisect_left(self._names, beginning)
            while at < len(self._names) and self._names[at].startswith(beginning):
                found[self._names[at]] = None
                at += 1
        return list(found)

    def named(self, inode: int) -> str | None:
        """The name of an inode."""
        return self._by_inode.get(inode)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[int | None]:
        """A descriptor of the regular file of that name; None if it cannot be read.  Raises `Moved`."""
        try:
            fd = self._opener(os.path.join(self.path, name))
        except FileNotFoundError:
            raise Moved from None
        except OSError:
            yield None
            return
        try:
            info = os.fstat(fd)
            if info.st_ino != self._inodes.get(name):
                raise Moved
            yield fd if stat.S_ISREG(info.st_mode) else None
        finally:
            os.close(fd)


class Found(NamedTuple):
    """A file, and how far it was counted; not at all without a place."""

    path: str
    identity: Identity
    place: Place | None = None


@dataclass(slots=True)
class Recovered:
    """The files of a log that are read before the one at its path, oldest first; and that, if it is still the same."""

    before: list[Found] = field(default_factory=list)
    present: Found | None = None
    lost: list[Place] = field(default_factory=list)
    """What is gone before all of it was counted."""


class Finder:
    """Finds the files of saved logs.

    `started` is when logs were first followed, `saved` when the instant was saved, by the clock, in nanoseconds; 0 if
    that is unknown.  `is_known` tells of an open file that it was followed.
    """

    def __init__(self, opener: Opener, started: int, is_known: Callable[[int], bool], saved: int = 0) -> None:
        self._opener = opener
        self._started = started
        self._saved = saved
        self._is_known = is_known
        self._folders: dict[str, Folder] = {}

    def recover(self, log: SavedLog) -> Recovered:
        for _ in range(_LISTINGS):
            try:
                return self._recover(log)
            except Moved:
                for directory in self._directories(log):
                    self._folder(directory).list_again()
        return Recovered(lost=list(log.places))

    def is_in_place(self, log: SavedLog) -> bool:
        """Whether its present file is still at its path, and nothing else is to be found: no directory is listed."""
        place = log.present
        if place is None or log.rotated or not (place.position.length or place.position.head):
            return False
        with self._open(log.path) as fd:
            return fd is not None and place.is_inode_of(fd) and _holds(fd, place) is True

    def _recover(self, log: SavedLog) -> Recovered:
        found = Recovered()
        base = self._base(log)
        is_unknown = False
        for place in log.places:
            path = self._find(place, log)
            if path is None:
                if place.unread or (place.position.offset and place is log.present):
                    found.lost.append(place)
                is_unknown |= place is not log.present and not place.position.offset and not place.position.head
                continue
            with self._open(path) as fd:
                if fd is None:
                    raise Moved
                each = Found(path, identity(os.fstat(fd)), place)
            if path in (log.path, base):
                found.present = each
            else:
                _add(found.before, each)
        if is_unknown:
            found.before += self._between(log, base, found.before)
        self._put_in_order(found.before, base)
        if found.present is None and (log.places or log.past):
            found.before += self._successors(log, base, found.before)
        found.before += self._newborn(log, base, found)
        self._put_in_order(found.before, base)
        return found

    def _put_in_order(self, files: list[Found], base: str) -> None:
        """In the order of their names, as far as they have some: one may have been found by its content only."""
        directory, name = os.path.split(base)
        names = _generations(self._folder(directory), name, None) if len(files) > 1 else []
        ages = {os.path.join(directory, each): age for age, each in enumerate(names)}
        places = [at for at, each in enumerate(files) if each.path in ages]
        ordered = sorted((files[at] for at in places), key=lambda each: ages[each.path])
        for at, each in zip(places, ordered, strict=True):
            files[at] = each

    def _base(self, log: SavedLog) -> str:
        """The path that rotated files are named after: where the file was, if the log's path is a link."""
        if not os.path.islink(log.path):
            return log.path
        return os.path.realpath(log.path)

    def _directories(self, log: SavedLog) -> list[str]:
        """Where the files of a log may be, its own directory first."""
        paths = [self._base(log), log.path, *(place.path for place in log.places)]
        return list(dict.fromkeys(os.path.dirname(path) for path in paths))

    def _folder(self, directory: str) -> Folder:
        folder = self._folders.get(directory)
        if folder is None:
            folder = self._folders[directory] = Folder(directory, self._opener)
        return folder

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[int | None]:
        """A descriptor of the regular file at a path, which may be a link; None if there is none."""
        try:
            fd = self._opener(path)
        except OSError:
            yield None
            return
        try:
            yield fd if stat.S_ISREG(os.fstat(fd).st_mode) else None
        finally:
            os.close(fd)

    # The file that was read last

    def _find(self, place: Place, log: SavedLog) -> str | None:
        """The path of a file: by inode and content; else by content, as a copy has another inode."""
        with self._open(log.path) as fd:
            if fd is not None and place.is_inode_of(fd):
                is_same = _holds(fd, place)
                if is_same or (is_same is None and place.position.offset):
                    return log.path
        base, directories = self._base(log), self._directories(log)
        for directory in directories:
            path = self._find_inode(place, self._folder(directory))
            if path is not None and path not in (log.path, base):
                return path
        if not place.position.length and not place.position.head:
            return None
        with self._open(log.path) as fd:
            if fd is not None and _is_continued(fd, place):
                return log.path
        for directory in directories:
            path = self._find_content(place, self._folder(directory), os.path.basename(base))
            if path is not None:
                return path
        return None

    def _find_inode(self, place: Place, folder: Folder) -> str | None:
        name = folder.named(place.inode)
        if name is not None:
            with folder.file(name) as fd:
                if fd is not None and is_file_of(place, fd):
                    return os.path.join(folder.path, name)
        return None

    def _find_content(self, place: Place, folder: Folder, base: str) -> str | None:
        """Among the rotated files: the plain ones first, because the text of the others has to be decoded."""
        names = [name for name in folder.beginning_with(base + ".", base + "-") if is_generation(base, plain(name))]
        for name in sorted(names, key=lambda name: (plain(name) != name, name)):
            with folder.file(name) as fd:
                if fd is not None and _holds(fd, place):
                    return os.path.join(folder.path, name)
        return None

    # The files that came after it

    def _successors(self, log: SavedLog, base: str, before: list[Found]) -> list[Found]:
        """The rotated files that are newer than those before and than all that were counted, oldest first."""
        directory, name = os.path.split(base)
        anchor = None
        if before and os.path.basename(before[-1].path) != name:  # else the directory was moved
            directory, anchor = os.path.split(before[-1].path)
        folder = self._folder(directory)
        names = _generations(folder, name, anchor)
        known = {each.identity for each in before}
        is_last = log.present is not None and any(each.place is log.present for each in before)
        after = names if is_last else self._after_past(folder, names, log)
        found = []
        for each in after:
            with folder.file(each) as fd:
                if fd is None or (who := identity(os.fstat(fd))) in known or self._is_known(fd):
                    continue
                is_late = anchor is not None or len(after) < len(names) or self._is_late(fd, each)
                if is_late and self._is_whole(fd, log):
                    known.add(who)
                    found.append(Found(os.path.join(directory, each), who))
        return found

    def _between(self, log: SavedLog, base: str, before: list[Found]) -> list[Found]:
        """Rotated files of which nothing is known: they come after the newest that was counted to its end."""
        directory, name = os.path.split(base)
        folder = self._folder(directory)
        names = _generations(folder, name, None)
        counted = {each.path for each in before if each.place is not None and self._is_at_end(each, each.place)}
        known = {each.identity for each in before}
        found = []
        for each in reversed(names):
            path = os.path.join(directory, each)
            with folder.file(each) as fd:
                if path in counted or (fd is not None and any(_begins_with_text(fd, end) for end in log.past)):
                    break
                if fd is None or identity(os.fstat(fd)) in known or self._is_known(fd):
                    continue
                if self._is_late(fd, each) and self._is_whole(fd, log):
                    found.append(Found(path, identity(os.fstat(fd))))
        return found[::-1]

    def _newborn(self, log: SavedLog, base: str, found: Recovered) -> list[Found]:
        """Rotated files made after the instant: also a log that was not saved, and copies of what was empty then."""
        directory, name = os.path.split(base)
        folder = self._folder(directory)
        files = [*found.before, *([found.present] if found.present is not None else [])]
        known = {each.identity for each in files}
        new = []
        for each in self._after_past(folder, _generations(folder, name, None), log):
            with folder.file(each) as fd:
                if fd is None or (who := identity(os.fstat(fd))) in known or self._is_known(fd):
                    continue
                if self._is_newborn(fd, each) and self._is_whole(fd, log) and not self._is_copied(fd, files):
                    known.add(who)
                    new.append(Found(os.path.join(directory, each), who))
        return new

    def _is_copied(self, fd: int, files: list[Found]) -> bool:
        """Whether one of the files contains what the open one contains."""
        for each in files:
            with self._open(each.path) as other:
                if other is not None and _holds_copy(other, fd):
                    return True
        return False

    def _is_at_end(self, found: Found, place: Place) -> bool:
        with self._open(found.path) as fd:
            return place.position.offset > 0 and fd is not None and os.fstat(fd).st_size <= place.position.offset

    def _after_past(self, folder: Folder, names: list[str], log: SavedLog) -> list[str]:
        """Those of `names` that follow the newest that was counted to its end; all if none was."""
        for at in reversed(range(len(names)) if log.past else ()):
            with folder.file(names[at]) as fd:
                if fd is not None and any(_begins_with_text(fd, position) for position in log.past):
                    return names[at + 1 :]
        return names

    def _is_late(self, fd: int, name: str) -> bool:
        """Whether a file was begun after the first start; if the clock was set back since, it may have been."""
        made = text_age(fd, name) or os.fstat(fd).st_mtime_ns
        return not made < self._started <= time.time_ns()

    def _is_newborn(self, fd: int, name: str) -> bool:
        """Whether it is evident that a file was begun after the instant was saved."""
        made = text_age(fd, name)
        return 0 < self._saved - _UNSEEN <= made <= time.time_ns()

    def _is_whole(self, fd: int, log: SavedLog) -> bool:
        """Whether a file is one of its own, and not a copy that is being made of the file at the log's path."""
        if not os.fstat(fd).st_size:
            return False
        with self._open(log.path) as present:
            return present is None or not _holds_copy(present, fd)


def _add(files: list[Found], new: Found) -> None:
    """Add a file; one that was copied or compressed may be there already, by what was known of the copy."""
    for at, known in enumerate(files):
        if known.identity == new.identity:
            if known.place is None or (new.place and new.place.position.offset > known.place.position.offset):
                files[at] = new
            return
    files.append(new)


def _generations(folder: Folder, base: str, anchor: str | None) -> list[str]:
    """The rotated files of a log that are newer than `anchor`, oldest first.

    While a file is being compressed it has two names: the plain one counts.
    """
    like = plain(anchor) if anchor is not None else None
    called: dict[str, str] = {}
    for name in folder.beginning_with(*starts(base, like)):
        if called.get(plain(name)) != plain(name):
            called[plain(name)] = name
    ordered = newer(list(called), base, like, lambda name: last_change(folder.path, called.get(name, name)))
    return [called[name] for name in ordered]


def is_file_of(place: Place, fd: int) -> bool:
    """Whether the open file is that of the place, by inode and content."""
    return place.is_inode_of(fd) and _holds(fd, place) is not False


def _holds(fd: int, place: Place) -> bool | None:
    """Whether the file holds what was counted; None if it may, but nothing is known of its content."""
    return _text_fits(fd, place.position) if _is_compressed(fd) else place.fits(fd)


def _begins_with_text(fd: int, position: Position) -> bool:
    return bool(_text_fits(fd, position) if _is_compressed(fd) else fits(position, fd))


def _is_continued(fd: int, place: Place) -> bool:
    """Whether another file at the path is the same log, restored or saved by an editor, and not the next one."""
    offset = place.position.offset
    return offset > 0 and place.fits(fd) is True and is_distinctive_text(fd, offset)


def _is_compressed(fd: int) -> bool:
    with contextlib.suppress(OSError):
        content = recognise(os.pread(fd, START, 0))
        return content is not None and not content.encoding
    return False


def whole(fd: int) -> Position:
    """The end of a rotated file that counts as read; of a compressed one only the beginning, which is fast."""
    if not _is_compressed(fd):
        return Position.of(fd, os.fstat(fd).st_size)
    content = recognise(os.pread(fd, START, 0))
    beginning = bytearray(TAIL)
    if content is not None:
        with contextlib.suppress(OSError, Corrupt), memoryview(beginning) as view:
            os.lseek(fd, 0, os.SEEK_SET)
            count = decoder(content, io.FileIO(fd, closefd=False)).readinto(view)
            return Position.in_text(0, view[:count], b"")
    return Position(0)


def _text_fits(fd: int, position: Position) -> bool | None:
    """As `fits`, for the text of a compressed file; it is decoded up to the position, unless it begins differently."""
    if not position.length and not position.head:
        return None
    content = recognise(os.pread(fd, START, 0))
    if content is None or content.encoding:
        return False
    head, tail, total = b"", b"", 0
    wanted = position.offset if position.length else position.head
    buffer = bytearray(_PIECE)
    with contextlib.suppress(OSError, Corrupt), memoryview(buffer) as view:
        os.lseek(fd, 0, os.SEEK_SET)
        text = decoder(content, io.FileIO(fd, closefd=False))
        while total < wanted:
            with view[: min(_PIECE, wanted - total)] as target:
                count = text.readinto(target)
            if not count:
                return False
            head += buffer[: min(count, TAIL - len(head))]
            tail = (tail + buffer[:count])[-TAIL:]
            total += count
            if len(head) >= position.head and zlib.crc32(head[: position.head]) != position.head_checksum:
                return False
        return zlib.crc32(tail[len(tail) - position.length :]) == position.checksum
    return False


def _holds_copy(fd: int, copy: int) -> bool:
    """Whether a file begins as another one, perhaps an incomplete copy: the copy's beginning and end are compared."""
    with contextlib.suppress(OSError):
        size = os.fstat(copy).st_size
        places = (0, max(0, size - TAIL))
        return all(_at(copy, place, size) == _at(fd, place, size) for place in places)
    return False


def _at(fd: int, place: int, size: int) -> bytes:
    return os.pread(fd, min(TAIL, size - place), place)
