"""Families as outputs of a history take them, and a receiver of remote writes."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cramjam
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from nativemtail.compiler.abi import MetricKind
from nativemtail.history.series import Family, Series

Labels = tuple[tuple[str, str], ...]
Samples = Sequence[tuple[int, float]]
"""Of one series: milliseconds and values."""


def one_series(name: str, samples: Samples, kind: MetricKind = MetricKind.GAUGE, **labels: str) -> Series:
    return series_of(name, tuple(labels.items()), kind, samples)


def series_of(name: str, labels: Labels, kind: MetricKind, samples: Samples) -> Series:
    times = np.array([time for time, _ in samples], np.int64)
    return Series(name, labels, kind, times, np.array([value for _, value in samples], np.float64))


def family(
    name: str, series: Iterable[Series], kind: MetricKind = MetricKind.GAUGE, *, text: str = "", unit: str = ""
) -> Family:
    held = list(series)
    is_monotonic = all((one.values >= 0).all() for one in held)
    return Family(name, text or f"about {name}", unit, kind, is_monotonic, iter(held))


def histogram_series(name: str, parts: Mapping[str, Samples], **labels: str) -> list[Series]:
    """The series of one label set; `parts` as `gridreference.histograms` names them."""
    found = []
    for part, samples in parts.items():
        if part in ("sum", "count"):
            found.append(one_series(f"{name}_{part}", samples, MetricKind.HISTOGRAM, **labels))
        else:
            le = "+Inf" if part == "inf" else f"{float(part):g}"
            found.append(one_series(f"{name}_bucket", samples, MetricKind.HISTOGRAM, **labels, le=le))
    return found


def _write_request() -> type:
    """The message of remote write 1.0, by protobuf's own library."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, str]) -> None:
        added = file.message_type.add(name=name)
        for number, (label, kind, of) in enumerate(fields, 1):
            repeated = kinds.LABEL_REPEATED if of else kinds.LABEL_OPTIONAL
            type_name = f".prometheus.{of}" if of else None
            added.field.add(name=label, number=number, type=kind, label=repeated, type_name=type_name)

    message("Label", ("name", kinds.TYPE_STRING, ""), ("value", kinds.TYPE_STRING, ""))
    message("Sample", ("value", kinds.TYPE_DOUBLE, ""), ("timestamp", kinds.TYPE_INT64, ""))
    parts = (("labels", kinds.TYPE_MESSAGE, "Label"), ("samples", kinds.TYPE_MESSAGE, "Sample"))
    message("TimeSeries", *parts)
    message("WriteRequest", ("timeseries", kinds.TYPE_MESSAGE, "TimeSeries"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest = _write_request()


def decoded(message: bytes) -> list[tuple[Labels, list[tuple[int, float]]]]:
    """The series of a `WriteRequest`."""
    return [
        (
            tuple((label.name, label.value) for label in series.labels),
            [(sample.timestamp, sample.value) for sample in series.samples],
        )
        for series in WriteRequest.FromString(message).timeseries
    ]


Reply = tuple[int, str, dict[str, str]]


@dataclass
class Receiver:
    """A target of remote writes.  `judge` says what it answers to the series of a request: None takes them."""

    judge: Callable[[list[Labels]], Reply | None] = lambda series: None
    url: str = ""
    stored: dict[Labels, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    requests: list[int] = field(default_factory=list)
    """Samples in each."""
    headers: list[dict[str, str]] = field(default_factory=list)

    def take(self, headers: dict[str, str], body: bytes) -> Reply:
        series = decoded(bytes(cramjam.snappy.decompress_raw(body)))
        self.requests.append(sum(len(samples) for _, samples in series))
        self.headers.append(headers)
        reply = self.judge([labels for labels, _ in series])
        if reply is None:
            for labels, samples in series:
                self.stored[labels] += samples
        return reply or (204, "", {})


@contextlib.contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Serves `receiver` on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, text, headers = receiver.take(dict(self.headers), body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/api/v1/write"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
