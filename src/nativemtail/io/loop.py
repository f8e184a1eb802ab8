"""The event loop: one epoll instance, timers, and a queue of readers that take turns.

All sources are read in one thread (a daemon's tail thread, one-shot's main thread), so none needs a lock, and a slow
engine holds back all of them.  Event handlers only queue the reader, which reads in its turn: no source starves
another, however many peers it has.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

SLICE = 0.01
"""A turn of a source with many peers takes little more than this many seconds."""

Handler = Callable[[int], None]


class Reader(Protocol):
    """Something that reads a bounded amount at a time."""

    def turn(self) -> bool:
        """Read once; whether more may be available right away."""


def in_turns(works: Iterable[Iterator[None]]) -> Iterator[None]:
    """Advance each in turn until all are exhausted."""
    left = deque(works)
    while left:
        work = left.popleft()
        try:
            next(work)
        except StopIteration:
            continue
        left.append(work)
        yield


class Loop:
    """`wake` may be called from any thread and from signal handlers; all else belongs to the loop's thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        # Not a dict, whose first entry is slow to find after many deletions.
        self._queue: OrderedDict[Reader, None] = OrderedDict()
        # Re-entrant: a signal handler may interrupt its own thread here.
        self._closing = threading.RLock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.add(self._wake, self._woken)

    def add(self, fd: int, handler: Handler) -> None:
        """Call `handler(events)` when `fd` is readable or hung up.  Raises PermissionError if epoll refuses it."""
        self._epoll.register(fd, select.EPOLLIN)
        self._handlers[fd] = handler

    def expect_room(self, fd: int, *, room: bool) -> None:
        """Call the handler of `fd` when it can be written to, instead of when it can be read."""
        self._epoll.modify(fd, select.EPOLLOUT if room else select.EPOLLIN)

    def remove(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), callback))

    def queue(self, reader: Reader) -> None:
        """Give `reader` turns until it has nothing more to read."""
        self._queue.setdefault(reader)

    def wake(self) -> None:
        with self._closing:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def run_once(self) -> None:
        """Wait for events, unless readers are queued; handle them, then give one reader a turn.

        Only one turn between checks for events: a rotated file must be opened before it is rotated again.
        """
        for fd, events in self._epoll.poll(self._wait()):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._take_turn()

    def close(self) -> None:
        self._epoll.close()
        with self._closing:
            os.close(self._wake)
            self._wake = -1

    def _wait(self) -> float | None:
        if self._queue:
            return 0.0
        if self._timers:
            return max(0.0, self._timers[0][0] - time.monotonic())
        return None

    def _take_turn(self) -> None:
        if self._queue:
            reader, _ = self._queue.popitem(last=False)
            if reader.turn():
                self._queue.setdefault(reader)

    def _woken(self, events: int) -> None:
        os.eventfd_read(self._wake)
