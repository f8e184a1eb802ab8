"""Stream sockets: a line for each peer, limits, fairness, octet counting."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig
from waiting import PATIENCE

from nativemtail.io.pipe import waiting
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)


class Stream:
    """A stream listener of either kind, and how to reach it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.name = f"unix://{folder}/sock" if kind == "unix" else "tcp://127.0.0.1:0"
        self.peers: list[socket.socket] = []

    def connect(self, rig: Rig) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX if self.kind == "unix" else socket.AF_INET)
        peer.settimeout(PATIENCE)
        self.peers.append(peer)
        peer.connect(rig.tailer.addresses[self.name])  # type: ignore[arg-type]
        return peer


@pytest.fixture(params=["tcp", "unix"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stream]:
    made = Stream(request.param, tmp_path)
    yield made
    for peer in made.peers:
        peer.close()


def test_connections_have_their_own_lines(stream: Stream) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        one, two = stream.connect(rig), stream.connect(rig)
        one.sendall(b"on")
        two.sendall(b"tw")
        time.sleep(0.05)
        one.sendall(b"e\nrest")
        two.sendall(b"o\n")
        rig.wait(lambda: sorted(rig.lines) == [b"one", b"two"])
        assert rig.tailer.log_count == 3
        one.close()
        two.close()
        rig.wait(lambda: len(rig.lines) == 3)
        assert rig.lines[2] == b"rest"
        assert list(rig.sink.lines) == [stream.name]
        rig.wait(lambda: rig.tailer.counters.log_closes_total[stream.name] == 2)
        assert rig.tailer.counters.log_bytes_total[stream.name] == 12


def test_many_clients(stream: Stream) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        peers = [stream.connect(rig) for _ in range(200)]
        for turn in range(5):
            for number, peer in enumerate(peers):
                peer.sendall(b"%d %d\n" % (number, turn))
        rig.wait(lambda: len(rig.lines) == 1000)
        assert set(rig.lines) == {b"%d %d" % (n, t) for n in range(200) for t in range(5)}
        for peer in peers:
            peer.close()


def test_limit_of_clients(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    with Rig(stream.name, settings=replace(QUICK, max_clients=4 if stream.kind == "tcp" else 2)) as rig:
        peers = [stream.connect(rig) for _ in range(2)]
        for number, peer in enumerate(peers):
            peer.sendall(b"%d\n" % number)
        rig.wait(lambda: len(rig.lines) == 2)
        for _ in range(3):
            assert stream.connect(rig).recv(1) == b""
        assert rig.tailer.counters.connections_refused_total == {stream.name: 3}
        peers[0].close()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[stream.name] == 1)
        stream.connect(rig).sendall(b"2\n")
        rig.expect([b"0", b"1", b"2"])
    assert len(caplog.messages) == 1


@pytest.mark.slow
def test_one_client_cannot_starve_another(stream: Stream) -> None:
    rig = Rig(stream.name, settings=QUICK)
    rig.sink.delay = 0.005
    with rig:
        busy, quiet = stream.connect(rig), stream.connect(rig)
        flood = threading.Thread(target=busy.sendall, args=(b"x\n" * 5_000_000,))
        flood.start()
        rig.wait(lambda: rig.lines)
        quiet.sendall(b"here\n")
        flood.join()
        rig.wait(lambda: len(rig.lines) == 5_000_001)
        assert rig.lines.index(b"here") < 3_000_000


@pytest.mark.slow
def test_pushes_back(stream: Stream) -> None:
    rig = Rig(stream.name, settings=QUICK)
    rig.sink.delay = 0.02
    text = b"".join(b"%08d\n" % i for i in range(1_000_000))
    with rig:
        peer = stream.connect(rig)
        thread = threading.Thread(target=lambda: (peer.sendall(text), peer.close()))
        thread.start()
        rig.wait(lambda: len(rig.lines) == 1_000_000)
        thread.join()
        assert b"\n".join(rig.lines) + b"\n" == text


def test_rests_at_the_stop(stream: Stream) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        peer = stream.connect(rig)
        peer.sendall(b"a\n")
        rig.expect([b"a"])
        late = stream.connect(rig)
        late.sendall(b"late")
        peer.sendall(b"b\nc")
        rig.tailer.stop()
        rig.wait(lambda: rig.ended)
    assert sorted(rig.lines) == [b"a", b"b", b"c", b"late"]


@pytest.mark.parametrize("text", [b"<1>x\n", b"4 <1>x", b"4 <1>x5 <1>xy"], ids=["lines", "frames", "two frames"])
def test_what_arrives_after_the_stop_is_not_read(stream: Stream, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that keep sending do not prolong the stop."""
    stops: list[int] = []

    def stop(fd: int) -> int:
        stops.append(fd)
        return waiting(fd)

    monkeypatch.setattr("nativemtail.io.stream.waiting", stop)
    rig = Rig(stream.name, settings=QUICK)
    record = rig.sink.scan

    def scan(source: int, block: bytearray, start: int, end: int, connection: int = 0) -> int:
        for peer in peers if stops else ():
            peer.sendall(text)
        return record(source, block, start, end, connection)

    rig.sink.scan = scan  # type: ignore[method-assign]
    with rig:
        peers = [stream.connect(rig) for _ in range(3)]
        rig.sink.may_scan.clear()
        for peer in peers:
            peer.sendall(text)
        rig.wait(lambda: rig.sink.entered)
        peers.append(stream.connect(rig))  # it waits to be accepted
        peers[-1].sendall(text)
        rig.tailer.stop()
        rig.sink.may_scan.set()
        rig.wait(lambda: rig.ended)
    assert len(stops) == 4
    assert len(rig.lines) == 4 * (2 if b"xy" in text else 1)
    assert not rig.tailer.unread


def test_memory_of_unterminated_lines_is_bounded(stream: Stream) -> None:
    settings = replace(QUICK, max_partial=100_000)
    with Rig(stream.name, settings=settings) as rig:
        peers = [stream.connect(rig) for _ in range(4)]
        for peer in peers:
            peer.sendall(b"x" * 40_000)
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[stream.name] == 160_000)
        assert rig.tailer.counters.limits_total["partial_memory"] >= 1
        for peer in peers:
            peer.close()
        rig.wait(lambda: sum(map(len, rig.lines)) == 160_000)


def test_reset_connection(stream: Stream) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        peer = stream.connect(rig)
        peer.sendall(b"a\nb")
        rig.expect([b"a"])
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        peer.close()
        rig.expect([b"a", b"b"])
        stream.connect(rig).sendall(b"c\n")
        rig.expect([b"a", b"b", b"c"])


FRAMES = b"".join(b"%d %s" % (len(text), text) for text in (b"<1>one", b"<2>two\n", b"<34>", b"<5>a\nb"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_octet_counting(stream: Stream, size: int) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        peer = stream.connect(rig)
        if stream.kind == "tcp":
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(FRAMES), size):
            peer.sendall(FRAMES[at : at + size])
        rig.expect([b"<1>one", b"<2>two", b"<34>", b"<5>a", b"b"])


def test_each_connection_has_its_own_framing(stream: Stream) -> None:
    with Rig(stream.name, settings=QUICK) as rig:
        counted, plain = stream.connect(rig), stream.connect(rig)
        counted.sendall(b"6 <1>one")
        rig.expect([b"<1>one"])
        plain.sendall(b"<1>two\n7 <1>no frame\n")
        rig.expect([b"<1>one", b"<1>two", b"7 <1>no frame"])
        counted.sendall(b"5 <1>a\n")
        rig.expect([b"<1>one", b"<1>two", b"7 <1>no frame", b"<1>a"])
