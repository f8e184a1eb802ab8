"""Strangers and slow peers: no source starves another, nobody takes all connections, a stop waits for no flood."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append
from waiting import PATIENCE

from nativemtail.io import tailer
from nativemtail.io.loop import SLICE
from nativemtail.io.peers import Peers, address_of
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)
TCP = "tcp://127.0.0.1:0"
PAYLOADS = {"frames": b"4 <1>a" * 10_000, "lines": b"<1>a\n" * 10_000}


def connect(rig: Rig, name: str = TCP, source: str = "127.0.0.1") -> socket.socket:
    peer = socket.socket(socket.AF_UNIX if name.startswith("unix") else socket.AF_INET)
    peer.settimeout(PATIENCE)
    if not name.startswith("unix"):
        peer.bind((source, 0))
    peer.connect(rig.tailer.addresses[name])  # type: ignore[arg-type]
    return peer


@pytest.fixture
def peers() -> Iterator[list[socket.socket]]:
    """Sockets that are closed at the end."""
    made: list[socket.socket] = []
    yield made
    for peer in made:
        peer.close()


def is_closed(peer: socket.socket) -> bool:
    peer.settimeout(PATIENCE)
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


# A fair share for each source


@pytest.mark.slow
@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_many_peers_are_one_source(tmp_path: Path, peers: list[socket.socket], scheme: str, kind: str) -> None:
    """However many of them have something: they share a slice, then the next source has its turn."""
    name = TCP if scheme == "tcp" else f"unix://{tmp_path}/sock"
    log = tmp_path / "a.log"
    log.touch()
    rig = Rig(name, log, settings=QUICK)
    rig.tailer.open()
    try:
        loop = rig.tailer._loop
        for _ in range(100):
            peers.append(connect(rig, name))
            peers[-1].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                peers[-1].send(PAYLOADS[kind])
        while rig.tailer.log_count < 102:
            loop.run_once()
        rig.sink.delay = SLICE / 2
        append(log, b"here\n")
        before = rig.tailer.counters.log_bytes_total[name]
        for _ in range(12):
            loop.run_once()
            read = rig.tailer.counters.log_bytes_total[name]
            assert read - before <= 4 * 64 * 1024
            before = read
        assert b"here" in rig.lines
    finally:
        rig.tailer.stop()
        rig.tailer._context.settings = replace(QUICK, drain=0.0)
        rig.tailer.run()


def test_many_pipes_take_turns(tmp_path: Path) -> None:
    """Between two pipes that are full, others and the stop flag are looked at."""
    pipes = [tmp_path / f"{number}.pipe" for number in range(20)]
    for pipe in pipes:
        os.mkfifo(pipe)
    rig = Rig(*pipes, settings=QUICK)
    rig.tailer.open()
    writers = [os.open(pipe, os.O_WRONLY) for pipe in pipes]
    try:
        for writer in writers:
            os.write(writer, b"line\n" * 1000)
        counts = []
        for _ in range(20):
            rig.tailer._loop.run_once()
            counts.append(len(rig.lines))
        assert counts == [1000 * turn for turn in range(1, 21)]
    finally:
        for writer in writers:
            os.close(writer)
        rig.tailer.stop()
        rig.tailer.run()


# A stop waits for no flood


def flood_with_datagrams(address: object, ended: threading.Event) -> None:
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        while not ended.is_set():
            with contextlib.suppress(OSError):
                sock.sendto(b"x", address)  # type: ignore[arg-type]


def flood_with_lines(address: object, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):
        peer = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        with peer:
            peer.settimeout(0.1)
            peer.connect(address)  # type: ignore[arg-type]
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    peer.send(b"x\n" * 5000)


def flood_a_pipe(path: object, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more
        fd = os.open(str(path), os.O_WRONLY | os.O_NONBLOCK)
        with open(fd, "wb", buffering=0) as pipe:
            while not ended.is_set():
                pipe.write(b"x\n" * 5000)


@pytest.mark.parametrize("scheme", ["tcp", "unix", "udp", "unixgram", "pipe"])
def test_a_stop_reads_what_is_there_and_no_more(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "x"
    name = {"tcp": TCP, "udp": "udp://127.0.0.1:0", "pipe": str(path)}.get(scheme, f"{scheme}://{path}")
    flood: Callable[[object, threading.Event], None] = flood_with_lines
    if scheme == "pipe":
        os.mkfifo(path)
        flood = flood_a_pipe
    elif scheme in ("udp", "unixgram"):
        flood = flood_with_datagrams
    ended = threading.Event()
    rig = Rig(name, settings=replace(QUICK, drain=300.0))
    with rig:
        address = rig.tailer.addresses.get(name, path)
        floods = [threading.Thread(target=flood, args=(address, ended)) for _ in range(4)]
        for thread in floods:
            thread.start()
        try:
            rig.wait(lambda: len(rig.lines) > 1000)
            rig.tailer.stop()
            rig.wait(lambda: rig.ended)
        finally:
            ended.set()
            for thread in floods:
                thread.join()


# Who may stay connected


def test_silent_peers_give_way(peers: list[socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    """The oldest of the address that has most; who has sent a line stays, and what was begun is delivered."""
    with Rig(TCP, settings=replace(QUICK, max_clients=6)) as rig:
        counters = rig.tailer.counters
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.1"):
            peers.append(connect(rig, source=source))
        peers[0].sendall(b"first\n")
        peers[1].sendall(b"begun")
        rig.wait(lambda: rig.lines == [b"first"])
        rig.wait(lambda: counters.log_bytes_total[TCP] == 11)
        peers.append(connect(rig, source="127.0.0.3"))
        rig.wait(lambda: counters.connections_total[TCP] == 6)
        peers.append(connect(rig, source="127.0.0.3"))
        assert is_closed(peers[1])
        rig.expect([b"first", b"begun"])
        peers[-1].sendall(b"new\n")
        peers[0].sendall(b"again\n")
        rig.wait(lambda: sorted(rig.lines) == [b"again", b"begun", b"first", b"new"])
        assert counters.connections_dropped_total == {TCP: 1}
        assert not counters.connections_refused_total
    assert caplog.messages == [f"{TCP}: closing a connection from 127.0.0.2 that has sent no line: there are too many"]


def test_what_was_sent_is_read_before_anyone_goes(peers: list[socket.socket]) -> None:
    """A line that waits in the kernel counts, and so does a close."""
    with Rig(TCP, settings=replace(QUICK, max_clients=6)) as rig:
        peers += [connect(rig) for _ in range(3)]
        rig.wait(lambda: rig.tailer.counters.connections_total[TCP] == 3)
        rig.sink.may_scan.clear()
        for peer in peers:
            peer.sendall(b"line\n")
        late = connect(rig)
        peers.append(late)
        time.sleep(0.05)
        rig.sink.may_scan.set()
        assert is_closed(late)
        rig.expect([b"line"] * 3)
        assert rig.tailer.counters.connections_refused_total == {TCP: 1}
        assert not rig.tailer.counters.connections_dropped_total
        peers[0].close()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[TCP] == 1)
        peers.append(connect(rig))
        peers[-1].sendall(b"more\n")
        rig.expect([b"line"] * 3 + [b"more"])


def test_one_address_has_half(peers: list[socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    with Rig(TCP, settings=replace(QUICK, max_clients=10)) as rig:
        for number in range(5):
            peers.append(connect(rig))
            peers[-1].sendall(b"%d\n" % number)
        rig.wait(lambda: len(rig.lines) == 5)
        for _ in range(20):
            with connect(rig) as refused:
                assert is_closed(refused)
        for number in range(5):
            peers.append(connect(rig, source="127.0.0.2"))
            peers[-1].sendall(b"other %d\n" % number)
        rig.wait(lambda: len(rig.lines) == 10)
        assert rig.tailer.counters.connections_refused_total == {TCP: 20}
    assert caplog.messages == [f"{TCP}: refusing 127.0.0.1: 10 connections are allowed, 5 from one address"]


def test_dots_do_not_count_as_a_line(peers: list[socket.socket]) -> None:
    """Nor does a line that was cut."""
    with Rig(TCP, settings=replace(QUICK, max_clients=4, max_line_length=1024)) as rig:
        for _ in range(2):
            peers.append(connect(rig))
            peers[-1].sendall(b"." * 5000)
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[TCP] == 10_000)
        peers.append(connect(rig))
        assert is_closed(peers[0])
        peers[2].sendall(b"line\n")
        rig.wait(lambda: b"line" in rig.lines)


def test_listeners_share_the_limit(tmp_path: Path, peers: list[socket.socket]) -> None:
    unix = f"unix://{tmp_path}/sock"
    with Rig(TCP, unix, settings=replace(QUICK, max_clients=4)) as rig:
        for _ in range(4):
            peers.append(connect(rig, unix))
            peers[-1].sendall(b"unix\n")
        rig.wait(lambda: len(rig.lines) == 4)
        peers.append(connect(rig))
        assert is_closed(peers[-1])
        peers[0].close()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[unix] == 1)
        peers.append(connect(rig))
        peers[-1].sendall(b"tcp\n")
        rig.wait(lambda: len(rig.lines) == 5)


def test_logs_keep_their_descriptors(
    tmp_path: Path, peers: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailer, "_raise_file_limit", lambda: 1024)
    with Rig(TCP, tmp_path / "*.log", settings=QUICK) as rig:
        for number in range(300):
            peers.append(connect(rig, source=f"127.0.0.{1 + number % 3}"))
        rig.wait(lambda: rig.tailer.counters.connections_total[TCP] == 300)
        assert rig.tailer.log_count <= 1 + 256
        assert rig.tailer.counters.connections_dropped_total[TCP] == 44


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        ("", ""),
        (b"\0abstract", ""),
    ],
)
def test_addresses(name: object, address: str) -> None:
    assert address_of(name) == address


class Silent:
    """A peer that says nothing."""

    def __init__(self, peers: Peers, address: str) -> None:
        self.address = address
        self._peers = peers

    def make_room(self) -> None:
        self._peers.remove(self)


def test_limits_hold_whoever_comes() -> None:
    """Silent strangers of many addresses: the limits hold, and a speaker is never driven out."""
    peers = Peers(20)
    speaker = Silent(peers, "192.0.2.1")
    assert peers.admits(speaker.address)
    peers.add(speaker)
    peers.has_sent_line(speaker)
    for number in range(1000):
        address = f"198.51.100.{number % 7}" if number % 2 else "203.0.113.1"
        assert peers.admits(address)
        peers.add(Silent(peers, address))
        assert len(peers) <= 20
        assert peers._of["203.0.113.1"] <= 10
    assert peers._of[speaker.address] == 1
