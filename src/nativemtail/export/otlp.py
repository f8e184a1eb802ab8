"""OTLP: cumulative metrics for an OpenTelemetry collector (spec successor.md §4.1; row `otlp-types`).

The OpenTelemetry packages are an extra (`pip install nativemtail[otlp]`), imported only if a collector is configured.
Their exporters send, and read the OTEL_EXPORTER_OTLP_* environment; the data come straight from a view.
"""

from __future__ import annotations

import logging
import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nativemtail._core import BUCKETS, COUNTER, STRING
from nativemtail.export.textformat import exported
from nativemtail.export.transport import PushError, WriteError, seconds_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource

    from nativemtail._core import Metric, Row
    from nativemtail._render import View
    from nativemtail.export.transport import Budget

BATCH = 2000
"""Points per request: gRPC servers accept 4 MiB by default."""

_SHARE = 0.9
"""If less than this part of an exporter's time remains, the next batch gets a new exporter."""

_LIBRARY_LOGGER = "opentelemetry.exporter.otlp"
_PROTOCOLS = ("grpc", "http/protobuf")
_DEFAULT_ENDPOINT = "localhost:4317"


class SetUpError(Exception):
    """Pushes to this target can never work; the text is for the user."""


class Otlp:
    """An OpenTelemetry collector.  Raises SetUpError.

    `endpoint` is `host:port`, used without TLS, or a URL; if empty, the environment names it.  The protocol is gRPC
    unless OTEL_EXPORTER_OTLP_METRICS_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL is `http/protobuf`.
    """

    name = "otlp"

    def __init__(self, endpoint: str, *, host_name: str, version: str, seconds: float) -> None:
        protocol = _environment("PROTOCOL") or "grpc"
        if protocol not in _PROTOCOLS:
            raise SetUpError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be one of {', '.join(_PROTOCOLS)}: {protocol}")
        self.peer = endpoint or _environment("ENDPOINT") or _DEFAULT_ENDPOINT
        self.started = time.time_ns()
        """When counting began, which a collector takes for the start of all counters."""
        self._failures = _library_log()
        self._closed = False
        self._protocol, self._endpoint = protocol, endpoint
        self._longest = self._patience = seconds
        try:
            self._exporter = _exporter(protocol, endpoint, seconds)
            self._resource = _resource(host_name, version)
        except ImportError as error:
            raise SetUpError(f"pushing to {self.peer} needs pip install 'nativemtail[otlp]': {error}") from None
        except Exception as error:
            raise SetUpError(f"cannot push to {self.peer}: {error}") from None

    def push(self, view: View, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Push all batches within one deadline; stop at the first failure.  Raises PushError."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        deadline = budget.deadline()
        shown = [metric for metric in exported(view, text=False) if metric.type != STRING]
        count("total", len(shown))
        for data, points in batches(view, shown, self._resource, self.started):
            self._failures.last = ""
            if self._exporter_until(deadline).export(data) is not MetricExportResult.SUCCESS:
                raise PushError(f"pusher write error: {self._failures.last or 'the collector did not take it'}")
            count("success", points)

    def close(self) -> None:
        """Abort a running push."""
        self._closed = True
        self._exporter.shutdown(timeout_millis=0)

    def _exporter_until(self, deadline: float) -> sdk.MetricExporter:
        """An exporter that gives up at `deadline`, which can only be set when it is made.  Raises WriteError."""
        try:
            seconds = min(seconds_left(deadline), self._longest)
        except TimeoutError as error:
            raise WriteError(error) from None
        if not _SHARE * self._patience <= seconds <= self._patience and not self._closed:
            self._exporter.shutdown(timeout_millis=0)
            self._patience = seconds
            self._exporter = _exporter(self._protocol, self._endpoint, seconds)
        return self._exporter


def _environment(name: str) -> str:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_METRICS_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def _exporter(protocol: str, endpoint: str, seconds: float) -> sdk.MetricExporter:
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    if endpoint and not urlsplit(endpoint).hostname:
        raise ValueError("not a host:port, nor a URL")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        # Its filter suppresses a second message within 20 s, even with another reason.
        logging.getLogger(f"{_LIBRARY_LOGGER}.proto.grpc.exporter").filters.clear()
        return Grpc(endpoint=endpoint or None, timeout=seconds)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

    if endpoint and urlsplit(endpoint).path in ("", "/"):
        endpoint = endpoint.rstrip("/") + "/v1/metrics"
    return Http(endpoint=endpoint or None, timeout=seconds)


def _resource(host_name: str, version: str) -> Resource:
    """The resource that describes this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    host = {"host.name": host_name, "host.arch": os.uname().machine}
    ours = Resource({**host, "service.name": "mtail", "service.version": version})
    return ours.merge(OTELResourceDetector().detect())


class _LastMessage(logging.Handler):
    """Captures the reason for a failure, which the library only logs, and does so at every push."""

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


# --- from a view to the library's data -----------------------------------------------------------------------


def batches(
    view: View, metrics: Iterable[Metric], resource: Resource, started: int
) -> Iterator[tuple[sdk.MetricsData, int]]:
    """`metrics` split into requests, each with its number of points; `started` in nanoseconds."""
    found: dict[str, list[sdk.Metric]] = {}
    room = BATCH
    for metric in metrics:
        rows = view.rows(metric)
        while taken := list(islice(rows, room)):
            found.setdefault(metric.program, []).append(_metric(metric, taken, started))
            room -= len(taken)
            if not room:
                yield _metrics_data(found, resource), BATCH
                found, room = {}, BATCH
    if found:
        yield _metrics_data(found, resource), BATCH - room


def _metrics_data(found: dict[str, list[sdk.Metric]], resource: Resource) -> sdk.MetricsData:
    """A scope for each program."""
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scopes = [sdk.ScopeMetrics(InstrumentationScope(_utf8(program)), metrics, "") for program, metrics in found.items()]
    return sdk.MetricsData([sdk.ResourceMetrics(resource, scopes, "")])


def _metric(metric: Metric, taken: list[Row], started: int) -> sdk.Metric:
    from opentelemetry.sdk.metrics import export as sdk

    data: sdk.Sum | sdk.Gauge | sdk.Histogram
    rows = [(_common(metric, row, started), row) for row in taken]
    cumulative = sdk.AggregationTemporality.CUMULATIVE
    if metric.type == BUCKETS:
        data = sdk.Histogram([_histogram(common, row) for common, row in rows], cumulative)
    else:
        points = [sdk.NumberDataPoint(**common, value=_number(row)) for common, row in rows]
        data = sdk.Sum(points, cumulative, is_monotonic=True) if metric.kind == COUNTER else sdk.Gauge(points)
    description = metric.help or f"{metric.name} defined at {_utf8(metric.source)}"
    return sdk.Metric(_utf8(metric.name), description, "", data)


def _common(metric: Metric, row: Row, started: int) -> dict[str, Any]:
    """The fields common to points of all kinds; times before 1970 cannot be represented."""
    return {
        "attributes": dict(metric.labels) | dict(zip(metric.keys, row.labels, strict=True)),
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
