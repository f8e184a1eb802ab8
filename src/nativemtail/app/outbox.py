"""A queue of messages with its own writing thread, so that a reader that does not read blocks nothing.

At most `LIMIT` bytes wait.  Messages beyond that, or that cannot be written, are dropped and counted; a message reports
the number as soon as one gets through again.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import Protocol

LIMIT = 1024 * 1024
PATIENCE = 1.0
"""Longest time to wait for messages to be written when the process ends."""
_ATOMIC = 512
"""Bytes that a writable pipe accepts without blocking (POSIX; 4096 on Linux)."""


class Target(Protocol):
    """Where messages go."""

    def write(self, data: bytes) -> None:
        """All of `data`.  Raises OSError."""

    def loss_notice(self, count: int) -> bytes:
        """The message that says how many messages were dropped."""


class Outbox:
    """Messages for some targets, written in order.  `put` and `flush` may be called from any thread."""

    def __init__(self) -> None:
        # Its lock is re-entrant: a signal handler may interrupt its own thread in here.
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Target, bytes]] = deque()
        self._size = 0
        self._unreported: dict[Target, int] = {}
        self._thread: threading.Thread | None = None
        self._hopeless = False
        _outboxes.append(self)
        self.dropped = 0

    def put(self, target: Target, data: bytes) -> None:
        with self._changed:
            if self._size + len(data) > LIMIT or not (self._is_running() or self._write(target, data)):
                self._drop(target)
            elif self._thread is not None:
                self._waiting.append((target, data))
                self._size += len(data)
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, at most PATIENCE seconds; not at all after a wait that timed out."""
        with self._changed:
            patience = 0.0 if self._hopeless else PATIENCE
            self._hopeless = not self._changed.wait_for(lambda: not self._waiting, patience)

    def _is_running(self) -> bool:
        """Whether the thread runs or can be started; if not, callers write their messages themselves."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="messages", daemon=True)
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        return self._thread is not None

    def _drop(self, target: Target) -> None:
        self.dropped += 1
        self._unreported[target] = self._unreported.get(target, 0) + 1

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                target, data = self._waiting[0]
            done = self._write(target, data)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(data)
                if not done:
                    self._drop(target)
                unreported = self._unreported.pop(target, 0) if done and not self._waiting else 0
                if unreported:
                    # Not subject to the limit: there is at most one of these.
                    self._waiting.append((target, loss_notice := target.loss_notice(unreported)))
                    self._size += len(loss_notice)
                self._changed.notify_all()

    def _write(self, target: Target, data: bytes) -> bool:
        try:
            target.write(data)
        except Exception:  # a broken target must not stop messages to the others
            return False
        return True


_outboxes: list[Outbox] = []


def dropped() -> int:
    """The number of messages dropped so far."""
    return sum(outbox.dropped for outbox in _outboxes)


def write_in_time(fd: int, data: bytes, patience: float = PATIENCE) -> None:
    """Write what can be written within `patience`; needs no thread and no lock, so a signal handler may call it."""
    end = time.monotonic() + patience
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    view = memoryview(data)
    while view:
        if not poll.poll(max(0, round(1000 * (end - time.monotonic())))):
            return
        try:
            view = view[os.write(fd, view[:_ATOMIC]) :]
        except BlockingIOError:
            continue
        except OSError:
            return
