"""The endpoints over a running daemon: they answer, agree, and only to whom they should."""

from __future__ import annotations

import gzip
import json
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemon, Place, append
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from waiting import wait_until

PATHS = (
    *("/", "/metrics", "/metrics.json", "/json", "/varz", "/graphite", "/progz", "/progz?prog=count.mtail", "/profile"),
    *("/debug/vars", "/favicon.ico", "/-/healthy", "/-/ready"),
)


@pytest.fixture
def daemon(place: Place) -> Daemon:
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start("--graphite_prefix", "site.")
    append(log, b"a 1\nb 2\n")
    daemon.wait_for("lines_total", 2)
    return daemon


def test_pages(daemon: Daemon) -> None:
    assert {path: daemon.ask(path)[0] for path in PATHS} == dict.fromkeys(PATHS, 200)
    assert daemon.ask("/nothing")[0] == 404
    assert b"count.mtail" in daemon.ask("/")[1]
    assert b"a.log" in daemon.ask("/")[1]
    assert b"site.count.mtail.words_total.word.a 1 " in daemon.ask("/graphite")[1]
    assert {entry["Name"] for entry in json.loads(daemon.ask("/json")[1])} >= {"lines_total", "words_total"}
    assert json.loads(daemon.ask("/debug/vars")[1])["lines_total"] == 2
    body = daemon.ask("/metrics", {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"})[1]
    assert any(family.name == "words" for family in parse_openmetrics(gzip.decompress(body).decode()))
    assert "x_lines_total 2" in daemon.ask("/metrics?prefix=x_")[1].decode().replace('{prog="count.mtail"}', "")


@pytest.mark.parametrize(
    ("program", "warning"),
    [
        ("gauge g\n/(?P<w>\\w+)/ {\n  g = $w\n}\n", "x.mtail:3:7-8: gauge `g&#x27; holds text and is exported as 0"),
        ('counter c\n/(\\S+)/ {\n  strptime($1, "%Y")\n  c++\n}\n', "The layout &quot;%Y&quot; reads no time"),
        ("counter c\n/(\\w+)/ {\n  settime($1)\n  c++\n}\n", "Every line that gets here fails: settime() takes"),
    ],
)
def test_warnings_are_shown_as_long_as_they_hold(place: Place, program: str, warning: str) -> None:
    path = place.progs / "x.mtail"
    path.write_text(program)
    daemon = place.start()
    assert warning in daemon.ask("/")[1].decode()
    path.write_text("counter c\n/x/ {\n  c++\n}\n")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: warning not in daemon.ask("/")[1].decode())


def test_profile(place: Place) -> None:
    """The running programs, before and after a reload."""
    log = place.logs / "a.log"
    log.touch()
    (place.progs / "zebra.mtail").write_text("counter zebras\n/zebra <(\\d+)>/ {\n  zebras += $1\n}\n")
    daemon = place.start()
    append(log, b"a 1\nzebra <7>\nzebra x\nnone\n" * 100)
    daemon.wait_for("lines_total", 400)
    page = daemon.ask("/profile")[1].decode()
    assert "<code>/zebra &lt;(\\d+)&gt;/</code>" in page
    assert "Prefilter <code>&#x27;zebra &lt;&#x27;</code>: its prefilter lets lines through to the program." in page
    found = profile(daemon)
    assert found["lines"] == 400
    assert 0 < found["prefilter_seconds"] < found["seconds"]
    programs = {program["name"]: program for program in found["programs"]}
    assert list(programs) == ["count.mtail", "zebra.mtail"]
    counted, zebra = programs.values()
    assert (counted["lines"], counted["runs"], zebra["lines"], zebra["runs"]) == (400, 400, 400, 100)
    assert counted["why"].startswith("runs on every line: line ")
    [pattern] = zebra["patterns"]
    assert (pattern["pattern"], pattern["tried"], pattern["matched"]) == ("zebra <(\\d+)>", 100, 100)
    assert (pattern["engine"], pattern["captures"], pattern["hint"]) == ("scan, else PCRE2", 1, "")
    (place.progs / "zebra.mtail").write_text("counter gnus_total\n/gnu/ {\n  gnus_total++\n}\n")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: any(p["pattern"] == "gnu" for q in profile(daemon)["programs"] for p in q["patterns"]))
    append(log, b"a gnu\nnone\n")
    daemon.wait_for("gnus_total", 1)
    assert profile(daemon)["lines"] == 2


def profile(daemon: Daemon) -> Any:
    return json.loads(daemon.ask("/profile", {"Accept": "application/json"})[1])


def test_flags_that_switch_pages_off(place: Place) -> None:
    daemon = place.start("--http_info_endpoint=false", "--http_debugging_endpoint=false", "--emit_prog_label=false")
    assert daemon.ask("/varz")[0] == 404
    assert daemon.ask("/debug/vars")[0] == 404
    assert b"\nlines_total 0\n" in daemon.ask("/metrics")[1]


def test_strangers(place: Place) -> None:
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0"),
        *("--trusted_hosts", "192.0.2.1", "--unix_socket", str(place.root / "http")),
    )
    daemon.wait_log("for 192.0.2.1 only (--trusted_hosts allows others)")
    daemon.wait_log("admits")
    daemon.address = str(place.root / "http")
    wait_until(lambda: daemon.ask("/-/ready")[0] == 200)
    by_path = daemon.address
    daemon.address = daemon.log.partition("HTTP on ")[2].partition(",")[0]
    status, body = daemon.ask("/metrics", {"X-Forwarded-For": "192.0.2.1"})
    assert status == 401
    assert b"127.0.0.1" in body
    assert b"/metrics" in body
    daemon.address = by_path
    assert daemon.value("total_connections_denied{service=http}") == 1


def certificate(path: Path, name: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-keyout", str(path / "key"), "-out", str(path / "cert")]
    subprocess.run(command, check=True, capture_output=True)


def served(daemon: Daemon) -> bytes:
    host, _, port = daemon.address.rpartition(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)), timeout=10))


def test_certificates_are_reloaded(place: Place) -> None:
    certificate(place.root, "one")
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0"),
        *("--tls_cert", str(place.root / "cert"), "--tls_key", str(place.root / "key")),
    )
    daemon.wait_log("Loaded program")
    daemon.address = daemon.log.partition("HTTP on ")[2].partition(",")[0]
    before = served(daemon)
    (place.root / "cert").write_text("broken")
    daemon.send(signal.SIGHUP)
    daemon.wait_log("the certificate in use stays")
    assert served(daemon) == before
    certificate(place.root, "two")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: served(daemon) != before)
