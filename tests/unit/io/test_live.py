"""Pipes, standard input and sockets, read to their end in one-shot."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import free_port

from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.patterns import BadSource, LogSpec, parse_logs
from nativemtail.io.pipes import NamedPipe
from nativemtail.io.poll import LiveSource, Poller
from nativemtail.io.sockets import Datagrams, SingleConnection, listen


class Lines:
    """Stands for an engine."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def scan(self, block: bytearray, start: int, end: int) -> int:
        self.seen += bytes(block[start:end]).removesuffix(b"\n").split(b"\n")
        return 1

    def reader(self) -> LineReader:
        return LineReader(self.scan)


@pytest.fixture
def poller() -> Iterator[Poller]:
    def failed(source: LiveSource, error: OSError) -> None:
        raise AssertionError(f"{source.name}: {error}")

    poller = Poller(Buffer(), failed)
    yield poller
    poller.close()


def drain(poller: Poller) -> None:
    deadline = time.monotonic() + 10
    while poller:
        assert time.monotonic() < deadline, "the source does not end"
        poller.step(1)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_pipe_waits_for_its_writer(tmp_path: Path, poller: Poller) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = Lines()
    poller.add(NamedPipe(str(path), lines.reader()))
    poller.step(0.05)
    with path.open("wb"):  # a writer that says nothing ends nothing
        poller.step(0)
    poller.step(0.05)
    poller.step(0.05)
    assert len(poller) == 1

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(b"one\ntw")
            time.sleep(0.02)
            pipe.write(b"o\nthree")

    writer = in_thread(write)
    drain(poller)
    writer.join()
    assert lines.seen == [b"one", b"two", b"three"]


def test_two_pipes_are_read_at_once(tmp_path: Path, poller: Poller) -> None:
    lines = Lines()
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
        poller.add(NamedPipe(str(tmp_path / name), lines.reader()))

    def write() -> None:
        with (tmp_path / "b").open("wb", buffering=0) as b, (tmp_path / "a").open("wb", buffering=0) as a:
            for _ in range(100):
                b.write(b"b" * 1000 + b"\n")
                a.write(b"a" * 1000 + b"\n")

    writer = in_thread(write)
    drain(poller)
    writer.join()
    assert sorted(lines.seen) == [b"a" * 1000] * 100 + [b"b" * 1000] * 100


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_one_connection(kind: str, tmp_path: Path, poller: Poller) -> None:
    address = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}" if kind == "tcp" else str(tmp_path / "s")
    [spec] = parse_logs([f"{kind}://{address}"])
    lines = Lines()
    poller.add(SingleConnection(spec, lines.reader()))

    def write() -> None:
        with connect(spec, socket.SOCK_STREAM) as peer:
            peer.sendall(b"one\r\ntw")
            time.sleep(0.02)
            peer.sendall(b"o\nthree")

    writer = in_thread(write)
    drain(poller)
    writer.join()
    assert lines.seen == [b"one\r", b"two", b"three"]
    assert not (tmp_path / "s").exists()
    with pytest.raises(OSError, match=r"refused|No such file"):
        connect(spec, socket.SOCK_STREAM)


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
def test_datagrams(kind: str, tmp_path: Path, poller: Poller) -> None:
    address = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}" if kind == "udp" else str(tmp_path / "s")
    [spec] = parse_logs([f"{kind}://{address}"])
    lines = Lines()
    poller.add(Datagrams(spec, LineReader(lines.scan, 1024)))
    with connect(spec, socket.SOCK_DGRAM) as peer:
        for datagram in (b"one", b"two\nthree\n", b"four\nfive", b"\n".join([b"x" * 500] * 20), b""):
            peer.send(datagram)
        drain(poller)
    assert lines.seen == [b"one", b"two", b"three", b"four", b"five"] + [b"x" * 500] * 20
    assert not (tmp_path / "s").exists()


def connect(spec: LogSpec, kind: socket.SocketKind) -> socket.socket:
    inet = spec.kind in ("tcp", "udp")
    peer = socket.socket(socket.AF_INET if inet else socket.AF_UNIX, kind)
    host, _, port = spec.address.rpartition(":")
    try:
        peer.connect((host, int(port)) if inet else spec.address)
    except OSError:
        peer.close()
        raise
    return peer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unix:///nosuch/dir/s", "listen unix /nosuch/dir/s: bind: no such file or directory"),
        ("tcp://foo", "listen tcp: address foo: missing port in address"),
        ("tcp://127.0.0.1:99999", "listen tcp: address 99999: invalid port"),
        ("udp://192.0.2.1:9", "listen udp 192.0.2.1:9: bind: cannot assign requested address"),
        ("tcp://127.0.0.1:nosuchservice", "listen tcp: address nosuchservice: invalid port"),
    ],
)
def test_listen_errors(text: str, message: str) -> None:
    with pytest.raises(BadSource) as caught:
        listen(parse_logs([text])[0])
    assert str(caught.value) == message


def test_address_in_use(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    for text in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/s", f"unixgram://{tmp_path}/g"):
        [spec] = parse_logs([text])
        with listen(spec), pytest.raises(BadSource, match="bind: address already in use"):
            listen(spec)
        Path(spec.address).unlink(missing_ok=True)


def test_an_abandoned_datagram_socket_is_replaced(tmp_path: Path) -> None:
    [spec] = parse_logs([f"unixgram://{tmp_path}/s"])
    listen(spec).close()
    assert (tmp_path / "s").exists()
    listen(spec).close()
    Path(spec.address).unlink()
    (tmp_path / "s").write_text("a file of somebody")
    with pytest.raises(BadSource, match="address already in use"):
        listen(spec)
    assert (tmp_path / "s").read_text() == "a file of somebody"


def test_all_addresses() -> None:
    port = free_port(socket.SOCK_STREAM)
    with listen(parse_logs([f"tcp://:{port}"])[0]), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_a_failing_source_is_told_and_ends() -> None:
    class Failing:
        name = "failing"

        def __init__(self, reader: LineReader) -> None:
            self.reader = reader
            self.fds = os.pipe()
            os.write(self.fds[1], b"x")

        def fileno(self) -> int:
            return self.fds[0]

        def ready(self, buffer: Buffer) -> bool:
            self.reader.read(buffer, lambda target: os.readv(self.fds[0], [target]))
            raise OSError(5, "Input/output error")

        def close(self) -> None:
            for fd in self.fds:
                os.close(fd)

    told: list[str] = []
    lines = Lines()
    poller = Poller(Buffer(), lambda source, error: told.append(f"{source.name} {error.errno}"))
    poller.add(Failing(lines.reader()))
    drain(poller)
    assert told == ["failing 5"]
    assert lines.seen == [b"x"]


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_only_our_own_socket_is_removed(kind: str, tmp_path: Path) -> None:
    [spec] = parse_logs([f"{kind}://{tmp_path}/s"])
    source = (SingleConnection if kind == "unix" else Datagrams)(spec, Lines().reader(), 0o640)
    path = tmp_path / "s"
    assert path.stat().st_mode & 0o777 == 0o640
    path.unlink()
    path.write_text("a file of somebody")
    source.close()
    assert path.read_text() == "a file of somebody"
