"""Reports problems with following logs: once in a message, and on the status page."""

from __future__ import annotations

import logging

from nativemtail.globs import Glob
from nativemtail.io import doubts
from nativemtail.io.bounded import trim
from nativemtail.io.sources import Counters

_MOST = 1024
_GONE_BEHIND = (
    "deleted, or moved to another directory, behind its file system: what was written to it just before may be lost"
)
_GONE_WHILE_CLOSED = (
    "written to and gone before it could be opened again, its last lines are lost:"
    " LimitNOFILE= of the unit, or ulimit -n, allows more open files"
)

_log = logging.getLogger(__name__)


class Reports:
    """Belongs to the loop's thread, but for `problems`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._reported: dict[tuple[str, str], None] = {}
        self._patterns: dict[str, str] = {}
        self._paths: dict[str, str] = {}

    def problems(self) -> dict[str, str]:
        """What is wrong, by pattern or path; may be called from any thread."""
        return self._patterns | self._paths

    def once(self, subject: str, kind: str, text: str, *values: object) -> None:
        """Log a warning of this kind about `subject`, unless that has been done."""
        if (subject, kind) not in self._reported:
            self._reported[subject, kind] = None
            trim(self._reported, _MOST)
            _log.warning(text, *values)

    def limit(self, limit: str, text: str, *values: object) -> None:
        """Count that a limit of the system was hit, and log it once."""
        self._counters.limits_total[limit] += 1
        self.once(limit, "limit", text, *values)

    def log_is_lost(self, path: str, is_behind: bool) -> None:
        """A file that had to be opened again is gone; `is_behind`: its descriptor stood for another one by then."""
        self._counters.log_errors_total[path] += 1
        self.once(path, "lost", "%s: %s", path, _GONE_BEHIND if is_behind else _GONE_WHILE_CLOSED)

    def path_problem(self, path: str, text: str) -> None:
        self._paths[path] = text
        trim(self._paths, _MOST)

    def path_is_gone(self, path: str) -> None:
        self._paths.pop(path, None)

    def path_is_open(self, path: str) -> None:
        """The path can be opened: clear its problem, and log it again if it recurs."""
        self._reported.pop((path, "open"), None)
        self._paths.pop(path, None)

    def pattern_is_found(self, glob: Glob, path: str) -> None:
        """Clear the problem of a pattern if it was only that nothing matched, and `path` does."""
        known = self._patterns.get(glob.pattern)
        if known and known == doubts.of_matches(glob, ()) and glob.matches(path):
            del self._patterns[glob.pattern]

    def pattern_problem(self, pattern: str, text: str, is_told: bool) -> None:
        """Set the problem of a pattern; an empty `text` clears it."""
        if not text:
            self._patterns.pop(pattern, None)
            return
        self._patterns[pattern] = text
        if is_told:
            self.once(pattern, "pattern", "%s: %s", pattern, text)
