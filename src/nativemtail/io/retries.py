"""Paths that could not be opened are tried again, at increasing intervals."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from nativemtail.io.descriptors import NO_DESCRIPTORS
from nativemtail.io.loop import Loop
from nativemtail.io.reports import Reports
from nativemtail.io.sources import Context

_LIMIT = 4.0


class Retries:
    def __init__(self, context: Context, loop: Loop, reports: Reports, look: Callable[[str], None]) -> None:
        self._errors = context.counters.log_errors_total
        self._interval = context.settings.poll_log_interval
        self._loop = loop
        self._reports = reports
        self._look = look
        self.pending: dict[str, float] = {}
        """The paths that could not be opened so far, and after how many seconds each is tried again."""
        self._scheduled: set[str] = set()

    def failed(self, path: str, error: OSError) -> None:
        """Count and report that `path` could not be opened, and look at it later."""
        self._errors[path] += 1
        if error.errno in NO_DESCRIPTORS:
            self._reports.limit("open_files", "%s: %s (limit of open files)", path, error.strerror)
        else:
            text = os.strerror(error.errno or 0)
            if error.errno in (errno.EACCES, errno.EPERM):
                text = f"{text}: allow the user of nativemtail to read it"
            self._reports.path_problem(path, text)
            self._reports.once(path, "open", "%s: %s", path, text)
        self.pending[path] = min(2 * self.pending.get(path, self._interval / 2), max(self._interval, _LIMIT))
        if path not in self._scheduled:
            self._scheduled.add(path)
            self._loop.after(self.pending[path], lambda: self._again(path))

    def forget(self, path: str) -> None:
        """It was opened, or is gone."""
        self.pending.pop(path, None)

    def _again(self, path: str) -> None:
        self._scheduled.discard(path)
        if path in self.pending:
            self._look(path)
