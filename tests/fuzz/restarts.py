"""Looks for what makes a restart lose or double lines: `make restarts`, or `make restarts ARGS="--seconds 3600"`.

A trial is a word: each letter is something that happens to a log or to the process that follows it (`OPERATIONS`).  At
its end the process runs and reads what is left.  Then each line that still exists was counted once, in order, and none
that is gone was counted twice.  A word that fails is cut down to the shortest one that fails, which is printed.
`restarts.py WORD…` tries words.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).parents[1] / "support"))

from lives import Lives  # type: ignore[import-not-found]

from nativemtail.io import archive, copies, resume
from nativemtail.io.sources import Settings

PATTERNS = "app.log", "app.log*"
SETTINGS = Settings(linger=30.0, flush=30.0)
PATIENCE = 0.5
"""Seconds without a line, after which no more is expected."""
STEPS = 4
"""So many turns show lines that are counted again."""
GENERATIONS = 30
UNSEEN = resume._UNSEEN


class Wrong(AssertionError):
    """Lines were lost, doubled or out of order."""


@dataclass
class World:
    """A log in a directory of its own, and the process that follows it by a pattern."""

    directory: Path
    pattern: str
    written: int = 0
    is_running: bool = True
    process: Lives = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.directory / "app.log"
        self.log.touch()
        _tick()
        self.process = Lives(self.directory / self.pattern, settings=SETTINGS)
        _tick()

    def do(self, word: str) -> None:
        for letter in word:
            OPERATIONS[letter](self)

    # The log

    def write(self) -> None:
        self.written += 1
        with self.log.open("ab") as file:
            file.write(b"line %d\n" % self.written)

    def rename(self) -> None:
        self.leave()
        self.log.touch()

    def leave(self) -> None:
        """The next file is created with its first line."""
        if self.log.exists():
            self._shift()
            self.log.rename(self._generation(1))
            _tick()

    def truncate(self) -> None:
        """A running process notices that only if it has read something."""
        if self.log.exists():
            self._let_begin()
            self._copy()
            os.truncate(self.log, 0)

    def remove(self) -> None:
        """Copied to a rotated file, and deleted."""
        if self.log.exists():
            self._let_begin()
            self._copy()
            self.log.unlink()

    def compress(self) -> None:
        """The newest rotated file that is not compressed."""
        for path in self._generations():
            if path.suffix != ".gz":
                info = path.stat()
                to = Path(f"{path}.gz")
                to.write_bytes(gzip.compress(path.read_bytes()))
                os.utime(to, ns=(info.st_atime_ns, info.st_mtime_ns))
                path.unlink()
                break

    def delete(self) -> None:
        """The oldest rotated file."""
        for path in self._generations()[-1:]:
            path.unlink()

    def _let_begin(self) -> None:
        counted = {int(line.split()[1]) for line in self.process.lines}
        if counted.isdisjoint(_numbers(self.log)):
            self.read()

    def _copy(self) -> None:
        self._shift()
        shutil.copyfile(self.log, self._generation(1))
        _tick()

    def _shift(self) -> None:
        for path in reversed(self._generations()):
            name, number, *end = path.name.rsplit(".", 2) if path.suffix == ".gz" else path.name.rsplit(".", 1)
            path.rename(self.directory / ".".join([name, str(int(number) + 1), *end]))

    def _generation(self, number: int) -> Path:
        return Path(f"{self.log}.{number}")

    def _generations(self) -> list[Path]:
        """Newest first."""
        names = (Path(f"{self._generation(number)}{end}") for number in range(1, GENERATIONS) for end in ("", ".gz"))
        return [path for path in names if path.exists()]

    # The process

    def read(self) -> None:
        """Until all that is there was read, or nothing was for a while."""
        if not self.is_running:
            return
        there, end, count = self._lines(), time.monotonic() + PATIENCE, -1
        while time.monotonic() < end:
            if len(self.process.lines) != count:
                counted = {int(line.split()[1]) for line in self.process.lines}
                count, end = len(self.process.lines), time.monotonic() + PATIENCE
                if there <= counted:
                    break
            self.process.step()
        for _ in range(STEPS):
            self.process.step()

    def step(self) -> None:
        if self.is_running:
            self.process.step()

    def save(self) -> None:
        if self.is_running:
            if not resume._UNSEEN:
                self.read()
            _tick()
            self.process.save()
            _tick()

    def kill(self) -> None:
        if self.is_running:
            self.process.kill()
            self.is_running = False

    def start(self) -> None:
        if not self.is_running:
            _tick()
            self.process.start()
            _tick()
            self.is_running = True

    def stop(self) -> None:
        if self.is_running:
            self.process.stop()
            self.is_running = False

    # What must be

    def check(self) -> None:
        """After all was read: once more after a stop, at which nothing may change."""
        self.start()
        self.read()
        self._check_lines()
        self.stop()
        self.start()
        self.read()
        self._check_lines("after a stop: ")

    def _check_lines(self, when: str = "") -> None:
        counted = [int(line.split()[1]) for line in self.process.lines]
        there = self._lines()
        lost = sorted(there - set(counted))
        doubled = sorted({number for number in counted if counted.count(number) > 1})
        if lost or doubled or counted != sorted(counted):
            files = {path.name: _numbers(path) for path in sorted(self.directory.iterdir())}
            raise Wrong(f"{when}lost {lost}, doubled {doubled}, counted {counted} of {files}")

    def _lines(self) -> set[int]:
        return {number for path in self.directory.iterdir() for number in _numbers(path)}


OPERATIONS = {
    "w": World.write,
    "m": World.rename,
    "M": World.leave,
    "c": World.truncate,
    "C": World.remove,
    "z": World.compress,
    "d": World.delete,
    "r": World.read,
    ".": World.step,
    "s": World.save,
    "k": World.kill,
    "b": World.start,
    "q": World.stop,
}


LIVE = "wwwwmmMMccCzdss"
"""What may happen while the process reads."""
DEAD = "wwwwmmMMccCCzdd"
"""What may happen in between."""


def _numbers(path: Path) -> list[int]:
    text = path.read_bytes()
    if path.suffix == ".gz":
        text = gzip.decompress(text)
    return [int(line.split()[1]) for line in text.splitlines()]


def _tick() -> None:
    """Wait until the clock of the file system has moved: the order of two files is that of their creation."""
    with tempfile.TemporaryFile() as file:
        before = os.fstat(file.fileno()).st_mtime_ns
        while True:
            os.write(file.fileno(), b"x")
            if os.fstat(file.fileno()).st_mtime_ns != before:
                return
            time.sleep(0.0005)


def problem(word: str, pattern: str, unseen: int = UNSEEN) -> str:
    """What is wrong after a word; empty if nothing is.

    With an `unseen` of 0, what was made before a save had been seen by then.
    """
    directory = Path(tempfile.mkdtemp())
    try:
        with (
            mock.patch.object(archive, "_FRESH", 0),
            mock.patch.object(copies, "_WANTED", 0.1),
            mock.patch.object(copies, "_TICK", 0.02),
            mock.patch.object(resume, "_UNSEEN", unseen),
        ):
            world = World(directory, pattern)
            try:
                world.do(word)
                world.check()
            except Wrong as error:
                return str(error)
            finally:
                world.kill()
    finally:
        shutil.rmtree(directory)
    return ""


def words(chance: random.Random, longest: int) -> Iterator[str]:
    """Lives of a process, and what happens to the log between them."""
    while True:
        word = ""
        while len(word) < longest - 4:
            live = "".join(letter + chance.choice(["r", "r", "r", "."]) for letter in _some(chance, LIVE))
            live = live.replace("z", "rz")
            word += live + "".join(_some(chance, DEAD)) + chance.choice("kkkq") + "".join(_some(chance, DEAD)) + "b"
            if chance.random() < 0.4:
                break
        yield word


def _some(chance: random.Random, letters: str) -> list[str]:
    return chance.choices(letters, k=chance.choice([0, 1, 2, 3, 5]))


def shortest(word: str, pattern: str, unseen: int) -> str:
    """The word without all that may be left out."""
    size = len(word)
    while size:
        for at in range(len(word) - size, -1, -1):
            shorter = word[:at] + word[at + size :]
            if problem(shorter, pattern, unseen):
                word = shorter
        size = min(size // 2, len(word)) if size > 1 else 0
    return word


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=int, default=30)
    parser.add_argument("--pattern", choices=PATTERNS, action="append")
    options = parser.parse_args()
    patterns = options.pattern or PATTERNS
    logging.disable()
    found: set[tuple[str, str]] = set()
    for word in options.words:
        for pattern in patterns:
            what = problem(word, pattern)
            print(f"{word} {pattern}: {what or 'nothing wrong'}", flush=True)
            if what:
                found.add((word, pattern))
    end, tried = time.monotonic() + options.seconds, 0
    for word in words(random.Random(options.seed), options.longest):
        if options.words or time.monotonic() > end:
            break
        pattern = patterns[tried % len(patterns)]
        unseen = tried // 2 % 2 * UNSEEN
        tried += 1
        if problem(word, pattern, unseen) and problem(word, pattern, unseen):
            short = shortest(word, pattern, unseen)
            if (short, pattern) not in found:
                found.add((short, pattern))
                print(f"{short} {pattern} {unseen} (of {word}): {problem(short, pattern, unseen)}", flush=True)
    print(f"{tried} words tried, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
