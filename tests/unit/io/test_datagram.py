"""Datagram sockets: the end of a datagram ends its line; what was cut and dropped is counted."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig
from waiting import PATIENCE

from nativemtail.io.datagram import MAX_DATAGRAM
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)


class Datagrams:
    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.name = f"unixgram://{folder}/sock" if kind == "unixgram" else "udp://127.0.0.1:0"
        self.senders: list[socket.socket] = []

    def sender(self, rig: Rig) -> Callable[[bytes], int]:
        sock = socket.socket(socket.AF_UNIX if self.kind == "unixgram" else socket.AF_INET, socket.SOCK_DGRAM)
        self.senders.append(sock)
        sock.settimeout(PATIENCE)
        sock.connect(rig.tailer.addresses[self.name])  # type: ignore[arg-type]
        return sock.send


@pytest.fixture(params=["udp", "unixgram"])
def datagrams(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Datagrams]:
    made = Datagrams(request.param, tmp_path)
    yield made
    for sender in made.senders:
        sender.close()


def test_end_of_datagram_ends_its_line(datagrams: Datagrams) -> None:
    with Rig(datagrams.name, settings=QUICK) as rig:
        send = datagrams.sender(rig)
        for datagram in (b"one", b"two\n", b"", b"three\nfour", b"\n", b"five\r\n"):
            send(datagram)
        rig.expect([b"one", b"two", b"three", b"four", b"", b"five\r"])
        assert list(rig.sink.lines) == [datagrams.name]
        assert rig.tailer.counters.datagrams_total == {datagrams.name: 6}


def test_datagrams_of_many_senders(datagrams: Datagrams) -> None:
    with Rig(datagrams.name, settings=QUICK) as rig:
        senders = [datagrams.sender(rig) for _ in range(10)]
        for turn in range(300):
            for number, send in enumerate(senders):
                send(b"%d %d" % (number, turn))
        rig.wait(lambda: len(rig.lines) == 3000)


@pytest.mark.parametrize("until_end", [False, True])
def test_long_datagrams(datagrams: Datagrams, until_end: bool) -> None:
    with Rig(datagrams.name, settings=QUICK, until_end=until_end) as rig:
        size = 65_507 if datagrams.kind == "udp" else MAX_DATAGRAM + 10
        datagrams.sender(rig)(b"x" * size)
        rig.wait(lambda: rig.lines)
        assert len(rig.lines[0]) == min(size, MAX_DATAGRAM)
        assert rig.tailer.counters.datagrams_cut_total[datagrams.name] == (datagrams.kind == "unixgram")


def test_lines_in_datagrams_are_cut(datagrams: Datagrams) -> None:
    with Rig(datagrams.name, settings=replace(QUICK, max_line_length=1024)) as rig:
        datagrams.sender(rig)(b"x" * 5000 + b"\ny")
        rig.expect([b"x" * 1024, b"y"])
        rig.wait(lambda: rig.tailer.counters.lines_cut_total == {datagrams.name: 1})


@pytest.mark.parametrize("until_end", [False, True])
def test_the_receive_buffer_is_what_the_settings_say(datagrams: Datagrams, until_end: bool) -> None:
    settings = replace(QUICK, receive_buffer=20_000)  # less than the kernel's default
    with Rig(datagrams.name, settings=settings, until_end=until_end) as rig:
        (listener,) = rig.tailer._listeners
        size = listener._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert size == 2 * 20_000  # the kernel adds as much for its own records


@pytest.mark.slow
def test_what_the_kernel_drops_is_counted() -> None:
    rig = Rig("udp://127.0.0.1:0", settings=replace(QUICK, receive_buffer=4096))
    rig.sink.delay = 0.3
    with rig:
        address = rig.tailer.addresses["udp://127.0.0.1:0"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(1000):
                sock.sendto(b"%d" % number, address)  # type: ignore[arg-type]
        rig.wait(lambda: rig.tailer.counters.datagrams_dropped_total.total() + len(rig.lines) == 1000)
        assert rig.tailer.counters.datagrams_dropped_total.total() > 0


@pytest.mark.slow
def test_what_the_kernel_drops_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """However long it lasts; the rest of it at the end."""
    rig = Rig("udp://127.0.0.1:0", settings=replace(QUICK, receive_buffer=4096))
    rig.sink.delay = 0.3
    with rig:
        address = rig.tailer.addresses["udp://127.0.0.1:0"]
        counts = rig.tailer.counters.datagrams_dropped_total
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for before in (0, 1, 2):
                at_first = counts.total()
                for number in range(1000):
                    sock.sendto(b"%d" % number, address)  # type: ignore[arg-type]
                rig.wait(lambda at_first=at_first: counts.total() > at_first)
                assert before < 1 or caplog.text.count("the kernel dropped") == 1
    said = [int(count) for count in re.findall(r"the kernel dropped (\d+)", caplog.text)]
    assert len(said) == 2
    assert sum(said) == counts.total()


def test_datagrams_at_the_stop(datagrams: Datagrams) -> None:
    with Rig(datagrams.name, settings=QUICK) as rig:
        datagrams.sender(rig)(b"last")
        rig.tailer.stop()
        rig.wait(lambda: rig.ended)
    assert rig.lines == [b"last"]
