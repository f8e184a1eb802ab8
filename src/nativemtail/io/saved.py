"""What is kept of the logs between two runs: which files they were, and how far each had been counted.

The records are of JSON types.  They come from a disk, so everything in them is verified when they are read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nativemtail.io.generations import birth
from nativemtail.io.position import BEGINNINGS, TAIL, Identity, Position, identity

Record = dict[str, Any]

PAST = 3
"""The ends of this many earlier files of a log are kept."""

MAX_FILES = 65_536
_MAX_PATH = 65_536
_TAIL_KEY = ""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was counted: `position` is the first byte that was not, in the text of a compressed file.

    `seen` is the end of what is known to have been in the file.  With `in_cut_line`, the line at the position was
    delivered cut, and its rest is to be skipped.  `is_done`: a compressed file of which nothing is left; the position
    is the end of its bytes, not of its text.  `birth` is 0 where it is unknown.
    """

    path: str
    device: int
    inode: int
    birth: int
    position: Position
    seen: int
    in_cut_line: bool = False
    is_done: bool = False

    @property
    def identity(self) -> Identity:
        return self.device, self.inode

    @property
    def unread(self) -> int:
        """Bytes that are known to have followed."""
        return max(0, self.seen - self.position.offset)

    def is_inode_of(self, fd: int) -> bool:
        """Whether the open file has the inode, and is not a later file to which the inode was given again."""
        info = os.fstat(fd)
        if info.st_ino != self.inode:
            return False
        born = birth(fd)
        if born and self.birth:
            return born == self.birth  # devices may be numbered anew by a reboot
        return identity(info) == self.identity

    def fits(self, fd: int) -> bool | None:
        """Whether a plain file begins with what was counted, and what is known to follow; None if nothing is known."""
        return fits(self.position, fd) if os.fstat(fd).st_size >= self.position.offset else False

    def to_dict(self) -> Record:
        position = self.position
        return {
            "path": self.path,
            "file": [self.device, self.inode, self.birth],
            "at": _position_to_list(position),
            "seen": self.seen,
            "in_cut_line": self.in_cut_line,
            "is_done": self.is_done,
        }

    @classmethod
    def from_dict(cls, record: object) -> Place:
        """Raises ValueError."""
        given = _fields(record, "path", "file", "at", "seen", "in_cut_line", "is_done")
        device, inode, made = (_number(number, 64) for number in _items(given["file"], 3, 3))
        flags = given["in_cut_line"], given["is_done"]
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError("flags of a log's file")
        position = _position_from_list(given["at"])
        return cls(_path(given["path"]), device, inode, made, position, _number(given["seen"], 63), *flags)


def fits(position: Position, fd: int) -> bool | None:
    """As `Position.fits`, but also compares a beginning of which nothing was counted; None if nothing is known."""
    if position.length:
        return position.fits(fd)
    if not position.head:
        return None
    with contextlib.suppress(OSError):
        return Position(position.head, position.head, position.head_checksum).fits(fd)
    return False


@dataclass(frozen=True, slots=True)
class SavedLog:
    """A log and its files: rotated ones that are not counted to their ends, oldest first, and the present one.

    `past` are the ends of the last files that were counted to their ends, and not empty; the newest is the last.
    """

    path: str
    present: Place | None = None
    rotated: tuple[Place, ...] = ()
    past: tuple[Position, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """What is not counted to its end, oldest first."""
        places = (*self.rotated, *([self.present] if self.present is not None else []))
        return tuple(place for place in places if not place.is_done)

    def to_dict(self) -> Record:
        return {
            "kind": "log",
            "path": self.path,
            "present": self.present.to_dict() if self.present is not None else None,
            "rotated": [place.to_dict() for place in self.rotated],
            "past": [_position_to_list(position) for position in self.past],
        }

    @classmethod
    def from_dict(cls, record: object) -> SavedLog:
        """Raises ValueError."""
        given = _fields(record, "kind", "path", "present", "rotated", "past")
        present = given["present"]
        return cls(
            _path(given["path"]),
            Place.from_dict(present) if present is not None else None,
            tuple(Place.from_dict(place) for place in _items(given["rotated"], 0, MAX_FILES)),
            tuple(_position_from_list(position) for position in _items(given["past"], 0, PAST)),
        )


@dataclass(frozen=True, slots=True)
class SavedSegment:
    """A Zstandard segment: `offset` bytes of its text were counted; `is_done` if nothing more is expected.

    The text of its first `skip` bytes was written before the first start, and does not count.  With `in_cut_line`, the
    line at the offset was delivered cut, and its rest is to be skipped.
    """

    source: str
    name: str
    inode: int
    offset: int
    skip: int = 0
    in_cut_line: bool = False
    is_done: bool = False

    def to_dict(self) -> Record:
        return {
            "kind": "segment",
            "source": self.source,
            "name": self.name,
            "inode": self.inode,
            "offset": self.offset,
            "skip": self.skip,
            "in_cut_line": self.in_cut_line,
            "is_done": self.is_done,
        }

    @classmethod
    def from_dict(cls, record: object) -> SavedSegment:
        """Raises ValueError."""
        given = _fields(record, "kind", "source", "name", "inode", "offset", "skip", "in_cut_line", "is_done")
        name = given["name"]
        if not isinstance(name, str) or not name or "/" in name or "\0" in name or name.startswith("."):
            raise ValueError("name of a segment")
        flags = given["in_cut_line"], given["is_done"]
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError("flags of a segment")
        inode = _number(given["inode"], 64)
        offset, skip = (_number(given[field], 63) for field in ("offset", "skip"))
        return cls(_text(given["source"]), name, inode, offset, skip, *flags)


@dataclass(frozen=True, slots=True)
class Saved:
    """All that is kept of the sources.

    `started` is when logs were first followed, `at` when the instant was saved, in nanoseconds; 0 for never.
    """

    started: int = 0
    patterns: frozenset[str] = frozenset()
    logs: dict[str, SavedLog] = field(default_factory=dict)
    segments: dict[str, dict[tuple[str, int], SavedSegment]] = field(default_factory=dict)
    at: int = 0

    @classmethod
    def of(cls, records: Mapping[str, object]) -> Saved:
        """From all records that `Tailer.positions` gave; none are those of a first start.  Raises ValueError."""
        if not records:
            return cls()
        given = _fields(records.get(_TAIL_KEY), "kind", "started", "patterns")
        patterns = frozenset(_text(pattern) for pattern in _items(given["patterns"], 0, MAX_FILES))
        saved = cls(_number(given["started"], 63), patterns)
        for key, record in records.items():
            kind = record.get("kind") if isinstance(record, dict) else None
            if key == _TAIL_KEY:
                continue
            if kind == "log":
                log = SavedLog.from_dict(record)
                saved.logs[log.path] = log
                wanted = key_of(log)
            elif kind == "segment":
                segment = SavedSegment.from_dict(record)
                saved.segments.setdefault(segment.source, {})[segment.name, segment.inode] = segment
                wanted = key_of(segment)
            else:
                raise ValueError("record of an unknown kind")
            if key != wanted:
                raise ValueError("record with the key of another one")
        return saved


def tail_record(started: int, patterns: Iterable[str]) -> tuple[str, Record]:
    """The key and the record of what all logs share."""
    return _TAIL_KEY, {"kind": "tail", "started": started, "patterns": sorted(patterns)}


def key_of(saved: SavedLog | SavedSegment) -> str:
    """The key of a record: valid Unicode, whatever a path consists of; a log's is its path if that is."""
    text = saved.path if isinstance(saved, SavedLog) else f"{saved.source}\n{saved.inode}\n{saved.name}"
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _position_to_list(position: Position) -> list[object]:
    *numbers, beginnings = position
    return [*numbers, list(beginnings)]


def _position_from_list(record: object) -> Position:
    numbers = _items(record, 5, 6)  # the first version kept no beginnings
    offset, length, checksum, head, head_checksum = map(_number, numbers[:5], (63, 16, 32, 16, 32))
    beginnings = tuple(_number(check, 32) for check in _items(numbers[5] if numbers[5:] else [], 0, len(BEGINNINGS)))
    if length > min(offset, TAIL) or head > TAIL or (beginnings and BEGINNINGS[len(beginnings) - 1] > head):
        raise ValueError("lengths of a fingerprint")
    return Position(offset, length, checksum, head, head_checksum, beginnings)


def _fields(record: object, *names: str) -> Record:
    if not isinstance(record, dict) or record.keys() != set(names):
        raise ValueError("fields of a record")
    return record


def _items(value: object, least: int, most: int) -> list[object]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError("list in a record")
    return value


def _number(value: object, bits: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise ValueError("number in a record")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_PATH or "\0" in value:
        raise ValueError("text in a record")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise ValueError("text in a record") from None
    return value


def _path(value: object) -> str:
    path = _text(value)
    if not path.startswith("/"):
        raise ValueError("path in a record")
    return path
