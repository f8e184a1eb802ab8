"""Sources that are read until their ends, as one-shot does: the same readers as the daemon's."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from daemons import free_port
from rig import Recorder, Rig

from nativemtail.io.octets import OctetFraming
from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings, SourceError
from nativemtail.io.tailer import Tailer


def until_end(*logs: str | Path, settings: Settings | None = None) -> Rig:
    return Rig(*logs, settings=settings, until_end=True)


def ends(rig: Rig) -> None:
    rig.wait(lambda: rig.ended)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def connect(name: str) -> socket.socket:
    """A peer of the source of that name."""
    scheme, _, address = name.partition("://")
    kind = socket.SOCK_STREAM if scheme in ("tcp", "unix") else socket.SOCK_DGRAM
    peer = socket.socket(socket.AF_UNIX if scheme.startswith("unix") else socket.AF_INET, kind)
    host, _, port = address.rpartition(":")
    try:
        peer.connect(address if scheme.startswith("unix") else (host, int(port)))
    except OSError:
        peer.close()
        raise
    return peer


def name_of(scheme: str, directory: Path) -> str:
    if scheme.startswith("unix"):
        return f"{scheme}://{directory}/s"
    return f"{scheme}://127.0.0.1:{free_port(socket.SOCK_STREAM if scheme == 'tcp' else socket.SOCK_DGRAM)}"


# Files


def test_files_are_read_in_order_each_to_its_end(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(f"{name}1\n{name}2")
    with until_end(tmp_path / "c", f"{tmp_path}/*") as rig:
        ends(rig)
    assert rig.lines == [b"c1", b"c2", b"a1", b"a2", b"b1", b"b2"]


def test_progress(tmp_path: Path) -> None:
    text = b"line\n" * 300_000
    (tmp_path / "a.log").write_bytes(text)
    (tmp_path / "b.gz").write_bytes(gzip.compress(text))
    (tmp_path / "gone").write_bytes(b"x" * 1000)
    tailer = Tailer(parse_logs([f"{tmp_path}/*"]), Recorder(), until_end=True)
    tailer.open()
    (tmp_path / "gone").unlink()
    size = len(text) + (tmp_path / "b.gz").stat().st_size + 1000
    assert tailer.size == size
    used = [tailer.used for _ in tailer.turns()]
    assert used == sorted(used)
    assert used[0] < used[1] < size == used[-1]
    assert {status.name: status.errors for status in tailer.status()} == {
        f"{tmp_path}/{name}": int(name == "gone") for name in ("a.log", "b.gz", "gone")
    }
    tailer.close()


def test_the_size_of_pipes_and_sockets_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"line\n" * 10)
    tailer = Tailer(parse_logs([f"{tmp_path}/a.log", f"unix://{tmp_path}/s"]), Recorder(), until_end=True)
    tailer.open()
    assert tailer.size is None
    next(tailer.turns())
    assert tailer.used == 50
    tailer.close()


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
def test_compressed_files(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(pack(b"one\ntwo\nthree"))
    with until_end(tmp_path / "log") as rig:
        ends(rig)
    assert rig.lines == [b"one", b"two", b"three"]


def test_what_cannot_be_read_is_told_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"line\n" * 100)[:-4])
    (tmp_path / "b.log").write_text("good\n")
    with until_end(f"{tmp_path}/*") as rig:
        ends(rig)
        counters = rig.tailer.counters
    assert rig.lines == [b"line"] * 100 + [b"good"]
    assert +counters.log_errors_total == {f"{tmp_path}/a.gz": 1}
    assert caplog.messages == [f"{tmp_path}/a.gz: unexpected end of file"]


def test_half_a_line_of_a_file_is_not_delivered_when_it_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"whole\n" + b"x" * 1_000_000 + b"\n" + b"y" * 1_000_000)
    (tmp_path / "b").write_bytes(b"never\n")
    sink = Recorder()
    tailer = Tailer(parse_logs([f"{tmp_path}/*"]), sink, until_end=True)
    tailer.open()
    next(tailer.turns())
    tailer.give_up()
    tailer.close()
    assert sink.order == [b"whole"]
    assert tailer.unread == {f"{tmp_path}/a": 2_000_007 - 512 * 1024, f"{tmp_path}/b": 6}
    assert not sink.opened


def test_what_has_become_a_pipe_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").touch()
    tailer = Tailer(parse_logs([str(tmp_path / "log")]), Recorder(), until_end=True)
    tailer.open()
    (tmp_path / "log").unlink()
    os.mkfifo(tmp_path / "log")
    tailer.run()
    assert caplog.messages == [f"open {tmp_path}/log: not a regular file"]


# Pipes


def test_a_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with until_end(path) as rig:
        with path.open("wb"):  # a writer that says nothing ends nothing
            pass
        with path.open("wb", buffering=0) as pipe:
            pipe.write(b"one\ntw")
            rig.expect([b"one"])
            pipe.write(b"o\nthree")
        ends(rig)
    assert rig.lines == [b"one", b"two", b"three"]


def test_two_pipes_are_read_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)

    def write() -> None:
        with (tmp_path / "b").open("wb", buffering=0) as b, (tmp_path / "a").open("wb", buffering=0) as a:
            for _ in range(100):
                b.write(b"b" * 1000 + b"\n")
                a.write(b"a" * 1000 + b"\n")

    with until_end(f"{tmp_path}/*") as rig:
        writer = in_thread(write)
        ends(rig)
        writer.join()
    assert sorted(rig.lines) == [b"a" * 1000] * 100 + [b"b" * 1000] * 100


def test_a_pipe_that_has_become_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    opener = os.open

    def replace_and_open(path: str, *arguments: int) -> int:
        os.unlink(path)
        Path(path).write_text("a file\n")
        return opener(path, *arguments)

    tailer = Tailer(parse_logs([str(path)]), sink := Recorder(), until_end=True)
    monkeypatch.setattr(os, "open", replace_and_open)
    tailer.open()
    monkeypatch.undo()
    tailer.run()
    assert tailer.counters.log_errors_total[str(path)] == 1
    assert sink.order == []
    assert not sink.opened


def test_what_a_pipe_has_left_is_not_read_when_it_is_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    sink = Recorder()
    tailer = Tailer(parse_logs([str(tmp_path / "pipe")]), sink, until_end=True)
    tailer.open()
    with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
        pipe.write(b"one\npar")
        next(tailer.turns())
        tailer.give_up()
    tailer.close()
    assert sink.order == [b"one", b"par"]
    assert not tailer.unread


# Streams


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_one_connection(scheme: str, tmp_path: Path) -> None:
    name = name_of(scheme, tmp_path)
    with until_end(name) as rig:
        with connect(name) as peer:
            peer.sendall(b"one\r\ntw")
            rig.expect([b"one\r"])
            with pytest.raises(OSError, match=r"refused|No such file"):
                connect(name)
            assert not (tmp_path / "s").exists()
            peer.sendall(b"o\nthree")
        ends(rig)
    assert rig.lines == [b"one\r", b"two", b"three"]


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_octet_counting(scheme: str, tmp_path: Path) -> None:
    name = name_of(scheme, tmp_path)
    with until_end(name) as rig:
        with connect(name) as peer:
            peer.sendall(b"6 <1>one7 <2>two\n5 <3>th")
        ends(rig)
    assert rig.lines == [b"<1>one", b"<2>two", b"<3>th"]
    assert OctetFraming().decode(b"6 <1>one") == b"<1>one\n"


def test_a_waiting_peer_does_not_wait_for_files(tmp_path: Path) -> None:
    """Sockets are open before the first file is read, and are read in turn with files."""
    (tmp_path / "big").write_bytes(b"file\n" * 1_000_000)
    name = name_of("unix", tmp_path)
    sink = Recorder()
    tailer = Tailer(parse_logs([str(tmp_path / "big"), name]), sink, until_end=True)
    tailer.open()
    with connect(name) as peer:
        peer.sendall(b"stream\n")
    tailer.run()
    assert b"file" in sink.order[: sink.order.index(b"stream")]
    assert b"file" in sink.order[sink.order.index(b"stream") :]


# Datagrams


@pytest.mark.parametrize("scheme", ["udp", "unixgram"])
def test_datagrams_end_with_an_empty_one(scheme: str, tmp_path: Path) -> None:
    name = name_of(scheme, tmp_path)
    sink = Recorder()
    tailer = Tailer(parse_logs([name]), sink, Settings(max_line_length=1024), until_end=True)
    tailer.open()
    with connect(name) as peer:
        for datagram in (b"one", b"two\nthree\n", b"four\nfive", b"\n".join([b"x" * 500] * 20), b"", b"late"):
            peer.send(datagram)
    tailer.run()
    assert sink.order == [b"one", b"two", b"three", b"four", b"five"] + [b"x" * 500] * 20
    assert not (tmp_path / "s").exists()


# Addresses and socket files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unix:///nosuch/dir/s", "listen unix /nosuch/dir/s: bind: no such file or directory"),
        ("tcp://foo", "listen tcp: address foo: missing port in address"),
        ("tcp://127.0.0.1:99999", "listen tcp: address 99999: invalid port"),
        ("udp://192.0.2.1:9", "listen udp 192.0.2.1:9: bind: cannot assign requested address"),
    ],
)
def test_what_cannot_be_listened_on(name: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        until_end(name).tailer.open()
    assert str(caught.value) == message


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_an_abandoned_socket_is_replaced_and_a_file_is_not(scheme: str, tmp_path: Path) -> None:
    name, path = name_of(scheme, tmp_path), tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    with until_end(name):
        pass
    assert not path.exists()
    path.write_text("a file of somebody")
    with pytest.raises(SourceError, match="address already in use"):
        until_end(name).tailer.open()
    assert path.read_text() == "a file of somebody"


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_only_our_own_socket_is_removed(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with until_end(name_of(scheme, tmp_path), settings=Settings(socket_mode=0o640)):
        assert path.stat().st_mode & 0o777 == 0o640
        path.unlink()
        path.write_text("a file of somebody")
    assert path.read_text() == "a file of somebody"


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
@pytest.mark.parametrize("is_daemon", [True, False])
def test_all_addresses_of_a_host_are_tried(scheme: str, is_daemon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM

    def getaddrinfo(host: str, port: str, **hints: object) -> list[tuple[object, ...]]:
        assert host == "several.example"
        return [(socket.AF_INET, kind, 0, "", (address, int(port))) for address in ("203.0.113.9", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    name = f"{scheme}://several.example:0"
    with Rig(name, until_end=not is_daemon) as rig:
        address = rig.tailer.addresses[name]
    assert isinstance(address, tuple)
    assert address[0] == "127.0.0.1"


def test_nothing_to_read_ends_at_once(tmp_path: Path) -> None:
    with until_end(tmp_path / "none", f"{tmp_path}/*.log") as rig:
        ends(rig)
    assert rig.lines == []
