"""Bounds the work of a turn of the event loop."""

from __future__ import annotations

import selectors
from collections import deque

EACH_TURN = 64


class FewEvents(selectors.DefaultSelector):
    """Hands out a few of the files that are ready in each turn of the loop, and the others in the next ones.

    Hundreds of connections that send at the same time would make one turn long, and a probe takes several turns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left: deque[tuple[selectors.SelectorKey, int]] = deque()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._left:
            self._left.extend(super().select(timeout))
        files = self.get_map()
        now: list[tuple[selectors.SelectorKey, int]] = []
        while self._left and len(now) < EACH_TURN:
            key, events = self._left.popleft()
            if files.get(key.fd) is key:  # otherwise it was closed or changed meanwhile
                now.append((key, events))
        return now
