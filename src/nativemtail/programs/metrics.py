"""From declarations to metrics: which are the same within a program, between programs, and after a reload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nativemtail._core import COUNTER, GAUGE, HISTOGRAM, TEXT, TIMER, Metric
from nativemtail.compiler.program import MetricDecl
from nativemtail.programs.loaded import Loaded, LoadError

_KIND_NAMES = {COUNTER: "Counter", GAUGE: "Gauge", TIMER: "Timer", TEXT: "Text", HISTOGRAM: "Histogram"}


class Naming(NamedTuple):
    """What is added to all metrics."""

    prefix: str = ""
    """Of their names."""
    labels: tuple[tuple[str, str], ...] = ()
    """Names and values of static labels."""


NOTHING_ADDED = Naming()


def make_metrics(
    program: str, declarations: Sequence[MetricDecl], version: str = "", naming: Naming = NOTHING_ADDED
) -> list[Metric]:
    """A metric for each declaration; those of equal name, kind, type and keys share one, made from the last of them.

    Hidden ones are never shared.  `version` stands for the program's text.  Raises LoadError for a key that a static
    label has, too.
    """
    for d in declarations:
        taken = [key for key in d.keys if key in dict(naming.labels)]
        if taken and not d.hidden:
            raise LoadError(
                f"{d.source}: the key `{taken[0]}' of {d.name} is a label of --label, too: rename one of them"
            )
    identities = [(*_declared(d), at if d.hidden else -1) for at, d in enumerate(declarations)]
    last = dict(zip(identities, declarations, strict=True))
    made = {
        identity: Metric(
            naming.prefix + d.name,
            program,
            d.kind,
            d.type,
            d.keys,
            d.source,
            d.buckets,
            d.limit,
            d.hidden,
            version,
            d.help,
            d.unit,
            naming.labels,
        )
        for identity, d in last.items()
    }
    return [made[identity] for identity in identities]


def _declared(d: MetricDecl) -> tuple[object, ...]:
    return d.name, d.kind, d.type, tuple(d.keys)


def identified(metrics: Sequence[Metric]) -> dict[tuple[object, ...], Metric]:
    """Metrics by what identifies them across a reload; different buckets make a different metric (`reload-change`).

    A program may have several hidden metrics of one name: these are identified by their order.
    """
    found: dict[tuple[object, ...], Metric] = {}
    equal: dict[tuple[object, ...], int] = {}
    for metric in metrics:
        key = (metric.program, metric.name, metric.type, tuple(metric.keys), tuple(metric.buckets))
        equal[key] = equal.get(key, 0) + 1
        found[(*key, equal[key])] = metric
    return found


class Exporters:
    """An index from metric names to the programs that export them; `put` adds or replaces a program."""

    def __init__(self, programs: dict[str, Loaded]) -> None:
        self._programs = programs
        self._of: dict[str, set[str]] = {}
        for name, loaded in programs.items():
            self._note(name, loaded)

    def put(self, name: str, loaded: Loaded) -> None:
        self._programs[name] = loaded
        self._note(name, loaded)

    def sharing(self, name: str, loaded: Loaded) -> list[Loaded]:
        """The programs other than `name` that have, or had, a metric with the name of one in `loaded`."""
        names = {other for metric in loaded.metrics for other in self._of.get(metric.name, ())}
        return [self._programs[other] for other in sorted(names - {name})]

    def _note(self, name: str, loaded: Loaded) -> None:
        for metric in loaded.metrics:
            self._of.setdefault(metric.name, set()).add(name)


def check_kinds(loaded: Loaded, others: Sequence[Loaded]) -> None:
    """Raise LoadError when a name is exported with two kinds (spec language.md §9.5); hidden metrics don't count."""
    kinds = {metric.name: metric.kind for other in others for metric in other.metrics if not metric.hidden}
    for metric in loaded.distinct:
        if metric.hidden:
            continue
        kind = kinds.setdefault(metric.name, metric.kind)
        if kind != metric.kind:
            raise LoadError(
                f"metric {metric.name} has different kind {_KIND_NAMES[metric.kind]} to existing {_KIND_NAMES[kind]}"
            )
