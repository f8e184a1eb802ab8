"""From increments to series: what a Prometheus that had always been there would have stored.

All outputs take the same pass over the totals, series by series.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nativemtail._render import left_out, number
from nativemtail.compiler.abi import MetricKind, ValueType
from nativemtail.compiler.divisible import How
from nativemtail.history.blueprint import MetricSpec
from nativemtail.history.merge import Cells, Ints, Merger
from nativemtail.history.series import Family, Series

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

NAN, PLUS, MINUS, DIGITS, BUCKET = 0, 1, 2, 3, 80
"""Parts of an exact sum, as in core/history.hpp."""
DIGIT_BITS = 28
_LEAST_EXPONENT = 1074


class Grid(NamedTuple):
    """The instants of samples."""

    step: int
    """Nanoseconds; a multiple of a millisecond."""
    gap: int
    """Steps between two samples at most."""
    last: int
    """The last step that any series has."""

    def times(self, steps: Ints) -> Ints:
        return steps * (self.step // 1_000_000)


class Metric(NamedTuple):
    """A metric of the history, and what was written to it."""

    spec: MetricSpec
    merger: Merger


class _Row(NamedTuple):
    """The samples of one label set: `values` has a column for each series, one but for histograms."""

    steps: Ints
    values: Floats


def families(metrics: Sequence[Metric], grid: Grid, *, prog_label: bool) -> Iterator[Family]:
    """The families in order of their names; what Prometheus cannot have is left out, and said."""
    made = [metric.spec.make() for metric in metrics]
    problems = left_out(made, emit_prog_label=prog_label)
    found: dict[str, list[Metric]] = {}
    for metric, like in zip(metrics, made, strict=True):
        if metric.spec.how is How.NOT:
            continue
        if like in problems:
            log.warning("%s: left out: %s", metric.spec.source, problems[like])
        elif metric.merger.ends:
            found.setdefault(metric.spec.name.replace("-", "_"), []).append(metric)
    for name in sorted(found):
        yield _family(name, found[name], grid, prog_label)


def _family(name: str, members: list[Metric], grid: Grid, prog_label: bool) -> Family:
    specs = [member.spec for member in members]
    return Family(
        name,
        next((spec.help for spec in specs if spec.help), f"defined at {specs[0].source}"),
        next((spec.unit for spec in specs if spec.unit), ""),
        MetricKind(specs[0].kind),
        all(map(_is_monotonic, members)),
        _series(name, members, grid, prog_label),
    )


def _series(name: str, members: list[Metric], grid: Grid, prog_label: bool) -> Iterator[Series]:
    """In the order of the page: by the number of labels, by their names as they come, by their values."""
    shapes: dict[tuple[str, ...], list[Metric]] = {}
    for member in members:
        shapes.setdefault(label_names(member.spec, prog_label=prog_label), []).append(member)
    for names in sorted(shapes, key=len):
        rows = [_rows(member, names, grid, prog_label) for member in shapes[names]]
        before: tuple[str, ...] | None = None
        for labels, member, row in heapq.merge(*rows, key=lambda entry: entry[0]):
            if labels == before:
                log.warning("%s: label sets of %s that another metric of this name has too", member.spec.source, name)
                continue
            before = labels
            yield from _expanded(name, tuple(zip(names, labels, strict=True)), member.spec, row, grid)


def _is_monotonic(member: Metric) -> bool:
    """Whether it is a counter whose samples are never negative or NaN."""
    spec, merger = member
    if spec.kind != MetricKind.COUNTER or (spec.how is How.SUM and not merger.has_negative):
        return True
    _, ranks = merger.labels(label_order(spec))
    for cells in merger.sorted(ranks):
        if spec.how is How.LATEST or (cells.value < 0).any() or spec.how is How.EXACT:
            starts = _starts(cells.series)
            for start, end in zip(starts, [*starts[1:], len(cells.series)], strict=True):
                _, values = _values(spec, cells.rows(start, end))
                if not (values >= 0).all():
                    return False
    return True


def label_order(spec: MetricSpec) -> list[int]:
    """The numbers of the keys in the order of their names."""
    return sorted(range(len(spec.keys)), key=lambda at: spec.keys[at])


def label_names(spec: MetricSpec, *, prog_label: bool) -> tuple[str, ...]:
    return tuple(sorted({*spec.keys, *dict(spec.labels), *(("prog",) if prog_label else ())}))


def _rows(
    member: Metric, names: tuple[str, ...], grid: Grid, prog_label: bool
) -> Iterator[tuple[tuple[str, ...], Metric, _Row]]:
    """The label sets in order of their values."""
    spec, merger = member
    constants = ({"prog": spec.program} if prog_label else {}) | dict(spec.labels)
    place = {key: at for at, key in enumerate(spec.keys)}
    labels, ranks = merger.labels(label_order(spec))
    ends = np.empty(len(ranks), np.int64)
    ends[ranks] = merger.ends
    template = [(constants[name], -1) if name in constants else ("", place[name]) for name in names]

    def full(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values[at] if at >= 0 else text for text, at in template)

    pending: list[_Row] = []  # of a label set that was removed and made anew
    for rank, cells in _by_series(merger, ranks):
        row = _row(spec, cells, grid, int(ends[rank]))
        pending.append(row)
        if rank + 1 == len(labels) or labels[rank + 1] != labels[rank]:
            whole = _concatenated(pending)
            pending = []
            if len(whole.steps):
                yield full(labels[rank]), member, whole


def _starts(column: Ints) -> Ints:
    """Where runs of equal numbers begin."""
    return np.flatnonzero(np.insert(np.diff(column) != 0, 0, True))


def _by_series(merger: Merger, ranks: Ints) -> Iterator[tuple[int, Cells]]:
    for cells in merger.sorted(ranks):
        starts = _starts(cells.series)
        for start, end in zip(starts, [*starts[1:], len(cells.series)], strict=True):
            yield int(cells.series[start]), cells.rows(start, end)


def _concatenated(rows: list[_Row]) -> _Row:
    if len(rows) == 1:
        return rows[0]
    return _Row(np.concatenate([row.steps for row in rows]), np.concatenate([row.values for row in rows]))


def _row(spec: MetricSpec, cells: Cells, grid: Grid, end: int) -> _Row:
    """The samples of a series, up to the step before it was removed."""
    steps, values = _values(spec, cells)
    before, after = values[:-1], values[1:]
    differ = (before != after) & ~(np.isnan(before) & np.isnan(after))
    changed = np.append(True, differ.any(axis=1))
    changed &= steps < end
    steps, values = steps[changed], values[changed]
    return _filled(steps, values, grid, min(grid.last, end - 1))


def _values(spec: MetricSpec, cells: Cells) -> tuple[Ints, Floats]:
    """The value after each step that something was written in; a column for each series."""
    if spec.how is How.OBSERVED:
        return _histogram(spec, cells)
    steps = cells.key
    if spec.how is How.EXACT:
        steps, values = _exact(cells.key, cells.value, BUCKET)
    elif spec.how is How.SUM:
        values = np.cumsum(cells.value).astype(np.float64)
    elif spec.type == ValueType.FLOAT:
        values = cells.value.view(np.float64)
    else:
        values = cells.value.astype(np.float64)
    return steps, values.reshape(-1, 1)


def _filled(steps: Ints, values: Floats, grid: Grid, last: int) -> _Row:
    """With a sample every `gap` steps, up to `last`."""
    if not len(steps):
        return _Row(steps, values)
    until = np.append(steps[1:], last + 1)
    counts = np.maximum(1, -(-(until - steps) // grid.gap))
    total = int(counts.sum())
    if total == len(steps):
        return _Row(steps, values)
    first = np.cumsum(counts) - counts
    places = np.arange(total) - np.repeat(first, counts)
    return _Row(np.repeat(steps, counts) + places * grid.gap, np.repeat(values, counts, axis=0))


def _exact(key: Ints, value: Ints, parts: int) -> tuple[Ints, Floats]:
    """Sums of doubles, each rounded once."""
    step = np.floor_divide(key, parts)
    starts = _starts(step)
    sums = np.empty(len(starts))
    total = 0
    odd = [0, 0, 0]
    place = (key - step * parts).tolist()
    amounts = value.tolist()
    for at, (start, end) in enumerate(zip(starts, [*starts[1:], len(key)], strict=True)):
        for k in range(start, end):
            part = place[k]
            if part >= BUCKET:
                break
            if part >= DIGITS:
                total += amounts[k] << (DIGIT_BITS * (part - DIGITS))
            else:
                odd[part] += amounts[k]
        sums[at] = _rounded(total, *odd)
    return step[starts], sums


def _rounded(total: int, nans: int, plus: int, minus: int) -> float:
    if nans or (plus and minus):
        return float("nan")
    if plus or minus:
        return float("inf") if plus else float("-inf")
    try:
        return total / (1 << _LEAST_EXPONENT)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


def _histogram(spec: MetricSpec, cells: Cells) -> tuple[Ints, Floats]:
    """A column for each range, cumulative, then sum and count."""
    ranges = len(bounds(spec))
    parts = BUCKET + ranges
    steps, sums = _exact(cells.key, cells.value, parts)
    step = np.floor_divide(cells.key, parts)
    part = cells.key - step * parts
    row = np.searchsorted(steps, step)
    counts = np.zeros((len(steps), ranges), np.int64)
    in_range = part >= BUCKET
    counts[row[in_range], part[in_range] - BUCKET] = cells.value[in_range]
    nans = np.zeros(len(steps), np.int64)
    nans[row[part == NAN]] = cells.value[part == NAN]
    cumulative = np.cumsum(np.cumsum(counts, axis=0), axis=1)
    count = cumulative[:, -1] + np.cumsum(nans)
    cumulative[:, -1] = count  # NaN is in no range, but OpenMetrics counts it in +Inf
    return steps, np.column_stack([cumulative.astype(np.float64), sums, count.astype(np.float64)])


def bounds(spec: MetricSpec) -> list[float]:
    """The upper bounds of the ranges (spec runtime.md §5.1)."""
    infinity = float("inf")
    first = [bound for bound in spec.buckets[:1] if bound > 0]
    return [*first, *(bound for bound in spec.buckets[1:] if bound != infinity), infinity]


def _expanded(
    name: str, labels: tuple[tuple[str, str], ...], spec: MetricSpec, row: _Row, grid: Grid
) -> Iterator[Series]:
    times = grid.times(row.steps)
    kind = MetricKind(spec.kind)
    if spec.how is not How.OBSERVED:
        yield Series(name, labels, kind, times, row.values[:, 0])
        return
    for at, bound in enumerate(bounds(spec)):
        yield Series(f"{name}_bucket", (*labels, ("le", number(bound))), kind, times, row.values[:, at])
    yield Series(f"{name}_sum", labels, kind, times, row.values[:, -2])
    yield Series(f"{name}_count", labels, kind, times, row.values[:, -1])


def last_step(metrics: Sequence[Metric]) -> int:
    """The last step that any series has."""
    written = [metric for metric in metrics if metric.merger.ends]
    return max((metric.merger.last_key // _parts(metric.spec) for metric in written), default=0)


def _parts(spec: MetricSpec) -> int:
    if spec.how is How.OBSERVED:
        return BUCKET + len(bounds(spec))
    return BUCKET if spec.how is How.EXACT else 1
