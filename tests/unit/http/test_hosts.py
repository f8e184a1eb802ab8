"""Which names a request may call this server by: a page that rebinds its name to this machine reads nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nativemtail.http import hosts
from nativemtail.http.hosts import AllowedHosts, HostError, own_names
from nativemtail.http.messages import plain
from nativemtail.http.server import Server
from nativemtail.http.trust import TrustedHosts

Serve = Callable[..., Server]
ALLOWED = AllowedHosts.parse(["metrics.example.com,*.svc.example"], ["box", "box.lan"])
EVERY = {
    b"X-Content-Type-Options: nosniff",
    b"Content-Security-Policy: frame-ancestors 'none'",
    b"Referrer-Policy: no-referrer",
}


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:3903", "[::1]", "[::1]:3903", "192.0.2.7:80", "[fe80::1%25eth0]:3903", "localhost"),
        *(
            "LOCALHOST:3903",
            "localhost.",
            "box",
            "BOX.lan:3903",
            "metrics.example.com",
            "a.b.svc.example:1",
            "",
            "box:",
        ),
    ],
)
def test_allowed(host: str) -> None:
    assert ALLOWED.allows(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:3903",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notbox",
            "box.evil",
        ),
        *(
            "svc.example",
            "evilsvc.example",
            "user@127.0.0.1",
            "127.0.0.1,evil.example",
            "[evil.example]",
            "[::1",
            "2130706433",
        ),
        *("x:99999999:1", "a b", '"><script>', "box\0", "*", "*.svc.example"[:1] + "evil"),
    ],
)
def test_foreign(host: str) -> None:
    assert not ALLOWED.allows(host)


def test_every_host() -> None:
    assert AllowedHosts.parse(["*"]).allows("evil.example")


@pytest.mark.parametrize("entry", ["http://a", "a:80", "a b", "[::1]", "**.a", "a.*", "\u00e9.example", "-a"])
def test_entries_that_are_no_names(entry: str) -> None:
    with pytest.raises(HostError, match="is not a host name"):
        AllowedHosts.parse([entry])


@pytest.mark.parametrize("name", ["web1", "web1.example.com"])
def test_the_machines_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n10.0.0.5\tweb1.dc.example web1 # me\n10.0.0.6 other\n")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch corp.example lan.\noptions ndots:1\n")
    monkeypatch.setattr(hosts, "_HOSTS", tmp_path / "hosts")
    monkeypatch.setattr(hosts, "_RESOLVER", tmp_path / "resolv.conf")
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert own_names() == {name, "web1", "web1.dc.example", "web1.corp.example", "web1.lan"}


def test_no_files_to_look_names_up_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_HOSTS", tmp_path / "none")
    monkeypatch.setattr(hosts, "_RESOLVER", tmp_path)
    assert own_names() == {socket.gethostname().lower(), socket.gethostname().lower().partition(".")[0]}


def answer(serve: Serve, peer: Any, request: bytes, **options: Any) -> bytes:
    with peer(serve(hosts=ALLOWED, **options)) as client:
        found: bytes = client.send(request).rest()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.0\r\nHost: evil.example:3903\r\n\r\n", 421),
        (b"GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
        (b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 3\r\n\r\nabc", 421),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET http://box:3903/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /-/healthy HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
        (b"GET /-/ready HTTP/1.0\r\nHost: evil.example\r\n\r\n", 200),
    ],
)
def test_requests(serve: Serve, peer: Any, request_head: bytes, status: int) -> None:
    text = answer(serve, peer, request_head)
    assert text.startswith(b"HTTP/1.1 %d " % status)
    if status == 421:
        assert b"evil.example" in text
        assert b"--allowed_hosts" in text


def test_a_foreign_name_is_logged_once(serve: Serve, peer: Any, caplog: pytest.LogCaptureFixture) -> None:
    target = serve(hosts=ALLOWED)
    for name in (b"evil.example", b"evil.example", b"a b", b"x" * 5000):
        with peer(target) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % name).rest()
    found = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2] for text in found] == [
        f"{name} is not a name of this server. If it should be, list it with --allowed_hosts."
        for name in ("evil.example", "a b", "x" * 200)
    ]


def test_on_a_unix_socket_any_name_will_do(tmp_path: Path) -> None:
    server = Server(lambda request: plain(200, "hello"), hosts=ALLOWED)
    server.listen_unix(str(tmp_path / "s"))
    server.start()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            client.sendall(b"GET / HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /-/healthy HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET",
    ],
)
def test_every_answer_tells_browsers_what_not_to_do(serve: Serve, peer: Any, request_head: bytes) -> None:
    head = answer(serve, peer, request_head, limits={"header_seconds": 0.5}).partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert set(head) >= EVERY


def test_a_refused_connection_too(serve: Serve, peer: Any) -> None:
    with peer(serve(limits={"connections": 0})) as client:
        head = client.send(b"GET / HTTP/1.0\r\n\r\n").rest().partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 503 Service Unavailable"
    assert set(head) >= EVERY


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_everybody_may_probe(serve: Serve, peer: Any, path: str, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(trusted=TrustedHosts.parse(["192.0.2.1"]), hosts=ALLOWED)
    for _ in range(3):
        with peer(server) as client:
            request = f"GET {path} HTTP/1.1\r\nHost: pod.example\r\nConnection: close\r\n\r\n"
            assert client.send(request.encode()).rest().startswith(b"HTTP/1.1 200 ")
    assert server.denied() == {"http": 0}
    assert not caplog.records


def test_who_probes_gets_nothing_else(serve: Serve, peer: Any) -> None:
    server = serve(trusted=TrustedHosts.parse(["192.0.2.1"]))
    with peer(server) as client:
        client.send(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        answers = client.rest()
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 401 " in answers
