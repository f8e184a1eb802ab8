"""TLS: with and without client certificates, reloading, and peers that get it wrong."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE, wait_until

from nativemtail.http.connection import Connection
from nativemtail.http.limits import Limits
from nativemtail.http.messages import Request, plain
from nativemtail.http.server import Server
from nativemtail.http.tls import TLS, TLSError
from nativemtail.http.trust import TrustedHosts

Serve = Callable[..., Server]


NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


def openssl(options: str, *arguments: str) -> None:
    subprocess.run(["openssl", *options.split(), *arguments], check=True, capture_output=True)


class Authority:
    """A certificate authority of one's own, in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.certificate = str(directory / f"{name}.pem")
        self._key = str(directory / f"{name}.key")
        openssl(
            f"req -x509 -days 2 {NEW_KEY}",
            "-subj",
            f"/CN={name}",
            "-keyout",
            self._key,
            "-out",
            self.certificate,
        )

    def issue(self, name: str) -> tuple[str, str]:
        """Certificate and key for 127.0.0.1 in the files of that name."""
        cert, key, request, names = (str(self.directory / f"{name}.{end}") for end in ("pem", "key", "csr", "ext"))
        openssl(
            f"req {NEW_KEY}",
            "-subj",
            f"/CN={name}-{self.name}",
            "-keyout",
            key,
            "-out",
            request,
        )
        Path(names).write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            "x509 -req -days 2 -CAcreateserial",
            "-in",
            request,
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
            "-extfile",
            names,
            "-out",
            cert,
        )
        return cert, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


def port(server: Server) -> int:
    return int(server.addresses()[0].rpartition(":")[2])


def get(server: Server, authority: Authority, client: tuple[str, str] | None = None) -> tuple[int, bytes, str]:
    """Status, body, and the common name on the server's certificate."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if client:
        context.load_cert_chain(*client)
    connection = http.client.HTTPSConnection("127.0.0.1", port(server), context=context, timeout=PATIENCE)
    try:
        connection.request("GET", "/a")
        subject = connection.sock.getpeercert()["subject"][0][0][1]
        response = connection.getresponse()
        return response.status, response.read(), subject
    finally:
        connection.close()


def test_server_certificate(serve: Serve, authority: Authority, other: Authority) -> None:
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key))
    assert get(server, authority) == (200, b"/a?\n", "server-ca")
    assert server.denied() == {"https": 0}
    with pytest.raises(ssl.SSLCertVerificationError):
        get(server, other)


def test_client_certificate(serve: Serve, authority: Authority, other: Authority) -> None:
    cert, key = authority.issue("mutual")
    server = serve(tls=TLS(cert=cert, key=key, client_ca=authority.certificate))
    assert get(server, authority, authority.issue("friend"))[:2] == (200, b"/a?\n")
    for client in (None, other.issue("stranger")):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            get(server, authority, client)
    wait_until(lambda: server.denied() == {"https": 2})  # the client may know of its failure first


def test_a_certificate_does_not_replace_trust(serve: Serve, authority: Authority) -> None:
    cert, key = authority.issue("mutual")
    tls = TLS(cert=cert, key=key, client_ca=authority.certificate)
    server = serve(tls=tls, trusted=TrustedHosts.parse(["192.0.2.1"]))
    status, body, _ = get(server, authority, authority.issue("friend"))
    assert (status, body) == (401, b"127.0.0.1 is not trusted to ask for /a (--trusted_hosts).\n")


def test_reload(serve: Serve, authority: Authority, other: Authority) -> None:
    cert, key = authority.issue("reloaded")
    server = serve(tls=TLS(cert=cert, key=key), limits={"idle_seconds": 10 * PATIENCE})
    context = ssl.create_default_context(cafile=authority.certificate)
    kept = http.client.HTTPSConnection("127.0.0.1", port(server), context=context, timeout=PATIENCE)
    kept.request("GET", "/kept")
    assert kept.getresponse().read() == b"/kept?\n"
    Path(cert).write_text("garbage")
    with pytest.raises(TLSError, match=r"reloaded\.pem"):
        server.reload_tls()
    assert get(server, authority)[2] == "reloaded-ca"
    for source, target in zip(other.issue("reloaded"), (cert, key), strict=True):
        Path(target).write_bytes(Path(source).read_bytes())
    assert get(server, authority)[2] == "reloaded-ca"
    server.reload_tls()
    assert get(server, other)[2] == "reloaded-other"
    kept.request("GET", "/kept")
    assert kept.getresponse().read() == b"/kept?\n"
    kept.close()


def test_reload_without_tls(serve: Serve) -> None:
    serve().reload_tls()


@pytest.mark.parametrize("broken", ["cert", "key", "client_ca"])
@pytest.mark.parametrize("kind", ["missing", "garbage", "directory", "nul", "pipe", "endless"])
def test_unusable_files(authority: Authority, tmp_path: Path, broken: str, kind: str) -> None:
    cert, key = authority.issue("good")
    files = {"cert": cert, "key": key, "client_ca": authority.certificate}
    (tmp_path / "garbage").write_text("garbage")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    files[broken] = str(tmp_path / ("a\0b" if kind == "nul" else kind))
    with pytest.raises(TLSError, match="cannot use"):
        Server(lambda request: None, tls=TLS(**files))  # type: ignore[arg-type,return-value]


def test_key_of_another_certificate(authority: Authority) -> None:
    with pytest.raises(TLSError, match=r"the key belongs to another certificate$"):
        TLS(cert=authority.issue("one")[0], key=authority.issue("two")[1]).context()


@pytest.mark.parametrize("content", ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
@pytest.mark.parametrize(
    ("broken", "what"), [("cert", "certificate"), ("key", "private key"), ("client_ca", "certificate")]
)
def test_the_file_that_is_not_pem_is_named(
    authority: Authority, tmp_path: Path, broken: str, what: str, content: str
) -> None:
    cert, key = authority.issue("good")
    files = {"cert": cert, "key": key, "client_ca": authority.certificate, broken: str(tmp_path / "bad.pem")}
    (tmp_path / "bad.pem").write_text(content)
    with pytest.raises(TLSError, match=rf"/bad\.pem has no {what} in PEM form$"):
        TLS(**files).context()


def test_encrypted_key_does_not_ask(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("locked")
    locked = str(tmp_path / "locked.key")
    openssl("ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked)
    with pytest.raises(TLSError, match="the key is encrypted"):
        TLS(cert=cert, key=locked).context()


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + bytes(1000), bytes(100_000)],
)
def test_peers_that_do_not_speak_tls(serve: Serve, authority: Authority, data: bytes) -> None:
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key), limits={"header_seconds": 0.5})
    with (
        socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE) as sock,
        contextlib.suppress(ConnectionError),
    ):
        sock.sendall(data)
        while sock.recv(1000):
            pass
    assert get(server, authority)[0] == 200
    assert server.connections()["https"] <= 1


def test_old_protocols_are_refused(serve: Serve, authority: Authority) -> None:
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key))
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port(server)}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    assert subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE, check=False).returncode != 0


def test_large_page(serve: Serve, authority: Authority) -> None:
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key))
    context = ssl.create_default_context(cafile=authority.certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", port(server), context=context, timeout=PATIENCE)
    connection.request("GET", "/big?16000000")
    assert connection.getresponse().read() == b"0123456789abcdef" * 1_000_000
    connection.close()


def hello(context: ssl.SSLContext, name: str) -> bytes:
    """A client's first message, which names the server."""
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


class Crowd:
    """Clients that connect, and say hello, before the server begins to serve."""

    def __init__(self, authority: Authority, stack: contextlib.ExitStack, **limits: Any) -> None:
        self.handshakes: list[str] = []
        """The names in the hellos, in the order in which the server looked at them."""
        cert, key = authority.issue("server")
        limits = {"header_seconds": 10 * PATIENCE, **limits}
        self.server = Server(lambda request: plain(200, "here"), tls=TLS(cert=cert, key=key), limits=Limits(**limits))
        assert self.server.traffic.context is not None
        self.server.traffic.context.sni_callback = lambda _connection, name, _context: self.handshakes.append(name)
        self.server.listen_tcp("127.0.0.1", "0")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._stack = stack
        stack.callback(self.server.stop, grace=0.2)

    def say_hello(self, name: str, source: str = "127.0.0.1") -> socket.socket:
        address = ("127.0.0.1", port(self.server))
        client = socket.create_connection(address, timeout=PATIENCE, source_address=(source, 0))
        self._stack.enter_context(client).sendall(hello(self._context, name))
        return client


@pytest.mark.slow
def test_a_handshake_does_not_wait_for_those_before(authority: Authority) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(authority, stack)
        for number in range(300):
            crowd.say_hello(f"n{number}")
        crowd.server.start()
        wait_until(lambda: len(crowd.handshakes) == 300)
    assert crowd.handshakes.index("n299") < 50


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 350, 699])
def test_a_handshake_does_not_wait_for_those_of_another_address(authority: Authority, place: int) -> None:
    """Even if there are more of these than places for connections; none of them loses its own."""
    with contextlib.ExitStack() as stack:
        crowd = Crowd(authority, stack, connections=100, incomplete=90)
        for number in range(700):
            crowd.say_hello(f"n{number}", "127.0.0.2" if number == place else "127.0.0.1")
        crowd.server.start()
        wait_until(lambda: len(crowd.handshakes) >= 600)
        assert crowd.handshakes.index(f"n{place}") < 80


@pytest.mark.slow
def test_no_handshake_with_those_who_have_closed(authority: Authority) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(authority, stack)
        for number in range(300):
            crowd.say_hello(f"n{number}").close()
        half_closed = crowd.say_hello("half")
        half_closed.shutdown(socket.SHUT_WR)
        last = crowd.say_hello("last")
        crowd.server.start()
        assert last.recv(100)
        wait_until(lambda: crowd.server.denied() == {"https": 301})
    assert crowd.handshakes == ["last"]


@pytest.mark.slow
def test_too_many_handshakes(authority: Authority) -> None:
    """The largest crowd loses places, those who have waited longest first."""
    with contextlib.ExitStack() as stack:
        crowd = Crowd(authority, stack, handshakes=10)
        others = [crowd.say_hello(f"o{number}", "127.0.0.2") for number in range(3)]
        for number in range(60):
            crowd.say_hello(f"n{number}")
        crowd.server.start()
        for other in others:
            assert other.recv(100)
        wait_until(lambda: crowd.server.denied()["https"] + len(crowd.handshakes) == 63)
        assert crowd.server.limits_hit()["http_connections"] == crowd.server.denied()["https"] > 20
    assert "n59" in crowd.handshakes
    assert "n0" not in crowd.handshakes


def test_stopping_does_not_wait_for_handshakes(authority: Authority) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(authority, stack)
        for number in range(200):
            crowd.say_hello(f"n{number}")
        crowd.server.start()
        wait_until(lambda: bool(crowd.handshakes))
        crowd.server.stop(grace=10 * PATIENCE)
    assert len(crowd.handshakes) < 200


@pytest.mark.parametrize("secure", [False, True])
def test_answers_are_sent_at_once(serve: Serve, authority: Authority, secure: bool) -> None:
    """Nagle's algorithm would keep them for 40 ms, until the session tickets are acknowledged."""
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key) if secure else None, limits={"idle_seconds": 10 * PATIENCE})
    context = ssl.create_default_context(cafile=authority.certificate)
    address = "127.0.0.1", port(server)
    client = http.client.HTTPSConnection(*address, context=context) if secure else http.client.HTTPConnection(*address)
    client.request("GET", "/a")
    assert client.getresponse().status == 200
    [connection] = server.traffic.connections.values()
    assert isinstance(connection, Connection)
    assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.close()


@pytest.mark.slow
def test_probes_pass_first_requests_after_handshakes(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in requests that were looked at: all have come while the loop stood still."""
    parsed: list[str] = []
    held, release = threading.Event(), threading.Event()
    real = Request.parse

    def parse(target: str, *arguments: Any) -> Request:
        parsed.append(target)
        if target == "/-/healthy":
            held.set()
            assert release.wait(PATIENCE)
        return real(target, *arguments)

    monkeypatch.setattr(Request, "parse", parse)
    cert, key = authority.issue("server")
    server = serve(tls=TLS(cert=cert, key=key))
    context = ssl.create_default_context(cafile=authority.certificate)
    head = b" HTTP/1.0\r\n\r\n"
    with contextlib.ExitStack() as stack:

        def connect() -> ssl.SSLSocket:
            raw = socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE)
            return stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1"))

        *clients, last = [connect() for _ in range(100)]
        connect().sendall(b"GET /-/healthy" + head)
        assert held.wait(PATIENCE)
        for number, client in enumerate(clients):
            client.sendall(b"GET /%d%s" % (number, head))
        last.sendall(b"GET /-/ready" + head)
        release.set()
        for client in (last, *clients):
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert parsed.index("/-/ready") < 50
