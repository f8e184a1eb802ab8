"""A thread that gets hold of new files the moment they have their names, while the tail thread reads and scans.

A file that is deleted or replaced right after it was written can be read only by who has it open.  The tail thread is
busy with one block at a time, which may be longer than such a file has a name; this thread does nothing else.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

from nativemtail.io import watch
from nativemtail.io.loop import Loop

HELD = 64
"""At most so many files are held until the tail thread takes them; it finds the others by their names, if it can."""

_EVENTS = watch.CREATE | watch.MOVED_TO | watch.ONLYDIR
# Not opened for reading: that would let the writer of a named pipe start, and permission is asked for later.
_HOLD = os.O_PATH | os.O_CLOEXEC


class Lookout:
    """`fileno()` is readable when there is something to `take`; `wants` tells, in this thread, which paths to hold.

    OSError when inotify is not to be had.
    """

    def __init__(self, wants: Callable[[str], bool]) -> None:
        self._wants = wants
        self._inotify = watch.Inotify()
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._loop = Loop()
        self._loop.add(self._inotify.fileno(), self._on_events)
        self._directories: dict[int, str] = {}
        self._held: deque[tuple[str, int]] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self._ready

    def watch(self, directory: str) -> None:
        """Hold what appears in `directory`.  OSError when it can't be watched."""
        self._directories[self._inotify.add(directory, _EVENTS)] = directory

    def take(self) -> list[tuple[str, int]]:
        """Paths, and descriptors (of O_PATH) for what they named: in their order, now the caller's to close."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._ready)
        return [self._held.popleft() for _ in range(len(self._held))]

    def close(self) -> None:
        self._closing = True
        self._loop.wake()
        self._thread.join()
        self._loop.close()
        self._inotify.close()
        for _, fd in self.take():
            os.close(fd)
        os.close(self._ready)

    def _run(self) -> None:
        while not self._closing:
            self._loop.run_once()

    def _on_events(self, events: int) -> None:
        for event in self._inotify.read():
            directory = self._directories.get(event.watch)
            if event.mask & watch.IGNORED:
                self._directories.pop(event.watch, None)
            elif directory is not None and event.name and not event.mask & watch.ISDIR:
                self._hold(os.path.join(directory, event.name))

    def _hold(self, path: str) -> None:
        if len(self._held) < HELD and self._wants(path):
            with contextlib.suppress(OSError):
                self._held.append((path, os.open(path, _HOLD)))
                os.eventfd_write(self._ready, 1)
