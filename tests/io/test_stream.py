"""Sockets: streams with a line each, datagrams, octet counting, socket files."""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig

from nativemtail.io.sources import Settings, SourceError
from nativemtail.io.stream import MAX_DATAGRAM, OctetFraming

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)


class Stream:
    """A stream listener of either kind, and how to reach it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.name = f"unix://{folder}/sock" if kind == "unix" else "tcp://127.0.0.1:0"
        self.peers: list[socket.socket] = []

    def connect(self, rig: Rig) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX if self.kind == "unix" else socket.AF_INET)
        peer.settimeout(5)
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


# Octet counting


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


@pytest.mark.parametrize(
    ("stream_bytes", "lines"),
    [
        (b"", b""),
        (b"12", b"12"),
        (b"plain\n12 <1>x\n", b"plain\n12 <1>x\n"),
        (b"12 monkeys\n", b"12 monkeys\n"),
        (b"0 <1>x", b"0 <1>x"),
        (b"012 <1>x", b"012 <1>x"),
        (b"<1>x\n", b"<1>x\n"),
        (b"5 <1>ab", b"<1>ab\n"),
        (b"9 <1>ab", b"<1>ab"),
        (b"5 <1>ab\n5 <1>cd\0", b"<1>ab\n<1>cd\n"),
        (b"5 <1>ab<1>cd\n", b"<1>ab\n<1>cd\n"),
        (b"5 <1>ab123456789 x\n", b"<1>ab\n123456789 x\n"),
        (b"5 <1>ab4x\n", b"<1>ab\n4x\n"),
        (b"123456789 <1>x\n", b"123456789 <1>x\n"),
    ],
)
def test_framing(stream_bytes: bytes, lines: bytes) -> None:
    for size in range(1, len(stream_bytes) + 2):
        framing = OctetFraming()
        out = b""
        for at in range(0, len(stream_bytes), size):
            piece = stream_bytes[at : at + size]
            got = framing.decode(piece)
            assert len(got) <= len(piece) + framing.HELD
            out += got
        assert out + framing.end() == lines


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(1, 30))
def test_any_frames_in_any_pieces(messages: list[bytes], size: int) -> None:
    messages = [b"<1>", *messages]
    data = b"".join(b"%d %s" % (len(message), message) for message in messages)
    framing = OctetFraming()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    out = b"".join(map(framing.decode, pieces))
    assert out == b"".join(message if message.endswith(b"\n") else message + b"\n" for message in messages)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_any_bytes_come_out_bounded(pieces: list[bytes]) -> None:
    framing = OctetFraming()
    for piece in pieces:
        assert len(framing.decode(piece)) <= len(piece) + framing.HELD
    framing.end()


# Datagrams


class Datagrams:
    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.name = f"unixgram://{folder}/sock" if kind == "unixgram" else "udp://127.0.0.1:0"
        self.senders: list[socket.socket] = []

    def sender(self, rig: Rig) -> Callable[[bytes], int]:
        sock = socket.socket(socket.AF_UNIX if self.kind == "unixgram" else socket.AF_INET, socket.SOCK_DGRAM)
        self.senders.append(sock)
        sock.settimeout(5)
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


def test_long_datagrams(datagrams: Datagrams) -> None:
    with Rig(datagrams.name, settings=QUICK) as rig:
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


# Addresses and socket files


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_socket_files(tmp_path: Path, scheme: str) -> None:
    """Removed at exit; one that nobody listens on is replaced; one in use or of another kind is left alone."""
    path = tmp_path / "sock"
    name = f"{scheme}://{path}"
    with Rig(name):
        assert stat.S_ISSOCK(path.stat().st_mode)
        with pytest.raises(SourceError, match=rf"^listen {scheme} {path}: bind: address already in use$"):
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
        with pytest.raises(SourceError, match=f"^listen tcp 127.0.0.1:{port}: bind: address already in use$"):
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
