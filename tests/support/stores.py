"""Stores with given metrics."""

from __future__ import annotations

from typing import Any

from nativemtail import _core_testing
from nativemtail._core import Metric, Store


def stored(*metrics: Metric) -> Store:
    store = Store()
    for metric in metrics:
        store.add(metric)
    return store


def one(kind: int, type_: int, value: Any, time: int = 0, **options: Any) -> Store:
    """A store with one metric `m` without labels."""
    metric = Metric("m", "p.mtail", kind, type_, source="p.mtail:1:9", **options)
    assert _core_testing._store_set(metric, (), value, time)
    return stored(metric)
