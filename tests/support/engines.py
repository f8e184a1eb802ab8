"""A running engine for tests: program texts in, lines in, metrics out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from nativemtail._core import Engine, Metric, Plan, Store, TimeZone
from nativemtail._render import Page
from nativemtail.compiler import Options, Program, compile_program, plan
from nativemtail.programs import zones
from nativemtail.programs.metrics import make_metrics

ZONE = TimeZone(zones.load("UTC"))

Loaded = list[tuple[Program, list[Metric]]]


def compile_all(texts: Sequence[str | bytes], options: Options | None = None) -> Loaded:
    """Programs p0.mtail, p1.mtail, … and their metrics."""
    return with_metrics(
        compile_program(f"p{number}.mtail", text.encode() if isinstance(text, str) else text, options)
        for number, text in enumerate(texts)
    )


def with_metrics(programs: Iterable[Program]) -> Loaded:
    return [(program, make_metrics(program.name, program.metrics)) for program in programs]


def metrics_of(loaded: Loaded) -> list[Metric]:
    return list({id(metric): metric for _, metrics in loaded for metric in metrics}.values())


def make_plan(loaded: Loaded, *, zone: TimeZone = ZONE, **options: bool) -> Plan:
    return Plan(plan.build(loaded), zone=zone, **options)


class Machine:
    """An engine that runs programs (texts, or `compiled` ones), and a source to feed it with; `options` are Plan's."""

    def __init__(
        self,
        *programs: str | bytes,
        compiled: Sequence[tuple[Program, list[Metric]]] = (),
        zone: TimeZone = ZONE,
        **options: bool,
    ) -> None:
        self.store = Store()
        self.engine = Engine(self.store)
        self.loaded = [*compile_all(programs), *compiled]
        self.options: dict[str, Any] = {"zone": zone, **options}
        self.store.replace((), metrics_of(self.loaded))
        self.plan = make_plan(self.loaded, **self.options)
        self.engine.swap(self.plan)
        self.source = self.engine.open("log")

    def feed(self, block: bytes) -> int:
        return self.engine.scan(self.source, block)

    def begin(self) -> None:
        """Run the begin blocks."""
        for number, (program, _) in enumerate(self.loaded):
            if len(program.begin) > 1:
                self.engine.begin(self.plan, number)

    def swap(self, *texts: str | bytes) -> None:
        """Other programs, without the data of the old ones."""
        loaded = compile_all(texts)
        self.store.replace(metrics_of(self.loaded), metrics_of(loaded))
        self.loaded = loaded
        self.renew()

    def renew(self) -> None:
        """Go on with a new plan of the same programs and metrics."""
        self.plan = make_plan(self.loaded, **self.options)
        self.engine.swap(self.plan)

    def metric(self, name: str) -> Metric:
        [found] = [metric for metric in self.store.metrics() if metric.name == name]
        return found

    def values(self, name: str) -> dict[tuple[str, ...], Any]:
        snapshot = self.store.snapshot()
        [found] = [metric for metric in snapshot.metrics() if metric.name == name]
        return {row.labels: row.value for row in snapshot.rows(found)}

    def value(self, name: str) -> Any:
        return self.values(name)[()]

    def json(self) -> Any:
        return json.loads(Page(self.store.snapshot()).json(False))

    def faults(self) -> list[str]:
        kept, _ = self.engine.faults()
        return [fault.message for fault in kept]
