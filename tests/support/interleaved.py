"""A writer whose steps run between the reader's system calls, where a seed says, and by a clock of its own.

With threads a wrong order of steps is seen only by chance, and on a busy machine.  Here the reader is stopped before
and after calls as often as the seed says, for anything from one write to several rotations.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import rotating
from rig import Recorder

from nativemtail.io import watch
from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

_CALLS = ("stat", "fstat", "lstat", "open", "pread", "preadv", "lseek", "listdir", "readlink")
_AFTER = frozenset({"stat", "fstat", "preadv"})
_STEP = 2e-5
_CHUNKS = (500, 4096, 1 << 30)
_STALLS = (0.05, 0.3, 1.2)
_PATIENCE = 20.0
_MOST = 600.0


class Interleaved:
    """Writes and rotates `log`, and reads `pattern`; a rotation waits until `may_rotate(turn)`."""

    def __init__(self, log: Path, pattern: str, way: str, seed: int, *, rotations: int, lines: int, width: int) -> None:
        self.log = str(log)
        self.pattern = str(log.parent / pattern)
        self._way = way
        self._rotations = rotations
        self._lines = lines
        self._width = width
        self._random = random.Random(seed)
        self._often = self._random.choice((0.02, 0.1, 0.3, 0.6))
        self._steps = self._random.choice((3, 30, 300, 3000))
        self._now = 1000.0
        self._is_writing = True
        self._has_written = False
        self._real: dict[str, Callable[..., Any]] = {}
        self.recorder = Recorder()
        self.may_rotate: Callable[[int], bool] = lambda turn: True

    def run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Read until nothing arrives any more."""
        os.close(os.open(self.log, os.O_WRONLY | os.O_CREAT, 0o644))
        writer = self._write()
        with monkeypatch.context() as patch:
            self._patch(patch, writer)
            tailer = Tailer(parse_logs([self.pattern]), self.recorder, Settings(linger=1.0))
            patch.setattr(tailer._loop, "_epoll", _Poll(tailer._loop._epoll, self, writer))
            tailer.open()
            self._is_writing = False
            try:
                self._read(tailer)
            finally:
                tailer.stop()
                tailer.run()

    def _read(self, tailer: Tailer) -> None:
        end = 0.0
        for _ in tailer.turns():
            if self._has_written:
                end = end or self._now + _PATIENCE
            if end and self._now > end:
                return
            assert self._now < _MOST + 1000.0, "the writer waits in vain"

    def _patch(self, patch: pytest.MonkeyPatch, writer: Iterator[bool]) -> None:
        for name in _CALLS:
            self._real[name] = getattr(os, name)
            patch.setattr(os, name, self._stopped(writer, name, self._real[name]))
        patch.setattr(time, "monotonic", lambda: self._now)
        patch.setattr(time, "sleep", lambda seconds: self.wait(writer, seconds))
        real = watch.FileWatcher
        patch.setattr(watch, "FileWatcher", lambda **_: real(thread=False))

    def _stopped(self, writer: Iterator[bool], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self._stop(writer)
            result = real(*args, **more)
            if name in _AFTER:
                self._stop(writer)
            return result

        return call

    def _stop(self, writer: Iterator[bool]) -> None:
        if self._is_writing:
            return
        self._now += _STEP / 2
        if self._random.random() < self._often:
            self.advance(writer)
            if self._random.random() < 0.01:
                self._now += self._random.choice(_STALLS)

    def advance(self, writer: Iterator[bool]) -> bool:
        """Let the writer do a few steps; whether it could do any."""
        done = 0
        self._is_writing = True
        for _ in range(self._random.randint(1, self._steps)):
            if not next(writer, False):
                break
            done += 1
        self._is_writing = False
        self._now += done * _STEP
        return done > 0

    def wait(self, writer: Iterator[bool], seconds: float) -> None:
        self._now += seconds
        if not self._is_writing:
            self.advance(writer)

    # The writer: yields after each of its system calls, False while it may not rotate

    def _write(self) -> Generator[bool]:
        fd = rotating.fresh(self.log)
        for turn in range(self._rotations + 1):
            for number in range(self._lines):
                os.write(fd, rotating.line(turn, number, self._width))
                yield True
            if turn < self._rotations:
                while not self.may_rotate(turn):
                    yield False
                fd = yield from self._rotate(turn, fd)
        os.close(fd)
        self._has_written = True

    def _rotate(self, turn: int, fd: int) -> Generator[bool, None, int]:
        if self._way in ("rename", "copytruncate"):
            for number in range(20, 0, -1):
                if os.path.lexists(f"{self.log}.{number}"):
                    os.rename(f"{self.log}.{number}", f"{self.log}.{number + 1}")
                    yield True
        match self._way:
            case "copytruncate" | "copytruncate-one":
                yield from self._copy(f"{self.log}.1")
                os.truncate(self.log, 0)
                yield True
                return fd
            case "replace":
                new = rotating.fresh(self.log + "~")
                yield True
                os.rename(self.log + "~", self.log)
                os.close(fd)
                return new
            case "delete":
                os.unlink(self.log)
            case "rename":
                os.rename(self.log, f"{self.log}.1")
            case "dated":
                os.rename(self.log, f"{self.log}-2026{turn:04}")
        yield True
        os.close(fd)
        return rotating.fresh(self.log)

    def _copy(self, name: str) -> Generator[bool]:
        pread, opened = self._real["pread"], self._real["open"]
        chunk, done = self._random.choice(_CHUNKS), 0
        target = opened(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        yield True
        source = opened(self.log, os.O_RDONLY)
        while block := pread(source, chunk, done):
            done += os.write(target, block)
            yield True
        os.close(source)
        os.close(target)
        yield True

    def extra(self) -> Counter[bytes]:
        return Counter(self.recorder.order) - self._expected()

    def missing(self) -> Counter[bytes]:
        return self._expected() - Counter(self.recorder.order)

    def _expected(self) -> Counter[bytes]:
        turns, numbers = range(self._rotations + 1), range(self._lines)
        return Counter(rotating.line(turn, number, self._width)[:-1] for turn in turns for number in numbers)


class _Poll:
    """Instead of waiting for the writer, lets it do something."""

    def __init__(self, epoll: Any, run: Interleaved, writer: Iterator[bool]) -> None:
        self._epoll = epoll
        self._run = run
        self._writer = writer

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = self._epoll.poll(0)
        if not events and timeout != 0.0 and not self._run.advance(self._writer):
            self._run.wait(self._writer, min(timeout or 0.1, 0.1))
        return events or self._epoll.poll(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)
