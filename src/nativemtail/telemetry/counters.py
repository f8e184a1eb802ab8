"""Counts that no other part keeps: exports, pushes, latencies."""

from __future__ import annotations

import bisect
import threading

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of `prog_load_latency` and `scrape_latency`."""

EXPORT_COUNTERS = (
    "metric_export_total",
    "exporter_json_errors",
    "exporter_varz_total",
    "graphite_export_total",
    "graphite_export_success",
    "graphite_export_dropped",
    "collectd_export_total",
    "collectd_export_success",
    "collectd_export_dropped",
    "statsd_export_total",
    "statsd_export_success",
    "statsd_export_dropped",
    "otlp_export_total",
    "otlp_export_success",
    "otlp_export_dropped",
)
"""Counts that are shown from the start, as in mtail; others appear with the first export."""


class ExportCounters:
    """Counts of exports, by names such as those of EXPORT_COUNTERS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(EXPORT_COUNTERS, 0)
        self.pushes: dict[str, PushCounts] = {}

    def push_to(self, target: str) -> PushCounts:
        """Add a target; its counts are shown from now on."""
        for what in ("total", "success", "dropped"):
            self.add(f"{target}_export_{what}", 0)
        counts = PushCounts()
        self.pushes = {**self.pushes, target: counts}
        return counts

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + count

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


class Latency:
    """A histogram of seconds over LATENCY_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(LATENCY_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        with self._lock:
            self._counts[bisect.bisect_left(LATENCY_SECONDS, seconds)] += 1
            self._sum += seconds

    def ranges(self) -> tuple[tuple[int, ...], float]:
        """A count per range, one for values above the last bound, and the sum."""
        with self._lock:
            return tuple(self._counts), self._sum


class PushCounts:
    """Counts of the pushes to a target; its thread writes them, any thread reads them."""

    def __init__(self) -> None:
        self.latency = Latency()
        self.failures = 0
        self.backlog = 0
        """Series that the current push has not written yet, or that the last one failed to write."""
