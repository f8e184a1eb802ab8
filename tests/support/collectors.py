"""OpenTelemetry collectors for tests, built from the official protocol package."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service_grpc


class Receiver:
    """A collector that keeps what it gets, or refuses it."""

    endpoint: str

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.headers: dict[str, str] = {}
        self.refuse = False
        self.wait: Callable[[int], object] = lambda requests: None
        """Is told how many requests there were, before the next one is answered."""

    def metrics(self) -> dict[str, Any]:
        """The newest of each, by program and name."""
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
        self.wait(len(self.requests))
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
                receiver.wait(len(receiver.requests))
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
