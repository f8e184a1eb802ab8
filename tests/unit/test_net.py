"""Binding sockets: addresses, and the files of Unix sockets with their mode whatever the umask."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from nativemtail import net


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o000])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_mode_is_as_asked_for(umask: int, mode: int, kind: socket.SocketKind, tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        with socket.socket(socket.AF_UNIX, kind) as sock:
            where = net.bind(sock, str(path), mode)
            assert os.umask(umask) == umask
    finally:
        os.umask(before)
    status = path.lstat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == mode
    assert where == (str(path), status.st_dev, status.st_ino)


def test_what_is_there_stays(tmp_path: Path) -> None:
    for name in ("file", "link", "dangling"):
        (tmp_path / "file").write_text("kept")
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "dangling").unlink(missing_ok=True)
        (tmp_path / "dangling").symlink_to("nowhere")
        before = os.umask(0o027)
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="in use"):
            net.bind(sock, str(tmp_path / name), 0o666)
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert not (tmp_path / "nowhere").exists()


def abandoned(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> Path:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))
    return path


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_an_abandoned_socket_goes(kind: socket.SocketKind, tmp_path: Path) -> None:
    path = abandoned(tmp_path / "s", kind)
    assert net.remove_abandoned(str(path), kind)
    assert not path.exists()
    assert not net.remove_abandoned(str(path), kind)


def test_what_is_no_abandoned_socket_stays(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    abandoned(tmp_path / "far")
    (tmp_path / "link").symlink_to("far")
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "datagrams"))
        alive.bind(str(tmp_path / "alive"))
        alive.listen(0)
        names = {"file", "link", "datagrams", "alive"}
        if os.geteuid() == 0:
            os.chown(abandoned(tmp_path / "another user's"), 12345, -1)
            names.add("another user's")
        for name in names:
            for _ in range(3):  # until the backlog is full, too
                assert not net.remove_abandoned(str(tmp_path / name), socket.SOCK_STREAM)
    assert set(os.listdir(tmp_path)) == names | {"far"}
    assert not net.remove_abandoned("a\0b", socket.SOCK_STREAM)


@pytest.mark.parametrize("kind", ["file", "link", "socket", "nothing"])
def test_what_took_the_place_of_our_file_stays(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        made = net.bind(sock, str(path), 0o600)
        path.rename(tmp_path / "old")
        if kind == "file":
            path.touch()
        elif kind == "link":
            path.symlink_to("old")
        elif kind == "socket":
            abandoned(path)
        net.remove(made)
    assert (kind == "nothing") is not os.path.lexists(path)
    assert (tmp_path / "old").exists()


# Addresses


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every host name stand for these addresses."""

    def getaddrinfo(host: str, port: str, **hints: object) -> list[tuple[object, ...]]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, hints["type"], 0, "", (at, int(port))) for family, at in zip(families, addresses, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_all_addresses_of_a_host_are_tried(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "2001:db8::1", "192.0.2.1", "127.0.0.1")
    bound = net.bind_inet("several", "0", kind)
    assert bound.socket.getsockname()[0] == "127.0.0.1"
    assert not bound.socket.getblocking()
    bound.close()


def test_when_no_address_can_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for addresses in ("192.0.2.1", "203.0.113.9"), ():
        resolve_to(monkeypatch, *addresses)
        with pytest.raises(OSError, match="Cannot assign requested address"):
            net.bind_inet("several", "0", socket.SOCK_STREAM)


def test_ipv4_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "::1", "127.0.0.1")
    bound = net.bind_inet("several", "0", socket.SOCK_STREAM)
    assert bound.socket.family == socket.AF_INET
    bound.close()


def test_in_use_on_one_address_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers would go to the other process."""
    first = net.bind_inet("127.0.0.1", "0", socket.SOCK_STREAM)
    resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    with pytest.raises(OSError, match="in use") as caught:
        net.bind_inet("several", str(first.socket.getsockname()[1]), socket.SOCK_STREAM)
    assert caught.value.errno == errno.EADDRINUSE
    first.close()


@pytest.mark.parametrize("host", ["", "::"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_no_host_is_both_families(host: str, kind: socket.SocketKind) -> None:
    bound = net.bind_inet(host, "0", kind)
    with socket.socket(socket.AF_INET, kind) as peer:
        peer.connect(("127.0.0.1", bound.socket.getsockname()[1]))
    bound.close()


@pytest.mark.parametrize(
    ("host", "port", "error"),
    [
        ("127.0.0.1", "65536", net.InvalidPort),
        ("127.0.0.1", "-1", net.InvalidPort),
        ("127.0.0.1", "", net.InvalidPort),
        ("127.0.0.1", "\u0661", net.InvalidPort),
        ("127.0.0.1", "nosuchservice", net.UnknownService),
        ("no such host", "0", net.UnknownHost),
        ("a" * 300, "0", net.UnknownHost),
        ("a\0b", "0", net.UnknownHost),
    ],
)
def test_what_is_no_address(host: str, port: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        net.bind_inet(host, port, socket.SOCK_STREAM)


# Unix sockets as a whole


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_an_abandoned_socket_is_replaced_and_ours_removed(kind: socket.SocketKind, tmp_path: Path) -> None:
    path = abandoned(tmp_path / "s", kind)
    bound = net.bind_unix(str(path), kind, 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(OSError, match="in use"):
        net.bind_unix(str(path), kind, 0o640)
    bound.close()
    assert not path.exists()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_file_of_somebody_is_neither_replaced_nor_removed(kind: socket.SocketKind, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("somebody's")
    with pytest.raises(OSError, match="in use"):
        net.bind_unix(str(path), kind, 0o600)
    path.rename(tmp_path / "aside")
    bound = net.bind_unix(str(path), kind, 0o600)
    (tmp_path / "aside").rename(path)
    bound.close()
    assert path.read_text() == "somebody's"


def test_reasons_are_gos() -> None:
    assert net.reason(OSError(errno.EADDRINUSE, "x")) == "address already in use"


@pytest.mark.parametrize(
    ("number", "is_path", "part"),
    [
        (errno.EADDRINUSE, False, "address already in use (choose another)"),
        (errno.EADDRINUSE, True, "address already in use (choose another)"),
        (errno.EACCES, False, "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE; or choose another)"),
        (errno.EACCES, True, "permission denied (write access to the directory is needed; or choose another)"),
        (errno.EIO, False, "input/output error"),
    ],
)
def test_what_to_do(number: int, is_path: bool, part: str) -> None:
    assert net.explain(OSError(number, "x"), "choose another", is_path=is_path).startswith(part)
    assert net.reason(OSError("AF_UNIX path too long")) == net.reason(ValueError("null byte")) == "invalid argument"
