"""The logs of a history, and the parts into which they are divided.

A part is a range of bytes of a plain file that begins behind a newline, or a whole file.  Parts are numbered in the
order of the logs: by family, which is the name without what rotation adds, then by generation, oldest first, then by
position.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nativemtail import plainfile
from nativemtail.io import generations
from nativemtail.io.content import GZIP, START, Content, is_undecided, recognise

PART_SIZE = 64 * 1024 * 1024
PARTS_PER_WORKER = 4
LEAST_PART = 1024 * 1024
"""Smaller parts than this cost more than they save."""
_SEARCH = 256 * 1024
_ROTATED = re.compile(r"(?P<base>.+?)[.-](?:\d{1,4}|\d[\dTZ:._-]*)")


class Log(NamedTuple):
    """A file."""

    path: str
    size: int
    changed: int
    """When its text was written last, in nanoseconds: the time stored in a gzip file, else that of the file."""
    content: Content | None
    """None: plain text."""

    @property
    def is_plain(self) -> bool:
        return self.content is None


class Part(NamedTuple):
    """Bytes `start` to `end` of a log; a log that is not plain text is one part."""

    number: int
    log: Log
    start: int
    end: int

    def __str__(self) -> str:
        whole = self.start == 0 and self.end == self.log.size
        return self.log.path if whole else f"{self.log.path}, bytes {self.start} to {self.end}"


def examine(path: str) -> Log:
    """Raises OSError."""
    fd = plainfile.open_descriptor(path)
    try:
        info = os.fstat(fd)
        start = os.pread(fd, START, 0)
    finally:
        os.close(fd)
    content = recognise(start)
    if content is None and is_undecided(start) and start:
        content = Content("unknown")  # too short to tell: not divided
    return Log(path, info.st_size, _stored_time(start, content) or info.st_mtime_ns, content)


def _stored_time(start: bytes, content: Content | None) -> int:
    """The time in the header of a gzip file, in nanoseconds; 0: none."""
    return int.from_bytes(start[4:8], "little") * 1_000_000_000 if content == GZIP and len(start) >= 8 else 0


def in_order(paths: Iterable[str]) -> list[str]:
    """The paths by family and generation, oldest first."""
    families: dict[str, list[str]] = {}
    names = list(dict.fromkeys(paths))
    for path in names:
        families.setdefault(family(path), []).append(path)
    ordered: list[str] = []
    for base in sorted(families, key=os.fsencode):
        ordered += _generations(base, families[base])
    return ordered


def family(path: str) -> str:
    """The path without the suffixes of compression and rotation."""
    directory, name = os.path.split(path)
    name = generations.plain(name)
    while match := _ROTATED.fullmatch(name):
        name = match["base"]
    return os.path.join(directory, name)


def _generations(base: str, paths: Sequence[str]) -> list[str]:
    if len(paths) == 1:
        return list(paths)
    name = os.path.basename(base)
    by_name: dict[str, list[str]] = {}
    for path in sorted(paths, key=os.fsencode):
        by_name.setdefault(generations.plain(os.path.basename(path)), []).append(path)

    def changed(plain: str) -> int:
        return examine(by_name[plain][0]).changed

    older = generations.newer(sorted(by_name), name, None, changed)
    rest = [plain for plain in sorted(by_name) if plain not in older and plain != name]
    order = [*rest, *older, *([name] if name in by_name else [])]
    return [path for plain in order for path in by_name[plain]]


def divide(logs: Sequence[Log], part_size: int, *, whole: bool = False) -> list[Part]:
    """The parts of the logs; `whole`: no log is divided, because records may be anywhere in it.  Raises OSError."""
    parts: list[Part] = []
    for log in logs:
        cuts = [0]
        if log.is_plain and not whole and log.size > part_size:
            cuts += _cuts(log, part_size)
        for start, end in zip(cuts, [*cuts[1:], log.size], strict=True):
            parts.append(Part(len(parts), log, start, end))
    return parts


def _cuts(log: Log, part_size: int) -> list[int]:
    """Offsets behind newlines, at least `part_size` apart."""
    cuts: list[int] = []
    fd = plainfile.open_descriptor(log.path)
    try:
        at = part_size
        while at < log.size:
            at = _behind_newline(fd, at - 1, log.size)
            if at < log.size:
                cuts.append(at)
            at += part_size
    finally:
        os.close(fd)
    return cuts


def _behind_newline(fd: int, at: int, size: int) -> int:
    """The first offset behind a newline at `at` or later; `size` if there is none."""
    while at < size:
        block = os.pread(fd, min(_SEARCH, size - at), at)
        found = block.find(b"\n")
        if found >= 0:
            return at + found + 1
        if not block:
            break
        at += len(block)
    return size


def part_size_for(size: int, workers: int, wanted: int) -> int:
    """Bytes of a part: `wanted`, or less so that each worker gets several."""
    return min(wanted, max(LEAST_PART, size // (workers * PARTS_PER_WORKER))) if workers > 1 else wanted
