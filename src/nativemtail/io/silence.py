"""Records of several lines end when their log has been silent for so long as their programs say (beyond README §5)."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.io.loop import Loop
from nativemtail.io.sources import Sink

_LEAST_CHECK, _MOST_CHECK = 0.01, 0.5
"""Seconds between two checks."""


class Silence:
    """Has the engine complete these records.

    A check is a turn of its own: all readers that have something to read by then have their turns before it, so that
    no log seems silent only because nobody has read it.
    """

    def __init__(self, sink: Sink, loop: Loop, is_behind: Callable[[], object]) -> None:
        """`is_behind`: lines that belong to a record may have been there since before the start."""
        self._sink = sink
        self._loop = loop
        self._is_behind = is_behind
        self._is_checking = False

    def lines_came(self) -> None:
        """Check from now on, until no record is open."""
        if not self._is_checking and self._sink.has_records:
            self._is_checking = True
            self.turn()

    def turn(self) -> bool:
        left = _MOST_CHECK if self._is_behind() else self._sink.finish_silent()
        if left is None:
            self._is_checking = False
        else:
            self._loop.after(min(max(left, _LEAST_CHECK), _MOST_CHECK), self._queue)
        return False

    def _queue(self) -> None:
        self._loop.queue(self)
