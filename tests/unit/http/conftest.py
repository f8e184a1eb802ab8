"""A site over a store that stands still, and a way to talk to servers byte by byte."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from nativemtail.http.limits import Limits
from nativemtail.http.messages import Request, Response, plain
from nativemtail.http.server import Server
from nativemtail.http.site import Site
from nativemtail.telemetry.selfmetrics import Costs, ProgramCost, ProgramState, SelfMetrics, SourceState


class View:
    """One counter and one text metric; `broken` is why the pages of metrics fail."""

    def __init__(self, name: str = "hits", broken: str = "", warnings: Sequence[str] = ()) -> None:
        self.name = name
        self.broken = broken
        self.warnings = list(warnings)
        self.asked: dict[str, Any] = {}

    def metrics(self) -> list[SimpleNamespace]:
        common = {"program": "a.mtail", "keys": (), "hidden": False, "source": "a.mtail:1:9"}
        return [SimpleNamespace(name=self.name, kind=1, **common), SimpleNamespace(name="said", kind=4, **common)]

    def rows(self, metric: SimpleNamespace) -> list[SimpleNamespace]:
        return [SimpleNamespace(labels=(), time=0, value=3 if metric.kind == 1 else b"hello")]

    def prometheus(self, **options: Any) -> Iterator[bytes]:
        self.asked = options
        if self.broken:
            raise ValueError(self.broken)
        name = options["prefix"] + self.name
        kind = "unknown" if options["openmetrics"] else "counter"
        yield f"# HELP {name} defined at a.mtail:1:9\n# TYPE {name} {kind}\n{name} 3\n".encode()

    def metrics_json(self, **options: Any) -> Iterator[bytes]:
        self.asked = options
        yield b'{"%s%s":{"type":"counter","value":3}}' % (options["prefix"].encode(), self.name.encode())

    def json(self) -> Iterator[bytes]:
        if self.broken:
            raise ValueError(self.broken)
        yield b"[]"


class Programs:
    fault = SimpleNamespace(message="oh <no>", line=12, source="/var/log/x", input=b"bad \x1b[31m \xff line")

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        fault = self.fault if faults else None
        return [
            ProgramState(name="a.mtail", running=True, loads=2, lines=1234567, runtime_errors=3, last_fault=fault),
            ProgramState(name='<b>"&.mtail', running=True, loads=1, load_errors=1, error="a.mtail:1:1: <oops>"),
            ProgramState(name="c.mtail", load_errors=2, error="bad"),
            ProgramState(name="d.mtail", loads=1, unloads=1),
            ProgramState(name="e\udcff.mtail", running=True),
        ]

    def costs(self) -> Costs:
        return Costs(
            lines=9,
            seconds=1.0,
            programs=[ProgramCost(name='<b>"&.mtail', why="w", lines=9, runs=4, samples=2, seconds=0.5, patterns=[])],
        )

    def dump(self, name: str) -> str | None:
        return f"plan of {name}" if name in ("a.mtail", '<b>"&.mtail', "e\udcff.mtail") else None


class Sources:
    def states(self) -> Sequence[SourceState]:
        return [
            SourceState(name="/var/log/x", lines=5, bytes=1_500_000, lag=2048, opens=1, errors=1),
            SourceState(name="/var/log/<i>\udcff", lag=0),
            SourceState(name="/var/log/gone", lines=7, active=False),
            SourceState(name="udp://:514", lag=None),
        ]

    def patterns(self) -> Sequence[str]:
        return ["/var/log/*&"]

    def problems(self) -> Mapping[str, str]:
        return {"/var/log/<u>": "only a directory matches"}

    def dropped(self) -> Mapping[str, int]:
        return {"kernel": 4, "none": 0}

    def limits(self) -> Mapping[str, int]:
        return {}

    def connections(self) -> Mapping[str, int]:
        return {}

    def accepted(self) -> Mapping[str, int]:
        return {}

    def denied(self) -> Mapping[str, int]:
        return {}


@pytest.fixture
def make_site() -> Callable[..., Site]:
    def make(view: View | None = None, **options: Any) -> Site:
        shown = view or View()
        store = SimpleNamespace(view=lambda: shown)
        own = SelfMetrics(programs=Programs(), sources=Sources())
        return Site(**{"store": store, "own": own, "host_name": "vm", "addresses": lambda: ["[::]:3903"], **options})

    return make


@pytest.fixture
def view_type() -> type[View]:
    return View


def echo(request: Request) -> Response:
    """Says what it was asked; `/big?N` gives N bytes, `/json` something that is not plain text."""
    if request.path == "/big":
        return Response(200, b"0123456789abcdef" * (int(request.query_string) // 16))
    return plain(200, f"{request.path}?{request.query_string}\n")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers on a free port of the loopback, with short limits unless told otherwise."""
    servers: list[Server] = []

    def start(answer: Callable[[Request], Response] = echo, *, address: str = "127.0.0.1", **options: Any) -> Server:
        limits = {
            "header_seconds": 0.5,
            "idle_seconds": 0.5,
            "linger_seconds": 0.3,
            "close_seconds": 1,
            **options.pop("limits", {}),
        }
        server = Server(answer, limits=Limits(**limits), **options)
        servers.append(server)
        server.listen_tcp(address, "0")
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(grace=0.2)


class Peer:
    """A client that sends what it is told to send."""

    def __init__(self, server: Server) -> None:
        host, _, port = server.addresses()[0].rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def rest(self) -> bytes:
        """Everything until the server closes."""
        chunks = []
        try:
            while chunk := self.socket.recv(65536):
                chunks.append(chunk)
        except ConnectionResetError:
            pass
        return b"".join(chunks)


@pytest.fixture
def peer() -> type[Peer]:
    return Peer
