"""Clients that are slow, greedy, garbled or many.  After each the server still answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE, assert_prompt, wait_until

from nativemtail.http.limits import Limits
from nativemtail.http.messages import Request, Response, plain
from nativemtail.http.server import Server
from nativemtail.http.trust import TrustedHosts

Serve = Callable[..., Server]
GOOD = b"GET /fine HTTP/1.0\r\n\r\n"


def is_empty(server: Server) -> bool:
    return not (server.connections()["http"] or server.pending_bytes or server.traffic.waiting)


@pytest.fixture
def attacked(serve: Serve, peer: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Server]]:
    """Starts servers of which, at the end, each must answer and hold no connection, and none have logged an error."""
    started: list[Server] = []

    def start(*arguments: Any, **options: Any) -> Server:
        started.append(serve(*arguments, **options))
        return started[-1]

    yield start
    for server in started:
        wait_until(partial(is_empty, server))
        with peer(server) as client:
            assert client.send(GOOD).rest().startswith(b"HTTP/1.1 200 OK")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /?" + b"a=&" * 2000 + b" HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.0\r\n\r\n", 431),
        (b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 431),
        (b"GET / HTTP/1.0\r\nX: " + b"y" * 1_000_000, 431),
        (b"X" * 1_000_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + bytes(200_000), 413),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n%s\r\n" % bytes(4096) * 40,
            413,
        ),
    ],
)
def test_bad_requests(attacked: Serve, peer: Any, data: bytes, expected: int) -> None:
    server = attacked()
    with peer(server) as client:
        with contextlib.suppress(ConnectionError):
            client.send(data)
        assert status(client.rest()) == expected
    limit = {413: "http_body", 431: "http_header"}.get(expected)
    assert {name for name, count in server.limits_hit().items() if count} == ({limit} if limit else set())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"G", b""),
        (b"GET / HTTP/1.1\r\nHost: h\r\n", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", b""),
    ],
)
def test_slow_requests(attacked: Serve, peer: Any, first: bytes, more: bytes) -> None:
    server = attacked(limits={"header_seconds": 0.5})
    with peer(server) as client, contextlib.suppress(ConnectionError):
        client.send(first)
        for _ in range(4):
            time.sleep(0.1)
            client.send(more)
        assert status(client.rest()) == 408
    wait_until(lambda: server.limits_hit()["http_request_time"] == 1)


@pytest.mark.slow
def test_silence(attacked: Serve, peer: Any) -> None:
    begin = time.monotonic()
    with peer(attacked(limits={"header_seconds": 0.5, "idle_seconds": 0.5})) as client:
        assert client.rest() == b""
    assert time.monotonic() - begin > 0.3


@pytest.mark.parametrize("data", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"])
def test_a_peer_that_goes_away(attacked: Serve, peer: Any, data: bytes) -> None:
    with peer(attacked()) as client:
        client.send(data)
        client.socket.shutdown(socket.SHUT_WR)
        assert status(client.rest()) in (0, 400)


def test_half_open(attacked: Serve, peer: Any) -> None:
    with peer(attacked()) as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest().endswith(b"/a?\n")


def test_a_reset_in_the_middle_of_an_answer(attacked: Serve, peer: Any) -> None:
    server = attacked()
    for _ in range(5):
        with peer(server) as client:
            client.send(b"GET /big?40000000 HTTP/1.0\r\n\r\n").socket.recv(1000)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.slow
def test_a_slow_reader(attacked: Serve, peer: Any) -> None:
    server = attacked(limits={"write_seconds": 0.5})
    with peer(server) as client:
        client.send(b"GET /big?100000000 HTTP/1.0\r\n\r\n").socket.recv(1)
        wait_until(lambda: not server.connections()["http"])
        assert len(client.rest()) < 50_000_000
    assert server.limits_hit()["http_answer_time"] == 1


def test_many_large_answers_are_not_held_at_once(attacked: Serve, peer: Any) -> None:
    server = attacked(limits={"pending_bytes": 30_000_000, "stall_seconds": 10 * PATIENCE})
    with contextlib.ExitStack() as stack:
        stack.enter_context(peer(server)).send(b"GET /big?40000000 HTTP/1.0\r\n\r\n")
        wait_until(lambda: server.pending_bytes > 30_000_000)
        for _ in range(3):
            reader = stack.enter_context(peer(server))
            assert status(reader.send(b"GET /big?40000000 HTTP/1.0\r\n\r\n").rest()) == 503
        late = stack.enter_context(peer(server))
        assert status(late.send(GOOD).rest()) == 503
        # Who looks after the process does not take it for dead.
        healthy = stack.enter_context(peer(server))
        assert status(healthy.send(b"GET /-/healthy HTTP/1.0\r\n\r\n").rest()) == 200
    assert server.limits_hit()["http_pending"] == 4


@pytest.mark.slow
def test_pipelining(attacked: Serve, peer: Any) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i for i in range(500)]
    requests[250] = b"POST /250 HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h"
    with peer(attacked()) as client:
        sender = threading.Thread(target=client.send, args=(b"".join(requests),))
        sender.start()
        answers = client.rest()
        sender.join()
    assert re.findall(rb"\r\n\r\n/(\w+)\?\n", answers) == [b"%d" % i for i in range(500)]


def test_a_long_pipeline_does_not_keep_others_waiting(attacked: Serve, peer: Any) -> None:
    server = attacked()
    stop = threading.Event()

    def flood() -> None:
        with peer(server) as client, contextlib.suppress(OSError):
            reader = threading.Thread(target=client.rest)
            reader.start()
            while not stop.is_set():
                client.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * 50)
            client.socket.shutdown(socket.SHUT_RDWR)
            reader.join()

    def ask() -> None:
        with peer(server) as client:
            assert status(client.send(GOOD).rest()) == 200

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        wait_until(lambda: server.connections()["http"])
        for _ in range(5):
            assert_prompt(ask, 1)
    finally:
        stop.set()
        thread.join()


def test_expect_continue(attacked: Serve, peer: Any) -> None:
    with peer(attacked()) as client:
        client.send(
            b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        )
        assert client.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        assert client.send(b"abc").rest().endswith(b"/a?\n")


@pytest.mark.slow
@pytest.mark.parametrize("opening", [b"", b"GET / HTTP/1.1\r\n"], ids=["silent", "slow"])
def test_a_thousand_connections(attacked: Serve, peer: Any, opening: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    server = attacked(limits={"connections": 100, "header_seconds": 1.0})
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            client = stack.enter_context(peer(server))
            with contextlib.suppress(ConnectionError):
                client.send(opening)
        assert server.connections()["http"] <= 110

        # The silent ones make room for whoever asks; the slow ones do once their time is over.
        def is_served() -> bool:
            with peer(server) as late, contextlib.suppress(ConnectionError):
                answer = status(late.send(GOOD).rest())
                assert answer in (0, 200, 503)
                return answer == 200
            return False

        wait_until(is_served)


@pytest.mark.slow
@pytest.mark.parametrize("probe", [b"GET /-/healthy", b"GET /-/ready", b"HEAD /-/ready"])
def test_probes_pass_those_who_came_at_once(peer: Any, probe: bytes) -> None:
    """Counted in answers, not in time: all have connected, and asked, before the server begins to serve."""
    answered: list[str] = []
    probed = threading.Event()

    def answer(request: Request) -> Response:
        answered.append(request.path)
        if request.path.startswith("/-/"):
            probed.set()
        return plain(200, "here")

    server = Server(answer)
    server.listen_tcp("127.0.0.1", "0")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop, grace=0.2)
        for number in range(400):
            stack.enter_context(peer(server)).send(b"GET /%d HTTP/1.0\r\n\r\n" % number)
        client = stack.enter_context(peer(server)).send(probe + b" HTTP/1.0\r\n\r\n")
        server.start()
        assert status(client.rest()) == 200
        assert probed.wait(PATIENCE)
    before = answered.index(probe.split()[1].decode())
    assert before < 100


@pytest.mark.slow
def test_probes_pass_requests_of_open_connections(serve: Serve, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in requests that were looked at: all have come while the loop stood still."""
    parsed: list[str] = []
    held, release = threading.Event(), threading.Event()
    real = Request.parse

    def parse(target: str, *arguments: Any) -> Request:
        parsed.append(target)
        if target == "/-/healthy":
            held.set()
            assert release.wait(PATIENCE)
            parsed.clear()
        return real(target, *arguments)

    monkeypatch.setattr(Request, "parse", parse)
    server = serve(limits={"idle_seconds": 10 * PATIENCE})
    head = b" HTTP/1.1\r\nHost: h\r\n\r\n"
    with contextlib.ExitStack() as stack:
        *clients, last = [stack.enter_context(peer(server)) for _ in range(200)]
        for client in (*clients, last):
            assert status(client.send(b"GET /first" + head).socket.recv(1000)) == 200
        stack.enter_context(peer(server)).send(b"GET /-/healthy" + head)
        assert held.wait(PATIENCE)
        for number, client in enumerate(clients):
            client.send(b"GET /%d%s" % (number, head))
        last.send(b"GET /-/ready" + head)
        release.set()
        for client in (last, *clients):
            assert status(client.socket.recv(1000)) == 200
    assert parsed.index("/-/ready") < 50


def test_nothing_is_made_for_peers_that_say_nothing(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = h11.Connection

    def make(*arguments: Any, **options: Any) -> h11.Connection:
        made.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(h11, "Connection", make)
    server = Server(lambda request: plain(200, "here"))
    server.listen_tcp("127.0.0.1", "0")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop, grace=0.2)
        for _ in range(400):
            stack.enter_context(peer(server))
        client = stack.enter_context(peer(server)).send(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        server.start()
        assert status(client.rest()) == 200
        assert len(made) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_made_for_peers_that_close_without_a_word(
    attacked: Serve, peer: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Neither if they close before they are accepted nor if they do after that."""
    made = []
    real = asyncio.StreamReader

    def make(*arguments: Any, **options: Any) -> asyncio.StreamReader:
        made.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(asyncio, "StreamReader", make)
    server = attacked()
    assert server._loop is not None
    held, release = threading.Event(), threading.Event()
    if when == "before":
        server._loop.call_soon_threadsafe(lambda: (held.set(), release.wait(PATIENCE)))
        assert held.wait(PATIENCE)
    clients = [peer(server) for _ in range(100)]
    if when == "after":
        wait_until(lambda: server.connections() == {"http": 100})
    for client in clients:
        client.socket.close()
    release.set()
    wait_until(lambda: server.accepted() == {"http": 100} and is_empty(server))
    assert made == []


def test_one_too_many(attacked: Serve, peer: Any) -> None:
    """Those whose pages are being made keep their place."""
    release = threading.Event()

    def answer(request: Request) -> Response:
        release.wait(PATIENCE)
        return plain(200, "done")

    server = attacked(answer, limits={"connections": 2})
    with (
        peer(server).send(b"GET /a HTTP/1.0\r\n\r\n") as first,
        peer(server).send(b"GET /b HTTP/1.0\r\n\r\n") as second,
    ):
        wait_until(lambda: server.connections()["http"] == 2 and not server.traffic.waiting)
        with peer(server).send(GOOD) as late:
            assert status(late.rest()) == 503
        assert server.denied() == {"http": 1}
        release.set()
        assert first.rest().endswith(b"done")
        assert second.rest().endswith(b"done")


@pytest.mark.parametrize("probe", [b"GET /-/healthy", b"GET /-/ready", b"HEAD /-/healthy"])
def test_probes_have_places_of_their_own(attacked: Serve, peer: Any, probe: bytes) -> None:
    """Where all connections are busy; also if the probe is sent some time after the connection was made."""
    release = threading.Event()

    def answer(request: Request) -> Response:
        if not request.path.startswith("/-/"):
            release.wait(PATIENCE)
        return plain(200, "here")

    server = attacked(answer, limits={"connections": 2, "probes": 3})
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(peer(server)).send(b"GET /%d HTTP/1.0\r\n\r\n" % number) for number in range(2)]
        wait_until(lambda: server.connections()["http"] == 2 and not server.traffic.waiting)
        with peer(server).send(probe + b" HTTP/1.0\r\n\r\n") as client:
            assert status(client.rest()) == 200
        for request, expected in (probe + b" HTTP/1.0\r\n\r\n", 200), (GOOD, 503):
            with peer(server) as client:
                wait_until(lambda: server.connections()["http"] == 3)
                assert status(client.send(request).rest()) == expected
            wait_until(lambda: server.connections()["http"] == 2)
        assert server.denied() == {"http": 1}
        release.set()
        for client in busy:
            assert status(client.rest()) == 200


def test_connections_that_were_cut_off_leave_no_garbage(attacked: Serve, peer: Any) -> None:
    """A flood of them would make collections of garbage long, and these stop all threads."""
    server = attacked(limits={"incomplete": 2})
    made = []
    gc.disable()
    try:
        with contextlib.ExitStack() as stack:
            for number in range(10):
                stack.enter_context(peer(server))
                wait_until(lambda number=number: server.accepted()["http"] > number)  # type: ignore[misc]
                made += [weakref.ref(list(server.traffic.connections.values())[-1])]
            wait_until(lambda: sum(reference() is not None for reference in made) <= 2)
    finally:
        gc.enable()


def test_a_connection_cut_off_before_its_first_step_is_closed(attacked: Serve, peer: Any) -> None:
    server = attacked(limits={"connections": 1})
    held, release = threading.Event(), threading.Event()
    assert server._loop is not None
    server._loop.call_soon_threadsafe(lambda: (held.set(), release.wait(PATIENCE)))
    assert held.wait(PATIENCE)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(peer(server)) for _ in range(5)]
        release.set()
        for client in clients[:-1]:
            assert status(client.rest()) in (0, 503)
        assert status(clients[-1].send(GOOD).rest()) == 200


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (25, 25))
from nativemtail.http.messages import plain
from nativemtail.http.server import Server
server = Server(lambda request: plain(200, "still here"))
server.listen_tcp("127.0.0.1", "0")
server.start()
print(server.addresses()[0], flush=True)
input()
server.stop()
"""


@pytest.mark.slow
def test_no_file_descriptor_left() -> None:
    command = [sys.executable, "-c", FEW_FILES]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process,
        contextlib.ExitStack() as stack,
    ):
        assert process.stdout is not None
        host, _, number = process.stdout.readline().strip().rpartition(":")
        for _ in range(60):
            stack.enter_context(socket.create_connection((host, int(number)), timeout=PATIENCE))
        with socket.create_connection((host, int(number)), timeout=PATIENCE) as sock:
            sock.sendall(GOOD)
            assert sock.recv(1000).endswith(b"still here")
        _, errors = process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0
    assert errors.count("Too many open files") >= 1
    assert "Traceback" not in errors


def test_strangers_cannot_keep_friends_out(attacked: Serve, peer: Any) -> None:
    server = attacked(trusted=TrustedHosts.parse(["127.0.0.1"]), limits={"connections": 20, "strangers": 10})
    host, _, number = server.addresses()[0].rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stranger = socket.create_connection((host, int(number)), source_address=("127.0.0.8", 0), timeout=PATIENCE)
            stack.enter_context(stranger)
            with contextlib.suppress(ConnectionError):
                stranger.sendall(b"GET / HTTP/1.1\r\n")
        with peer(server) as client:
            assert status(client.send(GOOD).rest()) == 200


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[str, int, Server]]:
    def answer(request: Request) -> Response:
        return plain(200, request.path)

    server = Server(answer, limits=Limits(header_seconds=0.1, idle_seconds=0.1, linger_seconds=0.05))
    server.listen_tcp("127.0.0.1", "0")
    server.start()
    host, _, number = server.addresses()[0].rpartition(":")
    yield host, int(number), server
    server.stop(grace=1)


PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"GET ",
        b"/metrics?prefix=",
        b" HTTP/1.1\r\n",
        b"Host: h\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(PIECES | st.binary(max_size=50), max_size=12), st.integers(1, 64), st.booleans())
def test_fuzz(target: tuple[str, int, Server], pieces: list[bytes], cut: int, half: bool) -> None:
    """Whatever comes, in whatever pieces: whole answers or none, and soon the end."""
    host, number, _ = target
    data = b"".join(pieces)
    with socket.create_connection((host, number), timeout=PATIENCE) as sock:
        answer = b""
        with contextlib.suppress(ConnectionError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(data), max(cut, len(data) // 10)):
                sock.sendall(data[start : start + max(cut, len(data) // 10)])
            if half:
                with contextlib.suppress(OSError):  # of a connection that the server has closed
                    sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(65536):
                answer += chunk
    while answer:
        head, found, rest = answer.partition(b"\r\n\r\n")
        assert found
        assert re.match(rb"HTTP/1\.1 (100|200|30\d|40\d|413|431|501|505) ", head)
        length = re.search(rb"Content-Length: (\d+)", head)
        answer = rest[int(length[1]) :] if length else rest


def test_fuzzed_server_still_answers(target: tuple[str, int, Server]) -> None:
    host, number, _ = target

    def answers() -> bool:
        """A slow request is cut off early here."""
        with socket.create_connection((host, number), timeout=PATIENCE) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(GOOD)
            return sock.recv(100).startswith(b"HTTP/1.1 200")
        return False

    wait_until(answers)


def test_random_bytes(attacked: Serve, peer: Any) -> None:
    source = random.Random(3)
    server = attacked()
    for _ in range(100):
        with peer(server) as client, contextlib.suppress(ConnectionError):
            client.send(source.randbytes(source.randrange(2000)))
            client.socket.shutdown(socket.SHUT_WR)
            assert status(client.rest()) in (0, 400)
