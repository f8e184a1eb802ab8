"""OTLP: cumulative metrics for an OpenTelemetry collector (spec successor.md §4.1; row `otlp-types`).

The OpenTelemetry packages are an extra (`pip install nativemtail[otlp]`) and imported only when a collector is asked
for.  Their exporters send and read the OTEL_EXPORTER_OTLP_* environment; the data come straight from a snapshot.
"""

from __future__ import annotations

import logging
import os
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nativemtail.export.values import exported
from nativemtail.export.wire import PushError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource

    from nativemtail._core import Metric, Row, Snapshot
    from nativemtail.export.wire import Budget

COUNTER = 1
STRING, BUCKETS = 2, 3
"""`Metric.kind` and `Metric.type`."""
BATCH = 2000
"""Points in a request: gRPC servers take 4 MiB by default."""

_LIBRARY_LOGGER = "opentelemetry.exporter.otlp"
_PROTOCOLS = ("grpc", "http/protobuf")
_DEFAULT_ENDPOINT = "localhost:4317"


class SetUpError(Exception):
    """Pushes of this kind can never work here; the text is for the user."""


class Otlp:
    """A collector.  Raises SetUpError.

    `endpoint` is `host:port`, spoken to without TLS, or a URL; when empty the environment names it.  The protocol is
    gRPC unless OTEL_EXPORTER_OTLP_METRICS_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL says `http/protobuf`.
    """

    name = "otlp"

    def __init__(self, endpoint: str, *, host_name: str, version: str, seconds: float) -> None:
        protocol = _environment("PROTOCOL") or "grpc"
        if protocol not in _PROTOCOLS:
            raise SetUpError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be one of {', '.join(_PROTOCOLS)}: {protocol}")
        self.peer = endpoint or _environment("ENDPOINT") or _DEFAULT_ENDPOINT
        self._started = time.time_ns()
        self._failures = _library_log()
        try:
            self._exporter = _exporter(protocol, endpoint, seconds)
            self._resource = _resource(host_name, version)
        except ImportError as error:
            raise SetUpError(f"pushing to {self.peer} needs pip install 'nativemtail[otlp]': {error}") from None
        except Exception as error:
            raise SetUpError(f"cannot push to {self.peer}: {error}") from None

    def push(self, snapshot: Snapshot, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Raises PushError."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        shown = [metric for metric in exported(snapshot, text=False) if metric.type != STRING]
        count("total", len(shown))
        data, points = metrics_data(snapshot, shown, self._resource, self._started)
        self._failures.last = ""
        if points and self._exporter.export(data) is not MetricExportResult.SUCCESS:
            raise PushError(f"pusher write error: {self._failures.last or 'the collector did not take it'}")
        count("success", points)

    def close(self) -> None:
        """Gives up a push that is under way."""
        self._exporter.shutdown(timeout_millis=0)


def _environment(name: str) -> str:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_METRICS_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def _exporter(protocol: str, endpoint: str, seconds: float) -> sdk.MetricExporter:
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    if endpoint and not urlsplit(endpoint).hostname:
        raise ValueError("not a host:port, nor a URL")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(endpoint=endpoint or None, timeout=seconds, max_export_batch_size=BATCH)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

    if endpoint and urlsplit(endpoint).path in ("", "/"):
        endpoint = endpoint.rstrip("/") + "/v1/metrics"
    return Http(endpoint=endpoint or None, timeout=seconds, max_export_batch_size=BATCH)


def _resource(host_name: str, version: str) -> Resource:
    """Who we are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    host = {"host.name": host_name, "host.arch": os.uname().machine}
    ours = Resource({**host, "service.name": "mtail", "service.version": version})
    return ours.merge(OTELResourceDetector().detect())


class _LastMessage(logging.Handler):
    """Keeps the library's reason for a failure, which it tells only its log, and at every push."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _library_log() -> _LastMessage:
    library = logging.getLogger(_LIBRARY_LOGGER)
    library.propagate = False
    for handler in library.handlers:
        if isinstance(handler, _LastMessage):
            return handler
    handler = _LastMessage()
    library.addHandler(handler)
    return handler


# --- from a snapshot to the library's data -----------------------------------------------------------------------


def metrics_data(
    snapshot: Snapshot, metrics: Iterable[Metric], resource: Resource, started: int
) -> tuple[sdk.MetricsData, int]:
    """All of `metrics`, a scope for each program, and how many points they have; `started` in nanoseconds."""
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scopes = []
    points = 0
    for program, group in groupby(sorted(metrics, key=lambda m: m.program), key=lambda m: m.program):
        found = [entry for metric in group for entry in _metric(snapshot, metric, started)]
        points += sum(len(entry.data.data_points) for entry in found)
        scopes.append(sdk.ScopeMetrics(InstrumentationScope(_utf8(program)), found, ""))
    return sdk.MetricsData([sdk.ResourceMetrics(resource, scopes, "")]), points


def _metric(snapshot: Snapshot, metric: Metric, started: int) -> Iterator[sdk.Metric]:
    """The metric, unless it has no label set."""
    from opentelemetry.sdk.metrics import export as sdk

    data: sdk.Sum | sdk.Gauge | sdk.Histogram
    rows = [(_common(metric, row, started), row) for row in snapshot.rows(metric)]
    if not rows:
        return
    cumulative = sdk.AggregationTemporality.CUMULATIVE
    if metric.type == BUCKETS:
        data = sdk.Histogram([_histogram(common, row) for common, row in rows], cumulative)
    else:
        points = [sdk.NumberDataPoint(**common, value=_number(row)) for common, row in rows]
        data = sdk.Sum(points, cumulative, is_monotonic=True) if metric.kind == COUNTER else sdk.Gauge(points)
    description = f"{metric.name} defined at {_utf8(metric.source)}"
    yield sdk.Metric(_utf8(metric.name), description, "", data)


def _common(metric: Metric, row: Row, started: int) -> dict[str, Any]:
    """What points of all kinds have; times before 1970 cannot be said."""
    return {
        "attributes": dict(zip(metric.keys, row.labels, strict=True)),
        "start_time_unix_nano": started,
        "time_unix_nano": max(row.time, 0),
    }


def _number(row: Row) -> int | float:
    assert isinstance(row.value, (int, float))
    return row.value


def _histogram(common: dict[str, Any], row: Row) -> sdk.HistogramDataPoint:
    from opentelemetry.sdk.metrics import export as sdk

    none: Any = None
    return sdk.HistogramDataPoint(
        **common,
        count=row.count,
        sum=row.sum,
        bucket_counts=[count for _, count in row.buckets],
        explicit_bounds=[upper for upper, _ in row.buckets[:-1]],
        min=none,
        max=none,
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
