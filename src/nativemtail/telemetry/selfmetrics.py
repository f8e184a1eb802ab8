"""Metrics about the process itself: mtail's self-metrics, ours, and those of prometheus-client.

Nothing is updated here while lines flow.  A scrape fetches the counts from the parts of the daemon, through the
protocols of `model`; only exports and latencies, which no part counts, are counted in this package.
Spec: metrics-export.md §8, successor.md §6.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from nativemtail.telemetry.build import Build
from nativemtail.telemetry.counters import LATENCY_SECONDS, ExportCounters, Latency
from nativemtail.telemetry.enginecounts import EngineCounts
from nativemtail.telemetry.families import (
    HELP,
    LINE_SECONDS,
    PROGRAM_VARIABLES,
    SOURCE_VARIABLES,
    all_counts,
    by_name,
    cumulative,
    label_text,
    labelled_family,
    latency_family,
    later,
    sizes_by_name,
    sums,
)
from nativemtail.telemetry.machine import CpuUsage, DiskSpace, resident_memory
from nativemtail.telemetry.model import PROGRAM_STATES, Listener, Pool, Programs, Sources, StateCounts

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class SelfMetrics:
    """Collects all self-metrics.  A part that is None contributes nothing (yet)."""

    programs: Programs | None = None
    sources: Sources | None = None
    lines: EngineCounts | None = None
    listener: Listener | None = None
    state: Callable[[], StateCounts] | None = None
    pools: Mapping[str, Pool] = field(default_factory=dict)
    """Thread pools besides the listener's."""
    memory_limit: int | None = None
    messages_dropped: Callable[[], int] | None = None
    """The number of the process's own messages that could not be written."""
    build: Build = field(default_factory=Build)
    started: float = field(default_factory=time.time)
    exports: ExportCounters = field(default_factory=ExportCounters)
    prog_load_latency: Latency = field(default_factory=Latency)
    scrape_latency: Latency = field(default_factory=Latency)
    disk: DiskSpace = field(default_factory=DiskSpace)
    cpu: CpuUsage = field(default_factory=CpuUsage)
    _foreign: tuple[Collector, ...] = field(init=False)
    _failed: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        registry = CollectorRegistry(auto_describe=False)
        self._foreign = tuple(kind(registry=registry) for kind in (ProcessCollector, PlatformCollector, GCCollector))

    def families(self) -> list[Metric]:
        """All families as prometheus-client's, sorted by name; parts that fail are left out."""
        found: list[Metric] = []
        for name, part in self._parts():
            try:
                found.extend(part)
            except Exception:
                if name not in self._failed:
                    self._failed.add(name)
                    log.exception("metrics of %s are left out", name)
        return sorted(found, key=lambda family: family.name)

    def _parts(self) -> Iterator[tuple[str, Iterable[Metric]]]:
        for collector in self._foreign:
            yield type(collector).__name__, later(collector.collect)
        yield "the build", self._build()
        if self.lines is not None:
            yield "the engine", self._engine(self.lines)
        if self.sources is not None:
            yield "the logs", self._logs(self.sources)
        if self.programs is not None:
            yield "the programs", self._programs(self.programs)
        yield "the pushes", self._pushes()
        if self.state is not None:
            yield "the state", _of_state(self.state())
        yield "the process", self._process()

    def _pushes(self) -> Iterator[Metric]:
        pushes, counts = sorted(self.exports.pushes.items()), self.exports.counts()
        if not pushes:
            return
        family = HistogramMetricFamily("push_latency", HELP["push_latency"], labels=["target"])
        for target, push in pushes:
            ranges, total = push.latency.ranges()
            family.add_metric([target], cumulative(LATENCY_SECONDS, ranges), total)
        yield family
        yield from labelled_family("gauge", "push_backlog", "target", {target: push.backlog for target, push in pushes})
        failures = {target: push.failures for target, push in pushes}
        yield from labelled_family("counter", "mtail_push_failures_total", "target", failures)
        dropped = {target: counts[f"{target}_export_dropped"] for target, _ in pushes}
        yield from labelled_family("counter", "mtail_push_dropped_total", "target", dropped)

    def _build(self) -> Iterator[Metric]:
        build = self.build.labels()
        info = GaugeMetricFamily("mtail_build_info", HELP["mtail_build_info"], labels=list(build))
        info.add_metric(list(build.values()), 1)
        yield info

    def _engine(self, lines: EngineCounts) -> Iterator[Metric]:
        name = "mtail_lines_total"
        yield UnknownMetricFamily(name, HELP[name], value=lines.lines_total())
        times = lines.program_times()
        if times:
            name = "mtail_vm_line_processing_duration_seconds"
            family = HistogramMetricFamily(name, HELP[name], labels=["prog"])
            for program, (counts, total) in sorted(times.items()):
                family.add_metric([label_text(program)], cumulative(LINE_SECONDS, counts), total)
            yield family
        name = "mtail_series_refused_total"
        yield CounterMetricFamily(name, HELP[name], value=lines.series_refused())
        yield UnknownMetricFamily("memory_over_limit_count", HELP["memory_over_limit_count"], value=lines.over_limit())
        sizes = lines.sizes()
        if sizes:
            series, bytes_held = (
                GaugeMetricFamily(name, HELP[name], labels=["prog", "metric"])
                for name in ("mtail_series", "mtail_series_bytes")
            )
            for (program, metric), (count, held) in sorted(sizes_by_name(sizes).items()):
                series.add_metric([program, metric], count)
                bytes_held.add_metric([program, metric], held)
            yield series
            yield bytes_held

    def _logs(self, sources: Sources) -> Iterator[Metric]:
        states = sources.states()
        active = [state for state in states if state.active]
        lag = sums((state.name, state.lag) for state in active if state.lag is not None)
        for variable, (what, kind) in SOURCE_VARIABLES.items():
            if kind:
                yield from labelled_family(kind, f"mtail_{variable}", "logfile", all_counts(states, what))
        yield from labelled_family("gauge", "mtail_log_lag_bytes", "logfile", lag)
        yield from labelled_family("counter", "mtail_lines_dropped_total", "reason", sources.dropped())
        space = self.disk.free(state.name for state in active if state.name.startswith("/"))
        gauges: dict[str, dict[str, float]] = {
            "disk_free_bytes": {mount: disk.bytes_free for mount, disk in space.items()},
            "disk_free_percent": {m: 100 * r.bytes_free / r.bytes for m, r in space.items() if r.bytes},
            "disk_free_inodes": {mount: disk.inodes_free for mount, disk in space.items() if disk.inodes},
            "disk_free_inodes_percent": {m: 100 * r.inodes_free / r.inodes for m, r in space.items() if r.inodes},
        }
        for name, values in gauges.items():
            yield from labelled_family("gauge", name, "name", values)

    def _programs(self, programs: Programs) -> Iterator[Metric]:
        states = programs.states()
        for variable, attribute in PROGRAM_VARIABLES.items():
            if f"mtail_{variable}" in HELP:
                yield from labelled_family("untyped", f"mtail_{variable}", "prog", all_counts(states, attribute))
        if states:
            name = "nativemtail_program_state"
            family = GaugeMetricFamily(name, HELP[name], labels=["prog", "state"])
            for program, of_name in by_name(states):
                for state in PROGRAM_STATES:
                    family.add_metric([program, state], sum(each.state == state for each in of_name))
            yield family

    def _process(self) -> Iterator[Metric]:
        connections, denied = self.connections()
        # Untyped: as gauges or counters these names would violate Prometheus' naming rules.
        yield from labelled_family("untyped", "connection_count", "service", connections)
        yield from labelled_family("untyped", "total_connection_count", "service", self._accepted())
        yield from labelled_family("untyped", "total_connections_denied", "service", denied)
        yield from labelled_family("counter", "mtail_limits_hit_total", "limit", self.limits())
        if self.messages_dropped is not None:
            name = "mtail_messages_dropped_total"
            yield CounterMetricFamily(name, HELP[name], value=self.messages_dropped())
        yield GaugeMetricFamily("memory_usage", HELP["memory_usage"], value=resident_memory())
        if self.memory_limit is not None:
            yield GaugeMetricFamily("memory_limit", HELP["memory_limit"], value=self.memory_limit)
        name = "process_virtual_memory_max_bytes"
        yield GaugeMetricFamily(name, HELP[name], value=resource.getrlimit(resource.RLIMIT_AS)[0] % 2**64)
        pools = self._pools()
        sizes, parked = ({name: pool[i] for name, pool in pools.items()} for i in (0, 1))
        yield from labelled_family("gauge", "thread_pool_size", "pool", sizes)
        yield from labelled_family("gauge", "thread_pool_parked", "pool", parked)
        yield latency_family("prog_load_latency", self.prog_load_latency)
        yield latency_family("scrape_latency", self.scrape_latency)
        used = self.cpu.percent()
        name = "process_cpu_usage_sum"
        yield UnknownMetricFamily(name, HELP[name], value=used)
        name = "process_cpu_usage_normalized"
        yield GaugeMetricFamily(name, HELP[name], value=used / (os.cpu_count() or 1))

    def connections(self) -> tuple[dict[str, int], dict[str, int]]:
        """Open and denied connections by service."""
        parts = [part for part in (self.listener, self.sources) if part is not None]
        connections = {service: count for part in parts for service, count in part.connections().items()}
        return connections, {service: count for part in parts for service, count in part.denied().items()}

    def _accepted(self) -> dict[str, int]:
        parts = [part for part in (self.listener, self.sources) if part is not None]
        return {service: count for part in parts for service, count in part.accepted().items()}

    def limits(self) -> dict[str, int]:
        """How often each limit of sources and of HTTP was hit."""
        return {
            **(self.sources.limits() if self.sources is not None else {}),
            **(self.listener.limits_hit() if self.listener is not None else {}),
        }

    def _pools(self) -> dict[str, Pool]:
        return {**self.pools, **(self.listener.pools() if self.listener is not None else {})}


def _of_state(state: StateCounts) -> Iterator[Metric]:
    counters = {
        "state_saves_total": state.saves,
        "state_save_bytes_total": state.bytes,
        "state_save_failures_total": state.failures,
        "state_damaged_total": state.damaged,
        "state_lost_logs_total": state.lost_logs,
    }
    gauges = {"state_restored_series": state.restored_series, "state_catch_up_bytes": state.catch_up_bytes}
    for name, value in counters.items():
        yield CounterMetricFamily(name, HELP[name], value=value)
    for name, value in gauges.items():
        yield GaugeMetricFamily(name, HELP[name], value=value)
    if state.age is not None:
        yield GaugeMetricFamily("state_age_seconds", HELP["state_age_seconds"], value=state.age)
    yield latency_family("state_save_seconds", state.seconds)
