"""The process's own metrics on a page together with the user's: which of them are shown, and under which names.

They are prometheus-client's families.  A request may add a prefix to every name and select families by name; names are
those in the text format 0.0.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import Metric as Family

from nativemtail._core import COUNTER, HISTOGRAM
from nativemtail.export.textformat import exported

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nativemtail._render import View

_TYPES = {COUNTER: "counter", HISTOGRAM: "histogram"}
"""Prometheus types by `Metric.kind`, where they affect names."""


def shown(
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
        own = {text_name(family), *(sample.name for sample in family.samples)}
        clash = openmetrics and reserved_by_openmetrics & _openmetrics_names(text_name(family), family.type)
        wanted = names is None or any(prefix + name in names for name in own)
        if taken.isdisjoint(own) and not clash and wanted:
            chosen.append(_renamed(family, prefix))
    return chosen


def bare(names: frozenset[str] | None, prefix: str) -> frozenset[str] | None:
    """The requested names without the prefix, as the store knows them."""
    if names is None:
        return None
    return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def text_name(family: Family) -> str:
    """The name in the text format: prometheus-client stores counter names without `_total`."""
    return f"{family.name}_total" if family.type == "counter" else family.name


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
