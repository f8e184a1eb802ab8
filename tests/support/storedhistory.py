"""A random history with its expected samples, and what a real time-series database answers about it."""

from __future__ import annotations

import json
import random
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import gridreference
from gridreference import SECOND, Add, Grid, Key, Observe, Samples, Write
from histories import Labels, family, histogram_series, series_of
from waiting import PATIENCE

from nativemtail.compiler.abi import MetricKind
from nativemtail.history.series import Family, Series

START = 1_700_000_000 * SECOND
HOURS = 26
"""More than a block of Prometheus has, over a day's end."""
MINUTE = 60 * SECOND
BOUNDS = (0.1, 1.0, 10.0)


KINDS = {"depth": MetricKind.GAUGE, "orders_total": MetricKind.COUNTER, "seen": MetricKind.COUNTER}


class Stored:
    """What a database must have."""

    def __init__(
        self, scalars: dict[Key, Samples], histograms: dict[tuple[Key, str], Samples], grid: Grid, seed: int = 0
    ) -> None:
        self.scalars = scalars
        self.histograms = histograms
        self.grid = grid
        self._random = random.Random(seed)

    def families(self) -> Iterator[Family]:
        for name in sorted({key[0] for key in self.scalars}):  # type: ignore[index]
            keys = sorted(key for key in self.scalars if key[0] == name)  # type: ignore[index,type-var]
            series = [series_of(name, key[1], KINDS[name], self.scalars[key]) for key in keys]  # type: ignore[index]
            yield family(name, series, KINDS[name])
        series = []
        for name, labels in sorted({key for key, _ in self.histograms}):  # type: ignore[misc]
            parts = {part: samples for (key, part), samples in self.histograms.items() if key == (name, labels)}
            series += histogram_series(name, parts, **dict(labels))
        yield family("took", series, MetricKind.HISTOGRAM)

    def expected(self) -> dict[Labels, Samples]:
        """The samples by the labels that a database has: the name among them, and no empty ones."""
        return {stored(series): samples(series) for family in self.families() for series in family.series}

    def instants(self, count: int) -> list[int]:
        """Random milliseconds of the history, and two when it has nothing: before it, and after it."""
        start, end = START // 1_000_000 - 1, self.grid.last // 1_000_000 + 400_000
        return [start, end, *(self._random.randrange(start, end) for _ in range(count))]


class History(Stored):
    """Two counters, a gauge that is assigned and a histogram; each falls silent for hours."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.times = sorted(START + self._random.randrange(HOURS * 3600 * SECOND) for _ in range(1500))
        adds = [event for name in ("orders_total", "seen") for event in self._adds(name)]
        writes = [Write(time, self._key("depth"), self._random.uniform(-9, 9), (at,)) for at, time in self._some()]
        observations = [
            Observe(time, self._key("took"), self._random.expovariate(1), BOUNDS) for _, time in self._some()
        ]
        grid = gridreference.grid([*adds, *writes, *observations], MINUTE)
        scalars = gridreference.scalars([*adds, *writes], grid)
        super().__init__(scalars, gridreference.histograms(observations, grid), grid, seed)

    def _some(self) -> Iterator[tuple[int, int]]:
        silent = START + self._random.randrange(HOURS) * 3600 * SECOND
        return ((at, t) for at, t in enumerate(self.times) if self._random.random() < 0.6 and not 0 < t - silent < 1e13)

    def _key(self, name: str) -> tuple[str, Labels]:
        city = self._random.choice(["Bonn", "Köln", 'the "\\n"\nroom', ""])
        return name, (("city", city), ("prog", "shop.mtail"))

    def _adds(self, name: str) -> Iterator[Add]:
        for _, time in self._some():
            yield Add(time, self._key(name), self._random.choice([1, 2, 0.1, 1e9]))


def stored(series: Series) -> Labels:
    return tuple(sorted((*((key, value) for key, value in series.labels if value), ("__name__", series.name))))


def samples(series: Series) -> Samples:
    return list(zip(series.times.tolist(), series.values.tolist(), strict=True))


def answer(url: str, **parameters: object) -> bytes:
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=PATIENCE) as answer:
        body: bytes = answer.read()
    return body


def query(base: str, text: str, milliseconds: int) -> dict[Labels, float]:
    """The values at an instant, by PromQL."""
    body = json.loads(answer(f"{base}/api/v1/query", query=text, time=f"{milliseconds / 1000:.3f}"))
    found: list[dict[str, Any]] = body["data"]["result"]
    return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in found}


def expected_at(expected: dict[Labels, Samples], milliseconds: int) -> dict[Labels, float]:
    values = {labels: gridreference.at(samples, milliseconds) for labels, samples in expected.items()}
    return {labels: value for labels, value in values.items() if value is not None}
