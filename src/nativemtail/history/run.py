"""A whole history: the parts are counted by workers, their tables added up, and the totals made."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from types import TracebackType

from nativemtail._core import Fault
from nativemtail.compiler.divisible import How
from nativemtail.history import pool, totals
from nativemtail.history.blueprint import Blueprint
from nativemtail.history.merge import Merger
from nativemtail.history.parts import Part
from nativemtail.history.series import Family
from nativemtail.history.spool import Spool
from nativemtail.history.worker import Result

log = logging.getLogger(__name__)

NAMED = 10
"""Lines without a time that are named."""
SPILL_SHARE = 4
"""Cells are written to files when they take this part of the memory limit: adding up needs as much again, twice."""

OnResult = Callable[[Result], None]


@dataclass
class Counts:
    """What the results say besides the metrics."""

    lines: dict[int, int] = field(default_factory=dict)
    """By part."""
    untimed: dict[str, list[tuple[int, int, list[int]]]] = field(default_factory=dict)
    """By program: part, number of lines, and the numbers of the first ones."""
    faults: list[Fault] = field(default_factory=list)
    more_faults: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    cut: int = 0

    def add(self, result: Result) -> None:
        self.lines[result.part] = result.lines
        self.cut += result.cut
        for program, (count, lines) in result.untimed.items():
            self.untimed.setdefault(program, []).append((result.part, count, lines))
        self.faults += result.faults
        for program, count in result.more_faults.items():
            self.more_faults[program] = self.more_faults.get(program, 0) + count
        if result.problem:
            self.problems.append((result.part, result.problem))

    def left_out(self, parts: Sequence[Part]) -> Iterator[str]:
        """A message for each program with lines that have no time."""
        before = dict(zip((part.number for part in parts), _lines_before(parts, self.lines), strict=True))
        paths = {part.number: part.log.path for part in parts}
        for program in sorted(self.untimed):
            found = sorted(self.untimed[program])
            named = [
                f"{paths[part]}:{before[part] + line}" if line > 0 else f"{paths[part]}:?"
                for part, _, lines in found
                for line in lines
            ]
            count = sum(count for _, count, _ in found)
            shown = ", ".join(named[:NAMED]) + (", …" if count > NAMED else "")
            yield (
                f"{program}: {count} line{'s' if count > 1 else ''} left out, for which it set no time: {shown}; "
                "let it call strptime or settime, or use --assume_time mtime"
            )


def _lines_before(parts: Sequence[Part], lines: dict[int, int]) -> list[int]:
    """For each part the lines of its log in earlier parts."""
    before = []
    count, path = 0, None
    for part in parts:
        count = count if part.log.path == path else 0
        path = part.log.path
        before.append(count)
        count += lines.get(part.number, 0)
    return before


class Table:
    """The metrics of a history, added up part by part."""

    def __init__(self, blueprints: Sequence[Blueprint], memory_limit: int) -> None:
        self._limit = memory_limit
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._first = [0, *accumulate(len(blueprint.specs) for blueprint in blueprints)]
        self.metrics = [
            totals.Metric(spec, Merger(spec.how, len(spec.keys)))
            for blueprint in blueprints
            for spec in blueprint.specs
        ]

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._directory is not None:
            self._directory.cleanup()

    def add(self, blueprint: int, result: Result) -> None:
        """Add the result of the blueprint of that number."""
        for number, kept in result.kept.items():
            self.metrics[self._first[blueprint] + number].merger.add(kept, result.part)
        if sum(metric.merger.cell_size for metric in self.metrics) > self._limit // SPILL_SHARE:
            self._spill()

    def _spill(self) -> None:
        for metric in self.metrics:
            metric.merger.consolidate()
        if sum(metric.merger.cell_size for metric in self.metrics) <= self._limit // SPILL_SHARE // 2:
            return
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="nativemtail-")
        for number, (spec, merger) in enumerate(self.metrics):
            merger.spill(self._directory.name, str(number), totals.label_order(spec))

    def families(self, step: int, max_gap: int, *, prog_label: bool) -> Iterator[Family]:
        """`step` and `max_gap` in nanoseconds."""
        metrics = [metric for metric in self.metrics if metric.spec.how is not How.NOT]
        grid = totals.Grid(step, max(1, max_gap // step), totals.last_step(metrics))
        return totals.families(metrics, grid, prog_label=prog_label)


def count(blueprint: Blueprint, parts: Sequence[Part], workers: int, spool: Spool | None, on_result: OnResult) -> None:
    """Count all parts.  Raises `pool.PartFailed`."""
    done = set()
    if spool is not None:
        for result in spool.results():
            done.add(result.part)
            on_result(result)
    for result in pool.run(blueprint, [part for part in parts if part.number not in done], workers):
        if spool is not None:
            spool.add(result)
        on_result(result)
