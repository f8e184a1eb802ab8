"""What a history must contain: computed from its definition, without anything of the product.

A line with the time t belongs to the grid instant ceil(t / step) × step, where its effect shows first.  A series has a
sample at each instant where its value is another than at its last sample.  Where the next of these is more than
`max_gap` away, samples lie between, each as many whole steps behind the last one as fit into `max_gap`, but at least
one; also after the last change, up to the last instant.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

SECOND = 1_000_000_000
"""Times and durations are in nanoseconds, as the engine has them; instants of samples in milliseconds."""

Number = int | float
Key = Hashable
Samples = list[tuple[int, float]]


@dataclass(frozen=True)
class Add:
    """An increment, or a decrement if negative: of a counter, or of a gauge that is never assigned."""

    time: int
    series: Key
    amount: Number


@dataclass(frozen=True)
class Write:
    """An assignment.  Of equal times the one with the greater `place` counts: log family, generation, position."""

    time: int
    series: Key
    value: Number
    place: tuple[int, ...]


@dataclass(frozen=True)
class Observe:
    """An observation of a histogram with the bounds of its buckets, without +Inf."""

    time: int
    series: Key
    value: float
    bounds: tuple[float, ...]


@dataclass(frozen=True)
class Grid:
    step: int
    last: int
    """The latest time of any line of the run."""
    max_gap: int = 300 * SECOND

    def index(self, time: int) -> int:
        return -(-time // self.step)

    def milliseconds(self, index: int) -> int:
        assert index * self.step % 1_000_000 == 0
        return index * self.step // 1_000_000


def grid(events: Iterable[Add | Write | Observe], step: int, max_gap: int = 300 * SECOND) -> Grid:
    """The grid of a run in which every line with a time made an event."""
    return Grid(step, max(event.time for event in events), max_gap)


def scalars(events: Iterable[Add | Write], grid: Grid) -> dict[Key, Samples]:
    """The samples by series.  A series has either increments or assignments."""
    by_series: dict[Key, list[Add | Write]] = defaultdict(list)
    for event in events:
        by_series[event.series].append(event)
    return {key: _thinned(_values(of_series, grid), grid) for key, of_series in by_series.items()}


def histograms(events: Iterable[Observe], grid: Grid) -> dict[tuple[Key, str], Samples]:
    """The samples by series and part: `sum`, `count`, or the bound of a bucket as a number in words (`0.5`, `inf`)."""
    by_series: dict[Key, list[Observe]] = defaultdict(list)
    for event in events:
        by_series[event.series].append(event)
    found = {}
    for key, of_series in by_series.items():
        parts = _parts(of_series, grid)
        instants = [time for time, _ in _thinned(parts["count"], grid)]
        for name, values in parts.items():
            found[key, name] = [(time, _at(values, time, grid)) for time in instants]
    return found


def at(samples: Samples, time: int, lookback: int = 300_000) -> float | None:
    """What PromQL answers at `time`, in milliseconds as is `lookback`: the last sample that is not older."""
    found = [value for instant, value in samples if time - lookback <= instant <= time]
    return found[-1] if found else None


def _values(events: Sequence[Add | Write], grid: Grid) -> dict[int, float]:
    """The value at each grid index to which an event belongs."""
    adds = [event for event in events if isinstance(event, Add)]
    writes = [event for event in events if isinstance(event, Write)]
    assert not adds or not writes, "the order of increments and assignments depends on more than their times"
    if adds:
        return _summed([(event.time, event.amount) for event in adds], grid)
    return {
        grid.index(event.time): float(event.value)
        for event in sorted(writes, key=lambda event: (event.time, event.place))
    }


def _parts(events: Sequence[Observe], grid: Grid) -> dict[str, dict[int, float]]:
    parts = {
        str(bound): _summed([(event.time, int(event.value <= bound)) for event in events], grid)
        for bound in events[0].bounds
    }
    ones = _summed([(event.time, 1) for event in events], grid)
    return {**parts, "inf": ones, "sum": _summed([(event.time, event.value) for event in events], grid), "count": ones}


def _summed(amounts: Sequence[tuple[int, Number]], grid: Grid) -> dict[int, float]:
    """Exact sums, rounded once."""
    steps: dict[int, list[Number]] = defaultdict(list)
    for time, amount in amounts:
        steps[grid.index(time)].append(amount)
    total, special = Fraction(0), 0.0
    found = {}
    for index in sorted(steps):
        for amount in steps[index]:
            if math.isfinite(amount):
                total += Fraction(amount)
            else:
                special += amount
        found[index] = special if special != 0 else _rounded(total)
    return found


def _rounded(total: Fraction) -> float:
    """Python divides whole numbers with one rounding to the nearest float."""
    try:
        return total.numerator / total.denominator
    except OverflowError:
        return math.copysign(math.inf, total)


def _thinned(values: dict[int, float], grid: Grid) -> Samples:
    stride = max(1, grid.max_gap // grid.step)
    end = grid.index(grid.last)
    kept: list[tuple[int, float]] = []
    for index in sorted(values):
        _fill(kept, stride, index - 1)
        if not kept or not _same(values[index], kept[-1][1]):
            kept.append((index, values[index]))
    _fill(kept, stride, end)
    return [(grid.milliseconds(index), value) for index, value in kept]


def _fill(kept: list[tuple[int, float]], stride: int, end: int) -> None:
    while kept and kept[-1][0] + stride <= end:
        kept.append((kept[-1][0] + stride, kept[-1][1]))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _at(values: dict[int, float], time: int, grid: Grid) -> float:
    return values[max(index for index in values if grid.milliseconds(index) <= time)]
