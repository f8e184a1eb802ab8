"""Addresses that sources listen on, and socket files."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

import pytest
from rig import Rig

from nativemtail.io.sources import SourceError


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_socket_files(tmp_path: Path, scheme: str) -> None:
    """Removed at exit; one that nobody listens on is replaced; one in use or of another kind is left alone."""
    path = tmp_path / "sock"
    name = f"{scheme}://{path}"
    with Rig(name):
        assert stat.S_ISSOCK(path.stat().st_mode)
        remedy = re.escape("address already in use (give --logs another path)")
        with pytest.raises(SourceError, match=rf"^listen {scheme} {path}: bind: {remedy}$"):
            Rig(name).tailer.open()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    assert path.exists()
    with Rig(name):
        pass
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(SourceError, match="address already in use"):
        Rig(name).tailer.open()
    assert path.read_text() == "precious"


def test_socket_file_of_somebody_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with Rig(f"unix://{path}"):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tcp://127.0.0.1", "listen tcp: address 127.0.0.1: missing port in address"),
        ("tcp://::1:5:", "listen tcp: address ::1:5:: too many colons in address"),
        ("udp://127.0.0.1:99999", "listen udp: address 99999: invalid port"),
        ("tcp://127.0.0.1:nosuchservice", "listen tcp: lookup tcp/nosuchservice: unknown port"),
        ("tcp://192.0.2.1:0", "listen tcp 192.0.2.1:0: bind: cannot assign requested address"),
        ("unix:///no/such/dir/sock", "listen unix /no/such/dir/sock: bind: no such file or directory"),
        (f"unix:///{'x' * 200}", f"listen unix /{'x' * 200}: bind: invalid argument"),
    ],
)
def test_addresses_that_cannot_be_had(name: str, text: str) -> None:
    with pytest.raises(SourceError) as caught:
        Rig(name).tailer.open()
    assert str(caught.value) == text


def test_port_in_use(tmp_path: Path) -> None:
    """What was bound before is released again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        rig = Rig(f"unix://{tmp_path}/sock", f"tcp://127.0.0.1:{port}")
        remedy = re.escape("address already in use (give --logs another port or address)")
        with pytest.raises(SourceError, match=f"^listen tcp 127.0.0.1:{port}: bind: {remedy}$"):
            rig.tailer.open()
        assert os.listdir(tmp_path) == []
        assert not rig.sink.opened


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_all_addresses(scheme: str) -> None:
    name = f"{scheme}://:0"
    with Rig(name) as rig:
        port = rig.tailer.addresses[name][1]  # type: ignore[index]
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM) as peer:
                peer.connect((host, port))
                peer.send(host.encode() + b"\n")
                rig.wait(lambda host=host: host.encode() in rig.lines)  # type: ignore[misc]
