"""Socket files: their mode, whatever the umask."""

from __future__ import annotations

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


@pytest.mark.parametrize(("text", "number"), [("0600", 0o600), ("0", 0), ("777", 0o777)])
def test_modes(text: str, number: int) -> None:
    assert net.mode(text) == number


@pytest.mark.parametrize("text", ["", "8", "1000", "-1", "rw", "+7", "0o600", "\u0661"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="must be an octal number up to 777"):
        net.mode(text)


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
