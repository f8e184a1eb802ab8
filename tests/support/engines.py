"""A running engine for tests: program texts in, lines in, metrics out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nativemtail._core import Engine, Metric, Plan, Store, TimeZone
from nativemtail.compiler import Options, Program, compile_program, plan
from nativemtail.programs import zones
from nativemtail.programs.manager import make_metrics

ZONE = TimeZone(zones.load("UTC"))

Loaded = list[tuple[Program, list[Metric]]]


def compile_all(texts: Sequence[str | bytes], options: Options | None = None) -> Loaded:
    """Programs p0.mtail, p1.mtail, … and their metrics."""
    loaded = []
    for number, text in enumerate(texts):
        program = compile_program(f"p{number}.mtail", text.encode() if isinstance(text, str) else text, options)
        loaded.append((program, make_metrics(program.name, program.metrics)))
    return loaded


def metrics_of(loaded: Loaded) -> list[Metric]:
    return list({id(metric): metric for _, metrics in loaded for metric in metrics}.values())


def make_plan(loaded: Loaded, *, gated: bool = True, jit: bool = True) -> Plan:
    return Plan(plan.build(loaded), zone=ZONE, gated=gated, jit=jit)


class Machine:
    """An engine that runs `texts`, and a source to feed it with."""

    def __init__(self, *texts: str | bytes, gated: bool = True, jit: bool = True) -> None:
        self.store = Store()
        self.engine = Engine(self.store)
        self.loaded = compile_all(texts)
        self.store.replace((), metrics_of(self.loaded))
        self.plan = make_plan(self.loaded, gated=gated, jit=jit)
        self.engine.swap(self.plan)
        self.source = self.engine.open("log")

    def feed(self, block: bytes) -> int:
        return self.engine.scan(self.source, block)

    def swap(self, *texts: str | bytes) -> None:
        """Other programs, without the data of the old ones."""
        loaded = compile_all(texts)
        self.store.replace(metrics_of(self.loaded), metrics_of(loaded))
        self.plan = make_plan(loaded)
        self.engine.swap(self.plan)
        self.loaded = loaded

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
        return json.loads(self.store.snapshot().json(False))

    def faults(self) -> list[str]:
        kept, _ = self.engine.faults()
        return [fault.message for fault in kept]
