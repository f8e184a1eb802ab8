"""A writer at full speed that rotates 100 times, each way: exactly the lines written count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rotating
from daemons import Daemon, Place
from waiting import wait_until

ROTATIONS = 100
WIDTH = 240
LINES = 4_000
"""So a file has a megabyte, which takes some ten milliseconds to write."""

NOTHING_KEPT = ("copytruncate-one", "delete", "replace", "symlink")
"""These rotations take the file away, or overwrite its copy with the next one.  A daemon that did not get the processor
in between cannot read what is gone, so the writer waits until it has begun with each file."""

PROGRAM = b"""counter lines_total by turn
counter numbers_total by turn
counter late_total by turn
counter others_total
/^(?P<turn>\\d+) (?P<number>\\d+) \\.+$/ {
  lines_total[$turn]++
  numbers_total[$turn] += $number
} else {
  /^(?P<turn>\\d+) late \\d+$/ {
    late_total[$turn]++
  } else {
    others_total++
  }
}
"""


def write(way: str, log: Path, daemon: Daemon) -> None:
    """Run the writer; a line on its standard input lets it rotate."""
    command = [sys.executable, "-S", rotating.__file__, way, str(log), *map(str, (ROTATIONS, LINES, WIDTH))]
    if way not in NOTHING_KEPT:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        for turn in range(ROTATIONS):
            key = f"lines_total{{turn={turn}}}"
            wait_until(lambda key=key: daemon.value(key), key)
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert writer.returncode == 0


def expected(way: str) -> dict[str, float]:
    turns = range(ROTATIONS + 1)
    return {
        **{f"lines_total{{turn={turn}}}": LINES for turn in turns},
        **{f"numbers_total{{turn={turn}}}": LINES * (LINES - 1) / 2 for turn in turns},
        **{f"late_total{{turn={turn}}}": rotating.LATE for turn in turns[:-1] if way == "slow-writer"},
        "others_total": 0,
    }


@pytest.mark.parametrize("way", rotating.WAYS)
def test_nothing_is_lost(way: str, place: Place) -> None:
    (place.progs / "count.mtail").write_bytes(PROGRAM)
    log = place.logs / "app.log"
    log.touch()
    daemon = place.start(logs=[str(log)])
    write(way, log, daemon)
    wanted = expected(way)

    def differing() -> dict[str, float | None]:
        metrics = daemon.metrics()
        return {key: metrics.get(key) for key, value in wanted.items() if metrics.get(key) != value}

    wait_until(lambda: not differing(), differing)
