"""`nativemtail backfill`, run as a process: messages, exit status, interruption and going on."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from daemons import COMMAND
from historyworld import parsed
from waiting import PATIENCE, wait_until

PROGRAM = """counter hits by host
/^(?P<time>\\d+-\\d+-\\d+T\\d+:\\d+:\\d+) (?P<host>\\S+)$/ {
  strptime($time, "2006-01-02T15:04:05")
  hits[$host]++
}
/^bad (?P<host>\\S+)$/ {
  hits[$host]++
}
"""
IN_ORDER = """gauge last by host
counter changes by host
/^(?P<time>\\d+-\\d+-\\d+T\\d+:\\d+:\\d+) (?P<host>\\S+) (?P<value>\\d+)$/ {
  strptime($time, "2006-01-02T15:04:05")
  last[$host] != $value {
    changes[$host]++
  }
  last[$host] = $value
}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.mtail").write_text(PROGRAM)
    return tmp_path


def command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    flags = ["backfill", "-progs", str(place / "p.mtail"), "-logs", str(place / "*.log*"), *arguments]
    return subprocess.run([*COMMAND, *flags], capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_it_prints_what_a_prometheus_would_have_stored(place: Path) -> None:
    (place / "a.log").write_text("2026-01-01T00:00:10 a\n2026-01-01T00:02:00 a\n2026-01-01T00:00:59 a\n")
    done = command(place, "-output", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert parsed(done.stdout) == {("hits", (("host", "a"),)): [(1767225660000, 2.0), (1767225720000, 3.0)]}


def test_lines_without_a_time_are_left_out_and_named(place: Path) -> None:
    lines = ["2026-01-01T00:00:10 a", "other"] + ["bad x"] * 12
    (place / "a.log").write_text("".join(f"{line}\n" for line in lines))
    (place / "a.log.1").write_text("bad x\n")
    out = place / "out.om"
    for size in ("1", "1000"):
        done = command(place, "-output", str(out), "-part_size", size)
        named = [f"{place}/a.log.1:1", *(f"{place}/a.log:{line}" for line in range(3, 12))]
        assert done.returncode == 1
        assert f"p.mtail: 13 lines left out, for which it set no time: {', '.join(named)}, …; " in done.stderr
        assert len(parsed(out.read_text())) == 1
    os.utime(place / "a.log", (1767225660, 1767225660))
    os.utime(place / "a.log.1", (1767225600, 1767225600))
    done = command(place, "-output", str(out), "-assume_time", "mtime")
    assert (done.returncode, done.stderr) == (0, "")
    assert parsed(out.read_text())["hits", (("host", "x"),)] == [(1767225600000, 1.0), (1767225660000, 13.0)]


def test_explain(place: Path) -> None:
    assert command(place, "-explain").stdout == "p.mtail divisible\n"
    (place / "p.mtail").write_text(IN_ORDER)
    assert command(place, "-explain").stdout == "p.mtail:5:3 the value of last is read\n"


def test_a_program_that_cannot_be_divided_runs_in_order(place: Path) -> None:
    (place / "p.mtail").write_text(IN_ORDER)
    lines = [(30, 5), (10, 5), (20, 7), (70, 7), (65, 1)]
    (place / "a.log").write_text("".join(f"2026-01-01T00:{s // 60:02}:{s % 60:02} a {value}\n" for s, value in lines))
    done = command(place, "-output", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert parsed(done.stdout) == {
        ("changes", (("host", "a"),)): [(1767225660000, 3.0), (1767225720000, 5.0)],
        ("last", (("host", "a"),)): [(1767225660000, 5.0), (1767225720000, 7.0)],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "backfill needs -output FILE, -output - for standard output, or -remote_write URL"),
        (["-output", "-", "-step", "0"], "-step must be positive, in whole milliseconds: 0s"),
        (["-output", "-", "-assume_time", "now"], "-assume_time takes mtime: now"),
        (["-output", "-", "-port", "1"], "-port is no flag of backfill"),
        (["-output", "-", "extra"], "backfill takes flags only, not extra"),
        (["-output", "-", "-logs", "udp://:1"], "backfill reads files, which udp://:1 is not"),
    ],
)
def test_wrong_flags(arguments: list[str], message: str, place: Path) -> None:
    (place / "a.log").write_text("2026-01-01T00:00:10 a\n")
    done = command(place, *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stdout == ""


def test_flags_of_backfill_belong_to_it() -> None:
    done = subprocess.run([*COMMAND, "-step", "1s"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.startswith("-step is a flag of the command backfill: nativemtail backfill -step …\n")


def _write_many(place: Path, count: int = 300_000) -> None:
    with (place / "a.log").open("w") as file:
        for at in range(count):
            file.write(f"2026-01-01T{at % 24:02}:{at % 60:02}:{at % 59:02} host{at % 7}\n")


def test_ctrl_c_keeps_the_parts_that_are_done(place: Path) -> None:
    _write_many(place)
    whole = place / "whole.om"
    assert command(place, "-output", str(whole)).returncode == 0
    out = place / "out.om"
    flags = ["-progs", str(place / "p.mtail"), "-logs", str(place / "*.log"), "-output", str(out)]
    flags += ["-part_size", "20000", "-workers", "2"]
    process = subprocess.Popen([*COMMAND, "backfill", *flags], stderr=subprocess.PIPE, text=True)
    kept = Path(f"{out}.parts")
    wait_until(lambda: kept.exists() and kept.stat().st_size > 10_000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        pytest.fail("it was done before the signal came: make the log larger")
    assert process.returncode == 130
    assert f"the same command with -continue {kept} goes on from the parts that are done" in errors
    assert not out.exists()
    done = subprocess.run(
        [*COMMAND, "backfill", *flags, "-continue", str(kept)],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == whole.read_bytes()
    assert not kept.exists()


def test_other_logs_do_not_go_on_from_kept_parts(place: Path) -> None:
    (place / "a.log").write_text("2026-01-01T00:00:10 a\n")
    kept = place / "kept"
    kept.write_bytes(b"nativemtail parts 1\n" + bytes(32))
    done = command(place, "-output", str(place / "out.om"), "-continue", str(kept))
    assert done.returncode == 1
    assert f"{kept} is not of this run" in done.stderr
    assert "remove it to begin anew" in done.stderr
