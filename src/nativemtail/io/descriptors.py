"""Bounds the number of open files, however many logs there are: those that have been idle longest are closed.

A log that gave up its descriptor keeps its position, its fingerprint and its watch.  It is opened again, by its
identity, when there is something to read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from nativemtail.io.position import Identity, identity

OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_REST = 10
"""Before a directory is listed again, this many times the duration of the last listing must pass."""


class Holder(Protocol):
    """Has a descriptor, and can release it."""

    def set_aside(self) -> bool:
        """Close the file; False if that is refused because it could not be opened again."""


class Descriptors:
    """The holders of open descriptors in LRU order; beyond `limit` the least recently used are set aside."""

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._held: OrderedDict[Holder, None] = OrderedDict()
        self.set_aside = 0

    def used(self, holder: Holder) -> None:
        """`holder` is using its descriptor now."""
        self._held[holder] = None
        self._held.move_to_end(holder)

    def forget(self, holder: Holder) -> None:
        self._held.pop(holder, None)

    def open(self, name: str) -> int:
        """Like os.open for reading, but sets others aside if descriptors run out."""
        while len(self._held) >= self._limit and self._make_room():
            pass
        while True:
            try:
                return os.open(name, OPEN_FLAGS)
            except OSError as error:
                if error.errno not in NO_DESCRIPTORS or not self._make_room():
                    raise

    def _make_room(self) -> bool:
        for _ in range(len(self._held)):
            holder = next(iter(self._held))
            if holder.set_aside():
                self._held.pop(holder, None)
                self.set_aside += 1
                return True
            self._held.move_to_end(holder)
        return False


class Inodes:
    """Finds files in directories by identity, whatever their current name."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, tuple[dict[int, str], float, float]] = OrderedDict()

    def find(self, directory: str, who: Identity) -> str | None:
        """The path of a file; None if it is not in the directory.  Raises BlockingIOError if it was listed just now."""
        table, made, rest = self._tables.get(directory, ({}, 0.0, 0.0))
        name = table.get(who[1])
        if name is not None and stands_for(os.path.join(directory, name), who):
            return os.path.join(directory, name)
        now = time.monotonic()
        if now < made + rest:
            raise BlockingIOError(errno.EAGAIN, "the directory was listed just now")
        try:
            with os.scandir(directory) as entries:
                table = {entry.inode(): entry.name for entry in entries}
        except OSError:
            table = {}
        made = time.monotonic()
        self._tables[directory] = table, made, _REST * (made - now)
        if len(self._tables) > _REST:
            self._tables.popitem(last=False)
        name = table.get(who[1])
        return os.path.join(directory, name) if name is not None else None


def stands_for(path: str, who: Identity) -> bool:
    """Whether `path` names the file `who`."""
    try:
        return identity(os.stat(path)) == who
    except OSError:
        return False


def open_as(names: Iterable[str], fits: Callable[[int], bool], opener: Callable[[str], int]) -> int | None:
    """Open the file of one of `names` that `fits`; None if none does.  Raises OSError if no file can be opened now."""
    for name in names:
        try:
            fd = opener(name)
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                raise
            continue
        with contextlib.suppress(OSError):
            if fits(fd):
                return fd
        os.close(fd)
    return None
