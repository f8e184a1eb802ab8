"""Watches followed files with inotify, and polls those that cannot be watched."""

from __future__ import annotations

import errno
from collections.abc import Callable

from nativemtail.io import watch
from nativemtail.io.changes import Changes
from nativemtail.io.descriptors import stands_for
from nativemtail.io.followed import Followed
from nativemtail.io.reports import Reports
from nativemtail.io.timers import Timers


class FileWatches:
    """Calls `look` for the path of each polled file every `interval` seconds."""

    def __init__(
        self, changes: Changes, reports: Reports, timers: Timers, interval: float, look: Callable[[str], None]
    ) -> None:
        self._changes = changes
        self._reports = reports
        self._timers = timers
        self._interval = interval
        self._look = look
        self._watched: dict[int, Followed] = {}
        self._polled: dict[Followed, None] = {}

    def of(self, event: watch.Event) -> Followed | None:
        """The reader of the file that the event is about."""
        return self._watched.get(event.watch)

    def add(self, reader: Followed) -> None:
        """Watch the file for writes, or poll it."""
        if self._changes.is_on and not watch.is_remote(reader.fd):
            try:
                reader.watch = self._watch_inode(reader)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self._reports.limit("watches", "%s: fs.inotify.max_user_watches is reached: polling", reader.path)
            else:
                self._watched[reader.watch] = reader
                return
        self.poll(reader)

    def poll(self, reader: Followed) -> None:
        self._polled[reader] = None
        self._timers.every("files", self._interval, self._poll)

    def dropped(self, reader: Followed) -> None:
        """The kernel has dropped the watch."""
        self._watched.pop(reader.watch, None)
        reader.watch = -1

    def remove(self, reader: Followed) -> None:
        if reader.watch >= 0 and self._watched.pop(reader.watch, None) is not None:
            self._changes.unwatch_file(reader.watch)
        reader.watch = -1

    def forget(self, reader: Followed) -> None:
        """Stop watching a file that was closed."""
        self.remove(reader)
        self._polled.pop(reader, None)

    def _watch_inode(self, reader: Followed) -> int:
        try:
            return self._changes.watch_open(reader.fd)
        except FileNotFoundError:  # there is no /proc
            number = self._changes.watch_file(reader.name)
            is_ours = number not in self._watched
            if is_ours and stands_for(reader.name, reader.identity):
                return number
            if is_ours:
                self._changes.unwatch_file(number)
            raise

    def _poll(self) -> bool:
        for reader in list(self._polled):
            for owner in list(reader.paths):
                self._look(owner.path)
        return bool(self._polled)
