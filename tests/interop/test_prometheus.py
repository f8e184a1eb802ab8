"""Prometheus scrapes, over TCP and over TLS with a client certificate; promtool has nothing to say against our page."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest
from daemons import Place, append, free_port
from paths import ROOT
from prometheusserver import Prometheus
from systems import Systems
from waiting import wait_until


def certificates(home: Path) -> dict[str, Path]:
    """An authority, and certificates of it for 127.0.0.1 and for a client."""

    def openssl(text: str, *more: str) -> None:
        subprocess.run(["openssl", *text.split(), *more], check=True, capture_output=True, cwd=home)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    openssl(f"req -x509 -days 2 {key} -keyout ca.key -out ca.pem", "-subj", "/CN=authority")
    (home / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(f"req {key} -keyout {name}.key -out {name}.csr", "-subj", f"/CN={name}")
        files = f"-in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -extfile names"
        openssl(f"x509 -req -days 2 {files}")
    return {path.name: path for path in home.iterdir()}


@pytest.fixture
def scraped(place: Place, systems: Systems) -> Any:
    home = place.root / "tls"
    home.mkdir()
    files = certificates(home)
    log = place.logs / "a.log"
    log.touch()
    plain = place.start()
    tls = place.launch(
        *(
            "--progs",
            str(place.progs),
            "--logs",
            str(log),
            "--address",
            "127.0.0.1",
            "--port",
            str(port := free_port()),
        ),
        *("--tls_cert", str(files["server.pem"]), "--tls_key", str(files["server.key"])),
        *("--tls_client_ca", str(files["ca.pem"])),
    )
    tls.wait_log("HTTP on")
    changes = {
        "15s": "1s",
        "localhost:3903": plain.address,
        "logs.example.net:3904": f"127.0.0.1:{port}",
        "/etc/prometheus/nativemtail-ca.pem": files["ca.pem"],
        "/etc/prometheus/client.pem": files["client.pem"],
        "/etc/prometheus/client.key": files["client.key"],
    }
    config = systems.configure("prometheus/prometheus.yml", changes)
    checked = systems.run("usr/bin/promtool", "check", "config", config)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return plain, tls, Prometheus(systems, config)


JOBS = ("nativemtail", "nativemtail-tls")


def test_scrapes_and_a_reload_that_resets_nothing(place: Place, scraped: Any) -> None:
    plain, tls, prometheus = scraped
    log = place.logs / "a.log"
    prometheus.wait_for("up", dict.fromkeys(JOBS, 1.0))
    append(log, b"a 1\na 5\nb 50\n")
    words = {f"{job} {word}": count for job in JOBS for word, count in (("a", 2.0), ("b", 1.0))}
    prometheus.wait_for('words_total{prog="count.mtail"}', words)
    prometheus.wait_for("sizes_sum", dict.fromkeys(JOBS, 56.0))
    prometheus.wait_for('sizes_bucket{le="10"}', dict.fromkeys(JOBS, 2.0))
    program = place.progs / "count.mtail"
    program.write_text(
        "# a line that moves all others\n" + program.read_text() + "gauge extra\n/x/ {\n  extra = 1\n}\n"
    )
    for daemon in (plain, tls):
        daemon.send(SIGHUP)
        wait_until(lambda daemon=daemon: daemon.log.count("Loaded program count.mtail") >= 2, lambda: plain.log)
    append(log, b"a 1\n")
    prometheus.wait_for("lines_total", dict.fromkeys(JOBS, 4.0))
    prometheus.wait_for("resets(lines_total[5m])", dict.fromkeys(JOBS, 0.0))
    prometheus.wait_for('max_over_time(words_total{word="a"}[5m])', {f"{job} a": 3.0 for job in JOBS})
    prometheus.wait_for("min_over_time(up[1m:1s])", dict.fromkeys(JOBS, 1.0))


def test_promtool_finds_nothing(place: Place, systems: Systems) -> None:
    """Lint included, on a page with all that docs/metrics.md names but errors of reading, which root does not get."""
    (place.progs / "bad.mtail").write_text("nonsense")
    (place.progs / "faulty.mtail").write_text('gauge n\n/$/ {\n  n = 1 / strtol("0", 10)\n}\n')
    (place.logs / "a.log").touch()
    flags = ["--memory_limit", "1000000000", "--max_line_length", "1024", "--statsd_hostport", "[::1]:9"]
    daemon = place.start(*flags, "--state_dir", str(place.root / "state"))
    append(place.logs / "a.log", b"a 1\n" + b"x" * 2000 + b"\n")
    daemon.wait_for("mtail_lines_total", 2)
    section = (ROOT / "docs/metrics.md").read_text().partition("\n## Self-metrics\n")[2].partition("\n## ")[0]
    ours = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE))))
    assert len(ours) > 25
    ours.remove("mtail_log_errors_total")
    page = b""

    def missing() -> set[str]:
        nonlocal page
        page = daemon.ask("/metrics")[1]
        return ours - set(re.findall(r"^# TYPE (\w+) ", page.decode(), re.MULTILINE))

    wait_until(lambda: not missing(), missing)
    checked = systems.run("usr/bin/promtool", "check", "metrics", stdin=page)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
def test_promtool_reads_users_metrics(place: Place, systems: Systems, accept: str) -> None:
    (place.logs / "a.log").touch()
    daemon = place.start()
    append(place.logs / "a.log", b"a 1\n")
    daemon.wait_for("lines_total", 1)
    status, page = daemon.ask("/metrics?name[]=words_total&name[]=sizes", {"Accept": accept})
    assert status == 200
    assert b'words_total{prog="count.mtail",word="a"} 1' in page
    if not accept:
        checked = systems.run("usr/bin/promtool", "check", "metrics", stdin=page)
        assert checked.returncode in (0, 3), checked.stderr
        assert b"error" not in checked.stderr.lower()


def test_timestamps_are_those_of_mtail(place: Place, systems: Systems) -> None:
    """With --emit_metric_timestamp Prometheus has the times that the log says, from both alike."""
    (place.progs / "count.mtail").write_text(
        "counter seen_total by word\nhistogram sizes buckets 1, 10\n"
        "/^(?P<time>\\d+) (?P<word>\\w+) (?P<size>\\d+)$/ {\n"
        "  settime($time)\n  seen_total[$word]++\n  sizes = $size\n}\n"
    )
    log = place.logs / "a.log"
    log.touch()
    daemons = [place.start_peer("-emit_metric_timestamp"), place.start("--emit_metric_timestamp")]
    now = int(time.time())
    append(log, f"{now - 100} a 5\n{now - 50} b 7\n".encode())
    pages = []
    for daemon in daemons:
        daemon.wait_for("seen_total{word=b}", 1)
        pages.append([line for line in daemon.ask("/metrics")[1].splitlines() if line.startswith((b"seen", b"sizes"))])
    assert pages[0] == pages[1]
    assert f'seen_total{{prog="count.mtail",word="a"}} 1 {now - 100}000'.encode() in pages[1]
    config = systems.configure("prometheus/prometheus.yml", {"15s": "1s", "localhost:3903": daemons[1].address})
    text = config.read_text().partition("  - job_name: nativemtail-tls")[0]
    config.write_text(text)
    prometheus = Prometheus(systems, config)
    prometheus.wait_for("timestamp(seen_total)", {"nativemtail a": now - 100.0, "nativemtail b": now - 50.0})
