"""SIGTERM while much is left to be read."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from daemons import Daemon, Place, append
from waiting import PATIENCE, wait_until

SLOW = "".join(f"/(?P<k>\\w+)(a|b|.)*?{number}x/ {{\n  c[$k]++\n}}\n" for number in range(40))
"""Some 20 µs a line."""
LINE = b" ".join(b"w%dx" % number for number in range(40)) + b"\n"


def behind(place: Place, *flags: str, lines: int) -> tuple[Daemon, Path]:
    """A daemon that has begun to read a log that is too long for it."""
    (place.progs / "slow.mtail").write_text(f"counter c by k\n{SLOW}")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start(*flags)
    append(log, LINE * lines)
    wait_until(lambda: daemon.value("lines_total"))
    return daemon, log


def test_what_is_left_is_reported(place: Place) -> None:
    daemon, log = behind(place, "--drain_timeout", "100ms", lines=400_000)
    assert daemon.stop() == 1
    said = re.search(rf"E.*\] {log}: (\d+) bytes were not read within -drain_timeout=100ms", daemon.log)
    assert said, daemon.log
    assert 0 < int(said[1]) < 400_000 * len(LINE)
    assert int(said[1]) % len(LINE) == 0


def test_what_can_be_read_is_read_without_a_word(place: Place) -> None:
    daemon, _ = behind(place, lines=20_000)
    assert daemon.stop() == 0
    assert "not read" not in daemon.log


def test_many_logs_are_summed_up(place: Place) -> None:
    (place.progs / "slow.mtail").write_text(f"counter c by k\n{SLOW}")
    logs = [place.logs / f"{number}.log" for number in range(30)]
    for log in logs:
        log.touch()
    daemon = place.start("--drain_timeout", "0")
    for log in logs:
        append(log, LINE * 10_000)
    assert daemon.stop() == 1
    assert len(re.findall(r"\.log: \d+ bytes were not read", daemon.log)) == 10
    assert re.search(r"\] \d+ more logs: \d+ bytes were not read", daemon.log)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(second: signal.Signals, place: Place) -> None:
    daemon, _ = behind(place, "--drain_timeout", "1h", lines=1_500_000)
    daemon.send(signal.SIGTERM)
    daemon.wait_log("exiting")
    assert daemon.stop(second) == 1


def test_pages_are_there_while_it_drains(place: Place) -> None:
    daemon, _ = behind(place, "--drain_timeout", "1h", lines=400_000)
    daemon.send(signal.SIGTERM)
    daemon.wait_log("exiting")
    first = daemon.value("lines_total") or 0
    wait_until(lambda: (daemon.value("lines_total") or 0) > first)


def test_a_negative_time_is_refused(place: Place) -> None:
    daemon = place.launch("--progs", str(place.progs), "--logs", place.glob, "--drain_timeout", "-1s")
    assert daemon.process.wait(PATIENCE) == 1
    assert "-drain_timeout must not be negative: -1s" in daemon.log
