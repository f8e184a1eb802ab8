"""Lines by HTTP: what is taken, what is refused and with which words, limits, the stop."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import cramjam
import pytest
from lokimessages import push_request
from rig import Rig
from waiting import PATIENCE, wait_until

from nativemtail.io import requests
from nativemtail.io.patterns import BadSource, LogSpec, parse_logs
from nativemtail.io.sources import Settings

zipped = partial(gzip.compress, mtime=0)
NAME = "http://127.0.0.1:0/logs"
LOKI = "http://127.0.0.1:0/loki/api/v1/push"
QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(NAME, settings=QUICK) as rig:
        yield rig


def address(rig: Rig, name: str = NAME) -> tuple[str, int]:
    found = rig.tailer.addresses[name]
    assert isinstance(found, tuple)
    return found[:2]


def client(rig: Rig, name: str = NAME) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*address(rig, name), timeout=PATIENCE)


def post(
    rig: Rig,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    name: str = NAME,
    path: str = "",
    method: str = "POST",
) -> tuple[int, str]:
    """One request on a connection of its own: the status and the text."""
    connection = client(rig, name)
    try:
        connection.request(method, path or name.removeprefix("http://127.0.0.1:0"), body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def connect(rig: Rig) -> socket.socket:
    peer = socket.create_connection(address(rig), PATIENCE)
    peer.settimeout(PATIENCE)
    return peer


def request(body: bytes, *fields: str) -> bytes:
    head = ["POST /logs HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body


def until_closed(peer: socket.socket) -> bytes:
    data = b""
    while piece := peer.recv(65536):
        data += piece
    return data


# --- what an element of --logs means ---------------------------------------------------------------------------


def test_an_element() -> None:
    assert parse_logs(["http://:1/a%20b"]) == [LogSpec("http", "http://:1/a%20b", ":1", "/a%20b")]
    assert parse_logs(["HTTP://[::1]:1"]) == [LogSpec("http", "http://[::1]:1/", "[::1]:1", "/")]


@pytest.mark.parametrize("text", ["http://", "http:///a", "http://x:1/?q", "http://x:1/#f", "http://u@x:1/"])
def test_an_element_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSource, match="expected http://HOST:PORT/PATH"):
        parse_logs([text])


def test_there_is_no_tls() -> None:
    with pytest.raises(BadSource, match="https://x:1/: sources have no TLS: put a proxy in front"):
        parse_logs(["https://x:1/"])


# --- what is taken ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "lines"),
    [
        (b"one\ntwo\n", {}, [b"one", b"two"]),
        (b"one\r\n\nrest", {"Content-Type": "text/plain; charset=utf-8"}, [b"one\r", b"", b"rest"]),
        (b"[1]\n[2]\n", {"Content-Type": "application/x-ndjson"}, [b"[1]", b"[2]"]),
        (b'{\n"a": 1}', JSON, [b'{ "a": 1}']),
        (b"[1, 2]", {"Content-Type": "application/vnd.x+json; charset=utf-8"}, [b"1", b"2"]),
        (zipped(b"one\n"), {"Content-Encoding": "gzip"}, [b"one"]),
        (zipped(b"[1,2]"), {"Content-Encoding": "x-gzip", **JSON}, [b"1", b"2"]),
        (b"", {}, []),
    ],
)
def test_bodies(rig: Rig, body: bytes, headers: dict[str, str], lines: list[bytes]) -> None:
    assert post(rig, body, headers) == (204, "")
    assert rig.lines == lines  # at once: they were counted before the answer
    assert rig.tailer.counters.log_lines_total[NAME] == len(lines)
    assert list(rig.sink.lines) in ([NAME], [])


def test_loki() -> None:
    body = {"streams": [{"stream": {"app": "a"}, "values": [["1", "one"], ["2", "two"]]}]}
    with Rig(LOKI, settings=QUICK) as rig:
        assert post(rig, json.dumps(body).encode(), JSON, name=LOKI) == (204, "")
        assert rig.lines == [b"one", b"two"]
        assert post(rig, b"[]", JSON, name=LOKI)[0] == 400
        status, text = post(rig, b"one", name=LOKI)
        assert status == 415
        assert text.endswith("send one of Loki's forms, application/json or application/x-protobuf.\n")
        assert len(rig.lines) == 2


def snapped(*lines: str) -> bytes:
    return bytes(cramjam.snappy.compress_raw(push_request(('{app="a"}', list(lines)))))


@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/protobuf; charset=utf-8"])
def test_loki_protobuf(kind: str) -> None:
    headers = {"Content-Type": kind}
    with Rig(LOKI, settings=replace(QUICK, max_body=10_000)) as rig:
        assert post(rig, snapped("one", "two\n"), headers, name=LOKI) == (204, "")
        assert post(rig, snapped("three"), {**headers, "Content-Encoding": "snappy"}, name=LOKI) == (204, "")
        assert post(rig, zipped(snapped("four")), {**headers, "Content-Encoding": "gzip"}, name=LOKI) == (204, "")
        assert rig.lines == [b"one", b"two", b"three", b"four"]
        assert post(rig, b"", headers, name=LOKI)[0] == 400
        assert post(rig, push_request(("", ["not compressed"])), headers, name=LOKI)[0] == 400
        assert post(rig, bytes(cramjam.snappy.compress_raw(b"no message")), headers, name=LOKI)[0] == 400
        assert rig.tailer.counters.limits_total["request_body"] == 0
        assert post(rig, snapped("x" * 10_001), headers, name=LOKI)[0] == 413
        assert rig.tailer.counters.limits_total["request_body"] == 1
        assert len(rig.lines) == 4


def test_snappy_is_for_lokis_protobuf_only(rig: Rig) -> None:
    for headers in {}, JSON, {"Content-Type": "application/x-protobuf"}:
        assert post(rig, snapped("one"), {**headers, "Content-Encoding": "snappy"})[0] == 415
    with Rig(LOKI, settings=QUICK) as loki:
        assert post(loki, snapped("one"), {**JSON, "Content-Encoding": "snappy"}, name=LOKI)[0] == 415
        assert loki.lines == []


def test_lokis_protobuf_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with Rig(LOKI, settings=QUICK) as rig:
        status, text = post(rig, snapped("one"), {"Content-Type": "application/x-protobuf"}, name=LOKI)
        assert status == 415
        assert "pip install 'nativemtail[loki]'" in text
        body = {"streams": [{"stream": {}, "values": [["1", "two"]]}]}
        assert post(rig, json.dumps(body).encode(), JSON, name=LOKI) == (204, "")
        assert rig.lines == [b"two"]


def test_one_connection_takes_many_requests(rig: Rig) -> None:
    connection = client(rig)
    for number in range(20):
        connection.request("POST", "http://else.where/logs?x=y" if number % 2 else "/l%6fgs", b"%d" % number)
        assert connection.getresponse().read() == b""
    connection.close()
    assert rig.lines == [b"%d" % number for number in range(20)]
    rig.wait(lambda: rig.tailer.counters.log_closes_total[NAME] == 1)
    assert rig.tailer.counters.connections_total[NAME] == 1


def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    with connect(rig) as peer:
        peer.sendall(request(b"a") * 500 + request(b"b", "Connection: close"))
        answers = until_closed(peer)
    assert answers.count(b"HTTP/1.1 204 No Content\r\n") == 501
    assert rig.lines == [b"a"] * 500 + [b"b"]


def test_chunked_and_byte_by_byte(rig: Rig) -> None:
    text = b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\n\ntwo\r\n0\r\n\r\n"
    with connect(rig) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(text)):
            assert rig.lines == []
            peer.sendall(text[at : at + 1])
        assert peer.recv(1000).startswith(b"HTTP/1.1 204 ")
    assert rig.lines == [b"one", b"two"]


def test_a_client_waits_to_be_asked_for_the_body(rig: Rig) -> None:
    with connect(rig) as peer:
        whole = request(b"one", "Expect: 100-continue")
        peer.sendall(whole[:-3])
        assert peer.recv(1000).startswith(b"HTTP/1.1 100 ")
        peer.sendall(whole[-3:])
        assert peer.recv(1000).startswith(b"HTTP/1.1 204 ")
        peer.sendall(request(bytes(5 * 1024 * 1024), "Expect: 100-continue")[:200])
        assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_http_1_0(rig: Rig) -> None:
    with connect(rig) as peer:
        peer.sendall(b"POST /logs HTTP/1.0\r\nContent-Length: 3\r\n\r\none")
        assert until_closed(peer).startswith(b"HTTP/1.1 204 ")


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answers_is_answered_later(rig: Rig) -> None:
    count = 3000  # their answers exceed the buffers
    with socket.socket() as peer:
        peer.settimeout(PATIENCE)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(address(rig))
        rig.wait(lambda: rig.tailer.log_count == 2)
        [connection] = rig.tailer._listeners[0].connections  # type: ignore[union-attr]
        assert isinstance(connection, requests.RequestConnection)
        connection._peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        data = request(b"a") * count + request(b"b", "Connection: close")
        sender = threading.Thread(target=peer.sendall, args=(data,))
        sender.start()
        rig.wait(lambda: connection._is_waiting_for_room)
        assert len(rig.lines) < count
        received = until_closed(peer)
        sender.join(PATIENCE)
    assert received.count(b"HTTP/1.1 204 ") == count + 1
    assert len(rig.lines) == count + 1


def test_long_lines_are_cut_and_counted() -> None:
    with Rig(NAME, settings=replace(QUICK, max_line_length=1024)) as rig:
        assert post(rig, b"x" * 3000 + b"\nshort") == (204, "")
        assert rig.lines == [b"x" * 1024, b"short"]
        assert rig.tailer.counters.lines_cut_total[NAME] == 1


def test_until_end_takes_one_connection() -> None:
    with Rig(NAME, settings=QUICK, until_end=True) as rig:
        connection = client(rig)
        for body in (b"one", b"two"):
            connection.request("POST", "/logs", body)
            assert connection.getresponse().read() == b""
        connection.close()
        rig.wait(lambda: rig.ended)
    assert rig.lines == [b"one", b"two"]


def test_a_path_may_be_encoded() -> None:
    name = "http://127.0.0.1:0/a%20b"
    with Rig(name, settings=QUICK) as rig:
        assert post(rig, b"one", name=name) == (204, "")
        assert post(rig, b"two", name=name, path="/%61%20b") == (204, "")


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "arguments"),
    [
        (404, 'This source of logs is /logs, not "/other".', {"path": "/other"}),
        (404, 'This source of logs is /logs, not "/a\\nb".', {"path": "/a%0ab"}),
        (405, "Lines are sent with POST.", {"method": "GET"}),
        (405, "", {"method": "HEAD"}),
        (404, "", {"method": "HEAD", "path": "/other"}),
        (403, "Requests that a web page makes are refused (Origin).", {"headers": {"Origin": "null"}}),
        (415, "Content-Encoding br is not supported: send gzip, or none.", {"headers": {"Content-Encoding": "br"}}),
        (
            415,
            "Content-Type multipart/form-data is not supported: send lines, or JSON records.",
            {"headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        ),
        (
            400,
            "The body is not JSON, as Content-Type says: Expecting value: line 1 column 2 (char 1).",
            {"body": b"[x]", "headers": JSON},
        ),
        (400, "The body is not gzip", {"headers": {"Content-Encoding": "gzip"}}),
        (413, "The body has more than 1000 bytes: send fewer lines at a time.", {"body": bytes(1001)}),
        (
            413,
            "The body has more than 1000 bytes when it is decoded: send fewer lines at a time.",
            {"body": zipped(bytes(1001)), "headers": {"Content-Encoding": "gzip"}},
        ),
    ],
)
def test_refusals(status: int, text: str, arguments: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    with Rig(NAME, settings=replace(QUICK, max_body=1000)) as rig:
        found = post(rig, **{"body": b"line", **arguments})  # type: ignore[arg-type]
        assert found[0] == status
        assert found[1].startswith(text)
        assert rig.lines == []
        assert rig.tailer.counters.log_errors_total[NAME] == 1
        assert rig.tailer.counters.limits_total["request_body"] == (status == 413)
        assert caplog.messages[-1].startswith(f"{NAME}: {status} from 127.0.0.1: {text}")
        post(rig, **{"body": b"line", **arguments})  # type: ignore[arg-type]
        assert len(caplog.messages) == 1  # others of the kind are only counted
        assert post(rig, b"fine") == (204, "")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n", 400),
        (b"POST /logs HTTP/1.1\r\n\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"HEAD /logs HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nonexx\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /logs HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000, 431),
        (b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n" + bytes(5 << 20), 413),
    ],
)
def test_broken_requests(rig: Rig, sent: bytes, status: int) -> None:
    with connect(rig) as peer:
        peer.sendall(sent)
        assert until_closed(peer).startswith(b"HTTP/1.1 %d " % status)
    assert post(rig, b"fine") == (204, "")
    assert rig.lines == [b"fine"]


@pytest.mark.parametrize("sent", [b"rubbish\r\n\r\n", request(b"one"), b"GET /logs HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_client_that_is_gone_before_the_answer(sent: bytes) -> None:
    """Whatever the answer would be, only its connection ends."""
    rig = Rig(NAME, settings=QUICK)
    rig.tailer.open()
    try:
        listener = rig.tailer._listeners[0]
        assert isinstance(listener, requests.RequestListener)
        with connect(rig) as peer:
            peer.sendall(sent)
            while not listener.connections:
                rig.tailer._loop.run_once()
            [connection] = listener.connections
            assert connection.read() == len(sent)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while connection.read():
            continue
        assert connection.read() == 0
    finally:
        rig.tailer.close()


@pytest.mark.slow
def test_damaged_requests_stop_nothing(rig: Rig) -> None:
    chunked = b"POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
    records = request(
        b'[{"a": [1, 2.5, "\\u00e4"]}]', "Content-Type: application/json", "Connection: upgrade", "Upgrade: x"
    )
    packed = request(zipped(b"line\n" * 20), "Content-Encoding: gzip", "Expect: 100-continue")
    words = (b"\r\n", b"\0", b"HEAD", b"CONNECT", b"chunked", b"9" * 30, b"\xff", b" ", b":", b"HTTP/1.0", b"-1")
    chance = random.Random(1)
    for _ in range(600):
        data = bytearray(chance.choice([chunked, records, packed]) + request(b"next"))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(6)] = chance.choice(words)
        with connect(rig) as peer:
            peer.sendall(data)
            if chance.random() < 0.5:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                continue
            peer.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                until_closed(peer)
    assert post(rig, b"fine") == (204, "")
    assert rig.lines[-1] == b"fine"


def test_an_incomplete_request_is_not_counted(rig: Rig) -> None:
    with connect(rig) as peer:
        peer.sendall(request(b"one\ntwo\n")[:-1])
        peer.shutdown(socket.SHUT_WR)
        assert until_closed(peer) == b""
    rig.stays([])


# --- limits ----------------------------------------------------------------------------------------------------


def test_slow_requests_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_SWEEP", 0.02)
    with Rig(NAME, settings=replace(QUICK, request_time=0.2)) as rig, connect(rig) as peer:
        peer.sendall(request(b"one")[:-1])
        answer = until_closed(peer).decode()
        assert answer.startswith("HTTP/1.1 408 ")
        assert answer.endswith("The request took longer than 0.2 seconds to arrive.\n")
        assert rig.tailer.counters.limits_total["request_time"] == 1
        assert rig.lines == []


def test_idle_connections_are_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_SWEEP", 0.02)
    with Rig(NAME, settings=replace(QUICK, idle_time=0.2)) as rig, connect(rig) as silent, connect(rig) as peer:
        peer.sendall(request(b"one"))
        assert until_closed(peer).startswith(b"HTTP/1.1 204 ")
        assert until_closed(silent) == b""
        rig.wait(lambda: rig.tailer.log_count == 1)


def test_bodies_of_all_connections_have_a_limit() -> None:
    settings = replace(QUICK, max_partial=100_000)
    with Rig(NAME, settings=settings) as rig, connect(rig) as one, connect(rig) as two:
        one.sendall(request(b"a" * 80_000)[:-1])
        rig.wait(lambda: rig.tailer._listeners[0]._partial > 70_000)  # type: ignore[union-attr]
        two.sendall(request(b"b" * 80_000)[:-1])
        assert until_closed(two).startswith(b"HTTP/1.1 503 ")
        assert rig.tailer.counters.limits_total["partial_memory"] == 1
        one.sendall(b"\n")
        assert one.recv(1000).startswith(b"HTTP/1.1 204 ")
        assert len(rig.lines) == 1
        assert rig.tailer._listeners[0]._partial == 0  # type: ignore[union-attr]


def test_idle_connections_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_SWEEP", 0.02)
    monkeypatch.setattr(requests, "_IDLE", 0.05)
    with Rig(NAME, settings=replace(QUICK, max_clients=4)) as rig, connect(rig) as idle, connect(rig) as busy:
        for peer in (idle, busy):
            peer.sendall(request(b"one"))
            assert peer.recv(1000).startswith(b"HTTP/1.1 204 ")
        rig.wait(lambda: len(rig.tailer._peers._silent.get("127.0.0.1", ())) == 2)  # type: ignore[union-attr]
        busy.sendall(request(b"two"))
        assert busy.recv(1000).startswith(b"HTTP/1.1 204 ")
        assert post(rig, b"three") == (204, "")
        assert until_closed(idle) == b""
        busy.sendall(request(b"four"))
        assert busy.recv(1000).startswith(b"HTTP/1.1 204 ")
        assert rig.tailer.counters.connections_dropped_total[NAME] == 1


# --- the stop --------------------------------------------------------------------------------------------------


def test_requests_that_have_arrived_are_counted_and_answered_at_the_stop() -> None:
    with Rig(NAME, settings=QUICK) as rig, connect(rig) as first, connect(rig) as whole, connect(rig) as idle:
        rig.wait(lambda: rig.tailer.log_count == 4)
        rig.sink.may_scan.clear()
        first.sendall(request(b"first"))
        rig.wait(lambda: rig.sink.entered == 1)
        whole.sendall(request(b"one") + request(b"two"))
        rig.tailer.stop()
        rig.sink.may_scan.set()
        assert until_closed(first).startswith(b"HTTP/1.1 204 ")
        answers = until_closed(whole)
        assert answers.count(b"HTTP/1.1 204 ") == 2
        assert answers.count(b"Connection: close") == 1
        assert until_closed(idle) == b""
        rig.wait(lambda: rig.ended)
    assert sorted(rig.lines) == [b"first", b"one", b"two"]
    assert not rig.tailer.unread


def test_a_request_that_has_begun_may_end_during_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_GRACE", PATIENCE)
    with Rig(NAME, settings=replace(QUICK, drain=PATIENCE)) as rig, connect(rig) as peer:
        peer.sendall(request(b"one")[:-1])
        rig.wait(lambda: rig.tailer.log_count == 2)
        rig.tailer.stop()
        peer.sendall(b"!")
        assert until_closed(peer).startswith(b"HTTP/1.1 204 ")
    assert rig.lines == [b"on!"]


def test_a_request_that_does_not_end_is_not_answered_at_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_GRACE", 0.1)
    with Rig(NAME, settings=QUICK) as rig, connect(rig) as peer:
        peer.sendall(request(b"one")[:-1])
        rig.wait(lambda: rig.tailer.log_count == 2)
        rig.tailer.stop()
        assert until_closed(peer) == b""
    assert rig.lines == []
    assert not rig.tailer.unread


@pytest.mark.slow
def test_clients_that_keep_sending_do_not_prolong_the_stop(rig: Rig) -> None:
    stopping = threading.Event()

    def send() -> None:
        try:
            with connect(rig) as peer:
                while True:
                    peer.sendall(request(b"again") * 10)
                    stopping.wait(0.001)
        except OSError:  # perhaps already when it connects
            return

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    rig.wait(lambda: rig.lines)
    rig.tailer.stop()
    wait_until(lambda: rig.ended, lambda: "still reading")
    for sender in senders:
        sender.join(PATIENCE)
