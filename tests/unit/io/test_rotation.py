"""A writer in a process of its own rotates 100 times, each way: exactly the lines written arrive."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import rotating
from rig import Rig

from nativemtail.io.sources import Settings

LINES = 1500
WIDTH = 64


NOTHING_KEPT = ("delete", "replace", "symlink", "copytruncate-one")
"""Here a rotation takes the file away, and nobody can read what is gone before he was scheduled: the writer waits
until the reader has begun with each file."""

KEPT = dict.fromkeys(NOTHING_KEPT, 0) | {"rename": 15, "copytruncate": 15}
"""How many rotations the writer may be ahead of the oldest turn that is not complete.  The numbered ways keep 20 files,
so that a writer further ahead overwrites what was not read; others keep all."""

UNKNOWN_UNTIL_READ = ("copytruncate", "copytruncate-one")
"""Here a rotated file can only be recognised by what was read of it: the first rotation must wait for a line."""

PATIENCE = 60
"""For this many seconds nothing may arrive, however busy the machine is."""


class Arrived:
    """The lines that arrived so far, by turn."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seen = 0
        self._lines: Counter[int] = Counter()
        self._complete = 0

    def has_begun(self, turn: int) -> bool:
        """Whether all turns before `turn` are complete, and a line of it is there."""
        while self._seen < len(self._rig.lines):
            number, what = self._rig.lines[self._seen].split()[:2]
            self._lines[int(number)] += what != b"late"
            self._seen += 1
        while self._lines[self._complete] >= LINES:
            self._complete += 1
        return turn < 0 or (self._complete >= turn and self._lines[turn] > 0)


def wait(rig: Rig, condition: Callable[[], bool]) -> None:
    """Wait as long as lines arrive."""
    while not condition():
        seen = len(rig.lines)
        rig.wait(lambda seen=seen: condition() or len(rig.lines) > seen, PATIENCE)


def write(rig: Rig, way: str, log: Path, rotations: int) -> None:
    """Run the writer; its standard input lets it rotate."""
    command = [sys.executable, "-S", rotating.__file__, way, str(log), *map(str, (rotations, LINES, WIDTH))]
    if way not in KEPT:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return
    arrived = Arrived(rig)
    first = 0 if way in UNKNOWN_UNTIL_READ else -1
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        for turn in range(-KEPT[way], rotations - KEPT[way]):
            wait(rig, lambda turn=turn: arrived.has_begun(max(turn, first)))  # type: ignore[misc]
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert writer.returncode == 0


def written(way: str, rotations: int) -> Counter[bytes]:
    turns = range(rotations + 1)
    lines = Counter(rotating.line(turn, number, WIDTH)[:-1] for turn in turns for number in range(LINES))
    if way == "slow-writer":
        lines.update(b"%d late %d" % (turn, number) for turn in turns[:-1] for number in range(rotating.LATE))
    return lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "pattern", "rotations"),
    [(way, "app.log", 100) for way in rotating.WAYS]
    + [(way, "app.log*", 30) for way in rotating.WAYS if way != "symlink"],
)
def test_nothing_is_lost(tmp_path: Path, way: str, pattern: str, rotations: int) -> None:
    log = tmp_path / "app.log"
    log.touch()
    expected = written(way, rotations)
    with Rig(tmp_path / pattern, settings=Settings(linger=1.0)) as rig:
        write(rig, way, log, rotations)
        with contextlib.suppress(AssertionError):  # what is missing is said below
            wait(rig, lambda: len(rig.lines) >= expected.total())
    got = Counter(rig.lines)
    assert got - expected == Counter()
    assert expected - got == Counter()
