"""A way to talk to servers byte by byte."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sites
from waiting import PATIENCE

from nativemtail.http.limits import Limits
from nativemtail.http.messages import Request, Response, plain
from nativemtail.http.server import Server
from nativemtail.http.site import Site


@pytest.fixture
def make_site() -> Callable[..., Site]:
    return sites.make_site


@pytest.fixture
def view_type() -> type[sites.View]:
    return sites.View


def echo(request: Request) -> Response:
    """Says what it was asked; `/big?N` gives N bytes, `/json` something that is not plain text."""
    if request.path == "/big":
        return Response(200, b"0123456789abcdef" * (int(request.query_string) // 16))
    return plain(200, f"{request.path}?{request.query_string}\n")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers on a free port of the loopback, that wait for a request as long as it takes."""
    servers: list[Server] = []

    def start(answer: Callable[[Request], Response] = echo, *, address: str = "127.0.0.1", **options: Any) -> Server:
        limits = {
            "header_seconds": 10 * PATIENCE,
            "idle_seconds": 0.5,
            "write_seconds": 10 * PATIENCE,
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
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)

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
