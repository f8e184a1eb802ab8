"""StatsD: what is sent of which label set, and what is not sent again."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from nativemtail._render import View
from nativemtail.export.push import Pusher, PushSettings
from nativemtail.export.statsd import Statsd
from nativemtail.export.transport import Budget, WriteError

PROGRAM = """
counter hits by what
counter scalar
counter part
gauge level by what
timer took
text said
histogram h by what buckets 1, 2
hidden counter secret
/^hit (?P<w>\\S+)/ {
  hits[$w]++
}
/^scalar (?P<n>-?\\d+)/ {
  scalar = $n
}
/^part (?P<f>\\d+\\.\\d+)/ {
  part += $f
}
/^level (?P<w>\\S+) (?P<n>-?\\d+)/ {
  level[$w] = $n
}
/^took (?P<f>\\d+\\.\\d+)/ {
  took = $f
}
/^said (?P<s>.*)/ {
  said = $s
  secret++
}
/^seen (?P<w>\\S+) (?P<f>\\d+\\.\\d+)/ {
  h[$w] = $f
}
/^forget (?P<w>\\S+)/ {
  del hits[$w]
}
"""


class Server:
    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setblocking(False)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def datagrams(self) -> set[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                assert len(found) == len(set(found))
                return set(found)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.socket.close()


def test_a_life(live: Callable[[str], Any], server: Server) -> None:
    run = live(PROGRAM)
    target = Statsd(server.address, prefix="x.")
    counts: Counter[str] = Counter()

    def push(*lines: str) -> set[str]:
        run.feed(*lines)
        target.push(View(run.store), Budget(5), lambda what, n: counts.update({what: n}))
        return server.datagrams()

    first = push(
        "hit a.b", "hit a.b", "hit c", "scalar 7", "level x -5", "level y 5", "took 1.5", "said z", "seen s 1.5"
    )
    assert first == {
        "x.p.mtail.hits.what.a_b:2|c",
        "x.p.mtail.hits.what.c:1|c",
        "x.p.mtail.scalar:7|c",
        "x.p.mtail.level.what.x:0|g\nx.p.mtail.level.what.x:-5|g",
        "x.p.mtail.level.what.y:5|g",
        "x.p.mtail.took:1.5|ms",
        "x.p.mtail.h.what.s.count:1|c\nx.p.mtail.h.what.s.sum:1.5|c",
    }
    assert counts == {"total": 6, "success": 7}
    levels = {text for text in first if "level" in text or "took" in text}
    assert push() == levels
    assert push("hit c", "scalar 3", "part 0.5") - levels == {
        "x.p.mtail.hits.what.c:1|c",
        "x.p.mtail.scalar:3|c",
        "x.p.mtail.part:0.5|c",
    }
    assert push("forget c", "seen s 0.0", "part 0.25", "scalar -3") - levels == {
        "x.p.mtail.h.what.s.count:1|c",
        "x.p.mtail.part:0.25|c",
        "x.p.mtail.scalar:-3|c",
    }
    assert push("hit c") - levels == {"x.p.mtail.hits.what.c:1|c"}


def test_what_an_earlier_process_sent_is_not_sent_again(live: Callable[[str], Any], server: Server) -> None:
    run = live(PROGRAM)
    run.feed("hit a", "scalar 7", "seen s 1.5", "level x 5")
    settings = PushSettings(statsd=server.address)
    pusher = Pusher(partial(View, run.store), settings, SimpleNamespace(push_to=lambda name: None))  # type: ignore[arg-type]
    pusher.resume(1)
    run.feed("hit a", "hit b", "seen s 0.5")
    [loop] = pusher._loops
    loop.target.push(View(run.store), Budget(5), lambda what, n: None)
    assert server.datagrams() == {
        "p.mtail.hits.what.a:1|c",
        "p.mtail.hits.what.b:1|c",
        "p.mtail.h.what.s.count:1|c\np.mtail.h.what.s.sum:0.5|c",
        "p.mtail.level.what.x:5|g",
    }


def test_what_nobody_received_is_sent_again(live: Callable[[str], Any], server: Server) -> None:
    run = live(PROGRAM)
    target = Statsd(server.address)
    run.feed("hit a", "hit b", "hit c")
    host, port = server.socket.getsockname()
    server.socket.close()
    for _ in range(2):
        with pytest.raises(WriteError, match="pusher write error: Connection refused"):
            target.push(View(run.store), Budget(5), lambda what, n: None)
    server.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.socket.bind((host, port))
    server.socket.setblocking(False)
    target.push(View(run.store), Budget(5), lambda what, n: None)
    assert server.datagrams() == {f"p.mtail.hits.what.{what}:1|c" for what in "abc"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError(errno.EHOSTUNREACH, "No route to host")])
def test_what_is_gone_is_forgotten_though_each_push_fails(
    live: Callable[[str], Any], server: Server, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    run = live(PROGRAM)
    target = Statsd(server.address)
    sent = []

    def send(sock: socket.socket, deadline: float, data: bytes) -> str:
        if len(sent) == 500:
            sent.clear()
            raise error
        sent.append(data)
        return ""

    monkeypatch.setattr(Statsd, "_send", staticmethod(send))
    for number in range(20):
        run.feed(*(f"hit {number}-{i}" for i in range(600)))
        with pytest.raises(WriteError):
            target.push(View(run.store), Budget(5), lambda what, n: None)
        run.feed(*(f"forget {number}-{i}" for i in range(600)))
    assert len(target._known) < 4000
    # What is still there is known all the same: it is not sent again.
    run.feed("hit kept")
    for _ in range(10):
        sent.clear()
        target.push(View(run.store), Budget(5), lambda what, n: None)
    assert not any(b"kept" in data for data in sent)
    assert {key[-1] for key in target._known} == {("kept",), ()}


def test_a_label_set_longer_than_a_datagram_harms_no_other(
    live: Callable[[str], Any], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    run = live(PROGRAM)
    target = Statsd(server.address)
    run.feed("hit " + "x" * 70_000, "hit b")
    for _ in range(2):
        target.push(View(run.store), Budget(5), lambda what, n: None)
    assert server.datagrams() == {"p.mtail.hits.what.b:1|c"}
    assert len(caplog.records) == 1


def test_values_that_are_no_numbers(live: Callable[[str], Any], server: Server) -> None:
    run = live("counter f\n/(?P<f>\\S+)/ {\n f = float($f)\n}\n")
    target = Statsd(server.address)
    for text, expected in (
        ("1.5", {"p.mtail.f:1.5|c"}),
        ("NaN", set()),
        ("2.5", {"p.mtail.f:1|c"}),
        ("Inf", set()),
    ):
        run.feed(text)
        target.push(View(run.store), Budget(5), lambda what, n: None)
        assert server.datagrams() == expected, text
