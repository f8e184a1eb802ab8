"""KumoMTA's log records, from segments that are written as KumoMTA writes them."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path

import pytest
import zstandard
from daemons import Place, free_port
from paths import ROOT
from systems import CONFIGURATIONS
from waiting import PATIENCE

RECORDS = (ROOT / "examples/logs/kumomta.log").read_bytes().splitlines(keepends=True)


CONFIGURATION = (CONFIGURATIONS / "kumomta/logs.lua").read_text()


@pytest.fixture
def kumomta(place: Place) -> Place:
    (place.progs / "count.mtail").unlink()
    (place.progs / "kumomta.mtail").write_text((ROOT / "examples/kumomta.mtail").read_text())
    return place


def segment(path: Path, records: list[bytes]) -> None:
    path.write_bytes(zstandard.compress(b"".join(records)))
    path.chmod(0o444)


def test_records_are_counted_while_they_are_flushed(kumomta: Place) -> None:
    directory = kumomta.root / "kumomta"
    directory.mkdir()
    segment(directory / "20260302-070000.000000", RECORDS)
    daemon = kumomta.start(logs=[f"zstd://{directory}"])
    with (directory / "20260302-080000.000000").open("wb", buffering=0) as file:
        frame = zstandard.ZstdCompressor().compressobj()
        for number, record in enumerate(RECORDS, 1):
            file.write(frame.compress(record) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            daemon.wait_for("mtail_lines_total", number)
        file.write(frame.flush())
    (directory / "20260302-080000.000000").chmod(0o444)
    # Its own files begin with a dot.
    segment(directory / ".20260302-080100.000000", RECORDS)
    segment(directory / "20260302-080200.000000", RECORDS[:1])
    daemon.wait_for("kumomta_records_total{type=Reception}", 3)
    found = daemon.metrics()
    expected = (ROOT / "examples/expected/kumomta.prom").read_text()
    assert 'kumomta_records_total{prog="kumomta.mtail",type="Delivery"} 2\n' in expected
    assert found["kumomta_records_total{type=Delivery}"] == 2
    assert found["kumomta_responses_total{code=421,type=TransientFailure}"] == 1
    assert found["kumomta_failures_total{classification=InvalidRecipient,type=Bounce}"] == 1
    assert found["kumomta_feedback_total{report=abuse}"] == 1
    assert found[f"mtail_log_lines_total{{logfile=zstd://{directory}}}"] == len(RECORDS) + 1


def test_records_are_counted_as_they_are_posted(kumomta: Place) -> None:
    """As KumoMTA's helper does: a request for each."""
    url = re.search(r"^ +url = '(.*)',", (CONFIGURATIONS / "kumomta/hook.lua").read_text(), re.MULTILINE)
    assert url
    assert f"--logs {url[1]}" in (ROOT / "docs/interop.md").read_text()
    port = free_port()
    daemon = kumomta.start(logs=[url[1].replace("3904", str(port))])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for number, record in enumerate(RECORDS, 1):
        connection.request("POST", "/kumomta", record.rstrip(b"\n"), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (204, b"")
        assert daemon.value("mtail_lines_total") == number
    connection.close()
    expected = (ROOT / "examples/expected/kumomta.prom").read_text()
    found = daemon.ask("/metrics?prefix=")[1].decode()
    for line in expected.splitlines():
        if not line.startswith("#"):
            assert line in found


def test_the_configuration_is_for_the_documented_flags() -> None:
    """The directory is one for both."""
    found = re.search(r"^ +log_dir = '(.*)'", CONFIGURATION, re.MULTILINE)
    assert found
    page = (ROOT / "docs/interop.md").read_text()
    for text in (CONFIGURATION, page):
        assert f"--logs zstd://{found[1]}" in text


def test_pages_in_the_form_of_kumomta(kumomta: Place) -> None:
    """`/metrics.json` with a prefix, for those who are trusted by their address."""
    directory = kumomta.root / "kumomta"
    directory.mkdir()
    daemon = kumomta.start("--trusted_hosts", "127.0.0.1", logs=[f"zstd://{directory}"])
    segment(directory / "1", RECORDS)
    daemon.wait_for("mtail_lines_total", len(RECORDS))
    status, body = daemon.ask("/metrics.json?prefix=mail_")
    assert status == 200
    page = json.loads(body)
    rejections = page["mail_kumomta_rejections_total"]
    assert rejections["type"] == "counter"
    assert rejections["value"] == [{"code": "550", "prog": "kumomta.mtail", "@": 1}]
    histogram = page["mail_kumomta_queued_seconds"]["value"]
    delivery = next(entry["@"] for entry in histogram if entry["type"] == "Delivery")
    assert (delivery["count"], delivery["sum"], delivery["avg"]) == (2, 604, 302)
    assert daemon.ask("/metrics?prefix=mail_")[1].count(b"mail_kumomta_records_total{") == 10


def test_one_shot_reads_all_segments(kumomta: Place) -> None:
    directory = kumomta.root / "kumomta"
    directory.mkdir()
    segment(directory / "1", RECORDS[:5])
    segment(directory / "2", RECORDS[5:])
    output = kumomta.root / "out"
    with output.open("wb") as out:
        flags = ["--one_shot", "--one_shot_format=prometheus", "--progs", str(kumomta.progs / "kumomta.mtail")]
        shot = kumomta.launch(*flags, "--logs", f"zstd://{directory}", stdout=out)
        assert shot.process.wait(PATIENCE) == 0, shot.log
    assert output.read_text() == (ROOT / "examples/expected/kumomta.prom").read_text()
