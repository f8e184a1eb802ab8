"""Runs the programs over a part: what they wrote, by series and step, as Arrow tables."""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from nativemtail._core import Engine, Fault, Metric, forget_history, take_history
from nativemtail.compiler.divisible import How
from nativemtail.history import blueprint, reader
from nativemtail.history.blueprint import Blueprint
from nativemtail.history.parts import Part
from nativemtail.io.compressed import Corrupt
from nativemtail.io.content import UNMARKED_UTF16, Content
from nativemtail.io.lines import Buffer, Emit

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What was written to a metric: its series, and their cells one series after another."""

    series: pa.RecordBatch
    """A column for each key, then `cells`, how many the series has, and `end`, the step in which it was removed."""
    cells: pa.RecordBatch
    """`key` (core/history.hpp), `value` and, for the latest value, `time`."""


class Untimed(NamedTuple):
    """Lines that a program set no time for, and the numbers of the first ones in the part, from 1; -1: unknown."""

    total: int
    lines: list[int]


class Result(NamedTuple):
    """What became of a part."""

    part: int
    lines: int
    kept: dict[int, Kept]
    """By number of the metric in the blueprint."""
    untimed: dict[str, Untimed]
    """By program."""
    faults: list[Fault]
    more_faults: dict[str, int]
    cut: int
    """Lines that were longer than allowed."""
    problem: str
    """Why the part could not be read to its end; empty if it was."""


class Worker:
    """An engine that runs one part after another.  Used by one thread only."""

    def __init__(self, plan: Blueprint) -> None:
        self._blueprint = plan
        running = blueprint.build(plan)
        self._engine, self._metrics = running.engine, running.metrics
        self._buffer = Buffer()

    def run(self, part: Part) -> Result:
        """Raises OSError if the file cannot be opened, and `reader.Changed`."""
        engine = self._engine
        times = self._blueprint.times
        number = engine.open(part.log.path)
        engine.fix_clock(part.log.changed, year=times.year, assumed=times.assume_mtime)
        try:
            length = self._blueprint.max_line_length
            found = read(part, partial(engine.scan, number), self._buffer, length, tells_encoding=True)
        finally:
            engine.close(number)
        return result(engine, part, found, self._take())

    def _take(self) -> dict[int, Kept]:
        taken = {}
        for number, (metric, spec) in enumerate(zip(self._metrics, self._blueprint.specs, strict=True)):
            if spec.how is not How.NOT:
                kept = columns(metric, spec.how)
                if kept.series.num_rows:
                    taken[number] = kept
                forget_history(metric)
        return taken


class Read(NamedTuple):
    """How a part was read."""

    lines: int
    cut: int
    problem: str


def read(part: Part, scan: Emit, buffer: Buffer, max_line_length: int, *, tells_encoding: bool) -> Read:
    """Give the lines of a part to `scan`.  Raises OSError and `reader.Changed`."""
    lines, cut, problem = 0, 0, ""

    def emit(block: bytearray, start: int, end: int) -> int:
        nonlocal lines
        count = scan(block, start, end)
        lines += count
        return count

    def report(content: Content | None) -> None:
        nonlocal problem
        if tells_encoding and content is UNMARKED_UTF16:
            problem = f"{part.log.path}: looks like {content.name}, in which no pattern finds text"

    try:
        cut = reader.read(part, emit, buffer, max_line_length, report)
    except Corrupt as error:
        problem = f"{part.log.path}: {error}"
    return Read(lines, cut, problem)


def result(engine: Engine, part: Part, found: Read, kept: dict[int, Kept]) -> Result:
    """What the engine has to say about the part that it ran over last."""
    faults, more = engine.faults()
    untimed = {name: Untimed(*each) for name, each in engine.untimed().items()}
    return Result(part.number, found.lines, kept, untimed, faults, more, found.cut, found.problem)


def columns(metric: Metric, how: How) -> Kept:
    """What the metric's history has."""
    labels, counts, ends, keys, values, times = take_history(metric)
    names = [f"label{number}" for number in range(len(labels))]
    texts = [_text(offsets, data) for offsets, data in labels]
    series = pa.RecordBatch.from_arrays([*texts, _ints(counts), _ints(ends)], [*names, "cells", "end"])
    cells = [_ints(keys), _ints(values)]
    if how is How.LATEST:
        cells.append(_ints(times))
    return Kept(series, pa.RecordBatch.from_arrays(cells, ["key", "value", "time"][: len(cells)]))


def _text(offsets: bytes, data: bytes) -> pa.Array:
    count = len(offsets) // 8 - 1
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def _ints(data: bytes) -> pa.Array:
    return pa.Int64Array.from_buffers(pa.int64(), len(data) // 8, [None, pa.py_buffer(data)])
