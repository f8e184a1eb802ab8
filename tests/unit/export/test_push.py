"""The schedule of pushes: peers that are down, slow, silent or gone hold up nobody and are heard of once."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import PATIENCE, wait_until

from nativemtail import _core_testing
from nativemtail._core import COUNTER, GAUGE, INT, Metric, Store
from nativemtail._render import View
from nativemtail.app.config import push_settings
from nativemtail.export import push
from nativemtail.export.push import Pusher, PushSettings, SetUpError
from nativemtail.export.transport import host_and_port
from nativemtail.options import Options
from nativemtail.telemetry.counters import PushCounts

INTERVAL = 0.05


def pusher_of(store: Store, flags: Any, exports: Any) -> Pusher:
    return Pusher(partial(View, store), flags, exports)


class Exports:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.pushes: dict[str, PushCounts] = {}

    def push_to(self, target: str) -> PushCounts:
        self.pushes[target] = PushCounts()
        return self.pushes[target]

    def add(self, name: str, count: int = 1) -> None:
        self.counts[name] += count


@pytest.fixture
def store() -> Store:
    store = Store()
    for name in ("hits", "misses"):
        store.add(Metric(name, "p.mtail", COUNTER, INT))
    return store


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield server


def address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"{host}:{port}"


def options(**flags: Any) -> PushSettings:
    return push_settings(Options(**{"metric_push_interval": INTERVAL, "metric_push_write_deadline": PATIENCE, **flags}))


def received(server: socket.socket) -> bytes:
    """All of one connection."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(PATIENCE)
        return b"".join(iter(lambda: connection.recv(65536), b""))


HITS = b"x.p.mtail.hits 0 0\nx.p.mtail.misses 0 0\n"


def test_every_interval_and_once_more_at_the_end(store: Store, listener: socket.socket) -> None:
    exports = Exports()
    flags = options(graphite_host_port=address(listener), graphite_prefix="x.")
    pusher = pusher_of(store, flags, exports)
    began = time.monotonic()
    pusher.start()
    assert received(listener) == HITS
    assert time.monotonic() - began >= INTERVAL
    assert received(listener) == HITS
    listener.setblocking(False)
    stopping = threading.Thread(target=pusher.stop)
    stopping.start()
    pages = 0
    has_stopped = False
    while not has_stopped:
        has_stopped = not stopping.is_alive()
        with contextlib.suppress(BlockingIOError):
            while True:
                pages += received(listener) == HITS
        time.sleep(0.001)
    assert pages >= 1
    wait_until(lambda: exports.counts["graphite_export_success"] == 2 * (2 + pages))
    assert exports.counts["graphite_export_total"] == 2 * (2 + pages)


def test_final_push_of_a_process_that_never_reached_an_interval(store: Store, listener: socket.socket) -> None:
    pusher = Pusher(
        partial(View, store), options(metric_push_interval=1e9, graphite_host_port=address(listener)), Exports()
    )
    pusher.start()
    stopping = threading.Thread(target=pusher.stop)
    stopping.start()
    assert received(listener).count(b"\n") == 2
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_nothing_is_pushed_while_held_back(store: Store, listener: socket.socket) -> None:
    asked: list[bool] = []

    def is_held_back() -> bool:
        asked.append(len(asked) < 3)
        return asked[-1]

    flags = options(graphite_host_port=address(listener), graphite_prefix="x.")
    exports = Exports()
    pusher = Pusher(partial(View, store), flags, exports, is_held_back=is_held_back)
    pusher.start()
    assert received(listener) == HITS
    assert asked[:4] == [True, True, True, False]
    listener.close()
    pusher.stop(final=False)


def test_last_push_is_held_back_too(store: Store, listener: socket.socket) -> None:
    flags = options(metric_push_interval=1e9, graphite_host_port=address(listener))
    pusher = Pusher(partial(View, store), flags, Exports(), is_held_back=lambda: True)
    pusher.start()
    assert pusher.stop()
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(("interval", "final"), [(0, True), (-1, True), (1e9, False)])
def test_no_push(store: Store, listener: socket.socket, interval: float, final: bool) -> None:
    pusher = Pusher(
        partial(View, store), options(metric_push_interval=interval, graphite_host_port=address(listener)), Exports()
    )
    pusher.start()
    pusher.stop(final)
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_stop_without_start(store: Store, listener: socket.socket) -> None:
    pusher_of(store, options(graphite_host_port=address(listener)), Exports()).stop()


@pytest.mark.slow
def test_a_silent_peer_holds_up_neither_others_nor_the_end(tmp_path: Path, listener: socket.socket) -> None:
    """collectd's socket takes nothing; carbon gets its pushes all the same."""
    store = Store()
    for number in range(20_000):
        store.add(Metric(f"a_metric_with_a_long_name_{number:09}", "p.mtail", COUNTER, INT))
    with socket.socket(socket.AF_UNIX) as silent:
        path = str(tmp_path / "sock")
        silent.bind(path)
        silent.listen()
        flags = options(collectd_socketpath=path, graphite_host_port=address(listener), metric_push_write_deadline=1.0)
        exports = Exports()
        pusher = pusher_of(store, flags, exports)
        pusher.start()
        wait_until(lambda: received(listener).count(b"\n") == 20_000)
        listener.close()
        wait_until(lambda: exports.counts["collectd_export_total"] > 0)
        began = time.monotonic()
        assert pusher.stop()
        assert time.monotonic() - began < PATIENCE
        assert exports.counts["collectd_export_success"] < exports.counts["collectd_export_total"]


@pytest.mark.slow
def test_a_push_that_does_not_end_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when names are looked up at a server that is silent."""
    let_go, began = threading.Event(), threading.Event()

    def hang(*arguments: object) -> None:
        began.set()
        let_go.wait(PATIENCE)

    target = SimpleNamespace(name="graphite", peer="nobody", push=hang)
    monkeypatch.setattr(push, "targets", lambda *arguments: [target])
    pusher = pusher_of(store, options(metric_push_write_deadline=0.1), Exports())
    pusher.start()
    assert began.wait(PATIENCE)
    assert not pusher.stop()
    let_go.set()
    wait_until(pusher.stop)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]


def test_said_once_per_change_of_state(store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG, "nativemtail.export.push")
    path = str(tmp_path / "collectd.sock")
    exports = Exports()
    pusher = pusher_of(store, options(collectd_socketpath=path), exports)
    pusher.start()
    wait_until(lambda: len(caplog.records) >= 5)
    failed = f"collectd {path}: pusher dial error: No such file or directory; trying again every 0.05s"
    assert messages(caplog) == [f"pushing metrics to collectd at {path}", failed]
    assert not exports.counts
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        server.settimeout(PATIENCE)
        lines = received(server).decode().splitlines()
    assert lines[0].startswith(f'PUTVAL "{socket.gethostname()}/mtail-p.mtail/counter-hits" interval=0 0:0')
    wait_until(lambda: f"collectd {path}: pushes work again" in messages(caplog))
    pusher.stop(final=False)


def test_a_datagram_that_nobody_takes_is_backlog(store: Store) -> None:
    """Each was written, and refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        peer = address(nobody)
    level = Metric("level", "p.mtail", GAUGE, INT)
    store.add(level)
    _core_testing._store_set(level, [], 5)
    exports = Exports()
    [loop] = pusher_of(store, options(statsd_hostport=peer), exports)._loops
    pushes = exports.pushes["statsd"]
    assert pushes.backlog == 0

    def refused() -> int:
        """The kernel may be late with its answer to a single datagram."""
        loop._push()
        return pushes.failures

    wait_until(refused)
    taken = store.snapshot()
    assert pushes.backlog == sum(taken.count(metric) for metric in taken.metrics()) > 0


@pytest.mark.slow
def test_a_peer_that_closes_mid_write(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    for number in range(20_000):
        store.add(Metric(f"a_metric_with_a_long_name_{number:09}", "p.mtail", COUNTER, INT))
    pusher = Pusher(
        partial(View, store), options(graphite_host_port=address(listener), metric_push_interval=0.2), Exports()
    )
    pusher.start()
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.close()
    wait_until(lambda: any("pusher write error" in text for text in messages(caplog)))
    assert received(listener).count(b"\n") == 20_000
    pusher.stop(final=False)


class Misbehaving:
    """A peer that has a bad habit until it is `healed`; then it reads all."""

    def __init__(self, server: socket.socket, habit: str) -> None:
        self.server, self.habit = server, habit
        self.healed = False
        self.visits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            self.visits += 1
            work = self._behave if self.healed else getattr(self, f"_{self.habit}")
            threading.Thread(target=work, args=(connection,), daemon=True).start()

    def _behave(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(1 << 20):
                pass

    def _silent(self, connection: socket.socket) -> None:
        with connection:
            while not self.healed:
                time.sleep(0.02)

    def _slow(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not self.healed and connection.recv(100):
                time.sleep(0.02)

    def _rude(self, connection: socket.socket) -> None:
        connection.recv(1000)
        connection.close()

    def _resetting(self, connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)  # not before the peer sees itself connected
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def many(target: str) -> Store:
    """More than the buffers of a socket hold, under names that are short enough for the target."""
    name = "a" * 100 if target == "collectd" else ".".join(["a" * 200] * 10)
    store = Store()
    for number in range(2000):
        store.add(Metric(f"{name}_{number:09}", "p.mtail", COUNTER, INT))
    return store


@pytest.mark.slow
@pytest.mark.parametrize("habit", ["silent", "slow", "rude", "resetting"])
@pytest.mark.parametrize("name", ["collectd", "graphite"])
def test_a_peer_that_misbehaves(caplog: pytest.LogCaptureFixture, tmp_path: Path, name: str, habit: str) -> None:
    """It is asked again at each interval, told of once, counted, and forgiven; nobody else waits."""
    caplog.set_level(logging.INFO, "nativemtail.export.push")
    unix = name == "collectd"
    with contextlib.ExitStack() as stack, socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as server:
        server.bind(str(tmp_path / "sock") if unix else ("127.0.0.1", 0))
        server.listen()
        peer = Misbehaving(server, habit)
        target = {"collectd_socketpath": str(tmp_path / "sock")} if unix else {"graphite_host_port": address(server)}
        exports = Exports()
        store = many(name)
        pusher = Pusher(
            partial(View, store), options(**target, metric_push_interval=0.2, metric_push_write_deadline=1.0), exports
        )
        stack.callback(pusher.stop, final=False)
        pusher.start()
        wait_until(lambda: peer.visits >= 3)
        assert exports.counts[f"{name}_export_success"] < exports.counts[f"{name}_export_total"]
        pushes = exports.pushes[name]
        assert pushes.failures >= 2
        assert 0 < pushes.backlog <= 2000
        pusher._loops[0]._budget.seconds = PATIENCE  # or it fails again where the machine is slow
        peer.healed = True
        wait_until(lambda: any(text.endswith("pushes work again") for text in messages(caplog)))
        wait_until(lambda: not pushes.backlog)
        assert sum(pushes.latency.ranges()[0]) > pushes.failures
        _, failed, again, *more = messages(caplog)
        assert (" error: " in failed, again.startswith(name), more) == (True, True, [])


def test_a_snapshot_waits_for_no_push(listener: socket.socket) -> None:
    """This one would last until the test is ended."""
    store = many("graphite")
    flags = options(graphite_host_port=address(listener), metric_push_write_deadline=100 * PATIENCE)
    pusher = pusher_of(store, flags, Exports())
    pusher.start()
    connection, _ = listener.accept()
    listener.close()
    with connection:
        assert connection.recv(1)
        store.snapshot()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pusher.stop(final=False)


def test_a_peer_that_only_listens(listener: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """It closes its half of the connection and takes what comes."""
    exports = Exports()
    pusher = pusher_of(many("graphite"), options(graphite_host_port=address(listener)), exports)
    pusher.start()
    connection, _ = listener.accept()
    with connection:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE)
        assert b"".join(iter(lambda: connection.recv(65536), b"")).count(b"\n") == 2000
    wait_until(lambda: exports.counts["graphite_export_success"] >= 2000)
    # Before the next push has waited in vain.
    assert not [text for text in messages(caplog) if "error" in text]
    listener.close()  # which ends a push that waits to be accepted
    pusher.stop(final=False)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("statsd", {"statsd_hostport": "localhost:nosuchservice"}),
        ("graphite", {"graphite_host_port": "127.0.0.1:1", "metric_push_write_deadline": 0.0}),
    ],
)
def test_addresses_that_cannot_work_are_told(
    store: Store, caplog: pytest.LogCaptureFixture, name: str, flags: dict[str, Any]
) -> None:
    pusher = pusher_of(store, options(**flags), Exports())
    pusher.start()
    wait_until(lambda: any(f"{name} " in text and "pusher dial error: " in text for text in messages(caplog)))
    pusher.stop(final=False)


def test_a_failure_of_our_own_ends_no_thread(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    calls = iter(range(10**6))

    def view() -> Any:
        if next(calls) < 2:
            raise MemoryError("no room")
        return View(store)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        pusher = Pusher(view, options(graphite_host_port=address(server)), Exports())
        pusher.start()
        assert received(server).count(b"\n") == 2
        pusher.stop(final=False)
    assert sum("MemoryError: no room" in text for text in messages(caplog)) == 1


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("localhost:2003", ("localhost", "2003")),
        ("[::1]:2003", ("::1", "2003")),
        (":8125", ("localhost", "8125")),
        ("host:http", ("host", "http")),
    ],
)
def test_host_and_port(given: str, parts: tuple[str, str]) -> None:
    assert host_and_port(given) == parts


@pytest.mark.parametrize("given", ["", "host", "host:", "::1", "a:b:1", "a:65536", "[::1]:99999"])
def test_host_and_port_refuses(given: str) -> None:
    with pytest.raises(
        ValueError, match=r"address .*: (missing port in address|too many colons in address|invalid port)"
    ):
        host_and_port(given)


@pytest.mark.parametrize("flag", ["graphite_host_port", "statsd_hostport"])
@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("localhost", "missing port in address"),
        ("::1", "too many colons in address"),
        ("a:99999", "invalid port"),
        ("::1:2003", "too many colons in address"),
    ],
)
def test_an_address_that_is_none_ends_the_start(store: Store, flag: str, address: str, what: str) -> None:
    with pytest.raises(SetUpError, match=re.escape(f"-{flag}: address {address}: {what} (write HOST:PORT)")):
        pusher_of(store, options(**{flag: address}), Exports())


def test_the_last_push_promises_no_other(store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    pusher = pusher_of(store, options(collectd_socketpath=path, metric_push_interval=60), Exports())
    pusher.start()
    assert pusher.stop()
    assert messages(caplog) == [f"collectd {path}: pusher dial error: No such file or directory"]


@pytest.mark.parametrize(
    ("environment", "endpoint", "reason"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "x:1", "http/json"),
        ({}, "http://", "not a host:port"),
    ],
)
def test_a_collector_that_cannot_be_set_up_ends_the_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str, reason: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetUpError, match=reason):
        pusher_of(store, options(otlp_endpoint=endpoint), Exports())


def test_what_to_install_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.metric_exporter", None)
    with pytest.raises(SetUpError, match=r"pushing to x:1 needs pip install 'nativemtail\[otlp\]'"):
        pusher_of(store, options(otlp_endpoint="x:1"), Exports())


ROOM = """
import re, socket, sys, threading
from nativemtail._core import COUNTER, INT, Metric, Store
from nativemtail._core_testing import _store_fill
from nativemtail._render import View
from nativemtail.app.config import push_settings
from nativemtail.export.push import targets
from nativemtail.export.transport import Budget
from nativemtail.options import Options

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def drain():
    while True:
        with server.accept()[0] as peer:
            buffer = bytearray(1 << 16)
            while peer.recv_into(buffer):
                pass

name, address, number = sys.argv[1:]
server = socket.socket(socket.AF_UNIX if name == "collectd" else socket.AF_INET)
server.bind(address if name == "collectd" else ("127.0.0.1", 0))
server.listen()
threading.Thread(target=drain, daemon=True).start()
flags = {"graphite": {"graphite_host_port": "127.0.0.1:%s" % (server.getsockname()[1:] or ("",))[0]},
         "collectd": {"collectd_socketpath": address}}[name]
[target] = targets(push_settings(Options(**flags)), "host")
store, metric = Store(), Metric("c", "p", COUNTER, INT, keys=("k",))
store.add(metric)
target.push(View(store), Budget(60), lambda what, n: None)
_store_fill([metric], int(number), int(number))
open("/proc/self/clear_refs", "w").write("5")
before = resident("VmRSS")
sent = [0]
def count(what, n):
    sent[0] += n * (what == "success")
target.push(View(store), Budget(600), count)
print(sent[0], resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers keep freed memory")
@pytest.mark.parametrize("name", ["graphite", "collectd"])
def test_a_push_takes_little_room(tmp_path: Path, name: str) -> None:
    """Whatever its size, as for pages: a copy of these label sets alone would take 30 MiB."""
    command = [sys.executable, "-c", ROOM, name, str(tmp_path / "sock"), "500000"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    sent, grown = answer.stdout.split()
    assert int(sent) == 500_000
    assert float(grown) < 8
