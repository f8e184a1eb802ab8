"""The engine's and the store's own counts, for the self-metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nativemtail._core import Engine, Store
from nativemtail.telemetry.costs import MetricSize


class EngineCounts:
    """May be read by any thread, even while lines are processed."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def lines_total(self) -> int:
        return self._engine.lines_total()

    def program_times(self) -> Mapping[str, tuple[Sequence[int], float]]:
        """Sampled run time per line, by program: a count per range of LINE_SECONDS, one above the last, and the sum."""
        return self._engine.program_times()

    def series_refused(self) -> int:
        """Series that were not created because of the memory limit."""
        return self._store.refused

    def over_limit(self) -> int:
        """How often the memory limit was reached."""
        return self._store.over_limit

    def sizes(self) -> Sequence[MetricSize]:
        return metric_sizes(self._store)


def metric_sizes(store: Store) -> list[MetricSize]:
    """The sizes of all metrics, including hidden ones."""
    return [MetricSize(metric.program, metric.name, len(metric), metric.memory) for metric in store.metrics()]
