"""Expands the log patterns: watches their directories and reports the paths that match."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from nativemtail.globs import Glob
from nativemtail.io import doubts
from nativemtail.io.directories import Directories, Pattern
from nativemtail.io.loop import Loop
from nativemtail.io.reports import Reports
from nativemtail.io.timers import Timers


class Matching:
    """Calls `found` with each path that matches, whenever a pattern is expanded."""

    def __init__(
        self,
        globs: Iterable[Glob],
        loop: Loop,
        timers: Timers,
        directories: Directories,
        reports: Reports,
        interval: float,
        found: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._timers = timers
        self._directories = directories
        self._reports = reports
        self._interval = interval
        self._found = found
        self._patterns = [Pattern(glob) for glob in globs]
        self._dirty: dict[Pattern, None] = {}
        self._is_due = False
        self._rests_until = 0.0
        self._is_starting = False

    def start(self) -> None:
        self._is_starting = True
        for pattern in self._patterns:
            self._expand(pattern)
        self._is_starting = False

    def watch(self) -> None:
        """Watch the directories of the patterns, without looking at what they contain."""
        for pattern in self._patterns:
            for _ in self._directories.watch_pattern(pattern):
                pass

    def matches(self, path: str) -> bool:
        return any(pattern.glob.matches(path) for pattern in self._patterns)

    def is_found(self, path: str) -> None:
        """Clear the problem "no file matches" of all patterns that `path` matches."""
        for pattern in self._patterns:
            self._reports.pattern_is_found(pattern.glob, path)

    def must_expand(self, patterns: Iterable[Pattern] | None = None) -> None:
        """Schedule these patterns, or all, for expansion: their directories may have changed."""
        self._dirty.update(dict.fromkeys(self._patterns if patterns is None else patterns))

    def expand_soon(self) -> None:
        """Expand soon, but spend at most half of the time on it: the cost grows with the number of all directories."""
        if self._dirty and not self._is_due:
            self._is_due = True
            self._loop.after(max(0.0, self._rests_until - time.monotonic()), self._expand_later)

    def expand(self) -> None:
        dirty = list(self._dirty)
        self._dirty.clear()
        for pattern in dirty:
            self._expand(pattern)

    def _expand_later(self) -> None:
        self._is_due = False
        began = time.monotonic()
        self.expand()
        self._rests_until = 2 * time.monotonic() - began

    def _expand(self, pattern: Pattern) -> None:
        """Watch the directories that a pattern has now, and report the paths that match."""
        blocked = ""
        for directory, matters in self._directories.watch_pattern(pattern):
            blocked = blocked or doubts.of_directory(directory, matters.pattern.rpartition("/")[2])
        matches = pattern.glob.expand()
        for path in matches:
            self._found(path)
        nothing = doubts.of_matches(pattern.glob, matches)
        doubt = doubts.of_text(pattern.glob) or blocked or nothing
        # After the start, a pattern may match nothing for a moment during a rotation.
        self._reports.pattern_problem(pattern.glob.pattern, doubt, self._is_starting or doubt is not nothing)
        if pattern.polled:
            self._timers.every("patterns", self._interval, self._poll)

    def _poll(self) -> bool:
        for pattern in self._patterns:
            if pattern.polled:
                self._expand(pattern)
        return any(pattern.polled for pattern in self._patterns)
