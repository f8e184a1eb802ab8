"""Programs that cannot be divided: one engine runs over all their lines, sorted by time.

The first pass gathers the lines that the program runs on, with their times, in file order.  They are sorted, in files
if they are too many for the memory, and the second pass runs the program over them.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nativemtail._core import Engine, Metric, Store, end_history
from nativemtail.compiler.divisible import How
from nativemtail.history import blueprint
from nativemtail.history.blueprint import Blueprint
from nativemtail.history.parts import Log, Part
from nativemtail.history.runs import Run, merged
from nativemtail.history.worker import Result, columns, read, result
from nativemtail.io.lines import Buffer

_FRAME = struct.Struct("=qIIII")
_NOT_GIVEN = 0xFFFFFFFF
_READ = 1024 * 1024
_LEAST_RUN = 8 * 1024 * 1024


class Frames(NamedTuple):
    """Lines with their times, one after another in `data`."""

    data: bytes
    times: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Where each begins in `data`; then the length of that."""


def indexed(data: bytes) -> tuple[Frames, int]:
    """The whole frames at the start of `data`, and the bytes after them."""
    times, starts = [], []
    at = 0
    while len(data) - at >= _FRAME.size:
        time, _, *lengths = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + sum(length for length in lengths if length != _NOT_GIVEN)
        if end > len(data):
            break
        times.append(time)
        starts.append(at)
        at = end
    starts.append(at)
    return Frames(data, np.array(times, np.int64), np.array(starts, np.int64)), len(data) - at


def _sorted(frames: Frames) -> bytes:
    """The frames in order of time; of equal times as they are."""
    order = np.argsort(frames.times, kind="stable")
    if (order[1:] > order[:-1]).all():
        return frames.data[: int(frames.starts[-1])]
    starts, ends = frames.starts[:-1][order].tolist(), frames.starts[1:][order].tolist()
    return b"".join([frames.data[start:end] for start, end in zip(starts, ends, strict=True)])


class Sorter:
    """Sorts frames that come in order of position by their times, in files where they are many."""

    def __init__(self, memory: int) -> None:
        self._memory = max(memory, _LEAST_RUN)
        self._pieces: list[bytes] = []
        self._size = 0
        self._runs: list[BinaryIO] = []

    def add(self, frames: bytes) -> None:
        self._pieces.append(frames)
        self._size += len(frames)
        if self._size > self._memory // 8:  # it is there twice while it is sorted, and has an index
            run = tempfile.TemporaryFile(prefix="nativemtail-")  # noqa: SIM115 - closed by sorted()
            self._runs.append(run)
            run.write(self._take())

    def _take(self) -> bytes:
        data = _sorted(indexed(b"".join(self._pieces))[0])
        self._pieces.clear()
        self._size = 0
        return data

    def sorted(self) -> Iterator[bytes]:
        """All frames in order, in pieces of whole frames."""
        if not self._runs:
            yield self._take()
            return
        runs = [_Run(_read(run, max(_READ // 8, self._memory // 16 // len(self._runs)))) for run in self._runs]
        runs.append(_Run(iter([self._take()])))
        yield from merged(runs, lambda pieces: _sorted(indexed(b"".join(pieces))[0]) or None)
        for file in self._runs:
            file.close()


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    file.seek(0)
    while data := file.read(size):
        yield data


class _Run(Run[bytes]):
    """Frames in order of time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(pieces)
        self._frames, self._rest = indexed(b"")

    def __len__(self) -> int:
        return len(self._frames.times)

    @property
    def last(self) -> int:
        return int(self._frames.times[-1])

    def hold(self, piece: bytes) -> None:
        self._frames, self._rest = indexed(self._frames.data + piece)

    def take(self, bound: int | None) -> bytes:
        """The frames before the time `bound`, or all."""
        frames = self._frames
        count = len(self) if bound is None else int(np.searchsorted(frames.times, bound))
        end = int(frames.starts[count])
        self._frames, self._rest = indexed(frames.data[end:])
        return frames.data[:end]


OnResult = Callable[[Result], None]


def count(plan: Blueprint, parts: Sequence[Part], memory_limit: int, on_result: OnResult) -> None:
    """Count all parts, which are whole logs.  Raises OSError and `reader.Changed`."""
    logs = [part.log for part in parts]
    sorter = Sorter(memory_limit)
    first = blueprint.build(plan, gathers=True)
    buffer = Buffer()
    for part in parts:
        on_result(_gather(first.engine, plan, part, sorter, buffer))
    second = blueprint.build(plan)
    _replay(second, plan, logs, sorter)
    kept = {
        number: each
        for number, (metric, spec) in enumerate(zip(second.metrics, plan.specs, strict=True))
        if spec.how is not How.NOT and (each := columns(metric, spec.how)).series.num_rows
    }
    on_result(Result(len(parts), 0, kept, {}, [], {}, 0, ""))


def _gather(engine: Engine, plan: Blueprint, part: Part, sorter: Sorter, buffer: Buffer) -> Result:
    number = engine.open(part.log.path)
    engine.take_frames(number)
    engine.fix_clock(part.log.changed, year=plan.times.year, assumed=plan.times.assume_mtime)

    def scan(block: bytearray, start: int, end: int) -> int:
        count = engine.scan(number, block, start, end)
        sorter.add(engine.take_frames(number))
        return count

    found = read(part, scan, buffer, plan.max_line_length, tells_encoding=False)
    engine.finish(number)
    sorter.add(engine.take_frames(number))
    return result(engine, part, found, {})


def _replay(run: blueprint.Running, plan: Blueprint, logs: Sequence[Log], sorter: Sorter) -> None:
    """Run the program over the lines in order; the sources have the numbers that they had when lines were gathered."""
    engine, times = run.engine, plan.times
    for log in logs:
        engine.open(log.path)
    changed = [log.changed for log in logs]
    for frames in sorter.sorted():
        for piece, instant in _by_step(frames, times.step) if run.expires else ((frames, 0),):
            if run.expires:
                _expire(run.store, run.metrics, instant)
            engine.replay(piece, changed, year=times.year, assumed=times.assume_mtime)
    if run.expires:
        _expire(run.store, run.metrics, (1 << 63) - 1)


def _by_step(data: bytes, step: int) -> Iterator[tuple[bytes, int]]:
    """Pieces of one step each, and the instant before it."""
    frames, _ = indexed(data)
    steps = -(-frames.times // step)
    starts = np.flatnonzero(np.insert(np.diff(steps) != 0, 0, True))
    for start, end in zip(starts, [*starts[1:], len(steps)], strict=True):
        yield data[int(frames.starts[start]) : int(frames.starts[end])], int(steps[start] - 1) * step


def _expire(store: Store, metrics: Sequence[Metric], now: int) -> None:
    for metric in metrics:
        end_history(metric, now)
    store.gc(now)
