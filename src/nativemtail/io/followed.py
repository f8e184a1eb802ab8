"""A regular file that is followed, and the paths that name it."""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Iterator
from typing import Protocol

from nativemtail.io.descriptors import Descriptors, stands_for
from nativemtail.io.follow import GrowingFile
from nativemtail.io.generations import Made, last_name_of
from nativemtail.io.listing import Listings
from nativemtail.io.position import Identity, identity
from nativemtail.io.replaced import Doubt
from nativemtail.io.sources import Context, Source


class State(enum.Enum):
    """The state of a followed file."""

    FOLLOWING = "at its path"
    DRAINING = "renamed or deleted: read until writes stop"
    CLOSED = "no longer read"


class Copy(enum.Enum):
    """Whether a file named like a rotated copy of a log is one."""

    NO = "a log of its own"
    UNDECIDED = "its content so far does not show"
    BEING_MADE = "its content was counted, but it may be incomplete"
    COUNTED = "its content was counted; what is appended from now on is new"


UNSETTLED = frozenset({Copy.UNDECIDED, Copy.BEING_MADE})


class Owner(Protocol):
    """Gives access to the other logs, and to events about file names."""

    descriptors: Descriptors

    def is_own(self, file: Followed) -> bool:
        """Whether its present content shows that a file is not a copy; it is then read from its beginning."""

    def claim(self, file: Followed, fd: int) -> bool:
        """Whether `file`, which was truncated, may read the copy open as `fd`: not if that is a log of its own."""

    def catch_up(self) -> bool:
        """Handle pending events; whether those were all."""

    def find(self, file: Followed) -> int:
        """Open a file that was set aside.  Raises OSError: ESTALE if it is gone."""

    def look(self, path: str) -> None:
        """Update the reader of `path` to the file that is there now."""

    def descriptor_changed(self, file: Followed) -> None:
        """Its descriptor refers to another file."""

    def rewritten(self, file: Followed) -> None:
        """It was truncated."""

    def read_failed(self, file: Followed, error: OSError) -> None:
        """It could not be read."""


class LogPath:
    """A followed path, and its current reader."""

    __slots__ = ("_reader", "path", "source")

    def __init__(self, path: str, source: Source) -> None:
        self.path = path
        self.source = source
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader | None:
        return self._reader

    @reader.setter
    def reader(self, reader: Reader | None) -> None:
        self._reader = reader
        self.source.has_moved()


class Reader(Protocol):
    """Reads a file that has paths."""

    identity: Identity
    path: str

    def turn(self) -> bool: ...
    def drain(self) -> Iterator[None]: ...
    def close(self) -> None: ...


class Followed(GrowingFile):
    """A file whose lines count under its paths' sources; while it drains, under the source of its last path."""

    __slots__ = (
        "_copy",
        "doubt",
        "drained_as",
        "former_names",
        "is_lost",
        "judged",
        "made",
        "name",
        "owner",
        "paths",
        "state",
        "successors",
        "turn_of_rotation",
        "was_rotated",
        "watch",
    )

    def __init__(
        self, owner: Owner, context: Context, listings: Listings, path: str, fd: int, who: Identity, offset: int
    ) -> None:
        self.state = State.FOLLOWING
        self.paths: list[LogPath] = []
        super().__init__(context, listings, path, fd, who, offset)
        self.owner = owner
        self.made = Made.of(fd)
        self._copy = Copy.NO
        self.successors: list[str] = []
        """Further paths that name it, to be followed when none of `paths` does any more."""
        self.drained_as: Source | None = None
        self.was_rotated = False
        """Whether it was at a path that now names another file."""
        self.former_names: list[str] = []
        """The paths from which it was renamed or deleted since it is being drained."""
        self.turn_of_rotation = 0
        """When that was, in the order of all rotations; negative if its end is among the past positions already."""
        self.doubt: Doubt | None = None
        """Set while an editor may have saved the previous log here; nothing is read until that is decided."""
        self.judged = -1
        """Its size at the last comparison with the logs that it may be a copy of."""
        self.is_lost = False
        """Whether its descriptor referred to another file.  It is closed until its own file is found again."""
        self.watch = -1
        self.name = path
        """The last known name."""

    def has_moved(self) -> None:
        super().has_moved()
        if self.state is State.DRAINING:
            for owner in self.paths:
                owner.source.has_moved()

    @property
    def copy(self) -> Copy:
        return self._copy

    @copy.setter
    def copy(self, copy: Copy) -> None:
        self._copy = copy
        self.has_moved()

    @property
    def is_copy(self) -> bool:
        return self.copy is not Copy.NO

    @property
    def is_settling(self) -> bool:
        return self.copy in UNSETTLED

    @property
    def is_idle(self) -> bool:
        """Whether it was set aside and its watch has reported nothing to read."""
        return not self.is_open and not self.news and self.watch >= 0

    @property
    def names(self) -> list[str]:
        """Possible names."""
        return [self.name, *(owner.path for owner in self.paths)]

    def begin_draining(self, source: Source) -> None:
        """Drain a file that lost its path: what is still written to it counts under `source`."""
        self.state = State.DRAINING
        self.drained_as = source
        self.sources = [source]

    def end_draining(self) -> Source | None:
        """Follow it under its paths again, if it has any; returns the source that it no longer needs."""
        if self.state is State.DRAINING:
            self.state = State.FOLLOWING
        source, self.drained_as = self.drained_as, None
        return source

    def count_under_paths(self) -> None:
        """Count its lines under the names of its paths, unless it is being drained."""
        if self.state is not State.DRAINING:
            self.sources = [owner.source for owner in self.paths]
            self.has_moved()

    def turn(self) -> bool:
        if self.state is State.CLOSED or self.is_idle:
            return False
        if self.is_open:
            self.owner.descriptors.used(self)
        if not self.decide():
            return False
        try:
            if self.has_copies or not self.is_settling or self.owner.is_own(self):
                return super().turn()
            before = self.position
            if self.skip_to_end():
                self.last_data = time.monotonic()
                if before.length and not before.fits(self.fd):
                    self.resume(before)  # it was rewritten after `is_own` had looked: so that the next turn sees it
            self.eof = self.copy is not Copy.UNDECIDED or not self.offset
        except FileNotFoundError:
            self.drop_descriptor()
        return False

    def decide(self, at_once: bool = False) -> bool:
        """Decide whether it is the previous log, and if so continue at its position.  False if that is still open."""
        doubt = self.doubt
        if doubt is None:
            return True
        is_same: bool | None = False
        with contextlib.suppress(OSError):
            is_same = doubt.is_same_log(self.fd)
        if is_same is None and not at_once:
            return False
        self.doubt = None
        if is_same:
            self.go_to(doubt.take_over(self.fd))
        return True

    def drain(self) -> Iterator[None]:
        self.decide(at_once=True)
        if self.is_idle:
            self.end()
        else:
            yield from super().drain()

    def close(self) -> None:
        super().close()
        self.state = State.CLOSED

    def drop_descriptor(self) -> None:
        super().drop_descriptor()
        self.is_lost = True
        self.owner.descriptors.forget(self)
        self.owner.descriptor_changed(self)

    def is_same(self, fd: int) -> bool:
        return identity(os.fstat(fd)) == self.identity

    def is_continued_by(self, fd: int) -> bool:
        """Whether it is the file open as `fd`: while it is not open, its inode may be freed and reused."""
        info = os.fstat(fd)
        if identity(info) != self.identity or info.st_size < self.offset:
            return False
        return not self.position.length or self.position.fits(fd)

    def _has_changed(self) -> bool:
        if self.watch >= 0:
            return False
        try:
            return not self.is_same(self.fd)
        except FileNotFoundError:  # FUSE resolves the descriptor by its old name, which is gone
            return True

    def _open_again(self) -> int:
        fd = self.owner.find(self)
        self.is_lost = False
        if self.news:
            self.eof = False  # else those after it in its lineage could overtake it now
        return fd

    def _can_be_found(self) -> bool:
        # A file that is drained and polled would have to be reopened right away.
        may_close = not self.is_settling and not (self.state is State.DRAINING and self.watch < 0)
        return may_close and any(stands_for(name, self.identity) for name in self.names)

    def _start_over(self) -> None:
        super()._start_over()
        self.owner.rewritten(self)

    def look_around(self) -> None:
        self.owner.catch_up()

    def _locate(self) -> None:
        """Update paths and name from the open file, because events may come late or not at all."""
        self.owner.catch_up()
        for owner in list(self.paths):
            self.owner.look(owner.path)
        now = last_name_of(self.fd) if self.is_open and not self.paths else None
        if now is not None:
            here = os.path.join(os.path.dirname(self.path), os.path.basename(now))
            self.name = here if stands_for(here, self.identity) else now

    def is_in_place(self) -> bool:
        return self.state is not State.DRAINING

    def claim(self, fd: int) -> bool:
        return self.owner.claim(self, fd)

    def open(self, path: str) -> int:
        return self.owner.descriptors.open(path)

    def _fail(self, error: OSError) -> None:
        self.owner.read_failed(self, error)
