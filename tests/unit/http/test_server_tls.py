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


@pytest.mark.slow
def test_a_handshake_does_not_wait_for_those_before(authority: Authority) -> None:
    """Counted in handshakes: all clients have sent their first message before the server begins to serve."""
    names: list[str] = []
    cert, key = authority.issue("server")
    server = Server(lambda request: plain(200, "here"), tls=TLS(cert=cert, key=key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert server.traffic.context is not None
    server.traffic.context.sni_callback = lambda connection, name, context: names.append(name)
    server.listen_tcp("127.0.0.1", "0")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop, grace=0.2)
        for number in range(300):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE))
            client.sendall(hello(context, f"n{number}"))
        server.start()
        wait_until(lambda: len(names) == 300)
    assert names.index("n299") < 50


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
