"""Periodically checks every followed path for changes that inotify misses: memory-mapped writes, links of links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from nativemtail.io.loop import Loop

STEP = 64
"""Number of paths that are checked without a pause."""

_PAUSE = 0.005


class Sweep:
    """Calls `look` for each of `paths`, a few at a time, and `finish` at the end."""

    def __init__(
        self, loop: Loop, paths: Iterable[str], look: Callable[[str], None], finish: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._paths = paths
        self._look = look
        self._finish = finish
        self._left: Iterator[str] = iter(())
        self._is_wanted = False
        self.is_running = False

    def every(self, interval: float) -> None:
        """Sweep from time to time."""

        def sweep() -> None:
            self.begin()
            self._loop.after(interval, sweep)

        self._loop.after(interval, sweep)

    def begin(self) -> None:
        """Start a sweep; if one is running, another one follows it."""
        self._is_wanted = True
        if not self.is_running:
            self.is_running = True
            self._start()

    def _start(self) -> None:
        self._is_wanted = False
        self._left = iter(list(self._paths))
        self._step()

    def _step(self) -> None:
        some = list(islice(self._left, STEP))
        for path in some:
            self._look(path)
        if some:
            self._loop.after(_PAUSE, self._step)
            return
        self._finish()
        if self._is_wanted:
            self._start()
        else:
            self.is_running = False
