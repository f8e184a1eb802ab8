"""Writes a log at full speed and rotates it in the given ways, as a process of its own.

    python mixedrotation.py NAME PATH SEED WAY...

Its lines are `NAME NUMBER …`, numbered from 1.  Now and then it prints `sync NUMBER` and waits for `go on`: text may
only be deleted once so many lines are counted and saved.  At `stop` it prints `total NUMBER` and ends.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import select
import shutil
import sys
from collections.abc import Sequence

WAYS = "rename", "copytruncate", "gzip", "delete"
GENERATIONS, KEPT = 9, 3
_LINES = 12_000
"""In a file, on average."""


class Log:
    def __init__(self, name: str, path: str, chance: random.Random, ways: Sequence[str]) -> None:
        self._ways = ways
        self._name = name
        self._path = path
        self._chance = chance
        self._fd = self._opened()
        self._number = 0
        self._generations = 0
        self._input = io.FileIO(0)
        self.is_stopped = False

    def look(self) -> None:
        if select.select([self._input], [], [], 0)[0]:
            self._take()

    def _take(self) -> bytes:
        said = self._input.readline()
        self.is_stopped |= said != b"go on\n"
        return said

    def write(self, lines: int) -> None:
        text = bytearray()
        for _ in range(lines):
            self._number += 1
            text += b"%s %d %s\n" % (self._name.encode(), self._number, b"." * (self._number % 70))
        cut = self._chance.randrange(len(text))  # in a line, mostly
        os.write(self._fd, text[:cut])
        os.write(self._fd, text[cut:])

    def rotate(self) -> None:
        way = self._chance.choice(self._ways)
        if way == "delete":
            self._sync()
            os.unlink(self._path)
            self._reopen()
        else:
            self._shift()
            self._generations += 1
            first = f"{self._path}.1"
            if way == "copytruncate":
                shutil.copyfile(self._path, first)
                os.truncate(self._path, 0)
            else:
                os.rename(self._path, first)
                self._reopen()
                if way == "gzip" and os.path.exists(f"{self._path}.2"):
                    _compress(f"{self._path}.2")  # as logrotate's delaycompress
        if self._generations > GENERATIONS:
            self._sync()
            self._delete_rotated()

    def end(self) -> None:
        print("total", self._number, flush=True)

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _reopen(self) -> None:
        os.close(self._fd)
        self._fd = self._opened()

    def _sync(self) -> None:
        print("sync", self._number, flush=True)
        while self._take() == b"stop\n":
            pass

    def _shift(self) -> None:
        for old in range(self._generations, 0, -1):
            for end in ("", ".gz"):
                if os.path.exists(f"{self._path}.{old}{end}"):
                    os.rename(f"{self._path}.{old}{end}", f"{self._path}.{old + 1}{end}")

    def _delete_rotated(self) -> None:
        """All but the newest."""
        for number in range(KEPT + 1, self._generations + 1):
            for end in ("", ".gz"):
                if os.path.exists(f"{self._path}.{number}{end}"):
                    os.unlink(f"{self._path}.{number}{end}")
        self._generations = KEPT


def _compress(path: str) -> None:
    """As gzip does."""
    info = os.stat(path)
    with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=1) as compressed:
        shutil.copyfileobj(plain, compressed, 64 * 1024)
    os.utime(f"{path}.gz", ns=(info.st_atime_ns, info.st_mtime_ns))
    os.unlink(path)


def write(name: str, path: str, seed: str, *ways: str) -> None:
    chance = random.Random(seed)
    log = Log(name, path, chance, ways)
    while not log.is_stopped:
        for _ in range(chance.randrange(1, 2 * _LINES // 300)):
            log.write(chance.randrange(1, 600))
        log.rotate()
        log.look()
    log.end()


if __name__ == "__main__":
    write(*sys.argv[1:])
