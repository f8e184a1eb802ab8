"""The listener with well-behaved clients, over real sockets."""

from __future__ import annotations

import errno
import gzip
import http.client
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE, wait_until

from nativemtail.http.listen import ListenError
from nativemtail.http.messages import Request, Response, plain
from nativemtail.http.server import Server
from nativemtail.http.trust import TrustedHosts

Serve = Callable[..., Server]


def port(server: Server) -> int:
    return int(server.addresses()[0].rpartition(":")[2])


def get(server: Server, target: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
    connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_every_method_is_get(serve: Serve, method: str) -> None:
    response, body = get(serve(), "/x?y=1", method)
    assert (response.status, response.reason, body) == (200, "OK", b"/x?y=1\n")
    assert response.headers["Content-Length"] == "7"
    assert response.headers["Date"].endswith("GMT")


def test_head_has_no_body(serve: Serve, peer: Any) -> None:
    with peer(serve()) as client:
        answers = client.send(b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.0\r\n\r\n").rest()
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert b"Content-Length: 4" in head
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"\r\n\r\n/y?\n")


def test_connect_is_refused(serve: Serve, peer: Any) -> None:
    with peer(serve()) as client:
        assert client.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").rest().startswith(b"HTTP/1.1 405 ")


def test_keep_alive(serve: Serve) -> None:
    server = serve(limits={"idle_seconds": 10 * PATIENCE})
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
    for number in range(20):
        connection.request("GET", f"/{number}", body=b"x" * 1000)
        response = connection.getresponse()
        assert response.read() == f"/{number}?\n".encode()
    assert server.connections() == {"http": 1}
    connection.close()
    wait_until(lambda: server.connections() == {"http": 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_head", "kept"),
    [
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\n\r\n", False),
    ],
)
def test_when_the_connection_ends(serve: Serve, peer: Any, request_head: bytes, kept: bool) -> None:
    server = serve(limits={"idle_seconds": 1.0 if kept else 10 * PATIENCE})
    begin = time.monotonic()
    with peer(server) as client:
        assert client.send(request_head).rest().endswith(b"/a?\n")
    if kept:
        assert time.monotonic() - begin > 0.9


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("br, gzip;q=0.1", True), ("*", True), ("gzip;q=0", False), ("br", False), ("identity", False)],
)
def test_gzip(serve: Serve, accepted: str, compressed: bool) -> None:
    response, body = get(serve(), "/big?100000", Accept_Encoding=accepted)
    assert (response.headers["Content-Encoding"] == "gzip") is compressed
    assert response.headers["Vary"] == "Accept-Encoding"
    assert int(response.headers["Content-Length"]) == len(body)
    assert (gzip.decompress(body) if compressed else body) == b"0123456789abcdef" * 6250


def test_small_bodies_stay_plain(serve: Serve) -> None:
    response, _ = get(serve(), "/x", Accept_Encoding="gzip")
    assert "Content-Encoding" not in response.headers
    assert "Vary" not in response.headers


def test_a_large_page_arrives_whole(serve: Serve) -> None:
    _, body = get(serve(), "/big?48000000", Accept_Encoding="identity")
    assert body == b"0123456789abcdef" * 3_000_000


def test_pages_are_made_side_by_side(serve: Serve) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    server: Server

    def answer(request: Request) -> Response:
        both.wait()
        return plain(200, str(server.pools()["http"].parked))

    server = serve(answer)
    bodies: list[bytes] = []
    clients = [threading.Thread(target=lambda n=n: bodies.append(get(server, f"/{n}")[1])) for n in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert b"0" in bodies
    wait_until(lambda: server.pools()["http"] == (2, 2))


def test_headers_reach_the_page(serve: Serve) -> None:
    server = serve(lambda request: plain(200, request.accept))
    with socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\naccept: c/d;q=1\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := sock.recv(1000):
            data += chunk
    assert data.endswith(b"\r\n\r\na/b,c/d;q=1")


# --- addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "name"),
    [("127.0.0.1", "127.0.0.1:"), ("localhost", "127.0.0.1:"), ("::1", "[::1]:"), ("[::1]", "[::1]:")],
)
def test_address(serve: Serve, peer: Any, address: str, name: str) -> None:
    server = serve(address=address)
    assert server.addresses()[0].startswith(name)
    with peer(server) as client:
        assert client.send(b"GET /a HTTP/1.0\r\n\r\n").rest().endswith(b"/a?\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_empty_address_is_all_of_both_kinds(serve: Serve, host: str) -> None:
    server = serve(address="")
    assert server.addresses()[0].startswith("[::]:")
    with socket.create_connection((host, port(server)), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /a HTTP/1.0\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_a_busy_port_is_named(serve: Serve, address: str) -> None:
    busy = port(serve(address=address))
    with pytest.raises(ListenError) as failure:
        Server(lambda request: plain(200, "")).listen_tcp(address, str(busy))
    assert str(failure.value).startswith(f"listen tcp {address}:{busy}: bind: address already in use (")
    assert "--port" in str(failure.value)


@pytest.mark.parametrize(
    ("address", "number", "part"),
    [
        ("127.0.0.1", "65536", "listen tcp 127.0.0.1:65536: "),
        ("127.0.0.1", "x", "listen tcp 127.0.0.1:x: no service is named 'x': give --port a number"),
        ("127.0.0.1", "-1", "listen tcp 127.0.0.1:-1: "),
        ("192.0.2.1", "0", "listen tcp 192.0.2.1:0: bind: cannot assign requested address"),
        ("no such host", "0", "listen tcp no such host:0: "),
        ("a" * 300, "0", "listen tcp aaa"),
        ("", "\0", "listen tcp :\0: "),
    ],
)
def test_bad_address(address: str, number: str, part: str) -> None:
    with pytest.raises(ListenError) as failure:
        Server(lambda request: plain(200, "")).listen_tcp(address, number)
    assert str(failure.value).startswith(part)


def test_a_refused_port_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("nativemtail.net.socket.socket", Refused)
    with pytest.raises(ListenError, match=r":80: bind: permission denied \(.*CAP_NET_BIND_SERVICE.*--port"):
        Server(lambda request: plain(200, "")).listen_tcp("127.0.0.1", "80")
    with pytest.raises(ListenError, match=r"bind: permission denied \(.*directory.*--unix_socket"):
        Server(lambda request: plain(200, "")).listen_unix("/nowhere/s")


def test_all_addresses_of_a_host_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: str, **hints: object) -> list[tuple[object, ...]]:
        assert host == "several.example"
        addresses = ("203.0.113.9", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, int(port))) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    server = Server(lambda request: plain(200, ""))
    server.listen_tcp("several.example", "0")
    assert server.addresses()[0].startswith("127.0.0.1:")
    server.stop()


def test_unix_socket_beside_tcp(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = Server(lambda request: plain(200, "hello"), trusted=TrustedHosts.parse([]))
    server.listen_tcp("127.0.0.1", "0")
    server.listen_unix(path, 0o640)
    server.start()
    try:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
        connection = UnixConnection(path)
        connection.request("GET", "/", headers={"X-Forwarded-For": "203.0.113.1"})
        assert connection.getresponse().read() == b"hello"
        connection.close()
        assert get(server, "/")[0].status == 401
        assert server.addresses()[1] == path
        assert server.denied() == {"http": 1, "http_unix": 0}
    finally:
        server.stop()
    assert not os.path.exists(path)


def test_unix_socket_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    first, second = (Server(lambda request: plain(200, "")) for _ in range(2))
    first.listen_unix(path)
    with pytest.raises(ListenError, match="bind: address already in use"):
        second.listen_unix(path)
    first.stop()
    second.listen_unix(path)
    os.unlink(path)
    Path(path).write_text("somebody else's")
    second.stop()
    assert Path(path).exists()


def test_dead_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server = Server(lambda request: plain(200, ""))
    server.listen_unix(path)
    server.stop()


@pytest.mark.parametrize("name", ["file", "missing/s", "x" * 200])
def test_bad_unix_socket(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=r"listen unix .*: bind: "):
        Server(lambda request: plain(200, "")).listen_unix(str(tmp_path / name))
    assert (tmp_path / "file").exists()


# --- trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
    ],
)
def test_strangers_get_401(serve: Serve, headers: dict[str, str]) -> None:
    server = serve(trusted=TrustedHosts.parse(["192.0.2.1"]))
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=PATIENCE)
    connection.request("GET", "/metrics?x=1", headers=headers)
    response = connection.getresponse()
    assert response.status == 401
    assert response.read() == b"127.0.0.1 is not trusted to ask for /metrics?x=1 (--trusted_hosts).\n"
    assert response.headers["Connection"] == "close"
    connection.close()
    assert server.denied() == {"http": 1}


def test_mapped_peer(serve: Serve) -> None:
    server = serve(address="", trusted=TrustedHosts.parse(["127.0.0.1"]))
    assert get(server, "/")[0].status == 200


def test_a_mapped_stranger_is_called_by_his_ipv4_address(serve: Serve) -> None:
    response, body = get(serve(address="", trusted=TrustedHosts.parse(["192.0.2.1"])), "/")
    assert (response.status, body) == (401, b"127.0.0.1 is not trusted to ask for / (--trusted_hosts).\n")


@pytest.mark.slow
def test_strangers_get_few_connections(serve: Serve, peer: Any) -> None:
    server = serve(trusted=TrustedHosts.parse(["127.0.0.1"]), limits={"strangers": 2, "header_seconds": 2})
    address = ("127.0.0.1", port(server))
    strangers = [socket.create_connection(address, source_address=("127.0.0.9", 0), timeout=PATIENCE) for _ in range(5)]
    try:
        wait_until(lambda: server.denied()["http"] >= 3)  # each new one takes the place of the oldest
        assert get(server, "/a")[1] == b"/a?\n"
        assert server.connections()["http"] <= 3
        wait_until(lambda: server.denied() == {"http": 5})
    finally:
        for sock in strangers:
            sock.close()


# --- the end -------------------------------------------------------------------------------------------------


def test_stop_lets_an_answer_end(serve: Serve) -> None:
    asked, release = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        asked.set()
        release.wait(PATIENCE)
        return plain(200, "done")

    server = serve(answer)
    address = ("127.0.0.1", port(server))
    got: list[bytes] = []
    client = threading.Thread(target=lambda: got.append(get(server, "/")[1]))
    client.start()
    asked.wait(PATIENCE)
    threading.Timer(0.2, release.set).start()
    server.stop(grace=PATIENCE)
    client.join()
    assert got == [b"done"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_stop_does_not_wait_for_the_idle_and_the_slow(serve: Serve, peer: Any) -> None:
    server = serve(limits={"idle_seconds": 10 * PATIENCE})
    with peer(server), peer(server).send(b"GET / HT") as slow, peer(server).send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
        wait_until(lambda: server.connections() == {"http": 3})
        begin = time.monotonic()
        server.stop(grace=0.3)
        assert time.monotonic() - begin < PATIENCE
        assert slow.rest() == b""


def test_stop_twice_and_without_start() -> None:
    server = Server(lambda request: plain(200, ""))
    server.listen_tcp("127.0.0.1", "0")
    server.stop()
    server.stop()


class NoThread(threading.Thread):
    """What the system gives no more."""

    left = 0

    def start(self) -> None:
        if NoThread.left == 0:
            raise RuntimeError("can't start new thread")
        NoThread.left -= 1
        super().start()


@pytest.mark.parametrize("more", [1, 2])
def test_requests_need_no_further_thread(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda request: plain(200, request.path))
    server.listen_tcp("127.0.0.1", "0")
    monkeypatch.setattr(threading, "Thread", NoThread)
    monkeypatch.setattr(NoThread, "left", 1 + more)
    server.start()
    assert NoThread.left == 0
    try:
        assert [get(server, f"/{number}")[1] for number in range(5)] == [b"/%d" % number for number in range(5)]
        assert server.pools()["http"].size == more
    finally:
        server.stop()


@pytest.mark.parametrize("left", [0, 1])
def test_a_start_without_threads_fails(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda request: plain(200, request.path))
    server.listen_tcp("127.0.0.1", "0")
    monkeypatch.setattr(threading, "Thread", NoThread)
    monkeypatch.setattr(NoThread, "left", left)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        server.start()
    server.stop()
