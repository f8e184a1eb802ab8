"""Families of the process's own metrics, one of each kind."""

from __future__ import annotations

import math
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, UnknownMetricFamily

RESERVED = frozenset(["mtail_lines_total"])


def own() -> list[Any]:
    label = GaugeMetricFamily("room", "Room.", labels=["name"])
    label.add_metric(["/"], 1.5)
    label.add_metric(['a"b'], math.inf)
    two = GaugeMetricFamily("two", "", labels=["a", "b"])
    two.add_metric(["x", "y"], 3)
    buckets = [("0.5", 1.0), ("1.0", 3.0), ("+Inf", 4.0)]
    return [
        UnknownMetricFamily("mtail_lines_total", "lines", value=7),
        CounterMetricFamily("refused_total", "Refused.", value=2),
        label,
        two,
        HistogramMetricFamily("latency", "Seconds.", buckets=buckets, sum_value=6.0),
    ]
