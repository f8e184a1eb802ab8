"""OpenMetrics 1.0 text with times, as `promtool tsdb create-blocks-from openmetrics` reads it.

Every sample has the name that it has on the page `/metrics`, so the history continues the series that are scraped.  In
OpenMetrics only names that end in `_total` are of counters; other counters are of type unknown, as on the
page.  promtool ignores types, and needs a time for every sample, ascending times for every series, and `# EOF`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from nativemtail._render import number
from nativemtail.compiler.abi import MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from nativemtail.history.series import Family, Series

PIECE = 8192
"""Samples that are text at a time."""

_TYPES = {
    MetricKind.COUNTER: "counter",
    MetricKind.GAUGE: "gauge",
    MetricKind.TIMER: "gauge",
    MetricKind.HISTOGRAM: "histogram",
}
_RESERVED = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count", "_created")}
_WHOLE = float(2**53)
"""Floats below are exact when they are whole."""


def write(families: Iterable[Family], out: BinaryIO, warn: Callable[[str], None]) -> None:
    """Write all families, each sample once; calls `warn` for a family that is left out.  Raises OSError."""
    taken: set[str] = set()
    for family in families:
        name, kind = _head(family, taken)
        names = _names(name, kind)
        if not taken.isdisjoint(names):
            warn(f"{family.name} is left out: OpenMetrics reserves its name for another metric")
            continue
        taken.update(names)
        head = _description(family, name, kind)
        for group in _metrics(family):
            if len(group[0].times):
                out.write(head)
                head = b""
                _write_metric(group, out)
    out.write(b"# EOF\n")


def _head(family: Family, taken: set[str]) -> tuple[str, str]:
    """Name and type of the family in OpenMetrics."""
    kind = _TYPES[family.kind]
    if kind != "counter":
        return family.name, kind
    name = family.name.removesuffix("_total")
    if name in ("", family.name) or not family.is_monotonic or not taken.isdisjoint(_names(name, kind)):
        return family.name, "unknown"
    return name, kind


def _names(name: str, kind: str) -> tuple[str, ...]:
    """All names that OpenMetrics reserves for a family."""
    return name, *(name + suffix for suffix in _RESERVED.get(kind, ()))


def _description(family: Family, name: str, kind: str) -> bytes:
    text = f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {kind}\n"
    if family.unit and name.endswith(f"_{family.unit}"):
        text += f"# UNIT {name} {family.unit}\n"
    return text.encode()


def _metrics(family: Family) -> Iterator[list[Series]]:
    """The series of one label set together: of a histogram many, otherwise one."""
    if family.kind != MetricKind.HISTOGRAM:
        yield from ([series] for series in family.series)
        return
    for _, group in groupby(family.series, lambda series: [pair for pair in series.labels if pair[0] != "le"]):
        yield _summed(list(group))


def _summed(group: list[Series]) -> list[Series]:
    """OpenMetrics has a sum, and then a count, only where no observation can be negative."""
    bounds = [float(value) for series in group for key, value in series.labels if key == "le"]
    sums = [series for series in group if series.name.endswith("_sum")]
    if bounds and bounds[0] >= 0 and all((series.values >= 0).all() for series in sums):
        return group
    return [series for series in group if series.name.endswith("_bucket")]


def _write_metric(group: Sequence[Series], out: BinaryIO) -> None:
    """Instant by instant: all samples of one instant stand together."""
    starts = [f"{series.name}{_label_text(series.labels)} " for series in group]
    size = max(1, PIECE // len(group))
    for at in range(0, len(group[0].times), size):
        times = [f" {text}\n" for text in time_texts(group[0].times[at : at + size])]
        columns = [
            [f"{start}{value}{time}" for value, time in zip(_values(series.values[at : at + size]), times, strict=True)]
            for start, series in zip(starts, group, strict=True)
        ]
        lines = columns[0] if len(columns) == 1 else (line for row in zip(*columns, strict=True) for line in row)
        out.write("".join(lines).encode())


def _label_text(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _values(values: NDArray[np.float64]) -> Sequence[object]:
    """Whole numbers without a fraction, others as on the page."""
    if (np.abs(values) < _WHOLE).all() and (values == np.trunc(values)).all():
        whole: list[int] = values.astype(np.int64).tolist()
        return whole
    return [number(value) for value in values.tolist()]


def time_texts(times: NDArray[np.int64]) -> Sequence[object]:
    """Seconds since 1970.  Prometheus multiplies by 1,000 and truncates, which must give the millisecond again."""
    if not (times % 1000).any():
        whole: list[int] = (times // 1000).tolist()
        return whole
    seconds = times / 1000
    away = np.copysign(np.inf, seconds)
    short = (seconds * 1000).astype(np.int64) != times
    seconds[short] = np.nextafter(seconds, away)[short]
    return [repr(value) for value in seconds.tolist()]
