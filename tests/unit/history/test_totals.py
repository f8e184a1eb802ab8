"""Adding up the tables of parts, and making samples of them, against sums in fractions."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from gridreference import SECOND, Add, Observe, Write, grid, histograms, scalars

from nativemtail.compiler.abi import MetricKind, ValueType
from nativemtail.compiler.divisible import How
from nativemtail.history.blueprint import MetricSpec
from nativemtail.history.merge import NEVER, Merger
from nativemtail.history.series import Series
from nativemtail.history.totals import BUCKET, DIGIT_BITS, DIGITS, MINUS, NAN, PLUS, Grid, Metric, families, last_step
from nativemtail.history.worker import Kept

STEP = 60 * SECOND
HOSTS = ["b", "a", "ä", "z" * 40]


def spec(how: How, *, kind: MetricKind = MetricKind.COUNTER, type: ValueType = ValueType.INT, keys=("host",)):
    buckets = (0.0, 0.1, 1.0, 10.0) if how is How.OBSERVED else ()
    return MetricSpec("m", "p.mtail", kind, type, keys, "p.mtail:1:9", buckets, 0, False, "", "", "", (), how)


def digits(x: float) -> list[tuple[int, int]]:
    """The parts of a double, as core/history.hpp has them."""
    if math.isnan(x):
        return [(NAN, 1)]
    if math.isinf(x):
        return [(PLUS if x > 0 else MINUS, 1)]
    numerator, denominator = x.as_integer_ratio()
    whole = numerator * (1 << 1074) // denominator
    found = []
    place = DIGITS
    sign, whole = (-1, -whole) if whole < 0 else (1, whole)
    while whole:
        whole, digit = divmod(whole, 1 << DIGIT_BITS)
        if digit:
            found.append((place, sign * digit))
        place += 1
    return found or [(DIGITS, 0)]


def cells_of(how: How, event: Add | Write | Observe) -> list[tuple[int, int, int]]:
    step = -(-event.time // STEP)
    if isinstance(event, Write):
        value = int(np.float64(event.value).view(np.int64)) if isinstance(event.value, float) else event.value
        return [(step, value, event.time)]
    if isinstance(event, Add) and how is How.SUM:
        return [(step, int(event.amount), 0)]
    parts = BUCKET + (4 if how is How.OBSERVED else 0)
    x = float(event.amount if isinstance(event, Add) else event.value)
    found = [(step * parts + part, amount, 0) for part, amount in digits(x)]
    if isinstance(event, Observe) and x == x:
        bounds = [*event.bounds, math.inf]
        found.append((step * parts + BUCKET + next(at for at, bound in enumerate(bounds) if x <= bound), 1, 0))
    return found


def kept(how: How, events: list[Add | Write | Observe]) -> Kept:
    """What a worker has that saw these events."""
    cells: dict[tuple[str, ...], dict[int, tuple[int, int]]] = defaultdict(dict)
    for event in events:
        mine = cells[event.series]
        for key, value, time in cells_of(how, event):
            if key not in mine:
                mine[key] = value, time
            elif how is not How.LATEST:
                mine[key] = mine[key][0] + value, 0
            elif time >= mine[key][1]:
                mine[key] = value, time
    rows = [(key, *cell) for mine in cells.values() for key, cell in sorted(mine.items())]
    series = pa.RecordBatch.from_arrays(
        [
            *(pa.array(column, pa.large_string()) for column in zip(*cells, strict=True)),
            pa.array([len(mine) for mine in cells.values()], pa.int64()),
            pa.array([NEVER] * len(cells), pa.int64()),
        ],
        [*(f"label{at}" for at in range(len(next(iter(cells))))), "cells", "end"],
    )
    columns = [pa.array([row[at] for row in rows], pa.int64()) for at in range(3 if how is How.LATEST else 2)]
    return Kept(series, pa.RecordBatch.from_arrays(columns, ["key", "value", "time"][: len(columns)]))


def samples(metric: Metric, gap: int = 300 * SECOND) -> list[Series]:
    table = Grid(STEP, max(1, gap // STEP), last_step([metric]))
    return [series for family in families([metric], table, prog_label=False) for series in family.series]


def shown(series: Series) -> list[tuple[int, float]]:
    return list(zip(series.times.tolist(), series.values.tolist(), strict=True))


def same(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> bool:
    return repr(one) == repr(other)


def random_events(rng: random.Random, how: How, *, whole: bool) -> list[Add | Write | Observe]:
    def number() -> float:
        if whole:
            return rng.randint(-50, 1000)
        return rng.choice([rng.uniform(-5, 20), 0.1, 1e16, -1e16, 1e-300, 5e-324, rng.uniform(-1, 1) * 2.0**1000])

    events: list[Add | Write | Observe] = []
    for place in range(rng.randint(1, 300)):
        key = (rng.choice(HOSTS),)
        time = rng.randint(-(10**12), 10 ** rng.choice([12, 13]))
        if how is How.LATEST:
            events.append(Write(time - time % (7 * SECOND), key, number(), (place,)))
        elif how is How.OBSERVED:
            events.append(Observe(time, key, float(number()), (0.1, 1.0, 10.0)))
        else:
            events.append(Add(time, key, number()))
    return events


CASES = [
    (How.SUM, MetricKind.COUNTER, ValueType.INT),
    (How.EXACT, MetricKind.COUNTER, ValueType.FLOAT),
    (How.LATEST, MetricKind.GAUGE, ValueType.INT),
    (How.LATEST, MetricKind.GAUGE, ValueType.FLOAT),
    (How.OBSERVED, MetricKind.HISTOGRAM, ValueType.BUCKETS),
]


@pytest.mark.parametrize(("how", "kind", "type"), CASES)
@pytest.mark.parametrize("seed", range(6))
def test_any_division_gives_the_sums_of_fractions(how, kind, type, seed, tmp_path: Path):
    rng = random.Random(seed)
    events = random_events(rng, how, whole=type is ValueType.INT)
    metric = Metric(spec(how, kind=kind, type=type), Merger(how, 1))
    cuts = sorted({0, len(events), *(rng.randint(0, len(events)) for _ in range(5))})
    divided = [events[start:end] for start, end in pairwise(cuts)]
    numbered = list(enumerate(divided))
    rng.shuffle(numbered)
    for part, mine in numbered:
        metric.merger.add(kept(how, mine), part)
        if rng.random() < 0.5:
            metric.merger.spill(str(tmp_path), "m", [0])
    found = samples(metric)
    whole_grid = grid(events, STEP)
    if how is How.OBSERVED:
        expected = histograms(events, whole_grid)
        assert len(found) == len(expected)
        for series in found:
            part = {"m_sum": "sum", "m_count": "count"}.get(series.name)
            if part is None:
                bound = dict(series.labels)["le"]
                part = "inf" if bound == "+Inf" else str(float(bound))
            assert same(shown(series), expected[(dict(series.labels)["host"],), part])
    else:
        wanted = scalars(events, whole_grid)
        assert [series.labels for series in found] == [(("host", key[0]),) for key in sorted(wanted)]
        assert all(same(shown(series), wanted[(dict(series.labels)["host"],)]) for series in found)


def test_odd_numbers_make_sums_that_do_not_depend_on_the_order():
    inf, nan = math.inf, math.nan
    for numbers, expected in [((inf, 1.0), inf), ((inf, -inf), nan), ((nan, 1.0), nan), ((1e308, 1e308), inf),
                              ((1e308, 1e308, -1e308), 1e308), ((-inf, 5.0), -inf)]:  # fmt: skip
        for order in (numbers, numbers[::-1]):
            metric = Metric(spec(How.EXACT, type=ValueType.FLOAT), Merger(How.EXACT, 1))
            for part, number in enumerate(order):
                metric.merger.add(kept(How.EXACT, [Add(SECOND, ("a",), number)]), part)
            assert repr(samples(metric)[0].values.tolist()) == repr([expected])


def test_samples_fill_gaps_until_the_last_instant_of_all():
    early = Metric(spec(How.SUM), Merger(How.SUM, 1))
    late = Metric(spec(How.SUM)._replace(name="other"), Merger(How.SUM, 1))
    early.merger.add(kept(How.SUM, [Add(60 * SECOND, ("a",), 1), Add(181 * SECOND, ("a",), 2)]), 0)
    late.merger.add(kept(How.SUM, [Add(900 * SECOND, ("a",), 1)]), 0)
    metrics = [early, late]
    table = Grid(STEP, 5, last_step(metrics))
    found = {
        series.name: shown(series) for family in families(metrics, table, prog_label=False) for series in family.series
    }
    assert found == {
        "m": [(60_000, 1.0), (240_000, 3.0), (540_000, 3.0), (840_000, 3.0)],
        "other": [(900_000, 1.0)],
    }


def test_a_step_longer_than_the_gap_has_a_sample_in_every_step():
    metric = Metric(spec(How.SUM), Merger(How.SUM, 1))
    metric.merger.add(kept(How.SUM, [Add(60 * SECOND, ("a",), 1), Add(240 * SECOND, ("a",), 1)]), 0)
    assert [time for time, _ in shown(samples(metric, gap=SECOND)[0])] == [60_000, 120_000, 180_000, 240_000]


def test_a_removed_series_ends_before_the_step_of_its_end():
    metric = Metric(spec(How.LATEST, kind=MetricKind.GAUGE), Merger(How.LATEST, 1))
    first = kept(How.LATEST, [Write(60 * SECOND, ("a",), 1, ()), Write(300 * SECOND, ("a",), 2, ())])
    ends = pa.array([4], pa.int64())
    series = first.series.set_column(2, "end", ends)
    again = kept(How.LATEST, [Write(420 * SECOND, ("a",), 7, ())])
    both = pa.concat_batches([series, again.series])
    cells = pa.concat_batches([first.cells, again.cells])
    metric.merger.add(Kept(both, cells), 0)
    assert shown(samples(metric, gap=60 * SECOND)[0]) == [
        (60_000, 1.0), (120_000, 1.0), (180_000, 1.0), (420_000, 7.0)
    ]  # fmt: skip


def test_a_counter_that_falls_below_zero_is_not_monotonic():
    for amounts, expected in [((5, -3), True), ((5, -6), False), ((-1, 2), False)]:
        metric = Metric(spec(How.SUM), Merger(How.SUM, 1))
        for at, amount in enumerate(amounts):
            metric.merger.add(kept(How.SUM, [Add((at + 1) * STEP, ("a",), amount)]), at)
        (family,) = families([metric], Grid(STEP, 5, 2), prog_label=False)
        assert family.is_monotonic is expected
