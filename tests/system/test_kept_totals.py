"""--one_shot with --state_dir: each run reads what is new, and prints the totals of all, as cron would run it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from daemons import COMMAND, Place, append
from waiting import PATIENCE, wait_until

SLOW = "".join(f"/(?P<k>\\w+)(a|b|.)*?{number}x/ {{\n  c[$k]++\n}}\n" for number in range(40))
"""Some 20 µs a line."""
LINE = b" ".join(b"w%dx" % number for number in range(40)) + b"\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


def command(place: Place, *flags: str, logs: str | None = None) -> list[str]:
    arguments = ["--one_shot", "--progs", str(place.progs), "--logs", logs or place.glob]
    return [*COMMAND, *arguments, "--state_dir", str(place.root / "state"), *flags]


def totals(place: Place) -> dict[str, int]:
    """The words that a run prints, and all lines under an empty word."""
    done = subprocess.run(command(place), capture_output=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    shown = json.loads(done.stdout)
    words = shown["words_total"][0].get("LabelValues", [])
    lines = shown["lines_total"][0]["LabelValues"][0]["Value"]["Value"]
    return {"": lines, **{row["Labels"][0]: row["Value"]["Value"] for row in words}}


def test_each_run_adds_what_is_new(place: Place) -> None:
    log = place.logs / "a.log"
    log.write_bytes(b"a 1\nb 2\n")
    assert totals(place) == {"": 2, "a": 1, "b": 1}
    assert totals(place) == {"": 2, "a": 1, "b": 1}
    append(log, b"a 3\na")
    assert totals(place) == {"": 3, "a": 2, "b": 1}
    append(log, b" 4\n")
    (place.logs / "b.log").write_bytes(b"c 5\n")
    assert totals(place) == {"": 5, "a": 3, "b": 1, "c": 1}


def test_rotated_logs_are_read_on(place: Place) -> None:
    log = place.logs / "a.log"
    log.write_bytes(b"a 1\n")
    assert totals(place) == {"": 1, "a": 1}
    append(log, b"a 2\n")
    log.rename(place.logs / "a.log.2")
    (place.logs / "a.log.1").write_bytes(b"b 1\n")
    log.write_bytes(b"c 1\n")
    assert totals(place) == {"": 4, "a": 2, "b": 1, "c": 1}
    text = (place.logs / "a.log.2").read_bytes()
    (place.logs / "a.log.3.gz").write_bytes(gzip.compress(text))
    (place.logs / "a.log.2").unlink()
    assert totals(place) == {"": 4, "a": 2, "b": 1, "c": 1}


def test_a_run_that_was_killed_is_made_up_for(place: Place) -> None:
    (place.progs / "slow.mtail").write_text(f"counter c by k\n{SLOW}")
    log = place.logs / "a.log"
    lines = 40_000
    log.write_bytes(LINE * lines)
    for at_least in (1, 3):
        run = subprocess.Popen(command(place, "--state_interval", "50ms"), stdout=subprocess.DEVNULL)
        wait_for_saves(place, at_least)
        assert run.poll() is None
        run.kill()
        run.wait()
    assert totals(place)[""] == lines


def wait_for_saves(place: Place, number: int) -> None:
    """Until so many pages are in the write-ahead log: each save adds some."""
    wal = place.root / "state" / "state.db-wal"
    wait_until(lambda: wal.exists() and wal.stat().st_size >= 4096 * number)


def test_an_interrupt_changes_no_total(place: Place) -> None:
    (place.progs / "slow.mtail").write_text(f"counter c by k\n{SLOW}")
    lines = 40_000
    (place.logs / "a.log").write_bytes(LINE * lines)
    run = subprocess.Popen(command(place, "--state_interval", "50ms"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_saves(place, 5)
    run.send_signal(signal.SIGINT)
    out, errors = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert b"interrupted" in errors
    assert json.loads(out)
    assert totals(place)[""] == lines


def test_standard_input_is_counted_over_runs(place: Place) -> None:
    for runs in range(1, 4):
        done = subprocess.run(
            command(place, logs="-"), input=b"a 1\nb", capture_output=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0
        assert json.loads(done.stdout)["lines_total"][0]["LabelValues"][0]["Value"]["Value"] == 2 * runs


def test_two_at_once(place: Place) -> None:
    reading, writing = os.pipe()
    (place.logs / "a.log").write_bytes(b"a 1\n")
    with open(reading, "rb") as source, subprocess.Popen(command(place, logs="-"), stdin=source) as first:
        wait_for_saves(place, 0)
        second = subprocess.run(command(place), capture_output=True, check=False, timeout=PATIENCE)
        assert second.returncode == 1
        assert f"is in use by process {first.pid}".encode() in second.stderr
        os.close(writing)
    assert totals(place) == {"": 1, "a": 1}


def test_a_state_that_cannot_be_written_is_an_error(place: Place) -> None:
    (place.logs / "a.log").write_bytes(b"a 1\n")
    (place.root / "state").touch()
    done = subprocess.run(command(place), capture_output=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert f"mkdir {place.root}/state: file exists".encode() in done.stderr
