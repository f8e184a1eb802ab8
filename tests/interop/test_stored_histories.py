"""Outputs of a history in real databases: PromQL at random instants gives what the reference says.

Prometheus gets blocks that promtool makes of OpenMetrics text, and remote writes; VictoriaMetrics gets remote writes.
"""

from __future__ import annotations

import datetime
import gzip
import json
import math
import random
import subprocess
from pathlib import Path

import gridreference
import pytest
from daemons import COMMAND, free_port
from gridreference import SECOND, Add, Observe, Write
from storedhistory import BOUNDS, MINUTE, START, History, Stored, answer, expected_at, query
from systems import Systems
from waiting import wait_until

from nativemtail.history import openmetrics
from nativemtail.history.remotewrite import Refusal, RemoteWrite, Sent, target
from nativemtail.history.replacing import replaced

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ALL = '{__name__!=""}'
INSTANTS = 50
CREATE = ["tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h"]
WINDOW = "storage:\n  tsdb:\n    out_of_order_time_window: 30d\n"


def prometheus(systems: Systems, config: str, *flags: str) -> str:
    """The URL of one that scrapes nothing and deletes nothing."""
    path = systems.home / "prometheus.yml"
    path.write_text(config)
    port = free_port()
    system = systems.start(
        "usr/bin/prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={systems.home}/tsdb",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    )
    system.wait_for(port)
    wait_until(lambda: "Server is ready" in system.log, lambda: system.log)
    return f"http://127.0.0.1:{port}"


def check(base: str, history: Stored) -> None:
    expected = history.expected()
    sizes = set()
    for instant in history.instants(INSTANTS):
        found = expected_at(expected, instant)
        sizes.add(len(found))
        assert query(base, ALL, instant) == found, instant
    assert 0 in sizes
    assert max(sizes) == len(expected) > 10


def test_blocks_of_promtool(systems: Systems) -> None:
    history = History(1)
    with replaced(str(systems.home / "history.om")) as out:
        openmetrics.write(history.families(), out, pytest.fail)
    made = systems.run("usr/bin/promtool", *CREATE, systems.home / "history.om", systems.home / "tsdb")
    assert made.returncode == 0, made.stderr
    check(prometheus(systems, "global: {}\n"), history)


def test_remote_write_into_prometheus(systems: Systems) -> None:
    history = History(2)
    base = prometheus(systems, WINDOW, "--web.enable-remote-write-receiver")
    for _ in range(2):  # what is there may be written again
        sent = RemoteWrite(target(f"{base}/api/v1/write", {}), pytest.fail).write(history.families())
        assert sent == Sent(samples=sum(map(len, history.expected().values())))
    check(base, history)


def test_prometheus_refuses_what_is_older_than_its_window(systems: Systems) -> None:
    """Each series that ends late makes the head forget the time in which the next one begins."""
    history = History(3)
    base = prometheus(systems, "global: {}\n", "--web.enable-remote-write-receiver")
    refusals: list[Refusal] = []
    sent = RemoteWrite(target(f"{base}/api/v1/write", {}), refusals.append).write(history.families())
    assert sent.samples
    assert sent.refused_series == len(refusals)
    assert sent.refused == sum(refusal.samples for refusal in refusals)
    assert sent.samples + sent.refused == sum(map(len, history.expected().values()))
    assert all(refusal.reason.startswith("400 ") and "out of" in refusal.reason for refusal in refusals)


def test_remote_write_without_the_receiver(systems: Systems) -> None:
    base = prometheus(systems, "global: {}\n")
    with pytest.raises(Exception, match=r"404 .*remote write receiver"):
        RemoteWrite(target(f"{base}/api/v1/write", {}), pytest.fail).write(History(3).families())


def test_remote_write_into_victoriametrics(systems: Systems) -> None:
    history = History(4)
    port = free_port()
    system = systems.start(
        "usr/bin/victoria-metrics",
        f"-storageDataPath={systems.home}/victoria",
        "-retentionPeriod=100y",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.maxStalenessInterval=5m",
    )
    system.wait_for(port)
    base = f"http://127.0.0.1:{port}"
    sent = RemoteWrite(target(f"{base}/api/v1/write", {}), pytest.fail).write(history.families())
    expected = history.expected()
    assert sent == Sent(samples=sum(map(len, expected.values())))
    answer(f"{base}/internal/force_flush")
    lines = answer(f"{base}/api/v1/export", **{"match[]": ALL}).splitlines()
    exported = {tuple(sorted(line["metric"].items())): line for line in map(json.loads, lines)}
    assert exported.keys() == expected.keys()
    for labels, samples in expected.items():
        assert exported[labels]["timestamps"] == [time for time, _ in samples]
        values = exported[labels]["values"]
        assert all(math.isclose(a, b, rel_tol=1e-12) for a, (_, b) in zip(values, samples, strict=True)), labels
    for instant in history.instants(INSTANTS):
        found, wanted = query(base, ALL, instant), expected_at(expected, instant)
        assert found.keys() == wanted.keys(), instant
        assert all(math.isclose(found[labels], wanted[labels], rel_tol=1e-12) for labels in wanted)


PROGRAM = r"""counter orders_total by city
gauge depth by city
histogram took by city buckets 0.1, 1, 10
/^(?P<time>\S+) (?P<city>\S+) (?P<amount>\d+) (?P<depth>-?\d+\.\d+) (?P<took>\d+\.\d+)$/ {
  strptime($time, "2006-01-02T15:04:05.000Z07:00")
  orders_total[$city] += $amount
  depth[$city] = $depth
  took[$city] = $took
}
"""


def log_lines(count: int) -> tuple[list[str], list[Add | Write], list[Observe]]:
    """Lines in random order, and what they mean."""
    chance = random.Random(5)
    lines, scalars, observations = [], [], []
    for place in range(count):
        time = START + chance.randrange(5 * 3600 * 1000) * 1_000_000
        city, amount = chance.choice(["Bonn", "Köln"]), chance.randrange(9)
        depth, took = round(chance.uniform(-9, 9), 2), round(chance.expovariate(1), 3)
        moment = datetime.datetime.fromtimestamp(time / SECOND, datetime.UTC).isoformat(timespec="milliseconds")
        lines.append(f"{moment} {city} {amount} {depth:.2f} {took:.3f}\n")
        labels = (("city", city), ("job", "logs"), ("prog", "shop.mtail"))
        scalars.append(Add(time, ("orders_total", labels), amount))
        scalars.append(Write(time, ("depth", labels), depth, (place,)))
        observations.append(Observe(time, ("took", labels), took, BOUNDS))
    return lines, scalars, observations


@pytest.mark.parametrize("way", ["promtool", "remote_write"])
def test_the_command(systems: Systems, way: str) -> None:
    """Logs, one compressed, through two workers into Prometheus."""
    lines, events, observations = log_lines(3000)
    (systems.home / "shop.mtail").write_text(PROGRAM)
    (systems.home / "a.log.1.gz").write_bytes(gzip.compress("".join(lines[:1000]).encode()))
    (systems.home / "a.log").write_text("".join(lines[1000:]))
    if way == "promtool":
        backfill(systems.home, "--output", "a.om")
        made = systems.run("usr/bin/promtool", *CREATE, systems.home / "a.om", systems.home / "tsdb")
        assert made.returncode == 0, made.stderr
        base = prometheus(systems, "global: {}\n")
    else:
        base = prometheus(systems, WINDOW, "--web.enable-remote-write-receiver")
        backfill(systems.home, "--remote_write", f"{base}/api/v1/write")
    grid = gridreference.grid(events, MINUTE)
    check(base, Stored(gridreference.scalars(events, grid), gridreference.histograms(observations, grid), grid))


def backfill(home: Path, *arguments: str) -> None:
    command = [*COMMAND, "backfill", "--progs", "shop.mtail", "--logs", "a.log*", "--label", "job=logs"]
    division = ["--workers", "2", "--part_size", "10000"]
    ran = subprocess.run([*command, *division, *arguments], check=False, cwd=home, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
