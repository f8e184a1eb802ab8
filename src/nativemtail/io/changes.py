"""inotify events of all watched files and directories, in order."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from nativemtail.io import watch
from nativemtail.io.loop import Loop
from nativemtail.io.watch import Event, Watcher


class Observer(Protocol):
    def note(self, event: Event) -> None:
        """Called when an event is read, before it is handled."""


class Changes:
    """One inotify instance.  Observers see each event when it is read; `take_events` returns those to be handled.

    Belongs to one thread.  Before `start`, and where inotify is not available, nothing can be watched.
    """

    def __init__(self) -> None:
        self._watcher: Watcher | None = None
        self._loop: Loop | None = None
        self._handle: Callable[[], None] = self._drop
        self._observers: list[Observer] = []
        self._holders: Counter[int] = Counter()
        self._waiting: list[Event] = []
        self._is_due = False
        self.is_all = True
        """Whether the last `take_events` returned everything that had happened by then."""

    @property
    def is_on(self) -> bool:
        return self._watcher is not None

    def observe(self, observer: Observer) -> None:
        self._observers.append(observer)

    def handled_by(self, handle: Callable[[], None]) -> None:
        """Have the loop call `handle` when there are events to take; until then only observers see events."""
        self._handle = handle

    def start(self, loop: Loop | None = None) -> None:
        """Start watching.  Raises OSError."""
        if self._watcher is None:
            self._watcher = Watcher()
            self._loop = loop
            if loop is not None:
                loop.add(self._watcher.fileno(), lambda events: self._handle())

    def close(self) -> None:
        self._drop()
        if self._watcher is not None:
            if self._loop is not None:
                self._loop.remove(self._watcher.fileno())
            self._watcher.close()
            self._watcher = None

    def take_events(self) -> list[Event]:
        """The events since the last call; the caller closes their descriptors.  See `is_all`."""
        self.is_all = self._read()
        events, self._waiting = self._waiting, []
        return events

    def catch_up(self) -> None:
        """Show the observers everything that has happened so far."""
        while not self._read():
            pass
        if self._waiting and self._loop is not None and not self._is_due:
            self._is_due = True  # they have been read, so the descriptor no longer wakes the loop for them
            self._loop.after(0, self._deliver)

    def watch_directory(self, path: str, mask: int = watch.DIRECTORY_EVENTS) -> int:
        """The number of a watch, which is reference-counted: unwatch once for each call.  Raises OSError."""
        if self._watcher is None:
            raise OSError
        number = self._watcher.add(path, mask | watch.MASK_ADD)
        self._holders[number] += 1
        return number

    def unwatch_directory(self, number: int) -> None:
        if number in self._holders:
            self._holders[number] -= 1
            if not self._holders[number]:
                del self._holders[number]
                self.unwatch_file(number)

    def open_new(self, number: int, directory: str, pieces: list[str]) -> None:
        """Where possible, attach a descriptor to events of new names that contain these pieces."""
        if self._watcher is not None:
            with contextlib.suppress(OSError):
                self._watcher.open_new(number, directory, pieces)

    def watch_open(self, fd: int) -> int:
        """The number of a watch of an open file.  Raises OSError: FileNotFoundError without /proc."""
        if self._watcher is None:
            raise OSError
        return self._watcher.add_fd(fd, watch.FILE_EVENTS)

    def watch_file(self, path: str) -> int:
        if self._watcher is None:
            raise OSError
        return self._watcher.add(path, watch.FILE_EVENTS)

    def unwatch_file(self, number: int) -> None:
        if self._watcher is not None:
            self._watcher.remove(number)

    def _read(self) -> bool:
        """Read events and show them to the observers; whether there are no more."""
        events = self._watcher.read() if self._watcher is not None else []
        for event in events:
            if event.mask & watch.IGNORED:
                self._holders.pop(event.watch, None)
            for observer in self._observers:
                observer.note(event)
        self._waiting += events
        return len(events) < watch.MANY

    def _drop(self) -> None:
        for event in self.take_events():
            if event.fd >= 0:
                os.close(event.fd)

    def _deliver(self) -> None:
        self._is_due = False
        if self._waiting:
            self._handle()
