"""A writer at full speed in a process of its own rotates 100 times, each way: exactly the lines written arrive."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rig import Rig

from nativemtail.io.sources import Settings

LINES = 1500
WAYS = ["rename", "dated", "slow-writer", "copytruncate", "copytruncate-one", "replace", "delete", "symlink"]

WRITER = r"""
import os, shutil, sys
way, path, rotations, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def fresh(name):
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

def shift():
    for old in range(20, 0, -1):
        if os.path.exists(f"{path}.{old}"):
            os.rename(f"{path}.{old}", f"{path}.{old + 1}")

def rotate(fd, turn):
    if way == "rename":
        shift()
        os.rename(path, f"{path}.1")
    elif way == "dated":
        os.rename(path, f"{path}-2026{turn:04}")
    elif way == "slow-writer":
        os.rename(path, f"{path}-2026{turn:04}")
        for number in range(100):
            os.write(fd, b"%d late %d\n" % (turn, number))
    elif way == "copytruncate":
        shift()
        shutil.copy(path, f"{path}.1")
        os.truncate(path, 0)
        return fd
    elif way == "copytruncate-one":
        shutil.copy(path, f"{path}.1")
        os.truncate(path, 0)
        return fd
    elif way == "replace":
        new = fresh(path + "~")
        os.rename(path + "~", path)
        os.close(fd)
        return new
    elif way == "delete":
        os.unlink(path)
    elif way == "symlink":
        name = f"{path}_{turn}"
        new = fresh(name)
        os.symlink(name, path + "~")
        os.rename(path + "~", path)
        os.close(fd)
        return new
    os.close(fd)
    return fresh(path)

fd = fresh(path)
for turn in range(rotations + 1):
    filler = b"." * (turn % 50)
    for number in range(lines):
        os.write(fd, b"%d %d %s\n" % (turn, number, filler))
    if turn < rotations:
        sys.stdin.readline()
        fd = rotate(fd, turn)
"""


NOTHING_KEPT = ("delete", "replace", "symlink", "copytruncate-one")
"""Here a rotation takes the file away, and nobody can read what is gone before he was scheduled: the writer waits
until the reader has begun with each file."""


def write(rig: Rig, way: str, log: Path, rotations: int) -> None:
    """Run the writer; its standard input lets it rotate."""
    command = [sys.executable, "-S", "-c", WRITER, way, str(log), str(rotations), str(LINES)]
    if way not in NOTHING_KEPT:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        for turn in range(rotations):
            rig.wait(lambda turn=turn: bool(rig.lines) and int(rig.lines[-1].split()[0]) >= turn, patience=10)
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert writer.returncode == 0


def written(way: str, rotations: int) -> Counter[bytes]:
    lines = Counter(
        b"%d %d %s" % (turn, number, b"." * (turn % 50)) for turn in range(rotations + 1) for number in range(LINES)
    )
    if way == "slow-writer":
        lines.update(b"%d late %d" % (turn, number) for turn in range(rotations) for number in range(100))
    return lines


@pytest.mark.parametrize(
    ("way", "pattern", "rotations"),
    [(way, "app.log", 100) for way in WAYS] + [(way, "app.log*", 30) for way in WAYS if way != "symlink"],
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
