"""Which files are read under which paths, and the positions of logs that are no longer read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from nativemtail.io.bounded import trim
from nativemtail.io.followed import Followed, LogPath, Reader
from nativemtail.io.generations import Made, is_generation, last_name_of, plain
from nativemtail.io.pathtree import PathTree
from nativemtail.io.position import Identity, Position, identity
from nativemtail.io.sources import Context, Source

REMEMBERED = 65_536
"""The positions of at most this many files that are no longer read are remembered."""

_PAST = 8


class _End(NamedTuple):
    """The end of what was read of a file, in the order of rotation.  One that was deleted will not be found again."""

    turn: int
    position: Position
    may_be_found: bool = True


class Table:
    """Belongs to the loop's thread, but `paths` may be copied by others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.paths: dict[str, LogPath] = {}
        """The paths that match a pattern."""
        self.tree = PathTree()
        """The same."""
        self.readers: dict[Identity, Reader] = {}
        self.rotated: dict[str, Followed] = {}
        """By path: the last file that was there and is being drained."""
        self.generations: dict[str, dict[Followed, None]] = {}
        """By path: all files that were there and are being drained."""
        self.last_positions: dict[Made, Position] = {}
        """The positions of files that are no longer read; when they were made tells a reused inode."""
        self._past: dict[str, list[_End]] = {}
        self._turns = 0

    @property
    def past_names(self) -> list[str]:
        """The names of logs with past positions."""
        return list(self._past)

    def add_path(self, path: str, source: Source) -> LogPath:
        known = self.paths[path] = LogPath(path, source)
        self._context.moved.note(path)
        self.tree.add(path)
        return known

    def remove_path(self, path: str) -> LogPath | None:
        known = self.paths.pop(path, None)
        if known is not None:
            self._context.moved.note(path)
            self.tree.discard(path)
        return known

    def reader_at(self, path: str) -> Reader | None:
        """The reader of the file at a path."""
        known = self.paths.get(path)
        return known.reader if known is not None else None

    def file_at(self, path: str) -> Followed | None:
        """The reader of the file at a path, if it is a regular one that is followed."""
        reader = self.reader_at(path)
        return reader if isinstance(reader, Followed) else None

    def note_name(self, path: str) -> None:
        """A file was renamed to `path`: find its reader by the file that is there, because events may come late."""
        with contextlib.suppress(OSError):
            reader = self.readers.get(identity(os.stat(path)))
            if isinstance(reader, Followed):
                reader.name = path

    def before(self, path: str) -> Followed | None:
        """The reader of the file that was last at `path`."""
        before = self.reader_at(path) or self.rotated.get(path)
        return before if isinstance(before, Followed) else None

    def is_known(self, path: str) -> bool:
        return path in self.paths or path in self.rotated

    def remember(self, who: Made, position: Position) -> None:
        """Remember how far a file was read that is no longer read."""
        self.last_positions[who] = position
        trim(self.last_positions, REMEMBERED)

    def next_turn(self) -> int:
        """A number for a file that was rotated now."""
        self._turns += 1
        return self._turns

    def note_past(self, name: str, position: Position) -> None:
        """Remember a past position of a log: a file that matches it is a copy of text that was counted."""
        self._note(name, _End(self.next_turn(), position))

    def note_end(self, name: str, reader: Followed) -> None:
        """Remember how far a file was read, in the order of rotation."""
        turn = reader.turn_of_rotation or self.next_turn()
        self._note(name, _End(turn, reader.position, not _was_deleted(reader, name)))

    def _note(self, name: str, end: _End) -> None:
        self._context.moved.note(name)
        past = self._past.setdefault(name, [])
        past.append(end)
        past.sort()
        del past[:-_PAST]
        while len(self._past) > REMEMBERED // _PAST:
            oldest = next(iter(self._past))
            del self._past[oldest]
            self._context.moved.note(oldest)

    def past(self, name: str) -> Iterator[Position]:
        """Past positions of logs of that name, oldest first."""
        return (end.position for end in self._past.get(name, ()))

    def ends(self, name: str) -> list[Position]:
        """Past positions, and those in files that are being drained, oldest first; of what may be there later."""
        ends = [end for end in self._past.get(name, ()) if end.may_be_found]
        for reader in self.generations.get(name, ()):
            if reader.turn_of_rotation > 0 and not _was_deleted(reader, name):
                ends.append(_End(reader.turn_of_rotation, reader.position))
        return [end.position for end in sorted(ends)]

    def bases(self, path: str) -> list[str]:
        """The paths that are or were followed, and that `path` extends by `.…` or `-…`."""
        start = path.rfind("/") + 2
        bases = (path[:at] for at in range(start, len(path)) if path[at] in ".-")
        return [base for base in bases if self._context.is_held(base) or base in self._past]

    def is_named_as_copy(self, path: str) -> bool:
        return bool(self.bases(path))

    def is_generation(self, path: str) -> bool:
        """Whether `path` is named by a number or date as a rotated file of a followed path, compressed or not."""
        return any(is_generation(base, plain(path)) for base in self.bases(path))

    def readers_of_bases(self, path: str) -> Iterator[Followed]:
        """The present or last readers of the files that `path` is named after."""
        for base in self.bases(path):
            for reader in (self.reader_at(base), self.rotated.get(base)):
                if isinstance(reader, Followed) and reader.path != path:
                    yield reader

    def past_of_copy(self, copy: Followed) -> Iterator[Position]:
        """Past positions of logs that `copy` may be a copy of, including its own: a backup may have restored it."""
        bases = self.bases(copy.path)
        for base in bases:
            yield from self.past(base)
        if any(is_generation(base, copy.path) for base in bases):
            yield from self._past_here(copy)

    def past_of_generation(self, copy: Followed) -> Iterator[Position]:
        """The same if `copy` is named by a number or date, with the positions of rotated files that are still read."""
        bases = [base for base in self.bases(copy.path) if is_generation(base, copy.path)]
        for base in bases:
            yield from self.past(base)
            yield from (reader.position for reader in self.generations.get(base, ()) if reader is not copy)
        if bases:
            yield from self._past_here(copy)

    def _past_here(self, copy: Followed) -> Iterator[Position]:
        """Past positions of files that were where `copy` is."""
        yield copy.before_truncation
        yield from self.past(copy.path)
        before = self.rotated.get(copy.path)
        if before is not None and before is not copy:
            yield before.position


def _was_deleted(reader: Followed, name: str) -> bool:
    """Whether a log was deleted at its path, not renamed before."""
    return reader.is_open and not reader.has_names() and last_name_of(reader.fd) == name
