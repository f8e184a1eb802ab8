"""Graphite's plaintext form, for `GET /graphite` and for pushes (spec metrics-export.md §5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nativemtail.export.values import encode, exported, flat_name, number, time_text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nativemtail._core import Metric, Row, Snapshot

CONTENT_TYPE = "text/plain"


def render(snapshot: Snapshot, *, prefix: str = "") -> bytes:
    """The whole page, text metrics included."""
    return b"".join(
        entry for metric in exported(snapshot, text=True) for entry in entries(snapshot, metric, prefix=prefix)
    )


def entries(snapshot: Snapshot, metric: Metric, *, prefix: str = "") -> Iterator[bytes]:
    """For each label set its lines: one, and for histograms one per range and the count in front of it.

    `prefix` stands verbatim in front of each line.  A push writes each entry in one piece (§7.2).
    """
    for row in snapshot.rows(metric):
        path = f"{prefix}{metric.program}.{flat_name(metric.name, metric.keys, row.labels, '.')}"
        yield encode("".join(_lines(path, row)))


def _lines(path: str, row: Row) -> Iterator[str]:
    time = time_text(row)
    if row.value is None:
        for upper, count in row.buckets:
            yield f"{path}.bin_{'inf' if upper == math.inf else number(upper)} {count} {time}\n"
        yield f"{path}.count {row.count} {time}\n"
    yield f"{path} {value_text(row)} {time}\n"
