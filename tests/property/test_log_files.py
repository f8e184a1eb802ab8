"""Random sequences of what happens to log files, against a model: each line of each file counts once.

The model knows files, not paths: a file that was at the followed path is read to its end wherever it goes; truncation
and the end of a file end its line.  What is destroyed (deletion, truncation without a copy) is waited for before.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from rig import Rig

from nativemtail.io.sources import Settings

SLOW = Settings(linger=30.0, flush=30.0)
KEEP = 4

OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["write", "write_old"]), st.integers(0, 3), st.booleans()),
    st.sampled_from(
        [("wait",), ("rename",), ("dated",), ("copytruncate",), ("truncate",), ("delete",), ("replace",), ("link",)]
    ),
)


class World:
    """A directory with a log, the operations on it, and the lines that must have been delivered."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        self.rig = rig
        self.path = folder / "app.log"
        self.serial = 0
        self.bytes = 0
        self.files: list[tuple[int, list[bytes]]] = []
        self.current: tuple[int, list[bytes]] | None = None
        self.create()

    def create(self, name: str = "app.log") -> None:
        fd = os.open(self.path.parent / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.current = (fd, [b""])
        self.files.append(self.current)
        # So that waiting for all bytes is waiting for the file to have been opened.
        self.append(self.current, self.text(1, True))

    def text(self, lines: int, whole: bool) -> bytes:
        made = b""
        for _ in range(lines):
            self.serial += 1
            made += b"line %d\n" % self.serial
        if whole:
            return made
        self.serial += 1  # a log that is truncated and gets the same bytes again at once looks unchanged
        return made + b"part %d;" % self.serial

    def append(self, file: tuple[int, list[bytes]], text: bytes) -> None:
        os.write(file[0], text)
        file[1][-1] += text
        self.bytes += len(text)

    def write(self, lines: int, whole: bool) -> None:
        if self.current is None:
            self.create()
        assert self.current is not None
        self.append(self.current, self.text(lines, whole))

    def write_old(self, lines: int, whole: bool) -> None:
        self.append(self.files[-1 - lines % len(self.files)], self.text(1, whole))

    def wait(self) -> None:
        # What is written to a log that was truncated and renamed waits for a second: it may become a copy.
        patience = 2 * SLOW.flush
        self.rig.wait(lambda: self.rig.tailer.counters.log_bytes_total.total() >= self.bytes, patience)

    def shift(self) -> None:
        for number in range(KEEP, 0, -1):
            old = self.path.with_name(f"app.log.{number}")
            if os.path.lexists(old):
                if number == KEEP:
                    self.wait()
                old.rename(self.path.with_name(f"app.log.{number + 1}"))

    def rename(self) -> None:
        if self.current is not None:
            self.shift()
            self.path.rename(self.path.with_name("app.log.1"))
            self.current = None

    def dated(self) -> None:
        if self.current is not None:
            self.serial += 1
            self.path.rename(self.path.with_name(f"app.log-{20260000 + self.serial}"))
            self.current = None

    def copytruncate(self) -> None:
        if self.current is not None and self.current[1][-1]:
            self.wait()
            # Not waited for: these are in the copy only.
            self.write(2, True)
            self.shift()
            shutil.copy(self.path, self.path.with_name("app.log.1"))
            self.cut()

    def truncate(self) -> None:
        if self.current is not None:
            self.wait()
            self.cut()

    def cut(self) -> None:
        assert self.current is not None
        os.truncate(self.path, 0)
        self.current[1].append(b"")

    def delete(self) -> None:
        if self.current is not None:
            self.wait()
            self.path.unlink()
            self.current = None

    def replace(self) -> None:
        self.wait()
        self.create("fresh")
        self.path.with_name("fresh").rename(self.path)

    def link(self) -> None:
        self.wait()
        self.serial += 1
        real = f"real_{self.serial}"
        self.create(real)
        new = self.path.with_name("new_link")
        new.symlink_to(real)
        new.rename(self.path)

    def expected(self) -> Counter[bytes]:
        lines: Counter[bytes] = Counter()
        for _fd, parts in self.files:
            for part in parts:
                lines.update(part.splitlines())
        return lines

    def close(self) -> None:
        for fd, _parts in self.files:
            os.close(fd)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(operations=st.lists(OPERATIONS, max_size=25))
@example(operations=10 * [("copytruncate",), ("rename",)])
@example(operations=6 * [("write", 0, False), ("copytruncate",), ("dated",), ("write_old", 2, False)])
@example(
    operations=[
        ("write", 1, False),
        ("truncate",),
        ("rename",),
        ("write", 0, False),
        ("truncate",),
        ("write_old", 1, False),
    ]
)
def test_every_line_once(pattern: str, operations: list[tuple[object, ...]]) -> None:
    note(repr(operations))
    with tempfile.TemporaryDirectory() as folder:
        with Rig(Path(folder) / pattern, settings=SLOW) as rig:
            world = World(Path(folder), rig)
            for name, *arguments in operations:
                getattr(world, str(name))(*arguments)
        world.close()
        assert Counter(rig.lines) == world.expected()
