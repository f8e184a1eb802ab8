"""OTLP over gRPC and HTTP, received by servers built from the official protocol package."""

from __future__ import annotations

import gzip
import http.server
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service_grpc

from nativemtail.export.otlp import BATCH, Otlp
from nativemtail.export.wire import Budget, PushError

PROGRAM = """
counter hits by who
counter part
gauge level
gauge temperature
timer took
timer took_exactly
text said
gauge word
histogram h by who buckets 1, 2, 4
hidden counter secret
/^hit (?P<w>\\S+)/ {
  hits[$w]++
  secret++
}
/^numbers/ {
  part = 0.5
  level = -3
  temperature = 2.5
  took = 7
  took_exactly = 7.5
  said = "x"
  word = "y"
}
/^seen (?P<w>\\S+) (?P<f>\\d+\\.\\d+)/ {
  h[$w] = $f
}
"""


class Receiver:
    """A collector that keeps what it gets; `status` other than 0 refuses."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.headers: dict[str, str] = {}
        self.refuse = False

    def points(self) -> dict[str, Any]:
        return {
            f"{scope.scope.name} {metric.name}": metric
            for request in self.requests
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


class Grpc(Receiver, service_grpc.MetricsServiceServicer):
    protocol = "grpc"

    def __init__(self) -> None:
        super().__init__()
        self.server = grpc.server(futures.ThreadPoolExecutor(1))
        service_grpc.add_MetricsServiceServicer_to_server(self, self.server)
        self.endpoint = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(self, request: Any, context: Any) -> Any:
        if self.refuse:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not today")
        self.headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.requests.append(request)
        return service.ExportMetricsServiceResponse()

    def close(self) -> None:
        self.server.stop(None).wait()


class Http(Receiver):
    protocol = "http/protobuf"

    def __init__(self) -> None:
        super().__init__()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refuse = receiver.refuse or self.path != "/v1/metrics"
                if not refuse:
                    if self.headers.get("Content-Encoding") == "gzip":
                        body = gzip.decompress(body)
                    receiver.headers = {key.lower(): value for key, value in self.headers.items()}
                    receiver.requests.append(service.ExportMetricsServiceRequest.FromString(body))
                self.send_response(400 if refuse else 200, "not today" if refuse else "OK")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=[Grpc, Http], ids=["grpc", "http"])
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("ENDPOINT", "METRICS_ENDPOINT", "METRICS_PROTOCOL", "HEADERS", "COMPRESSION"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param.protocol)
    receiver = request.param()
    yield receiver
    receiver.close()


def collector(endpoint: str, seconds: float = 5) -> Otlp:
    return Otlp(endpoint, host_name="box", version="1.2", seconds=seconds)


def push(target: Otlp, store: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    target.push(store.snapshot(), Budget(5), lambda what, n: counts.update({what: n}))
    return counts


def test_every_type(live: Callable[[str], Any], receiver: Any) -> None:
    before = time.time_ns()
    run = live(PROGRAM)
    target = collector(receiver.endpoint)
    run.feed("hit a", "hit a", "hit b", "numbers", "seen a 1.5", "seen a 9.0")
    assert push(target, run.store) == {"total": 7, "success": 8}
    target.close()
    found = receiver.points()
    assert sorted(found) == [
        f"p.mtail {name}" for name in ("h", "hits", "level", "part", "temperature", "took", "took_exactly")
    ]
    [request] = receiver.requests
    attributes = {a.key: a.value.string_value for a in request.resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "mtail"
    assert attributes["service.version"] == "1.2"
    assert attributes["host.name"] == "box"
    hits = found["p.mtail hits"]
    assert hits.description == "hits defined at p.mtail:2:9-12"
    assert hits.sum.is_monotonic
    assert hits.sum.aggregation_temporality == 2
    values = {tuple((a.key, a.value.string_value) for a in p.attributes): p.as_int for p in hits.sum.data_points}
    assert values == {(("who", "a"),): 2, (("who", "b"),): 1}
    for point in hits.sum.data_points:
        assert before <= point.start_time_unix_nano <= time.time_ns()
        assert before <= point.time_unix_nano <= time.time_ns()
    assert found["p.mtail part"].sum.data_points[0].as_double == 0.5
    assert found["p.mtail level"].gauge.data_points[0].as_int == -3
    assert found["p.mtail temperature"].gauge.data_points[0].as_double == 2.5
    assert found["p.mtail took"].gauge.data_points[0].as_int == 7
    assert found["p.mtail took_exactly"].gauge.data_points[0].as_double == 7.5
    histogram = found["p.mtail h"].histogram
    [point] = histogram.data_points
    assert histogram.aggregation_temporality == 2
    assert (point.count, point.sum) == (2, 10.5)
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([0, 1, 0, 1], [1, 2, 4])
    assert not point.HasField("min")
    assert not point.HasField("max")


def test_environment(live: Callable[[str], Any], receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where to, with which headers, compressed, and as whom."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{receiver.endpoint}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "logs")
    run = live(PROGRAM)
    run.feed("hit a")
    assert push(collector(""), run.store)["success"] == 2
    assert receiver.headers["x-tenant"] == "seven"
    attributes = {a.key: a.value.string_value for a in receiver.requests[0].resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "logs"


def test_many_label_sets_come_in_batches(live: Callable[[str], Any], receiver: Any) -> None:
    run = live(PROGRAM)
    run.feed(*(f"hit {number}" for number in range(BATCH + 5)))
    assert push(collector(receiver.endpoint), run.store)["success"] == BATCH + 6
    assert len(receiver.requests) == 2
    points = [
        point
        for request in receiver.requests
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "hits"
        for point in metric.sum.data_points
    ]
    assert len({point.attributes[0].value.string_value for point in points}) == BATCH + 5


def test_a_collector_that_refuses(live: Callable[[str], Any], receiver: Any) -> None:
    """The reason is in the error, and the library's own messages are not in the log."""
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    run = live(PROGRAM)
    target = collector(receiver.endpoint)
    receiver.refuse = True
    with pytest.raises(PushError, match=r"pusher write error: .*(not today|INVALID_ARGUMENT)"):
        push(target, run.store)
    receiver.refuse = False
    assert push(target, run.store)["success"] == 1
    logging.getLogger().removeHandler(handler)
    assert not said


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_down_or_silent(
    live: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    run = live(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(PushError, match="pusher write error"):
            push(collector(endpoint, seconds=0.5), run.store)
        assert time.monotonic() - began < 3
    with pytest.raises(PushError, match="pusher write error"):
        push(collector(endpoint, seconds=0.5), run.store)
