"""Label values are whatever a log line holds: no push format is broken by one, and no byte of it means anything."""

from __future__ import annotations

import math
import re
import shlex
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nativemtail.export import collectd, graphite, statsd
from nativemtail.export.textformat import encode
from nativemtail.export.transport import Budget

HOSTILE = [
    "x:100000|c",
    "root|c|@0.0000001",
    "10.0.0.1:8080",
    "::1",
    'say "hi"',
    "back\\slash",
    "a 5 1700000000",
    "a\tb",
    "a\rb",
    "a\nother 1 1",
    "nul\0",
    "\u2028x",
    "no\u00a0break",
    "x;tag=value",
    'x{tag="value"}',
    "x|#tag:value",
    "x,tag=value",
    "Mozilla/5.0 (X11; Linux)",
    "\udcff\udcfe",
    "é",
    "",
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(), st.binary().map(lambda b: b.decode("utf-8", "surrogateescape")))


def snapshot(labels: tuple[str, ...], kind: int = 1, value: object = 1, name: str = "hits") -> tuple[Any, Any]:
    """A snapshot of one metric with one label set, and the metric."""
    keys = tuple(f"k{number:02}" for number in range(len(labels)))
    metric = SimpleNamespace(name=name, program="p.mtail", kind=kind, type=0, keys=keys, hidden=False, labels=())
    row = SimpleNamespace(labels=labels, time=0, value=value)
    return SimpleNamespace(metrics=lambda: [metric], rows=lambda _: iter([row])), metric


def lines(data: bytes) -> list[bytes]:
    assert data.endswith(b"\n")
    return data[:-1].split(b"\n")


@given(st.lists(TEXTS, max_size=3))
@example(HOSTILE)
def test_graphite_sees_three_words(labels: list[str]) -> None:
    """As carbon does: it decodes a line, splits it at any blank, and looks for tags in the name."""
    [line] = lines(b"".join(graphite.entries(*snapshot(tuple(labels)))))
    path, value, time = line.decode().split()
    assert (value, time) == ("1", "0")
    assert path.startswith("p.mtail.hits")
    assert path.count(".") == 2 + 2 * len(labels)
    assert not set(path) & set(";{}()[]*?,'\"|\\\0")


@given(st.lists(TEXTS, max_size=3))
@example(HOSTILE)
def test_statsd_sees_one_value(labels: list[str]) -> None:
    """As StatsD does: it splits at newlines, at colons, at bars."""
    [(_, _, data, cannot)] = statsd.datagrams(*snapshot(tuple(labels)), {})
    assert not cannot
    [line] = data.decode().splitlines()
    name, value = line.split(":")
    assert value.split("|") == ["1", "c"]
    assert not re.search(r"[\s|@#,;\"\\]", name)
    assert name.count(".") == 2 + 2 * len(labels)


@given(st.lists(TEXTS, max_size=3))
@example(HOSTILE)
def test_collectd_sees_four_words(labels: list[str]) -> None:
    [line] = lines(b"".join(collectd.entries(*snapshot(tuple(labels)), host_name="h", interval=1)))
    words = shlex.shlex(line.decode(), posix=True, punctuation_chars=False)
    words.whitespace, words.whitespace_split, words.quotes, words.commenters = " ", True, '"', ""
    command, identifier, interval, value = list(words)
    assert (command, interval, value) == ("PUTVAL", "interval=1", "0:1")
    kept = [re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+", "_", label.replace("-", "_")) for label in labels]
    parts = [part for pair in zip((f"k{n:02}" for n in range(len(labels))), kept, strict=True) for part in pair]
    assert identifier == "-".join(["h/mtail", "p.mtail/counter", "hits", *parts])


@pytest.mark.parametrize(
    ("value", "in_graphite", "in_statsd", "in_collectd"),
    [
        ("plain", "plain", "plain", "plain"),
        ("a.b-c", "a_b-c", "a_b-c", "a.b_c"),
        ("/index.html?q=1&r=2", "/index_html_q=1&r=2", "/index_html?q=1&r=2", "/index.html?q=1&r=2"),
        ("10.0.0.1:8080", "10_0_0_1:8080", "10_0_0_1_8080", "10.0.0.1:8080"),
        ("x:100000|c", "x:100000_c", "x_100000_c", "x:100000|c"),
        ('say "hi"', "say_hi_", "say_hi_", 'say \\"hi\\"'),
        ("naïve €", "naïve_€", "naïve_€", "naïve €"),
    ],
)
def test_what_becomes_of_values(value: str, in_graphite: str, in_statsd: str, in_collectd: str) -> None:
    taken = snapshot((value,))
    assert b"".join(graphite.entries(*taken)).decode() == f"p.mtail.hits.k00.{in_graphite} 1 0\n"
    assert next(statsd.datagrams(*taken, {})).data.decode() == f"p.mtail.hits.k00.{in_statsd}:1|c"
    [line] = collectd.entries(*taken, host_name="h", interval=1)
    assert line.decode() == f'PUTVAL "h/mtail-p.mtail/counter-hits-k00-{in_collectd}" interval=1 0:1\n'


def test_names_of_metrics_and_programs_are_cleaned_too() -> None:
    taken, metric = snapshot((), name="a metric:1")
    metric.program = 'my "prog".mtail'
    assert b"".join(graphite.entries(taken, metric)) == b"my_prog_.mtail.a_metric:1 1 0\n"
    assert next(statsd.datagrams(taken, metric, {})).data == b"my_prog_.mtail.a_metric_1:1|c"
    [line] = collectd.entries(taken, metric, host_name="h", interval=1)
    assert line == b'PUTVAL "h/mtail-my \\"prog\\".mtail/counter-a metric:1" interval=1 0:1\n'


@pytest.mark.parametrize(("value", "text"), [(1e6, "1000000"), (2.75, "2"), (12345678.5, "12345678"), (5, "5")])
def test_a_counter_of_collectd_is_whole(value: float, text: str) -> None:
    """Of `1e+06` collectd would take the 1."""
    [line] = collectd.entries(*snapshot((), value=value), host_name="h", interval=1)
    assert line.endswith(f" 0:{text}\n".encode())
    [line] = collectd.entries(*snapshot((), kind=2, value=2.75), host_name="h", interval=1)
    assert line.endswith(b" 0:2.75\n")


class Peer:
    """Takes what one push sends."""

    def __init__(self, kind: str, folder: Path) -> None:
        datagrams = kind == "statsd"
        family = socket.AF_UNIX if kind == "collectd" else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        self._socket.bind(str(folder / "sock") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        self._datagrams = datagrams
        if datagrams:
            self._socket.setblocking(False)
        else:
            self._socket.listen()
        name = self._socket.getsockname()
        self.address = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
        self.target: Any = {
            "graphite": lambda: graphite.Graphite(self.address),
            "statsd": lambda: statsd.Statsd(self.address),
            "collectd": lambda: collectd.Collectd(self.address, host_name="h", interval=1),
        }[kind]()

    def close(self) -> None:
        self._socket.close()

    def push(self, taken: Any) -> tuple[bytes, Counter[str]]:
        counts: Counter[str] = Counter()
        self.target.push(taken, Budget(5), lambda what, n: counts.update({what: n}))
        return self._received(), counts

    def _received(self) -> bytes:
        if not self._datagrams:
            connection, _ = self._socket.accept()
            with connection:
                return b"".join(iter(lambda: connection.recv(65536), b""))
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return b""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Callable[[str], Peer]]:
    made: list[Peer] = []

    def make(kind: str) -> Peer:
        made.append(Peer(kind, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "fits", "too_long"),
    [
        ("graphite", "x" * 251, "x" * 252),
        ("graphite", "/".join(["x" * 200] * 19), "/".join(["x" * 200] * 20)),
        ("graphite", "é" * 125, "é" * 126),
        ("statsd", "x" * 65_000, "x" * 65_507),
        ("collectd", "x" * 118, "x" * 119),
        ("collectd", '"' * 118, "é" * 60),
        ("collectd", "\\" * 118, '"' * 5000),
    ],
)
def test_what_is_too_long_is_counted(
    peer: Callable[[str], Peer], caplog: pytest.LogCaptureFixture, kind: str, fits: str, too_long: str
) -> None:
    one = peer(kind)
    data, counts = one.push(snapshot((fits,))[0])
    assert data
    assert counts["success"] == 1
    assert not counts["dropped"]
    for _ in range(2):
        data, counts = one.push(snapshot((too_long,))[0])
        assert data == b""
        assert (counts["success"], counts["dropped"]) == (0, 1)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{one.address}: label sets are left out, ")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["graphite", "statsd", "collectd"])
@pytest.mark.parametrize("value", [b"up", b"5 1\nother 5 1", b"1|c\nother:5", b"", b"1 ", b"0x10"])
def test_a_value_that_is_a_text_is_not_sent(peer: Callable[[str], Peer], kind: str, value: bytes) -> None:
    one = peer(kind)
    assert one.push(snapshot((), kind=2, value=value)[0]) == (b"", Counter(total=1, dropped=1))
    data, counts = one.push(snapshot((), kind=2, value=b"-1.5e3")[0])
    assert b"-1.5e3" in data
    assert counts["success"] == 1


@pytest.mark.parametrize(
    ("kind", "value"), [(2, math.nan), (2, math.inf), (3, -math.inf), (3, math.nan), (3, -0.5), (3, -2)]
)
def test_what_statsd_calls_a_bad_line_is_counted(peer: Callable[[str], Peer], kind: int, value: float) -> None:
    assert peer("statsd").push(snapshot((), kind=kind, value=value)[0]) == (b"", Counter(total=1, dropped=1))


def test_the_page_has_no_line_that_a_text_made() -> None:
    page = b"".join(graphite.render(snapshot((), kind=4, value=b"one two\nother 5 1")[0]))
    assert page == encode("p.mtail.hits one two_other 5 1 0\n")
