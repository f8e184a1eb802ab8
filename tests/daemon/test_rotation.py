"""A writer at full speed that rotates 100 times, each way, and waits for nobody: exactly the lines written count."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rotating
from daemons import Place, wait_until

ROTATIONS = 100
LINES = 5_000
WIDTH = 240
"""So a file has 1.2 MB, which takes some ten milliseconds to write."""

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
    command = [sys.executable, "-S", rotating.__file__, way, str(log), *map(str, (ROTATIONS, LINES, WIDTH))]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    wanted = expected(way)
    lines = (ROTATIONS + 1) * LINES + sum(value for key, value in wanted.items() if key.startswith("late"))
    wait_until(lambda: daemon.value("mtail_lines_total") == lines, lambda: daemon.log[-3000:])
    metrics = daemon.metrics()
    prefixes = ("lines_total", "numbers_total", "late_total", "others_total")
    assert {key: value for key, value in metrics.items() if key.startswith(prefixes)} == wanted
