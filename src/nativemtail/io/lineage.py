"""The generations of one path, read one after another, oldest first."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from nativemtail.io.position import Identity

LATER = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""Errors after which opening a file may succeed later."""


class Generation(Protocol):
    """The reader of one of the files that were at a path, compressed or not."""

    eof: bool
    """Everything in the file so far was delivered."""
    closed: bool
    lineage: Lineage | None
    identity: Identity

    @property
    def fd(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_idle(self) -> bool: ...
    @property
    def must_be_opened(self) -> bool: ...
    @property
    def is_untouched(self) -> bool: ...
    @property
    def is_compressed(self) -> bool: ...
    def drain(self) -> Iterator[None]: ...


class Lineage:
    """Readers of the files that were at one path, in the order in which they were there.

    Each delivers nothing until those before it have delivered what they contained when it was added.  As long as there
    is a `gap`, generations may be missing before it: it and those after it wait.
    """

    __slots__ = ("_ends", "_line", "gap")

    def __init__(self) -> None:
        self._line: list[Generation] = []
        self._ends: dict[Generation, int] = {}
        self.gap: Generation | None = None

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._line.copy())

    def ready(self) -> list[Generation]:
        """The readers before the gap, oldest first."""
        return self._line[: self._line.index(self.gap)] if self.gap in self._line else self._line.copy()

    @property
    def before_gap(self) -> Generation | None:
        """The last reader before the gap."""
        at = self._line.index(self.gap) if self.gap in self._line else 0
        return self._line[at - 1] if at else None

    @property
    def count_from_gap(self) -> int:
        """The number of files from the gap on; a compressed one may be another there, in a second reader."""
        from_gap = self._line[self._line.index(self.gap) :] if self.gap in self._line else []
        return sum(not reader.is_compressed for reader in from_gap)

    def begin_gap(self, before: Generation, age: Callable[[Generation], Any]) -> None:
        """Generations may be missing after `before`, or earlier if nothing was read of some that are younger than the
        current one: those that are there already will be put in order with them."""
        at, newest = self._line.index(before) + 1, age(self._line[-1])
        while at and self._line[at - 1].is_untouched and age(self._line[at - 1]) > newest:
            at -= 1
        if self.gap not in self._line or at < self._line.index(self.gap):
            self.gap = self._line[at]

    def prepend(self, reader: Generation) -> None:
        """Add a reader that was here before all others."""
        self._claim(reader)
        self._line.insert(0, reader)
        self._ends[reader] = 0
        self._let_finish(reader)

    def append(self, reader: Generation) -> None:
        """Add the reader of the file that is at the path now."""
        self._claim(reader)
        if self._line:
            self._let_finish(self._line[-1])
        self._line.append(reader)
        self._ends[reader] = 0

    def insert(self, reader: Generation, age: Callable[[Generation], Any] | None = None) -> None:
        """Insert the reader of an earlier file before the current one, if nothing was read of that yet.

        With `age`, those before that are put after `reader`, too, if they are younger and nothing was read of them,
        even those before the gap: which files came between was known wrongly.
        """
        if not self._line or not self._line[-1].is_untouched:
            return
        self._claim(reader)
        at = len(self._line) - 1
        if age is not None:
            while at and self._line[at - 1].is_untouched and age(self._line[at - 1]) > age(reader):
                at -= 1
        if self.gap is self._line[at]:
            self.gap = reader
        self._line.insert(at, reader)
        self._ends[reader] = _size(reader)

    def remove(self, reader: Generation) -> None:
        if reader in self._ends:
            at = self._line.index(reader)
            if self.gap is reader:
                self.gap = self._line[at + 1] if at + 1 < len(self._line) else None
            del self._line[at], self._ends[reader]
        reader.lineage = None

    def close_gap(self, age: Callable[[Generation], Any], last: Generation | None = None) -> None:
        """Sort the generations that were found; none is missing any more, or only after `last`."""
        if self.gap in self._line:
            at = self._line.index(self.gap)
            self._line[at:] = sorted(self._line[at:], key=age)
            for reader in self._line[at:]:
                reader.lineage = self  # its place has changed
            for reader in self._line[at:-1]:
                if not self._ends[reader]:  # it was the current one
                    self._let_finish(reader)
            if last in self._line[at:-1]:
                self.gap = self._line[self._line.index(last) + 1]
                return
        self.gap = None

    def waits(self, reader: Generation) -> bool:
        """Whether `reader` must wait for earlier generations."""
        while reader in self._ends:
            first = self._line[0]
            if self.gap is first:
                return True
            if first is reader:
                return first.is_compressed and self.before_gap is first  # it is closed when it is read: see below
            is_at_end = first.eof or first.is_idle or first.used >= self._ends[first]
            is_done = first.closed or (is_at_end and not first.must_be_opened)
            if not is_done or self._line[1] is self.gap:  # finding the missing ones requires the one before them
                return True
            self.remove(first)
        return False

    def _let_finish(self, reader: Generation) -> None:
        """Those after `reader` wait until what it holds now is delivered; if it was truncated, its copies, too."""
        if not reader.is_idle:
            reader.eof = False
            size = _size(reader)
            self._ends[reader] = size if size >= reader.used else sys.maxsize

    def _claim(self, reader: Generation) -> None:
        """Move `reader` here: a reader in two lineages could cause a deadlock."""
        if reader.lineage is not None:
            reader.lineage.remove(reader)
        reader.lineage = self


def _size(reader: Generation) -> int:
    try:
        return os.fstat(reader.fd).st_size
    except OSError as error:
        return sys.maxsize if error.errno in LATER else 0
