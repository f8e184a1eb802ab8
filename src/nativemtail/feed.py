"""Lines on their way from the tail thread to the engine, and what may be done between two blocks of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from nativemtail._core import Engine

_AGAIN = 0.01


class Feed:
    """The tailer's sink.  `open`, `scan` and `close` are called by the tail thread, the rest by any."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._waiting: deque[tuple[Callable[[], None], Future[None]]] = deque()

    def open(self, name: str) -> int:
        return self._engine.source(name)

    def scan(self, source: int, block: bytearray, start: int, end: int) -> int:
        with self._turn:
            self._do_waiting()
            return self._engine.scan(source, block, start, end)

    def close(self, source: int) -> None:
        self._engine.forget(source)

    def between_blocks(self, work: Callable[[], None]) -> None:
        """Do `work` while no block runs, at the latest after the current one.  Raises what `work` raises."""
        done: Future[None] = Future()
        self._waiting.append((work, done))
        while not done.done():
            # The lock is not fair: under load the tail thread has it nearly always, and then does the work itself.
            if self._turn.acquire(timeout=_AGAIN):
                try:
                    self._do_waiting()
                finally:
                    self._turn.release()
        done.result()

    def _do_waiting(self) -> None:
        while self._waiting:
            work, done = self._waiting.popleft()
            try:
                work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)
