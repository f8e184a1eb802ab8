"""Writes a log at full speed and rotates it, as a process of its own; and what must have been read of it.

    python rotating.py WAY PATH ROTATIONS LINES WIDTH

Each line is one write, `TURN NUMBER ….…`, dots up to WIDTH.  A line on standard input lets it rotate; at the end of
input it rotates when it likes.
"""

from __future__ import annotations

import os
import shutil
import sys

WAYS = ["rename", "dated", "slow-writer", "copytruncate", "copytruncate-one", "replace", "delete", "symlink"]
LATE = 100
"""Lines that a slow writer adds to a file that was renamed already."""


def line(turn: int, number: int, width: int) -> bytes:
    return b"%d %d " % (turn, number) + b"." * (width - turn % 50) + b"\n"


def fresh(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _shift(path: str) -> None:
    for old in range(20, 0, -1):
        if os.path.exists(f"{path}.{old}"):
            os.rename(f"{path}.{old}", f"{path}.{old + 1}")


def _rotate(way: str, path: str, fd: int, turn: int) -> int:
    """The descriptor to go on with."""
    match way:
        case "rename":
            _shift(path)
            os.rename(path, f"{path}.1")
        case "dated":
            os.rename(path, f"{path}-2026{turn:04}")
        case "slow-writer":
            os.rename(path, f"{path}-2026{turn:04}")
            for number in range(LATE):
                os.write(fd, b"%d late %d\n" % (turn, number))
        case "copytruncate" | "copytruncate-one":
            if way == "copytruncate":
                _shift(path)
            shutil.copy(path, f"{path}.1")
            os.truncate(path, 0)
            return fd
        case "delete":
            os.unlink(path)
        case "replace" | "symlink":
            new = fresh(path + "~" if way == "replace" else f"{path}_{turn}")
            if way == "symlink":
                os.symlink(f"{path}_{turn}", path + "~")
            os.rename(path + "~", path)
            os.close(fd)
            return new
    os.close(fd)
    return fresh(path)


def main() -> None:
    way, path = sys.argv[1:3]
    rotations, lines, width = map(int, sys.argv[3:])
    fd = fresh(path)
    for turn in range(rotations + 1):
        for number in range(lines):
            os.write(fd, line(turn, number, width))
        if turn < rotations:
            sys.stdin.readline()
            fd = _rotate(way, path, fd, turn)


if __name__ == "__main__":
    main()
