"""collectd, Graphite and StatsD receive what is pushed."""

from __future__ import annotations

import csv
import json
import re
import socket
import time
from pathlib import Path

import pytest
from collectors import Grpc, Http
from daemons import Daemon, Place, append, free_port
from systems import CONFIGURATIONS, System, Systems
from waiting import PATIENCE, wait_until

LINES = b"".join(b"a %d\n" % size for size in (1, 5, 50)) + b"b 7\n"
"""For the program in conftest.py: words_total{a} 3, {b} 1, last 7, sizes: sum 63."""


HOSTILE = (
    b"x:100000|c",
    b"10.0.0.1:8080",
    b"::1",
    b'say "hi"',
    b"a 5 1700000000",
    b"x;tag=value",
    b'y{tag="value"}',
    b"y|c|@0.001",
    b"z|#tag:value",
    b"back\\slash",
    b"no\xc2\xa0break",
    b"not\xffutf8",
    b"a\rb",
    b"nul\0nul",
)
LONG = (b"L" * 1100, b"M" * 20_000, b"P" * 935 + b'PUTVAL "other/mtail-x/counter-y" interval=1 1700000000:9')
"""Label values that mean something in one of the formats, and such that no peer but StatsD has room for."""
NAMES = """counter n by k
counter last_one
/^NAME (?P<k>.*)$/ {
  n[$k]++
}
/^LAST/ {
  last_one++
}
"""


def hostile(place: Place, *flags: str) -> Daemon:
    """Pushes every second; has counted each of `HOSTILE` and `LONG` once."""
    (place.progs / "names.mtail").write_text(NAMES)
    return daemon(place, *flags, lines=b"".join(b"NAME %b\n" % name for name in HOSTILE + LONG) + b"LAST\n")


def daemon(place: Place, *flags: str, lines: bytes = LINES) -> Daemon:
    """Pushes every second; has counted the lines."""
    log = place.logs / "a.log"
    log.touch()
    started = place.start("--metric_push_interval=1s", "--metric_push_write_deadline=5s", *flags)
    append(log, lines)
    started.wait_for("lines_total", lines.count(b"\n"))
    return started


def variable(daemon: Daemon, name: str) -> int:
    return int(json.loads(daemon.ask("/debug/vars")[1])[name])


def start_collectd(place: Place, systems: Systems) -> tuple[System, Path, Path]:
    """The program, its data and its socket."""
    data, sock = place.root / "csv", place.root / "collectd.sock"
    config = systems.configure(
        "collectd/collectd.conf",
        {
            "/var/run/collectd-unixsock": sock,
            "/var/lib/collectd/csv": data,
            "/usr/share/collectd/types.db": systems.root / "usr/share/collectd/types.db",
            "/etc/collectd/nativemtail.types.db": systems.configure("collectd/nativemtail.types.db", {}),
        },
    )
    extra = f'PluginDir "{systems.root / "usr/lib/collectd"}"\nPIDFile "{place.root}/pid"\nBaseDir "{place.root}"\n'
    config.write_text(extra + config.read_text())
    collectd = systems.start("usr/sbin/collectd", "-f", "-C", config)
    collectd.wait_file(sock)
    return collectd, data, sock


def collected(data: Path) -> dict[str, float]:
    """The newest value of each of collectd's files, by its name without the date."""
    tables = {path: list(csv.reader(path.read_text().splitlines())) for path in data.rglob("*-20*")}
    return {
        re.sub(r"-\d{4}-\d\d-\d\d$", "", str(path.relative_to(data))): float(rows[-1][1])
        for path, rows in tables.items()
        if len(rows) > 1
    }


def test_collectd(place: Place, systems: Systems) -> None:
    collectd, data, sock = start_collectd(place, systems)
    subject = daemon(place, "--collectd_socketpath", str(sock), "--collectd_prefix", "x.")
    base = f"{socket.gethostname()}/x.mtail-count.mtail"
    expected = {
        f"{base}/counter-words_total-word-a": 3,
        f"{base}/counter-words_total-word-b": 1,
        f"{base}/counter-lines_total": 4,
        f"{base}/gauge-last": 7,
        f"{base}/histogram-sizes": 63,
    }
    wait_until(lambda: collected(data) == expected, lambda: f"{collected(data)}\n{subject.log}\n{collectd.log}")
    wait_until(lambda: variable(subject, "collectd_export_success") >= 5)
    assert subject.stop() == 0


def test_hostile_names_in_collectd(place: Place, systems: Systems) -> None:
    """Each is carried as it is, but for what is no text; nothing is refused but what did not change."""
    collectd, data, sock = start_collectd(place, systems)
    subject = hostile(place, "--collectd_socketpath", str(sock))
    base = f"{socket.gethostname()}/mtail-names.mtail/counter"
    kept = {b"not\xffutf8": "not\ufffdutf8", b"a\rb": "a_b", b"nul\0nul": "nul_nul"}
    names = [kept.get(name) or name.decode().replace("-", "_") for name in HOSTILE]
    expected = {f"{base}-last_one", *(f"{base}-n-k-{name}" for name in names)}

    def found() -> set[str]:
        return {name for name, value in collected(data).items() if "names.mtail" in name and value == 1}

    wait_until(lambda: found() == expected, lambda: f"{found() ^ expected}\n{subject.log}\n{collectd.log}")
    assert variable(subject, "collectd_export_dropped") >= len(LONG)
    assert not (data / "other").exists()
    assert "Unknown command" not in subject.log
    assert subject.stop() == 0


def start_carbon(place: Place, systems: Systems) -> tuple[System, Path, int]:
    """The program, its storage and its port."""
    port, storage = free_port(), place.root / "storage"
    for name in ("whisper", "log"):
        (storage / name).mkdir(parents=True)
    changes = {
        "= /var/lib/graphite/whisper/": f"= {storage}/whisper/",
        "= /var/lib/graphite/": f"= {storage}/",
        "= /etc/carbon/": f"= {place.root}/",
        "= /var/log/carbon/": f"= {storage}/log/",
        "= /var/run/": f"= {storage}/",
        "USER = _graphite": "USER =",
        "LINE_RECEIVER_PORT = 2003": f"LINE_RECEIVER_PORT = {port}",
        "= 2004": f"= {free_port()}",
        "= 7002": f"= {free_port()}",
        # Where graphite-web does not run, carbon logs an error for each batch of new names.
        "[cache]": "[cache]\nENABLE_TAGS = False",
    }
    config = systems.configure("graphite/carbon.conf", changes)
    systems.configure("graphite/storage-schemas.conf", {"60s:1d": "1s:1d"})
    carbon = systems.start("usr/bin/carbon-cache", "--nodaemon", "--config", config, "start")
    carbon.wait_for(port)
    return carbon, storage, port


def test_graphite(place: Place, systems: Systems) -> None:
    carbon, storage, port = start_carbon(place, systems)
    subject = daemon(place, "--graphite_host_port", f"localhost:{port}", "--graphite_prefix", "logs.")
    base = storage / "whisper/logs/count/mtail"

    def fetched(name: str) -> float | None:
        """The newest value that whisper-fetch finds."""
        path = base / f"{name}.wsp"
        if not path.exists():
            return None
        answer = systems.run("usr/bin/whisper-fetch", "--json", f"--from={int(time.time()) - 60}", path)
        values = [value for value in json.loads(answer.stdout)["values"] if value is not None]
        return values[-1] if values else None

    expected = {
        "lines_total": 4,
        "words_total/word/a": 3,
        "words_total/word/b": 1,
        "last": 7,
        "sizes": 63,
        "sizes/count": 4,
        "sizes/bin_1": 1,
        "sizes/bin_10": 2,
        "sizes/bin_100": 1,
    }
    for name, value in expected.items():
        wait_until(lambda name=name, value=value: fetched(name) == value, f"{name} {carbon.log} {subject.log}")
    status, page = subject.ask("/graphite")
    assert status == 200
    assert re.search(rb"^logs\.count\.mtail\.sizes\.bin_10 2 \d+$", page, re.MULTILINE)
    assert variable(subject, "graphite_export_success") >= 5
    assert subject.stop() == 0


def test_hostile_names_in_graphite(place: Place, systems: Systems) -> None:
    """Each has its file, carbon finds no fault with any, and keeps the connection to the end."""
    carbon, storage, port = start_carbon(place, systems)
    subject = hostile(place, "--graphite_host_port", f"127.0.0.1:{port}")
    names = "x:100000_c 10_0_0_1:8080 ::1 say_hi_ a_5_1700000000 x_tag=value y_tag=_value_ y_c_@0_001 z_#tag:value"
    names += " back_slash no_break not\ufffdutf8 a_b nul_nul"
    expected = {"last_one", *(f"n/k/{name}" for name in names.split())}

    def found() -> set[str]:
        base = storage / "whisper/names/mtail"
        return {str(path.relative_to(base).with_suffix("")) for path in base.rglob("*.wsp")}

    wait_until(lambda: found() == expected, lambda: f"{found() ^ expected}\n{subject.log}\n{carbon.log}")
    assert variable(subject, "graphite_export_dropped") >= len(LONG)
    logged = "".join(path.read_text() for path in (storage / "log").rglob("*.log")) + carbon.log
    assert not re.search("invalid line|Error|Traceback", logged), logged
    assert subject.stop() == 0


def start_statsd(systems: Systems) -> tuple[int, int]:
    """Its port and that of its management."""
    port, management = free_port(socket.SOCK_DGRAM), free_port()
    # No flush while the test looks: what counters have is gone afterwards.
    changes = {"port: 8125": f"port: {port}", "mgmt_port: 8126": f"mgmt_port: {management}", "60000": "3600000"}
    config = systems.configure("statsd/config.js", changes)
    statsd = systems.start("node", systems.root.node / "node_modules/statsd/stats.js", config, path=True)
    statsd.wait_for(management)
    return port, management


def asked(management: int, what: str) -> str:
    with socket.create_connection(("127.0.0.1", management), PATIENCE) as connection:
        connection.sendall(f"{what}\n".encode())
        answer = b""
        while b"END" not in answer:
            answer += connection.recv(65536)
    return answer.decode()


def test_hostile_names_in_statsd(place: Place, systems: Systems) -> None:
    """Each counts once, under a name of its own; there is no bad line."""
    port, management = start_statsd(systems)
    subject = hostile(place, "--statsd_hostport", f"127.0.0.1:{port}")
    names = "x_100000_c 10_0_0_1_8080 _1 say_hi_ a_5_1700000000 x_tag=value ytag=_value_ y_c_0_001 z_tag_value"
    names += f" back_slash no_break notutf8 a_b nul_nul {LONG[0].decode()} {LONG[1].decode()}"

    def found() -> dict[str, float]:
        pairs = re.findall(r"'?names\.mtail\.n\.k\.([^':]+)'?: ([-\d.]+)", asked(management, "counters"))
        return {name: float(value) for name, value in pairs if not name.startswith("P")}

    expected = dict.fromkeys(names.split(), 1.0)
    wait_until(lambda: found() == expected, lambda: f"{found()}\n{subject.log}")
    assert re.search(r"'statsd.bad_lines_seen': 0\b", asked(management, "counters"))
    assert subject.stop() == 0


def test_statsd(place: Place, systems: Systems) -> None:
    port, management = start_statsd(systems)
    progs = place.progs / "more.mtail"
    progs.write_text("timer took\ngauge below\n/^b (?P<n>\\d+)/ {\n  took = $n\n  below = 0 - $n\n}\n")
    subject = daemon(place, "--statsd_hostport", f"127.0.0.1:{port}", "--statsd_prefix", "x.")

    def ask(what: str) -> str:
        return asked(management, what)

    def numbers(what: str) -> dict[str, float]:
        return {name: float(value) for name, value in re.findall(r"'?(x\.[^':]+)'?: ([-\d.]+)", ask(what))}

    base = "x.count.mtail"
    counters = {
        f"{base}.lines_total": 4.0,
        f"{base}.words_total.word.a": 3.0,
        f"{base}.words_total.word.b": 1.0,
        f"{base}.sizes.count": 4.0,
        f"{base}.sizes.sum": 63.0,
    }
    wait_until(lambda: numbers("counters") == counters, lambda: f"{ask('counters')}\n{subject.log}")
    assert numbers("gauges") == {f"{base}.last": 7.0, "x.more.mtail.below": -7.0}
    assert re.search(r"'x\.more\.mtail\.took': \[\s*7\b", ask("timers"))
    sent = variable(subject, "statsd_export_success")
    append(Path(place.logs / "a.log"), b"a 1\n")
    counters |= {
        f"{base}.lines_total": 5.0,
        f"{base}.words_total.word.a": 4.0,
        f"{base}.sizes.count": 5.0,
        f"{base}.sizes.sum": 64.0,
    }
    wait_until(lambda: numbers("counters") == counters, lambda: f"{ask('counters')}\n{subject.log}")
    wait_until(lambda: variable(subject, "statsd_export_success") > sent + 10)
    assert numbers("counters") == counters, "totals were sent again"
    assert subject.stop() == 0


@pytest.mark.parametrize("kind", [Grpc, Http])
def test_opentelemetry(place: Place, kind: type[Grpc | Http]) -> None:
    """The last push is the one at the end."""
    log = place.logs / "a.log"
    log.touch()
    receiver = kind()
    try:
        environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": kind.protocol, "OTEL_SERVICE_NAME": "logs"}
        subject = place.start("--otlp_endpoint", receiver.endpoint, environment=environment)
        append(log, LINES)
        subject.wait_for("lines_total", 4)
        assert receiver.requests == []
        assert subject.stop() == 0
    finally:
        receiver.close()
    found = receiver.metrics()
    words = found["count.mtail words_total"].sum
    assert {point.attributes[0].value.string_value: point.as_int for point in words.data_points} == {"a": 3, "b": 1}
    assert (words.is_monotonic, words.aggregation_temporality) == (True, 2)
    assert found["count.mtail last"].gauge.data_points[0].as_int == 7
    [sizes] = found["count.mtail sizes"].histogram.data_points
    assert (sizes.count, sizes.sum, list(sizes.explicit_bounds)) == (4, 63, [1, 10, 100])


def test_the_environment_of_opentelemetry(place: Place) -> None:
    log = place.logs / "a.log"
    log.touch()
    text = (CONFIGURATIONS / "opentelemetry/nativemtail.env").read_text()
    environment = dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.example.net:4318"
    receiver = Http()
    try:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{receiver.endpoint}"
        subject = place.start("--experimental_enable_opentelemetry", environment=environment)
        append(log, LINES)
        subject.wait_for("lines_total", 4)
        assert subject.stop() == 0
    finally:
        receiver.close()
    assert receiver.headers["content-encoding"] == "gzip"
    assert receiver.metrics()["count.mtail last"].gauge.data_points[0].as_int == 7
    resource = {a.key: a.value.string_value for a in receiver.requests[0].resource_metrics[0].resource.attributes}
    assert (resource["service.name"], resource["deployment.environment"]) == ("logs", "production")


def test_last_counts_are_pushed_at_the_end(place: Place, systems: Systems) -> None:
    port, management = start_statsd(systems)
    log = place.logs / "a.log"
    log.touch()
    subject = place.start("--statsd_hostport", f"127.0.0.1:{port}")
    append(log, LINES)
    subject.wait_for("lines_total", 4)
    assert subject.stop() == 0
    assert "'count.mtail.lines_total': 4" in asked(management, "counters")


def test_peers_that_are_down_or_silent_hold_up_nothing(place: Place) -> None:
    """A full pipe to carbon, a collectd and a collector that accept and say nothing, a StatsD that is not there."""
    (place.progs / "many.mtail").write_text(
        "counter many_total by n\ncounter few_total by k\n"
        "/^many (?P<k>\\S{100}) (?P<n>.*)/ {\n  many_total[$n]++\n  few_total[$k]++\n}\n"
    )
    log = place.logs / "a.log"
    log.touch()
    with socket.socket(socket.AF_UNIX) as collectd, socket.create_server(("127.0.0.1", 0)) as silent:
        collectd.bind(str(place.root / "collectd.sock"))
        collectd.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        targets = {
            "collectd_socketpath": str(place.root / "collectd.sock"),
            "graphite_host_port": address,
            "statsd_hostport": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
            "otlp_endpoint": address,
        }
        flags = [f"--{name}={value}" for name, value in targets.items()]
        daemon = place.start("--metric_push_interval=200ms", "--metric_push_write_deadline=1s", *flags)
        # Names as long as each peer takes them: more than their buffers hold.
        long = b"/".join([b"x" * 200] * 19)
        append(log, b"".join(b"many %0100d %05d%s\n" % (number, number, long) for number in range(2000)))
        daemon.wait_for("lines_total", 2000)
        for name in ("collectd", "graphite", "statsd", "otlp"):
            failed = re.compile(rf"{name} \S+: pusher write error: ")
            wait_until(lambda failed=failed: failed.search(daemon.log), lambda: daemon.log)
        for number in range(1, 6):
            append(log, LINES)
            line = f'lines_total{{prog="count.mtail"}} {2000 + 4 * number}\n'.encode()
            wait_until(lambda line=line: line in daemon.ask("/metrics")[1], line)
        assert daemon.stop() == 0
    assert len(re.findall("pusher (?:write|dial) error", daemon.log)) <= 8, daemon.log
