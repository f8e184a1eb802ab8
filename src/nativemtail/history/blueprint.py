"""What every worker needs to run the programs, compiled, and their metrics; it can be sent to other processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from nativemtail._core import Engine, Metric, Plan, Store, TimeZone, keep_history
from nativemtail.compiler import divisible, plan, serialize
from nativemtail.compiler.divisible import How
from nativemtail.compiler.program import Program
from nativemtail.compiler.tables import Tables
from nativemtail.io.lines import MAX_LINE_LENGTH


class MetricSpec(NamedTuple):
    """A metric, as `_core.Metric` takes it, and how the writes to it are kept."""

    name: str
    program: str
    kind: int
    type: int
    keys: tuple[str, ...]
    source: str
    buckets: tuple[float, ...]
    limit: int
    hidden: bool
    version: str
    help: str
    unit: str
    labels: tuple[tuple[str, str], ...]
    how: How

    def make(self) -> Metric:
        return Metric(*self[:-1])


class Times(NamedTuple):
    """The grid, and what the time of a line is."""

    step: int
    """Nanoseconds."""
    year: int = 0
    """Of times that have none; 0: the latest one that the file's modification time allows."""
    assume_mtime: bool = False
    """Lines whose program sets no time have the file's modification time."""


class Blueprint(NamedTuple):
    """Programs that run together, with all that an engine needs for them."""

    compiled: bytes
    """Programs, tables and database (compiler/serialize.py)."""
    specs: tuple[MetricSpec, ...]
    metrics: tuple[tuple[int, ...], ...]
    """For each program and each of its declarations the number of its metric."""
    zone: Any
    """`programs.zones.Zone`."""
    times: Times
    max_line_length: int = MAX_LINE_LENGTH
    in_order: bool = False


def draw(
    programs: Sequence[tuple[Program, Sequence[Metric]]],
    *,
    zone: Any,
    times: Times,
    in_order: bool = False,
    max_line_length: int = MAX_LINE_LENGTH,
) -> Blueprint:
    """The blueprint for programs, each with the metrics of its declarations.  Raises CompileError, ValueError."""
    specs: list[MetricSpec] = []
    numbers: list[tuple[int, ...]] = []
    kept = []
    for program, metrics in programs:
        same: dict[int, list[int]] = {}
        for at, metric in enumerate(metrics):
            same.setdefault(id(metric), []).append(at)
        hows, mine = divisible.how_kept(program, [same[id(metric)] for metric in metrics], in_order=in_order)
        kept.append(mine)
        place = {key: len(specs) + number for number, key in enumerate(same)}
        specs += [_spec(metrics[each[0]], hows[each[0]]) for each in same.values()]
        numbers.append(tuple(place[id(metric)] for metric in metrics))
    tables = plan.build(programs, kept)
    database = Plan(tables, zone=TimeZone(zone)).database()
    compiled = serialize.dump([program for program, _ in programs], tables, database)
    return Blueprint(compiled, tuple(specs), tuple(numbers), zone, times, max_line_length, in_order)


def _spec(metric: Metric, how: How) -> MetricSpec:
    return MetricSpec._make([*(getattr(metric, name) for name in MetricSpec._fields[:-1]), how])


def has_records(blueprint: Blueprint) -> bool:
    """Whether a program puts lines together to records."""
    stored = serialize.load(blueprint.compiled)
    programs = [stored.program(key) for key in stored.planned]
    return any(program is not None and program.record is not None for program in programs)


class Running(NamedTuple):
    """An engine that runs the programs of a blueprint."""

    engine: Engine
    store: Store
    metrics: list[Metric]
    """Those of `specs`."""
    expires: bool
    """Whether a program lets series expire."""


def build(blueprint: Blueprint, *, gathers: bool = False) -> Running:
    """`gathers`: the engine gathers the lines that the programs run on."""
    metrics = [spec.make() for spec in blueprint.specs]
    store = Store()
    for metric, spec in zip(metrics, blueprint.specs, strict=True):
        store.add(metric)
        if spec.how is not How.NOT and not gathers:
            keep_history(metric, blueprint.times.step, spec.how)
    stored = serialize.load(blueprint.compiled)
    mine = [[metrics[number] for number in numbers] for numbers in blueprint.metrics]
    programs = [stored.program(key) for key in stored.planned]
    tables: Tables | None
    if gathers:
        each = [(program, theirs) for program, theirs in zip(programs, mine, strict=True) if program is not None]
        tables = plan.build(each, [range(len(program.metrics)) for program, _ in each], gathers=True)
    else:
        tables = stored.plan(stored.planned, mine)
    assert tables is not None
    engine = Engine(store)
    running = Plan(tables, zone=TimeZone(blueprint.zone), database=b"" if gathers else stored.database)
    engine.swap(running)
    for number in range(len(blueprint.metrics)):
        engine.begin(running, number)
    expires = any(instr.op == "EXPIRE" for program in programs if program is not None for instr in program.code)
    return Running(engine, store, metrics, expires)
