"""The names of rotated files: how they are ordered, and which are newer than a given one.

`app.log.3` is older than `app.log.2`, because numbers of up to three digits are shifted, unless the times of the files
show that they count up; `app.log-20261130` is older than `app.log-20261201`.  Longer numbers beside
short ones (`app.log.1000`) are shifted, too, if the times show it.  Only names of one scheme are compared: those that
differ only in their numbers.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from nativemtail.io.content import COMPRESSED

_NUMBER = r"[0-9a-f]{16,}|\d+"
"""A decimal number, or a time stamp as svlogd and multilog write it."""

_DIGITS = re.compile(_NUMBER)
_GENERATION = re.compile(r"[.-]\d[\dTZ:._-]*")
_SHIFTED = re.compile(r"[^0-9]*[1-9]\d{0,2}[^0-9]*")
_SHORT = re.compile(r"[^0-9]*\d{1,3}[^0-9]*")
_SAMPLES = 32

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_BTIME = 0x800
_STATX_SIZE = 256
_BIRTH = struct.Struct("=qI")
_BIRTH_OFFSET = 80

_libc = ctypes.CDLL(None, use_errno=True)


class Scheme:
    """How the rotated files of a log are named: all begin with `start` and have numbers in the same places."""

    __slots__ = ("_end", "_is_decided", "_is_shifted", "_is_short", "_texts", "start")

    def __init__(self, start: str, middle: str, end: str) -> None:
        first, *self._texts = _DIGITS.split(middle)
        self.start = start + first
        self._end = self._texts.pop() + end
        self._is_shifted = _SHIFTED.fullmatch(middle) is not None
        self._is_short = _SHORT.fullmatch(middle) is not None
        self._is_decided = False

    @classmethod
    def of(cls, base: str, name: str) -> Scheme | None:
        """The scheme by which `name` was derived from `base`, both in one directory; None if there is none."""
        start = _shared(base, name)
        if any(text[start : start + 1].isdigit() for text in (base, name)):
            while 0 < start < len(base) and name[start - 1].isdigit():
                start -= 1  # the digits of one number belong together
        end = len(name) - _shared(base[start:][::-1], name[start:][::-1])
        while end < len(name) and name[end].isdigit():
            end += 1
        middle = name[start:end]
        if not _DIGITS.search(middle):
            return None
        scheme = cls(name[:start], middle, name[end:])
        latest, earlier = scheme.age(base), scheme.age(name)
        if latest is not None and earlier is not None:
            scheme._is_decided = True
            scheme._is_shifted ^= latest < earlier
        return scheme

    def detect_direction(self, names: list[str], changed: Callable[[str], int]) -> None:
        """Decide by modification times whether short numbers are shifted or count up; `changed` gives 0 if unknown."""
        aged = sorted((age, name) for name in names if (age := self.age(name)) is not None)
        if self._is_decided or not (self._is_short or any(_SHORT.fullmatch(self._middle(name)) for _, name in aged)):
            return
        times = [time for _, name in aged[:: 1 + len(aged) // _SAMPLES] if (time := changed(name))]
        pairs = list(pairwise(times))
        if sum(a > b for a, b in pairs) > sum(a < b for a, b in pairs):
            self._is_shifted = not self._is_shifted

    def age(self, name: str) -> tuple[int, ...] | None:
        """A sort key, smaller for older files; None for a name of another scheme."""
        middle = self._middle(name)
        if not name.startswith(self.start) or not name.endswith(self._end):
            return None
        if _DIGITS.split(middle) != ["", *self._texts, ""]:
            return None
        numbers = tuple(int(number, 16 if len(number) >= 16 else 10) for number in _DIGITS.findall(middle))
        return tuple(-number for number in numbers) if self._is_shifted else numbers

    def _middle(self, name: str) -> str:
        return name[len(self.start) : len(name) - len(self._end)]


def _shared(one: str, other: str) -> int:
    """The length of the common prefix."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def plain(name: str) -> str:
    """The name without the suffix of a compressor."""
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


def is_generation(base: str, name: str) -> bool:
    """Whether `name` is `base` plus a number or a date."""
    return name.startswith(base) and _GENERATION.fullmatch(name, len(base)) is not None


def bases(name: str) -> list[str]:
    """The names that `name`, perhaps without the suffix of a compressor, extends by a number or a date."""
    like = plain(name)
    return [like[:at] for at in range(1, len(like)) if like[at] in ".-" and is_generation(like[:at], like)]


def starts(base: str, anchor: str | None) -> tuple[str, ...]:
    """The prefixes, one of which every name that `newer` returns begins with."""
    scheme = Scheme.of(base, anchor) if anchor is not None else None
    return (scheme.start,) if scheme is not None else (base + ".", base + "-")


def newer(names: list[str], base: str, anchor: str | None, changed: Callable[[str], int] | None = None) -> list[str]:
    """The rotated files of `base` among `names` that are newer than `anchor`, oldest first.

    Without an anchor, all that follow the scheme of the first rotated file.  `changed` gives the time when the file of
    a name was last written.
    """
    like = anchor or next((name for name in names if is_generation(base, name)), None)
    scheme = Scheme.of(base, like) if like is not None else None
    if scheme is None:
        return []
    if changed is not None:
        scheme.detect_direction([name for name in names if name != base], changed)
    aged = [(age, name) for name in names if name != base and (age := scheme.age(name)) is not None]
    bounds = (scheme.age(anchor) if anchor is not None else None, scheme.age(base))
    return [
        name
        for age, name in sorted(aged)
        if (bounds[0] is None or age > bounds[0]) and (bounds[1] is None or age < bounds[1])
    ]


def last_change(directory: str, name: str) -> int:
    """When a file was last written; 0 if it does not exist."""
    try:
        return os.lstat(os.path.join(directory, name)).st_mtime_ns
    except OSError:
        return 0


def age_of(path: str | None, base: str, anchor: str | None) -> tuple[int, ...]:
    """The sort key of a path's name; empty if it has none."""
    scheme = Scheme.of(base, anchor) if anchor is not None else None
    return (scheme.age(os.path.basename(path)) or ()) if scheme is not None and path is not None else ()


def birth(fd: int) -> int:
    """When the file open as `fd` was created, in nanoseconds; 0 where the file system does not record it."""
    return _birth(fd, "")


def text_age(fd: int, name: str | None) -> int:
    """When the text in a file was begun.  A compressed file is created later, but keeps the time when its text ended.

    The clock of the file system may show the same time when the next file is created.
    """
    born = birth(fd)
    if not born or name is None or not name.endswith(COMPRESSED):
        return born
    return min(born, os.fstat(fd).st_mtime_ns)


def _birth(fd: int, path: str) -> int:
    space = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW if path else _AT_EMPTY_PATH
    failed = _libc.statx(fd, os.fsencode(path), flags, _BTIME, space)
    if failed or not struct.unpack_from("=I", space)[0] & _BTIME:
        return 0
    seconds, nanoseconds = _BIRTH.unpack_from(space, _BIRTH_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


class Made(NamedTuple):
    """The identity of a file, unambiguous even when inodes are reused."""

    device: int
    inode: int
    birth: int

    @classmethod
    def of(cls, fd: int) -> Made:
        info = os.fstat(fd)
        return cls(info.st_dev, info.st_ino, birth(fd))

    @classmethod
    def at(cls, path: str) -> Made:
        """The file at `path`.  Raises OSError."""
        info = os.lstat(path)
        return cls(info.st_dev, info.st_ino, _birth(_AT_FDCWD, path))

    def is_at(self, path: str, info: os.stat_result) -> bool:
        """Whether it is the file at `path`; `info` is that path's status."""
        return (info.st_dev, info.st_ino) == self[:2] and _birth(_AT_FDCWD, path) == self.birth


def last_name_of(fd: int) -> str | None:
    """The path that the open file has, or had when it was deleted; None if that is unknown."""
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
        return path if os.fstat(fd).st_nlink else path.removesuffix(" (deleted)")
    except OSError:
        return None


def name_of(fd: int) -> str | None:
    """The path that the open file has now; None if it has none."""
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
        info = os.stat(path)
        mine = os.fstat(fd)
    except OSError:
        return None
    is_same = (info.st_dev, info.st_ino) == (mine.st_dev, mine.st_ino) and stat.S_ISREG(info.st_mode)
    return path if is_same else None
