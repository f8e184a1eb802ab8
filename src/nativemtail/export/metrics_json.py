"""The page `/metrics.json`: the user's metrics and the process's own, as one object by family."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from nativemtail.export import own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric as Family

    from nativemtail._render import View

CONTENT_TYPE = "application/json; charset=utf-8"


def render(
    view: View,
    families: Iterable[Family],
    *,
    reserved: frozenset[str],
    emit_prog_label: bool = True,
    prefix: str = "",
    names: frozenset[str] | None = None,
) -> Iterator[bytes]:
    """The page in pieces; `families` are the process's own, the other parameters as for `own.shown`."""
    shown = own.shown(families, view, reserved=reserved, prefix=prefix, names=names)
    members = (f"{json.dumps(own.text_name(family))}:{_dump(_json_family(family))}" for family in shown)
    return view.metrics_json(
        emit_prog_label=emit_prog_label,
        prefix=prefix,
        names=own.bare(names, prefix),
        reserved=reserved,
        more=",".join(members).encode(),
    )


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
