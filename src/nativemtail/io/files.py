"""Finding the files that patterns name, and reading them to their ends (spec inputs.md §2, §3, §8)."""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nativemtail.globs import Glob
from nativemtail.gotext import explain
from nativemtail.io import doubts
from nativemtail.io.compressed import Corrupt
from nativemtail.io.file import FileReader, open_file
from nativemtail.io.loop import Loop
from nativemtail.io.sources import Context, Source

Ignore = Callable[[str], object]
"""Takes a base name; returns a true value if files of that name are to be ignored."""

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """A path that can be read; `status` is that of the file behind symbolic links."""

    path: str
    status: os.stat_result

    @property
    def is_fifo(self) -> bool:
        return stat.S_ISFIFO(self.status.st_mode)


def find(globs: Iterable[Glob], ignore: Ignore | None) -> Iterator[Found]:
    """Every readable file once, under its first name in the order of the patterns.

    A path without wildcards that cannot be read is logged as an error, since it may be mistyped.
    """
    seen: set[str] = set()
    names: dict[tuple[int, int], str] = {}
    for glob in globs:
        paths = glob.expand()
        for doubt in filter(None, (doubts.of_text(glob), *doubts.of_directories(glob))):
            log.warning("%s: %s", glob.pattern, doubt)
        if not paths:
            log.log(logging.ERROR if glob.is_literal else logging.WARNING, "no file matches %s", glob.pattern)
        for path in paths:
            if path not in seen:
                seen.add(path)
                found = classify(path, ignore, logging.ERROR if glob.is_literal else logging.INFO)
                if not found:
                    continue
                name = names.setdefault((found.status.st_dev, found.status.st_ino), path)
                if name == path:
                    yield found
                else:
                    log.warning("%s is the same file as %s: it is read once, under that name", path, name)


def classify(path: str, ignore: Ignore | None, level: int) -> Found | None:
    """What `path` is; None if it is not to be read: missing, a directory, ignored, neither file nor named pipe."""
    try:
        status = os.stat(path)
    except OSError as error:
        log.log(level, "%s", explain(error, "stat", path))
        return None
    if stat.S_ISDIR(status.st_mode):
        log.log(level, "%s is a directory", path)
        return None
    if ignore is not None and ignore(os.path.basename(path)):
        return None
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        log.log(level, 'unsupported file type: "%s"', path)
        return None
    return Found(path, status)


class FilesToEnd:
    """Files that are read one after another, each to its end."""

    def __init__(self, context: Context, loop: Loop, files: Iterable[Found]) -> None:
        self._context = context
        self._coming = deque(files)
        self._sources: list[Source] = []
        self._file: FileReader | None = None
        self._used = 0
        self.size = sum(found.status.st_size for found in self._coming)
        """Total size of all files in bytes, when they were found."""
        loop.queue(self)

    @property
    def ended(self) -> bool:
        return not self._coming

    @property
    def reading(self) -> int:
        return len(self._coming)

    @property
    def used(self) -> int:
        """Bytes read so far, over all files."""
        return self._used + (self._file.used if self._file is not None else 0)

    def turn(self) -> bool:
        if self._coming and not self._read(self._coming[0].path):
            self._end()
        return bool(self._coming)

    def drain(self) -> Iterator[None]:
        while self.turn():
            yield

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Names of files that were not read to their ends, and how many bytes; an incomplete line is dropped."""
        for found in self._coming:
            yield found.path, found.status.st_size if self._file is None else self._file.give_up()
            self._close_file()

    def close(self) -> None:
        self._close_file()
        for source in self._sources:
            self._context.release(source)
        self._sources.clear()

    def _read(self, path: str) -> bool:
        """Read a block of the current file; whether there may be more."""
        try:
            if self._file is None:
                self._sources.append(self._context.hold(path))
                self._file = open_file(self._context, self._sources[-1], path, until_end=True)
            return self._file.turn()
        except OSError as error:
            self._sources[-1].failed(explain(error, "read" if self._file is not None else "open", path))
        except Corrupt as error:
            self._sources[-1].failed(f"{path}: {error}")
        return False

    def _end(self) -> None:
        self._close_file()
        self._sources[-1].finish()
        self._used += self._coming.popleft().status.st_size

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
