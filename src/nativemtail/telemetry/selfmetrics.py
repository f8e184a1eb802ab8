"""Metrics about the process itself: mtail's self-metrics, ours, and those of prometheus-client.

Nothing is pushed here while lines flow.  At a scrape the parts of the daemon, known by the protocols below, are
asked for their counts; only events without a home of their own (exports, latencies) are counted here.
Spec: metrics-export.md §8, successor.md §6.
"""

from __future__ import annotations

import bisect
import gc
import itertools
import json
import logging
import os
import platform
import resource
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.utils import floatToGoString

from nativemtail import __version__
from nativemtail.telemetry.machine import CpuUsage, DiskSpace, resident_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

LINE_SECONDS = tuple(2e-05 * 2**k for k in range(10))
"""Upper bounds of `mtail_vm_line_processing_duration_seconds`."""
LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of `prog_load_latency` and `scrape_latency`."""

EXPORT_COUNTERS = (
    "metric_export_total",
    "exporter_json_errors",
    "exporter_varz_total",
    "graphite_export_total",
    "graphite_export_success",
    "graphite_export_dropped",
    "collectd_export_total",
    "collectd_export_success",
    "collectd_export_dropped",
    "statsd_export_total",
    "statsd_export_success",
    "statsd_export_dropped",
    "otlp_export_total",
    "otlp_export_success",
    "otlp_export_dropped",
)
"""Names that `ExportCounters.add` takes."""

RESERVED = frozenset(
    (
        "mtail_build_info",
        "mtail_lines_total",
        "mtail_log_errors_total",
        "mtail_log_lines_total",
        "mtail_prog_lines_total",
        "mtail_prog_load_errors_total",
        "mtail_prog_loads_total",
        "mtail_prog_runtime_errors_total",
        "mtail_vm_line_processing_duration_seconds",
        "mtail_vm_line_processing_duration_seconds_bucket",
        "mtail_vm_line_processing_duration_seconds_count",
        "mtail_vm_line_processing_duration_seconds_sum",
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
    )
)
"""Names of families and samples that mtail has too: a user's metric of that name fails the page there (§1.6), and is
left out here.  All other families of ours give way to a user's metric of their name, so that nothing that works with
mtail is missed here."""


# --- what is asked of the other parts ------------------------------------------------------------------------


class Fault(Protocol):
    """A run-time error; `_core.Fault` is one."""

    message: str
    line: int
    source: str
    input: bytes


PROGRAM_STATES = ("running", "outdated", "failed", "unloaded")
"""Outdated: the newest text fails to load, and the one before it runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """One program that was ever seen, by its file name."""

    name: str
    running: bool = False
    error: str = ""
    """Why the last load failed; empty when it worked."""
    loads: int = 0
    load_errors: int = 0
    unloads: int = 0
    lines: int = 0
    runtime_errors: int = 0
    last_fault: Fault | None = None
    warnings: Sequence[str] = ()
    """These two only where they were asked for."""

    @property
    def state(self) -> str:
        """One of PROGRAM_STATES."""
        if self.running:
            return "outdated" if self.error else "running"
        return "failed" if self.error else "unloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """One log source that was ever read, by the name that `getfilename()` gives."""

    name: str
    active: bool = True
    """Being read now; others stay for their counts."""
    lines: int = 0
    bytes: int = 0
    lag: int | None = None
    """Bytes between the position and the end of file; None where there is no end (sockets, pipes)."""
    errors: int = 0
    opens: int = 0
    closes: int = 0
    truncations: int = 0
    cut: int = 0
    """Lines cut to the greatest length."""
    nuls: int = 0
    """NULs in front of lines, which were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCost:
    """What a pattern of a program has cost, and why; one that programs share has cost this in all of them."""

    pattern: str
    gate: str
    engine: str
    captures: int
    why: str
    hint: str
    """What would make it cheaper, or empty."""
    tried: int
    """Lines that it was matched against."""
    matched: int
    samples: int
    """Matches that were timed."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramCost:
    """What a running program has cost since the last change of any program, and why."""

    name: str
    why: str
    """On which lines it runs, and why on these."""
    lines: int
    """Lines of its sources."""
    runs: int
    """Lines that it ran on."""
    samples: int
    """Runs that were timed."""
    seconds: float
    """With those of its patterns, but for the ones that let lines through to it."""
    patterns: Sequence[PatternCost]
    """In the order of the program."""


class MetricSize(NamedTuple):
    """What a metric of a program holds."""

    program: str
    metric: str
    series: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What all running programs have cost since the last change of any."""

    lines: int = 0
    seconds: float = 0.0
    gate_seconds: float = 0.0
    """Of all `seconds`, what it took to find the lines that may concern a program."""
    rest_seconds: float = 0.0
    """What neither that nor the programs took: choosing programs for lines, by their patterns too."""
    programs: Sequence[ProgramCost] = ()
    metrics: Sequence[MetricSize] = ()
    """The largest first."""


class Pool(NamedTuple):
    """A thread pool: its threads, and how many of them wait for work."""

    size: int
    parked: int


class Programs(Protocol):
    """The directory of programs."""

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        """With their last run-time errors if asked for: that may have to wait until a block of lines ends."""

    def dump(self, name: str) -> str | None:
        """The readable form of a running program's plan; None if there is none of that name."""

    def costs(self) -> Costs: ...


class Sources(Protocol):
    """The tailer: everything that is read."""

    def states(self) -> Sequence[SourceState]: ...
    def patterns(self) -> Sequence[str]:
        """The absolute glob patterns, sorted."""

    def problems(self) -> Mapping[str, str]:
        """What is wrong with patterns and logs, by name, sorted."""

    def dropped(self) -> Mapping[str, int]:
        """Lines (or datagrams) that were dropped, by reason; every reason there is, zeros too."""

    def limits(self) -> Mapping[str, int]:
        """How often each limit was hit; every limit there is, zeros too."""

    def connections(self) -> Mapping[str, int]:
        """Open connections of stream sources by scheme."""

    def accepted(self) -> Mapping[str, int]:
        """All that there ever were, by scheme."""

    def denied(self) -> Mapping[str, int]:
        """Connections of stream sources that were refused, by scheme."""


class Lines(Protocol):
    """The engine's own counts."""

    def lines_total(self) -> int: ...
    def program_times(self) -> Mapping[str, tuple[Sequence[int], float]]:
        """Sampled run time per line by program: a count per range of LINE_SECONDS and one above, and the sum."""

    def series_refused(self) -> int:
        """Label sets that were not created because of the memory limit."""

    def over_limit(self) -> int:
        """How often the memory limit was reached."""

    def sizes(self) -> Sequence[MetricSize]:
        """Of all metrics, hidden ones too."""


class Listener(Protocol):
    """The HTTP server's counts."""

    def connections(self) -> Mapping[str, int]: ...
    def accepted(self) -> Mapping[str, int]: ...
    def denied(self) -> Mapping[str, int]: ...
    def limits_hit(self) -> Mapping[str, int]: ...
    def pools(self) -> Mapping[str, Pool]: ...


# --- counted here --------------------------------------------------------------------------------------------


class ExportCounters:
    """Counts of exports, by the names of EXPORT_COUNTERS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(EXPORT_COUNTERS, 0)
        self.pushes: dict[str, PushCounts] = {}

    def push_to(self, target: str) -> PushCounts:
        """The counts of a new target, which are shown from now on."""
        counts = PushCounts()
        self.pushes = {**self.pushes, target: counts}
        return counts

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._counts[name] += count

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


class Latency:
    """A histogram of seconds over LATENCY_SECONDS."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(LATENCY_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        with self._lock:
            self._counts[bisect.bisect_left(LATENCY_SECONDS, seconds)] += 1
            self._sum += seconds

    def ranges(self) -> tuple[tuple[int, ...], float]:
        """A count per range and one above the last, and the sum."""
        with self._lock:
            return tuple(self._counts), self._sum


class PushCounts:
    """How the pushes to a target go; its thread writes, any thread reads."""

    def __init__(self) -> None:
        self.latency = Latency()
        self.failures = 0
        self.backlog = 0
        """Label sets that the push under way has not written yet, or that the last one failed to write."""


# --- build ---------------------------------------------------------------------------------------------------

_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What `mtail_build_info` and the status page say; the keys are mtail's, so `go` stands for the language."""

    version: str = __version__
    revision: str = ""
    branch: str = ""

    def labels(self) -> dict[str, str]:
        machine = platform.machine()
        return {
            "branch": self.branch,
            "goarch": _GO_ARCHITECTURES.get(machine, machine),
            "goos": sys.platform,
            "goversion": f"python{platform.python_version()}",
            "revision": self.revision,
            "version": self.version,
        }

    def __str__(self) -> str:
        revision = f" git revision {self.revision}" if self.revision else ""
        return (
            f"nativemtail version {self.version}{revision} python version {platform.python_version()}"
            f" arch {platform.machine()} os {sys.platform}"
        )


# --- the families --------------------------------------------------------------------------------------------

_FAMILIES: dict[str, type[UnknownMetricFamily] | type[GaugeMetricFamily] | type[CounterMetricFamily]] = {
    "untyped": UnknownMetricFamily,
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


def _family(kind: str, name: str, label: str, values: Mapping[str, float]) -> Iterator[Metric]:
    """A family with one label; without any value there is no family."""
    if values:
        family = _FAMILIES[kind](name, _HELP[name], labels=[label])
        for key, value in _sums(values.items()).items():
            family.add_metric([key], value)
        yield family


def _later(collect: Callable[[], Iterable[Metric]]) -> Iterator[Metric]:
    yield from collect()


def _utf8(text: str) -> str:
    """File names may hold any bytes; a label value is UTF-8 (spec row `label-utf8`)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    edges = [*map(floatToGoString, bounds), "+Inf"]
    return [(edge, float(total)) for edge, total in zip(edges, itertools.accumulate(counts), strict=True)]


def _latency(name: str, latency: Latency) -> Metric:
    counts, total = latency.ranges()
    return HistogramMetricFamily(name, _HELP[name], buckets=_cumulative(LATENCY_SECONDS, counts), sum_value=total)


@dataclass(slots=True, kw_only=True, eq=False)
class SelfMetrics:
    """All of it.  A part that is None says nothing (yet)."""

    programs: Programs | None = None
    sources: Sources | None = None
    lines: Lines | None = None
    listener: Listener | None = None
    pools: Mapping[str, Pool] = field(default_factory=dict)
    """Thread pools besides the listener's."""
    memory_limit: int | None = None
    messages_dropped: Callable[[], int] | None = None
    """How many of the process's own messages could not be written."""
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
        """Everything, sorted by name, as prometheus-client's families; what cannot be had is left out."""
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
            yield type(collector).__name__, _later(collector.collect)
        yield "the build", self._build()
        if self.lines is not None:
            yield "the engine", self._engine(self.lines)
        if self.sources is not None:
            yield "the logs", self._logs(self.sources)
        if self.programs is not None:
            yield "the programs", self._programs(self.programs)
        yield "the pushes", self._pushes()
        yield "the process", self._process()

    def _pushes(self) -> Iterator[Metric]:
        pushes, counts = sorted(self.exports.pushes.items()), self.exports.counts()
        if not pushes:
            return
        family = HistogramMetricFamily("push_latency", _HELP["push_latency"], labels=["target"])
        for target, push in pushes:
            ranges, total = push.latency.ranges()
            family.add_metric([target], _cumulative(LATENCY_SECONDS, ranges), total)
        yield family
        yield from _family("gauge", "push_backlog", "target", {target: push.backlog for target, push in pushes})
        failures = {target: push.failures for target, push in pushes}
        yield from _family("counter", "mtail_push_failures_total", "target", failures)
        dropped = {target: counts[f"{target}_export_dropped"] for target, _ in pushes}
        yield from _family("counter", "mtail_push_dropped_total", "target", dropped)

    def _build(self) -> Iterator[Metric]:
        build = self.build.labels()
        info = GaugeMetricFamily("mtail_build_info", _HELP["mtail_build_info"], labels=list(build))
        info.add_metric(list(build.values()), 1)
        yield info

    def _engine(self, lines: Lines) -> Iterator[Metric]:
        name = "mtail_lines_total"
        yield UnknownMetricFamily(name, _HELP[name], value=lines.lines_total())
        times = lines.program_times()
        if times:
            name = "mtail_vm_line_processing_duration_seconds"
            family = HistogramMetricFamily(name, _HELP[name], labels=["prog"])
            for program, (counts, total) in sorted(times.items()):
                family.add_metric([_utf8(program)], _cumulative(LINE_SECONDS, counts), total)
            yield family
        name = "mtail_series_refused_total"
        yield CounterMetricFamily(name, _HELP[name], value=lines.series_refused())
        yield UnknownMetricFamily("memory_over_limit_count", _HELP["memory_over_limit_count"], value=lines.over_limit())
        sizes = lines.sizes()
        if sizes:
            series, bytes_held = (
                GaugeMetricFamily(name, _HELP[name], labels=["prog", "metric"])
                for name in ("mtail_series", "mtail_series_bytes")
            )
            for (program, metric), (count, held) in sorted(_sizes(sizes).items()):
                series.add_metric([program, metric], count)
                bytes_held.add_metric([program, metric], held)
            yield series
            yield bytes_held

    def _logs(self, sources: Sources) -> Iterator[Metric]:
        states = sources.states()
        active = [state for state in states if state.active]
        lag = _sums((state.name, state.lag) for state in active if state.lag is not None)
        yield from _family("untyped", "mtail_log_lines_total", "logfile", _all_counts(states, "lines"))
        yield from _family("untyped", "mtail_log_errors_total", "logfile", _all_counts(states, "errors"))
        yield from _family("counter", "mtail_log_bytes_total", "logfile", _all_counts(states, "bytes"))
        yield from _family("counter", "mtail_log_lines_cut_total", "logfile", _all_counts(states, "cut"))
        yield from _family("counter", "mtail_log_nuls_total", "logfile", _all_counts(states, "nuls"))
        yield from _family("gauge", "mtail_log_lag_bytes", "logfile", lag)
        yield from _family("counter", "mtail_lines_dropped_total", "reason", sources.dropped())
        space = self.disk.free(state.name for state in active if state.name.startswith("/"))
        rooms: dict[str, dict[str, float]] = {
            "disk_free_bytes": {mount: room.bytes_free for mount, room in space.items()},
            "disk_free_percent": {m: 100 * r.bytes_free / r.bytes for m, r in space.items() if r.bytes},
            "disk_free_inodes": {mount: room.inodes_free for mount, room in space.items() if room.inodes},
            "disk_free_inodes_percent": {m: 100 * r.inodes_free / r.inodes for m, r in space.items() if r.inodes},
        }
        for name, values in rooms.items():
            yield from _family("gauge", name, "name", values)

    def _programs(self, programs: Programs) -> Iterator[Metric]:
        states = programs.states()
        for variable, attribute in _PROGRAM_VARIABLES.items():
            if f"mtail_{variable}" in _HELP:
                yield from _family("untyped", f"mtail_{variable}", "prog", _all_counts(states, attribute))
        if states:
            name = "nativemtail_program_state"
            family = GaugeMetricFamily(name, _HELP[name], labels=["prog", "state"])
            for program, of_name in _by_name(states):
                for state in PROGRAM_STATES:
                    family.add_metric([program, state], sum(each.state == state for each in of_name))
            yield family

    def _process(self) -> Iterator[Metric]:
        connections, denied = self._connections()
        # Untyped, because as gauges and counters these names would be against Prometheus' naming rules.
        yield from _family("untyped", "connection_count", "service", connections)
        yield from _family("untyped", "total_connection_count", "service", self._accepted())
        yield from _family("untyped", "total_connections_denied", "service", denied)
        yield from _family("counter", "mtail_limits_hit_total", "limit", self._limits())
        if self.messages_dropped is not None:
            name = "mtail_messages_dropped_total"
            yield CounterMetricFamily(name, _HELP[name], value=self.messages_dropped())
        yield GaugeMetricFamily("memory_usage", _HELP["memory_usage"], value=resident_memory())
        if self.memory_limit is not None:
            yield GaugeMetricFamily("memory_limit", _HELP["memory_limit"], value=self.memory_limit)
        name = "process_virtual_memory_max_bytes"
        yield GaugeMetricFamily(name, _HELP[name], value=resource.getrlimit(resource.RLIMIT_AS)[0] % 2**64)
        pools = self._pools()
        sizes, parked = ({name: pool[i] for name, pool in pools.items()} for i in (0, 1))
        yield from _family("gauge", "thread_pool_size", "pool", sizes)
        yield from _family("gauge", "thread_pool_parked", "pool", parked)
        yield _latency("prog_load_latency", self.prog_load_latency)
        yield _latency("scrape_latency", self.scrape_latency)
        used = self.cpu.percent()
        name = "process_cpu_usage_sum"
        yield UnknownMetricFamily(name, _HELP[name], value=used)
        name = "process_cpu_usage_normalized"
        yield GaugeMetricFamily(name, _HELP[name], value=used / (os.cpu_count() or 1))

    def _connections(self) -> tuple[dict[str, int], dict[str, int]]:
        """Open and denied connections by service."""
        parts = [part for part in (self.listener, self.sources) if part is not None]
        connections = {service: count for part in parts for service, count in part.connections().items()}
        return connections, {service: count for part in parts for service, count in part.denied().items()}

    def _accepted(self) -> dict[str, int]:
        parts = [part for part in (self.listener, self.sources) if part is not None]
        return {service: count for part in parts for service, count in part.accepted().items()}

    def _limits(self) -> dict[str, int]:
        """How often each limit of sources and of HTTP was hit."""
        return {
            **(self.sources.limits() if self.sources is not None else {}),
            **(self.listener.limits_hit() if self.listener is not None else {}),
        }

    def _pools(self) -> dict[str, Pool]:
        return {**self.pools, **(self.listener.pools() if self.listener is not None else {})}

    def variables(self) -> dict[str, Any]:
        """All of mtail's expvar variables, and ours in the same manner."""
        sources = self.sources.states() if self.sources is not None else ()
        programs = self.programs.states() if self.programs is not None else ()
        connections, denied = self._connections()
        return {
            "cmdline": [_utf8(argument) for argument in sys.argv],
            "memstats": _memstats(),
            "lines_total": self.lines.lines_total() if self.lines is not None else 0,
            "log_count": sum(state.active for state in sources),
            **{variable: _counts(sources, attribute) for variable, attribute in _SOURCE_VARIABLES.items()},
            **{variable: _counts(programs, attribute) for variable, attribute in _PROGRAM_VARIABLES.items()},
            **self.exports.counts(),
            "connection_count": connections,
            "total_connections_denied": denied,
            "lines_dropped_total": dict(self.sources.dropped()) if self.sources is not None else {},
            "limits_hit_total": self._limits(),
            "messages_dropped_total": self.messages_dropped() if self.messages_dropped is not None else 0,
            "series_refused_total": self.lines.series_refused() if self.lines is not None else 0,
        }

    def variables_json(self) -> bytes:
        """The page `/debug/vars`: keys sorted, a variable a line."""
        entries = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(self.variables().items()))
        return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


_SOURCE_VARIABLES = {
    "log_lines_total": "lines",
    "log_errors_total": "errors",
    "log_opens_total": "opens",
    "log_closes_total": "closes",
    "file_truncates_total": "truncations",
    "log_bytes_total": "bytes",
    "log_lines_cut_total": "cut",
    "log_nuls_total": "nuls",
}
_PROGRAM_VARIABLES = {
    "prog_loads_total": "loads",
    "prog_load_errors_total": "load_errors",
    "prog_unloads_total": "unloads",
    "prog_runtime_errors_total": "runtime_errors",
    "prog_lines_total": "lines",
}


def _all_counts(states: Sequence[SourceState] | Sequence[ProgramState], attribute: str) -> dict[str, float]:
    """With zeros: a counter that appears with its first count shows no increase."""
    return _sums((state.name, getattr(state, attribute)) for state in states)


def _sizes(sizes: Iterable[MetricSize]) -> dict[tuple[str, str], tuple[int, int]]:
    """Series and bytes by program and metric; one name may have several types."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for size in sizes:
        name = _utf8(size.program), _utf8(size.metric)
        series, held = found.get(name, (0, 0))
        found[name] = series + size.series, held + size.bytes
    return found


def _by_name(states: Sequence[ProgramState]) -> list[tuple[str, list[ProgramState]]]:
    found: defaultdict[str, list[ProgramState]] = defaultdict(list)
    for state in states:
        found[_utf8(state.name)].append(state)
    return sorted(found.items())


def _counts(states: Sequence[SourceState] | Sequence[ProgramState], attribute: str) -> dict[str, float]:
    """As expvar maps are: only what was counted at least once has an entry."""
    return _sums((state.name, count) for state in states if (count := getattr(state, attribute)))


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """By name, sorted; names that are the same once they are UTF-8 add up."""
    sums: defaultdict[str, float] = defaultdict(int)
    for name, value in pairs:
        sums[_utf8(name)] += value
    return dict(sorted(sums.items()))


def _memstats() -> dict[str, int]:
    """The few of Go's names that have a meaning here."""
    return {"Alloc": resident_memory(), "NumGC": sum(generation["collections"] for generation in gc.get_stats())}


_HELP = {
    "process_virtual_memory_max_bytes": "Maximum amount of virtual memory available in bytes.",
    "mtail_build_info": (
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which mtail was"
        " built, and the goos and goarch for the build."
    ),
    "mtail_lines_total": "number of lines received by the program loader",
    "mtail_log_lines_total": "number of lines read per log file",
    "mtail_log_errors_total": "number of IO errors encountered per log file",
    "mtail_prog_loads_total": "number of program load events by program source filename",
    "mtail_prog_load_errors_total": "number of errors encountered when loading per program source filename",
    "mtail_prog_runtime_errors_total": "number of errors encountered when executing programs per source filename",
    "mtail_prog_lines_total": "number of lines handed to each program after its filter, by program source filename",
    "mtail_vm_line_processing_duration_seconds": "VM line processing time distribution in seconds.",
    "nativemtail_program_state": "1 for the state that a program is in, 0 for the others.",
    "mtail_log_bytes_total": "Bytes read per log source.",
    "mtail_log_lag_bytes": "Bytes of the log file that are not read yet.",
    "mtail_log_lines_cut_total": "Lines cut to the greatest length, per log source.",
    "mtail_log_nuls_total": "NUL bytes in front of lines, which were dropped, per log source.",
    "mtail_limits_hit_total": "How often a limit of the log sources or of HTTP was hit.",
    "mtail_messages_dropped_total": "Messages of the process that could not be written: nobody read them, or no room.",
    "mtail_lines_dropped_total": "Lines and datagrams that were dropped, by reason.",
    "mtail_series_refused_total": "Label sets that were not created because of the memory limit.",
    "memory_over_limit_count": "How often the memory limit was reached.",
    "mtail_series": "Label sets of a metric.",
    "mtail_series_bytes": "Bytes that a metric holds for its label sets.",
    "total_connection_count": "Connections that there ever were by service.",
    "process_cpu_usage_sum": "Processor time used lately, in percent of one processor.",
    "process_cpu_usage_normalized": "Processor time used lately, in percent of all processors.",
    "disk_free_bytes": "Free bytes on a file system that holds logs, by mount point.",
    "disk_free_percent": "Free bytes on a file system that holds logs, in percent of its size.",
    "disk_free_inodes": "Free inodes on a file system that holds logs, by mount point.",
    "disk_free_inodes_percent": "Free inodes on a file system that holds logs, in percent of all.",
    "memory_usage": "Resident memory of the process in bytes.",
    "memory_limit": "Soft limit of the memory in bytes; above it new label sets are refused.",
    "thread_pool_size": "Threads of a pool.",
    "thread_pool_parked": "Threads of a pool that wait for work.",
    "connection_count": "Open connections by service.",
    "total_connections_denied": "Connections that were refused, because the peer is not trusted or for lack of room.",
    "prog_load_latency": "Seconds that loading a program took, from reading to the swap.",
    "push_latency": "Seconds that a push took, from connecting to the last byte, or until it failed.",
    "push_backlog": "Label sets that a push has still to write, or that the last one failed to write.",
    "mtail_push_failures_total": "Pushes that failed.",
    "mtail_push_dropped_total": "Label sets that a target cannot be sent, at each push, or that it refused.",
    "scrape_latency": "Seconds that rendering a page of metrics took.",
}
