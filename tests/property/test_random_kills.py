"""Random sequences of what happens to logs and to the process that reads them, against a model.

Each complete line of each log is counted once and in order, whatever is killed when, and wherever the last save was.
"""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from lives import Lives

from nativemtail.io import archive, positions
from nativemtail.io.sources import Settings

SLOW = Settings(linger=30.0, flush=30.0, max_line_length=1000)
COMPRESSORS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}
KEEP = 30

WAYS = ["rename", "leave", "dated", "compress", "copytruncate"]
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 1), st.integers(1, 30), st.booleans()),
    st.tuples(st.just("steps"), st.integers(1, 30)),
    st.tuples(st.just("rotate"), st.integers(0, 1)),
    st.sampled_from([("prepare",), ("save",), ("kill",), ("start",), ("stop",)]),
)


class World:
    """Two logs, and the lines that were written to each."""

    def __init__(self, folder: Path, ways: tuple[str, str], options: Settings) -> None:
        self.ways = ways
        self.logs = [folder / "a" / "app.log", folder / "b" / "app.log"]
        self.written: list[list[bytes]] = [[], []]
        self.parts = [b"", b""]
        self.serial = 0
        for log in self.logs:
            log.parent.mkdir()
            log.touch()
        self.process = Lives(*self.logs, settings=options)
        self.is_running = True

    def write(self, which: int, lines: int, whole: bool) -> None:
        text = b""
        for _ in range(lines):
            self.serial += 1
            text += b"line %d of log %d\n" % (self.serial, which)
        if not whole:
            text += b"part %d of log %d;" % (self.serial, which)
        with self.logs[which].open("ab") as file:
            file.write(text)
        *complete, self.parts[which] = (self.parts[which] + text).split(b"\n")
        self.written[which] += complete

    def finish_line(self, which: int) -> None:
        """The end of a file ends its line."""
        if self.parts[which]:
            with self.logs[which].open("ab") as file:
                file.write(b"\n")
            self.written[which].append(self.parts[which])
            self.parts[which] = b""

    def shift(self, which: int) -> None:
        log = self.logs[which]
        for number in range(KEEP, 0, -1):
            for end in ("", *COMPRESSORS):
                if os.path.lexists(f"{log}.{number}{end}"):
                    os.rename(f"{log}.{number}{end}", f"{log}.{number + 1}{end}")

    def rotate(self, which: int) -> None:
        log = self.logs[which]
        if log.exists():
            self.finish_line(which)
            getattr(self, self.ways[which])(which, log)

    def rename(self, which: int, log: Path) -> None:
        self.leave(which, log)
        log.touch()

    def leave(self, which: int, log: Path) -> None:
        """The next file is created with its first line."""
        self.shift(which)
        log.rename(f"{log}.1")

    def dated(self, which: int, log: Path) -> None:
        self.serial += 1
        log.rename(f"{log}-{20260000 + self.serial}")

    def compress(self, which: int, log: Path) -> None:
        self.rename(which, log)
        if not self.is_running:
            path = Path(f"{log}.1")
            suffix = list(COMPRESSORS)[self.serial % len(COMPRESSORS)]
            info = path.stat()
            to = Path(f"{path}{suffix}")
            to.write_bytes(COMPRESSORS[suffix](path.read_bytes()))
            os.utime(to, ns=(info.st_atime_ns, info.st_mtime_ns))
            path.unlink()

    def copytruncate(self, which: int, log: Path) -> None:
        if log.stat().st_size:
            if self.is_running:
                # At run time a truncation is noticed only if something was read.
                self.process.run(lambda: len(self.counted(which)) == len(self.written[which]))
                self.write(which, 2, whole=True)
            self.shift(which)
            shutil.copy(log, f"{log}.1")
            os.truncate(log, 0)

    def steps(self, count: int) -> None:
        for _ in range(count if self.is_running else 0):
            self.process.step()

    def prepare(self) -> None:
        """Some of the positions of the next save are taken now."""
        if self.is_running:
            self.process.prepare()

    def save(self) -> None:
        if self.is_running:
            self.process.save()

    def kill(self) -> None:
        if self.is_running:
            self.process.kill()
            self.is_running = False

    def stop(self) -> None:
        if self.is_running:
            self.process.stop()
            self.is_running = False

    def start(self) -> None:
        if not self.is_running:
            self.process.start()
            self.is_running = True

    def counted(self, which: int) -> list[bytes]:
        end = b" of log %d" % which
        return [line for line in self.process.lines if end in line]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed files are whole; positions are prepared although there are few logs."""
    monkeypatch.setattr(archive, "_FRESH", 0)
    monkeypatch.setattr(positions, "FEW", 0)


@settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    ways=st.tuples(st.sampled_from(WAYS), st.sampled_from(WAYS)),
    operations=st.lists(OPERATIONS, max_size=40),
    block=st.sampled_from([40, 1000]),
)
def test_each_line_counts_once(ways: tuple[str, str], operations: list[tuple[str, Any]], block: int) -> None:
    folder = tempfile.mkdtemp()
    world = World(Path(folder), ways, replace(SLOW, max_line_length=block))
    try:
        for name, *values in operations:
            getattr(world, name)(*values)
        note(f"{sorted(os.listdir(world.logs[0].parent))} {sorted(os.listdir(world.logs[1].parent))}")
        world.start()
        for which in (0, 1):
            world.finish_line(which)
            world.write(which, 1, whole=True)
        total = sum(map(len, world.written))
        world.process.run(lambda: len(world.process.lines) >= total)
        world.steps(10)
        for which in (0, 1):
            assert world.counted(which) == world.written[which]
        world.stop()
        world.start()
        world.steps(10)
        for which in (0, 1):
            assert world.counted(which) == world.written[which]
    finally:
        if world.is_running:
            world.kill()
        shutil.rmtree(folder)
