"""Posting to one address: one connection, waits that the server asks for, certificates."""

from __future__ import annotations

import contextlib
import email.utils
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nativemtail.history.httptarget import Answer, HttpTarget, Unreachable, Untrusted


class Server:
    """Sends the next of `answers` for each request that has arrived whole; an empty one closes."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if context else ''}://localhost:{self._listener.getsockname()[1]}/w?x=1"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            with sock, contextlib.suppress(OSError):
                self._answer(self._context.wrap_socket(sock, server_side=True) if self._context else sock)

    def _answer(self, sock: socket.socket) -> None:
        with sock:
            held = b""
            while data := sock.recv(65536):
                held += data
                if held.endswith(b"end"):
                    self.requests.append(held)
                    held = b""
                    answer = self.answers.pop(0)
                    if not answer:
                        return
                    sock.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def target(server: Server) -> Iterator[HttpTarget]:
    target = HttpTarget(server.url, {"X-A": "b"}, seconds=20)
    yield target
    target.close()


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def test_one_connection_serves_all_requests(server: Server, target: HttpTarget) -> None:
    server.answers = [answer("204 No Content")] * 3
    for _ in range(3):
        assert target.post(b"the end") == Answer(204, "No Content", 0.0)
    assert server.connections == 1
    assert server.requests[2].startswith(b"POST /w?x=1 HTTP/1.1\r\n")
    assert b"X-A: b\r\n" in server.requests[2]


def test_a_closed_connection_is_made_anew(server: Server, target: HttpTarget) -> None:
    server.answers = [answer("200 OK"), b"", answer("200 OK")]
    assert target.post(b"end").status == 200
    with pytest.raises(Unreachable):
        target.post(b"end")
    assert target.post(b"end").status == 200
    assert server.connections == 2


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", b"HTTP/1.1 999999\r\n\r\n", answer("200 OK", b"x")[:-1]])
def test_what_is_no_answer(server: Server, garbage: bytes) -> None:
    target = HttpTarget(server.url, {}, seconds=0.5)
    server.answers = [garbage]
    with pytest.raises(Unreachable):
        target.post(b"end")


def test_only_the_first_line_is_shown(server: Server, target: HttpTarget) -> None:
    server.answers = [answer("400 Bad", b"\n too \x1b[31mold \xff\nmore"), answer("400 Bad", b"x" * 100_000)]
    assert target.post(b"end").text == "too  [31mold \N{REPLACEMENT CHARACTER}"
    assert str(target.post(b"end")) == "400 " + "x" * 200


def in_a_minute() -> str:
    return email.utils.formatdate(time.time() + 60, usegmt=True)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("-3", 0, 0), ("inf", 0, 0), ("soon", 0, 0), ("", 0, 0), ("date", 30, 60)],
)
def test_retry_after(server: Server, target: HttpTarget, text: str, least: float, most: float) -> None:
    server.answers = [answer("503 No", b"", f"Retry-After: {in_a_minute() if text == 'date' else text}")]
    assert least <= target.post(b"end").retry_after <= most


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key -out cert"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make.split(), *subject], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server = Server(context)
    server.answers = [answer("200 OK")]
    try:
        with pytest.raises(Untrusted, match="self-signed"):
            HttpTarget(server.url, {}).post(b"end")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        trusting = HttpTarget(server.url, {})
        assert trusting.post(b"end").status == 200
        trusting.close()
    finally:
        server.close()
    assert len(server.requests) == 1
