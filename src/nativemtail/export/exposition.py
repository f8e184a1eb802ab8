"""Joins two pages of metrics: the user's, rendered by the store, and the process's own.

The process's own metrics are prometheus-client's families.  A request may add a prefix to every name and select
families by name; names are those in the text format 0.0.4.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest as text_page
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_page

from nativemtail._core import COUNTER, HISTOGRAM
from nativemtail.export.textformat import exported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nativemtail._render import View

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TYPES = {COUNTER: "counter", HISTOGRAM: "histogram"}
"""Prometheus types by `Metric.kind`, where they affect names."""


def is_prefix(text: str) -> bool:
    """Whether `text` is a legal prefix of a metric name."""
    return not text or _NAME.fullmatch(text) is not None


def choose(
    families: Iterable[Family],
    view: View,
    *,
    reserved: frozenset[str],
    prefix: str = "",
    names: frozenset[str] | None = None,
    openmetrics: bool = False,
) -> list[Family]:
    """The process's own families to show on the page, under their names there.

    A family that collides with a user's metric is left out, unless the name is in `reserved`: then the user's metric
    is left out.  `names` selects families or samples by name, with the prefix.
    """
    users = {
        name: metric.kind
        for metric in exported(view, text=False)
        if reserved.isdisjoint(_user_names(name := metric.name.replace("-", "_"), metric.kind))
    }
    taken = {sample for name, kind in users.items() for sample in _user_names(name, kind)}
    reserved_by_openmetrics = {
        sample for name, kind in users.items() for sample in _openmetrics_names(name, _TYPES.get(kind, ""))
    }
    chosen = []
    for family in families:
        own = {family_name(family), *(sample.name for sample in family.samples)}
        clash = openmetrics and reserved_by_openmetrics & _openmetrics_names(family_name(family), family.type)
        wanted = names is None or any(prefix + name in names for name in own)
        if taken.isdisjoint(own) and not clash and wanted:
            chosen.append(_renamed(family, prefix))
    return chosen


def family_name(family: Family) -> str:
    """The name in the text format: prometheus-client stores counter names without `_total`."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def prometheus(user: Iterable[bytes], own: Sequence[Family], *, openmetrics: bool) -> Iterator[bytes]:
    """The joined text page in pieces; `user` is the output of `View.prometheus` in the same format."""
    yield from user
    if openmetrics:
        yield openmetrics_page(_Collected(own))  # type: ignore[no-untyped-call]
    else:
        yield text_page(_Collected(own))


def metrics_json(user: Iterable[bytes], own: Sequence[Family]) -> Iterator[bytes]:
    """The joined page `/metrics.json` in pieces; `user` is one JSON object."""
    members = (f"{json.dumps(family_name(family))}:{_dump(_json_family(family))}" for family in own)
    ours = ",".join(members).encode()
    held, empty = b"", True
    for piece in user:
        yield held
        empty = empty and not held.strip(b"{ \n")
        held = piece
    body = held.strip().removesuffix(b"}")
    empty = empty and not body.strip(b"{ \n")
    yield body + (b"" if empty or not ours else b",") + ours + b"}"


class _Collected:
    """Wraps families as prometheus-client's renderers expect them."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


def _user_names(name: str, kind: int) -> tuple[str, ...]:
    """The sample names of a user's metric on the text page."""
    return (name, f"{name}_bucket", f"{name}_sum", f"{name}_count") if _TYPES.get(kind) == "histogram" else (name,)


def _openmetrics_names(name: str, kind: str) -> set[str]:
    """The names that OpenMetrics reserves for a family."""
    if kind == "histogram":
        return {name, *(name + suffix for suffix in ("_bucket", "_sum", "_count", "_created"))}
    if kind == "counter":
        base = name.removesuffix("_total")
        return {base, name, f"{base}_created"} if base not in ("", name) else {name}
    return {name}


def _renamed(family: Family, prefix: str) -> Family:
    if not prefix:
        return family
    renamed = Family(prefix + family.name, family.documentation, family.type)
    renamed.samples = [sample._replace(name=prefix + sample.name) for sample in family.samples]
    return renamed


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json_family(family: Family) -> dict[str, Any]:
    values = (
        _histograms(family)
        if family.type == "histogram"
        else [(s.labels, _json_number(s.value)) for s in family.samples]
    )
    entry: dict[str, Any] = {"help": family.documentation, "type": _json_kind(family), "value": _json_value(values)}
    return entry if family.documentation else {key: entry[key] for key in ("type", "value")}


def _json_kind(family: Family) -> str:
    """The JSON form has no untyped families: those that count up are counters, the rest gauges."""
    if family.type == "unknown":
        counts = family.name.endswith(("_total", "_over_limit_count")) or family.name.startswith("total_")
        return "counter" if counts else "gauge"
    return family.type if family.type in ("counter", "histogram") else "gauge"


def _json_value(values: list[tuple[dict[str, str], Any]]) -> Any:
    """Without labels the value; with one an object by label and value; with more an array with values under `@`."""
    if not values:
        return None
    labels = values[0][0]
    if not labels:
        return values[0][1]
    if len(labels) == 1:
        key = next(iter(labels))
        return {key: {own[key]: value for own, value in values}}
    return [{**own, "@": value} for own, value in values]


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return int(value) if value == int(value) and abs(value) < 2**63 else value
    return "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")


def _histograms(family: Family) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Per series: labels, and mean, cumulative counts without +Inf, count and sum."""
    found: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = {key: value for key, value in sample.labels.items() if key != "le"}
        entry = found.setdefault(tuple(labels.items()), {"avg": 0, "bucket": [], "count": 0, "sum": 0})
        if sample.name.endswith("_bucket"):
            if sample.labels["le"] != "+Inf":
                entry["bucket"].append([float(sample.labels["le"]), int(sample.value)])
        else:
            part = "count" if sample.name.endswith("_count") else "sum"
            entry[part] = _json_number(sample.value)
    for entry in found.values():
        entry["avg"] = entry["sum"] / entry["count"] if entry["count"] else 0
    return [(dict(labels), entry) for labels, entry in found.items()]
