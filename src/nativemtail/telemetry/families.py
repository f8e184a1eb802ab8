"""Building blocks of the self-metrics: prometheus-client's families, their names and texts."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.utils import floatToGoString

from nativemtail.telemetry.costs import MetricSize
from nativemtail.telemetry.counters import LATENCY_SECONDS, Latency
from nativemtail.telemetry.model import ProgramState, SourceState

LINE_SECONDS = tuple(2e-05 * 2**k for k in range(10))
"""Upper bounds of `mtail_vm_line_processing_duration_seconds`."""

_FAMILIES: dict[str, type[UnknownMetricFamily] | type[GaugeMetricFamily] | type[CounterMetricFamily]] = {
    "untyped": UnknownMetricFamily,
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


def labelled_family(kind: str, name: str, label: str, values: Mapping[str, float]) -> Iterator[Metric]:
    """A family with one label; nothing if there are no values."""
    if values:
        family = _FAMILIES[kind](name, HELP[name], labels=[label])
        for key, value in sums(values.items()).items():
            family.add_metric([key], value)
        yield family


def later(collect: Callable[[], Iterable[Metric]]) -> Iterator[Metric]:
    yield from collect()


def label_text(text: str) -> str:
    """A valid label value: file names may contain any bytes, label values only UTF-8 (spec row `label-utf8`)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    edges = [*map(floatToGoString, bounds), "+Inf"]
    return [(edge, float(total)) for edge, total in zip(edges, itertools.accumulate(counts), strict=True)]


def latency_family(name: str, latency: Latency) -> Metric:
    counts, total = latency.ranges()
    return HistogramMetricFamily(name, HELP[name], buckets=cumulative(LATENCY_SECONDS, counts), sum_value=total)


def all_counts(states: Sequence[SourceState] | Sequence[ProgramState], attribute: str) -> dict[str, float]:
    """Counts with zeros included: a counter that appears only with its first count shows no increase."""
    return sums((state.name, getattr(state, attribute)) for state in states)


def sizes_by_name(sizes: Iterable[MetricSize]) -> dict[tuple[str, str], tuple[int, int]]:
    """Series and bytes by program and metric name, summed over metrics that differ only in type."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for size in sizes:
        name = label_text(size.program), label_text(size.metric)
        series, held = found.get(name, (0, 0))
        found[name] = series + size.series, held + size.bytes
    return found


def by_name(states: Sequence[ProgramState]) -> list[tuple[str, list[ProgramState]]]:
    found: defaultdict[str, list[ProgramState]] = defaultdict(list)
    for state in states:
        found[label_text(state.name)].append(state)
    return sorted(found.items())


def sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums by name, sorted; names that become equal as UTF-8 are added up."""
    sums: defaultdict[str, float] = defaultdict(int)
    for name, value in pairs:
        sums[label_text(name)] += value
    return dict(sorted(sums.items()))


SOURCE_VARIABLES = {
    "log_lines_total": ("lines", "untyped"),
    "log_errors_total": ("errors", "untyped"),
    "log_bytes_total": ("bytes", "counter"),
    "log_lines_cut_total": ("cut", "counter"),
    "log_nuls_total": ("nuls", "counter"),
    "log_opens_total": ("opens", ""),
    "log_closes_total": ("closes", ""),
    "file_truncates_total": ("truncations", ""),
}
"""Counts of a source: the field of SourceState, and its type as `mtail_…` on Prometheus' page, if it is there."""

PROGRAM_VARIABLES = {
    "prog_loads_total": "loads",
    "prog_load_errors_total": "load_errors",
    "prog_unloads_total": "unloads",
    "prog_runtime_errors_total": "runtime_errors",
    "prog_lines_total": "lines",
}

HELP = {
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
    "mtail_log_lag_bytes": "Bytes of the log file that have not been read yet.",
    "mtail_log_lines_cut_total": "Lines cut to the maximum length, per log source.",
    "mtail_log_nuls_total": "NUL bytes dropped before lines, per log source.",
    "mtail_limits_hit_total": "How often a limit of the log sources or of HTTP was hit.",
    "mtail_messages_dropped_total": "Messages of the process that could not be written (no reader, or disk full).",
    "mtail_lines_dropped_total": "Lines and datagrams that were dropped, by reason.",
    "mtail_series_refused_total": "Label sets that were not created because of the memory limit.",
    "memory_over_limit_count": "How often the memory limit was reached.",
    "mtail_series": "Label sets of a metric.",
    "mtail_series_bytes": "Bytes that a metric holds for its label sets.",
    "total_connection_count": "Connections accepted since the start, by service.",
    "process_cpu_usage_sum": "Processor time used since the last scrape, in percent of one processor.",
    "process_cpu_usage_normalized": "Processor time used since the last scrape, in percent of all processors.",
    "disk_free_bytes": "Free bytes on a file system that holds logs, by mount point.",
    "disk_free_percent": "Free bytes on a file system that holds logs, in percent of its size.",
    "disk_free_inodes": "Free inodes on a file system that holds logs, by mount point.",
    "disk_free_inodes_percent": "Free inodes on a file system that holds logs, in percent of all.",
    "memory_usage": "Resident memory of the process in bytes.",
    "memory_limit": "Soft limit of the memory in bytes; above it new label sets are refused.",
    "thread_pool_size": "Threads of a pool.",
    "thread_pool_parked": "Threads of a pool that wait for work.",
    "connection_count": "Open connections by service.",
    "total_connections_denied": "Connections refused because the peer is not trusted or a limit was reached.",
    "prog_load_latency": "Seconds that loading a program took, from reading to the swap.",
    "push_latency": "Seconds that a push took, from connecting to the last byte, or until it failed.",
    "push_backlog": "Label sets that the current push has not written yet, or that the last one failed to write.",
    "mtail_push_failures_total": "Pushes that failed.",
    "mtail_push_dropped_total": "Label sets that a target refused, or that cannot be sent to it, at each push.",
    "state_saves_total": "Saves of metrics and reading positions.",
    "state_save_seconds": "Seconds that a save took.",
    "state_save_bytes_total": "Bytes that saves wrote, without what the database adds.",
    "state_save_failures_total": "Saves that failed.",
    "state_age_seconds": "Seconds since the last instant that was saved.",
    "state_restored_series": "Label sets that were restored at the start.",
    "state_catch_up_bytes": "Bytes that are left until all logs are read to where they ended at the start.",
    "state_damaged_total": "How often the database of the state was damaged, and put aside.",
    "state_lost_logs_total": "Files that were not read to their ends before the start, and are gone.",
    "scrape_latency": "Seconds that rendering a page of metrics took.",
}
