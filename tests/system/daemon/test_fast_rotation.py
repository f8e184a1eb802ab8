"""A writer at full speed that rotates 100 times, each way, and waits for nobody: exactly the lines written count."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rotating
from daemons import Place, wait_until

ROTATIONS = 100
WIDTH = 240
LINES = 4_000
"""So a file has a megabyte, which takes some ten milliseconds to write."""

LOST_AT_ONCE = ("copytruncate-one", "delete", "replace", "symlink")
"""Here a rotation takes the file away, and nobody can read what was gone before he was scheduled: with LOADED_LINES it
takes longer to write than a busy machine lets a process wait."""
LOADED_LINES = 10_000

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


def expected(way: str, lines: int) -> dict[str, float]:
    turns = range(ROTATIONS + 1)
    return {
        **{f"lines_total{{turn={turn}}}": lines for turn in turns},
        **{f"numbers_total{{turn={turn}}}": lines * (lines - 1) / 2 for turn in turns},
        **{f"late_total{{turn={turn}}}": rotating.LATE for turn in turns[:-1] if way == "slow-writer"},
        "others_total": 0,
    }


@pytest.mark.parametrize("way", rotating.WAYS)
def test_nothing_is_lost(way: str, place: Place) -> None:
    (place.progs / "count.mtail").write_bytes(PROGRAM)
    log = place.logs / "app.log"
    log.touch()
    daemon = place.start(logs=[str(log)])
    lines = LOADED_LINES if way in LOST_AT_ONCE else LINES
    command = [sys.executable, "-S", rotating.__file__, way, str(log), *map(str, (ROTATIONS, lines, WIDTH))]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    wanted = expected(way, lines)

    def differing() -> dict[str, float | None]:
        metrics = daemon.metrics()
        return {key: metrics.get(key) for key, value in wanted.items() if metrics.get(key) != value}

    wait_until(lambda: not differing(), differing)
