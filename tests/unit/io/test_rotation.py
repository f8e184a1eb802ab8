"""A writer in a process of its own rotates 100 times, each way: exactly the lines written arrive."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
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
"""So many rotations the writer may be ahead.  The numbered ones keep 20 files, so that one that is further ahead
overwrites what was not read; others keep all."""


def write(rig: Rig, way: str, log: Path, rotations: int) -> None:
    """Run the writer; its standard input lets it rotate."""
    command = [sys.executable, "-S", rotating.__file__, way, str(log), *map(str, (rotations, LINES, WIDTH))]
    if way not in KEPT:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        for turn in range(-KEPT[way], rotations - KEPT[way]):
            rig.wait(lambda turn=turn: turn < 0 or (rig.lines and int(rig.lines[-1].split()[0]) >= turn), patience=30)
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
        rig.wait(lambda: len(rig.lines) >= expected.total(), patience=10)
    got = Counter(rig.lines)
    assert got - expected == Counter()
    assert expected - got == Counter()
