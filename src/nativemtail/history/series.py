"""What every output of a history takes: families of series, with their samples at instants of the grid.

Families come in order of their names, series in order of their labels, samples in order of time.  Names and labels are
those of the page `/metrics`: `prog` is among the labels if it is exported, and the prefix is part of the names.

The series of one label set of a histogram follow one another as on the page: its buckets by their bounds, `+Inf`
last, then sum and count.  All have the same times, as each has a sample where the count changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from nativemtail.compiler.abi import MetricKind


@dataclass(frozen=True, slots=True)
class Series:
    """One series.  A histogram has been expanded: its series are named NAME_bucket, NAME_sum and NAME_count."""

    name: str
    labels: tuple[tuple[str, str], ...]
    """In order of the names, but the `le` of a bucket last; valid UTF-8."""
    kind: MetricKind
    """That of the family."""
    times: NDArray[np.int64]
    """Milliseconds since 1970, ascending."""
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Family:
    """The series under one name.  `series` is read once, before the next family is taken."""

    name: str
    help: str
    unit: str
    kind: MetricKind
    is_monotonic: bool
    """No sample is negative or NaN, as OpenMetrics demands of a counter."""
    series: Iterator[Series]
