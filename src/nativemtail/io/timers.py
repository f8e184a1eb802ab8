"""Recurring actions, repeated as long as they are needed."""

from __future__ import annotations

from collections.abc import Callable

from nativemtail.io.loop import Loop


class Timers:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: set[str] = set()

    def every(self, what: str, interval: float, action: Callable[[], bool]) -> None:
        """Call `action` every `interval` seconds until it returns False; a second request for `what` is ignored."""
        if what in self._running:
            return
        self._running.add(what)

        def tick() -> None:
            if action():
                self._loop.after(interval, tick)
            else:
                self._running.discard(what)

        self._loop.after(interval, tick)
