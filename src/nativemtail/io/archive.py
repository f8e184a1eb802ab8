"""Compressed files in the daemon: decompressed and read, except for text that was already counted from a plain log.

A compressor writes such a file from its beginning to its end, so nothing is read before it is whole.  Then its text is
compared with where logs stood (`Position`): what is before the furthest place that fits was counted.
"""

from __future__ import annotations

import contextlib
import enum
import io
import logging
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from nativemtail.io.compressed import Corrupt, Truncated, decoder
from nativemtail.io.content import BZIP2, COMPRESSED, GZIP, START, XZ, ZSTANDARD, Content, is_undecided, recognise
from nativemtail.io.file import FileReader
from nativemtail.io.generations import Made
from nativemtail.io.lines import READ_SIZE
from nativemtail.io.position import TAIL, Counted, Identity, Position
from nativemtail.io.sources import Context, Source

if TYPE_CHECKING:
    pass

_DECODED = frozenset({GZIP, ZSTANDARD, XZ, BZIP2})
_PATIENCE = 30.0
"""A truncated file that has not changed for this many seconds is treated as damaged."""
_FRESH = 1_000_000_000
"""A file last written this many nanoseconds ago is no longer being written."""
_ENOUGH = 64
"""Equal runs of at least this many bytes are not a coincidence."""

_log = logging.getLogger(__name__)


def is_archive(path: str, fd: int) -> bool:
    """Whether the file open as `fd` is compressed, or, if still empty, has a name that says it will be."""
    start = os.pread(fd, START, 0)
    return recognise(start) in _DECODED or (path.endswith(COMPRESSED) and is_undecided(start))


class Comparison:
    """Compares text that arrives in pieces with the positions that logs were read up to."""

    def __init__(self, counted: Iterable[Counted]) -> None:
        self._wanted = sorted(counted, key=lambda each: each.position.offset, reverse=True)
        self._head = b""
        self._tail = b""
        self.total = 0
        self.best: Counted | None = None
        """The furthest position that matches."""

    @property
    def is_over(self) -> bool:
        """Whether all positions have been passed."""
        return not self._wanted

    @property
    def position(self) -> Position:
        """The end of the text seen so far."""
        tail, head = self._tail, self._head
        if 0 in tail:
            return Position(self.total)
        return Position.in_text(self.total, head, tail)

    def feed(self, piece: bytes) -> None:
        self._head += piece[: TAIL - len(self._head)]
        text = self._tail + piece
        start = self.total - len(self._tail)
        self.total += len(piece)
        while self._wanted and self._wanted[-1].position.offset <= self.total:
            counted = self._wanted.pop()
            position = counted.position
            before = text[max(0, position.offset - position.length - start) : position.offset - start]
            is_alike = len(before) == position.length > 0 and zlib.crc32(before) == position.checksum
            if is_alike and zlib.crc32(self._head[: position.head]) == position.head_checksum:
                self.best = counted
        self._tail = text[-TAIL:]


class Stage(enum.Enum):
    """The stages of reading an archive."""

    WAITING = "it may still be written"
    COMPARING = "which part of it was counted?"
    READING = "its lines are delivered"
    DONE = "nothing more is expected"


class Owner(Protocol):
    """Gives access to the followed logs."""

    def counted(self, archive: ArchiveReader) -> list[Counted]:
        """Positions reached in logs that the archive may be a copy of."""

    def is_held(self, archive: ArchiveReader, end: Position) -> bool:
        """Whether a log being read contains all of its text; `end` is where that text ends."""

    def finished(self, archive: ArchiveReader) -> None:
        """It has been read, or contains nothing new."""

    def open_again(self, archive: ArchiveReader) -> int:
        """Reopen the file, which was closed to save descriptors; its descriptor.  Raises OSError."""

    def sources_of(self, archive: ArchiveReader) -> list[Source]:
        """The sources of its paths."""

    def not_compressed(self, archive: ArchiveReader) -> None:
        """It turned out not to be compressed, despite its name."""


class ArchiveReader(FileReader):
    """Reads one compressed file; its lines count under `source`.  Files older than `not_before` are not delivered.

    Its `position` is the end of the text that was decoded last.
    """

    def __init__(
        self, owner: Owner, context: Context, source: Source, path: str, fd: int, who: Identity, not_before: int
    ) -> None:
        self._owner = owner
        super().__init__(context, path, fd, who, until_end=True)
        self.sources = [source]
        self.source = source
        self.made = Made.of(fd)
        self.stage = Stage.WAITING
        self.raw = Position(0)
        """Its end on disk, once it is done."""
        self._not_before = not_before
        self._seen = (-1, -1)
        self._tried = (-1, -1)
        self._changed = time.monotonic()
        self._is_last_chance = False
        self._member = 0
        self._delivered = 0
        self._resumed_at = -1
        self.is_end_known = False
        """Whether the end of its text is among the log's past positions, if nothing was appended since."""
        self._resumed = Position(0)
        self._text = Comparison(())

    @property
    def used(self) -> int:
        if self.stage is Stage.DONE:
            return max(0, self._seen[0])
        return min(super().used, self._seen[0] - 1) if self.stage is Stage.READING else 0

    @property
    def is_idle(self) -> bool:
        return self.stage is Stage.DONE

    @property
    def is_compressed(self) -> bool:
        return True

    def has_moved(self) -> None:
        super().has_moved()
        for source in self._owner.sources_of(self):
            source.has_moved()

    def turn(self) -> bool:
        """Read or compare a block; whether more may be available right away."""
        if self.closed or self.stage is Stage.DONE:
            return False
        if self._waits():
            return True
        self.has_moved()
        try:
            if self.stage is Stage.WAITING:
                return self._wait()
            return self._compare() if self.stage is Stage.COMPARING else self._read()
        except Truncated as error:
            return self._ends_early(error)
        except Corrupt as error:
            return self._is_damaged(error)
        except OSError as error:
            self._fail(error)
            return False

    def drain(self) -> Iterator[None]:
        """Read it if it is complete."""
        self._is_last_chance = True
        yield from super().drain()

    def give_up(self) -> int:
        return super().give_up() if self.is_open else 0

    def skip_all(self) -> None:
        """Skip what the file contains now."""
        info = os.fstat(self._fd)
        self._seen = info.st_size, info.st_mtime_ns
        self._set_done()

    def resume(self, position: Position, *, in_cut_line: bool = False) -> None:
        self.has_moved()
        self._delivered = self._resumed_at = position.offset
        self._resumed = position
        if in_cut_line:
            self._lines.skip_line()

    @property
    def counted_to(self) -> Position:
        if self.stage is Stage.READING:
            return super().counted_to
        offset = max(0, self._delivered - self._lines.uncounted)
        return self._resumed if offset == self._resumed.offset else Position(offset)

    @property
    def has_new_end(self) -> bool:
        """Whether its text ends where no text was known to end before a restart."""
        return not self.is_end_known or self.position.offset > self._resumed_at

    def look(self, info: os.stat_result, fd: int) -> None:
        """Read on if the file has changed since it was done; `fd` is a new descriptor of it."""
        if self.stage is not Stage.DONE or self._seen == (info.st_size, info.st_mtime_ns):
            os.close(fd)
            return
        self._fd = fd
        size = self._seen[0]
        # A member that was appended complete can be decoded by itself.
        is_whole = info.st_size > size and recognise(os.pread(fd, START, size)) in _DECODED
        self._member = size if is_whole else 0
        self._delivered = 0
        self._seen = self._tried = (-1, -1)
        self._changed = time.monotonic()
        self.eof = False
        self.stage = Stage.WAITING
        self.has_moved()

    def has_changed(self, info: os.stat_result) -> bool:
        return self._seen != (info.st_size, info.st_mtime_ns)

    def set_aside(self) -> bool:
        """Close the file, if nothing has been read from it yet."""
        if self.stage is not Stage.WAITING or self._fd < 0:
            return False
        self._close_descriptor()
        return True

    def _wait(self) -> bool:
        if self._fd < 0:
            self._fd = self._owner.open_again(self)
        info = os.fstat(self.fd)
        seen = info.st_size, info.st_mtime_ns
        if seen != self._seen:
            self._seen = seen
            self._changed = time.monotonic()
            # When they are done, compressors set the file's times to those of the original.
            if not self._is_last_chance and time.time_ns() - info.st_mtime_ns < _FRESH:
                return False
        is_late = self._is_last_chance or time.monotonic() - self._changed >= _PATIENCE
        if not info.st_size or (seen == self._tried and not is_late):
            return False
        content = recognise(os.pread(self.fd, START, self._member))
        if content not in _DECODED:
            if not is_undecided(os.pread(self.fd, START, self._member)) or is_late:
                self._owner.not_compressed(self)
            return False
        assert content is not None
        if info.st_mtime_ns < self._not_before:
            self._end()
            return False
        self._tried = seen
        self._decode(content)
        if self._member or self._delivered:
            self._start(self._delivered)
            return True
        own = [Counted(self.position)] if self.position.length else []
        self._text = Comparison([*self._owner.counted(self), *own])
        self.stage = Stage.COMPARING
        return True

    def _decode(self, content: Content) -> None:
        os.lseek(self.fd, self._member, os.SEEK_SET)
        self._decoder = decoder(content, io.FileIO(self.fd, closefd=False))

    def _compare(self) -> bool:
        if not self._text.is_over and (piece := self._next_text(READ_SIZE)):
            self._text.feed(piece)
            return True
        best = self._text.best
        is_end = not self._text.is_over or not self._next_text(1)
        if is_end and self._owner.is_held(self, self._text.position):
            self._end()
        elif best is None or (best.position.offset < _ENOUGH and best.position.offset < self._text.total):
            self._start(0)
        elif best.is_read_on or (is_end and best.position.offset == self._text.total):
            self._cursor.go_to(self._text.position)
            self._end()
        else:
            self._start(best.position.offset)
        return self.stage is Stage.READING

    def _start(self, offset: int) -> None:
        content = recognise(os.pread(self.fd, START, self._member))
        assert content is not None
        self._decode(content)
        self._cursor.go_to(Position(0))
        self._start_of_text = self._tail = b""
        self.go_to(offset)
        self.stage = Stage.READING

    def _read(self) -> bool:
        if not self._read_block():
            self._finish()
        return self.stage is Stage.READING

    def _ends_early(self, error: Truncated) -> bool:
        """The file is still being written; if it has not changed for a long time, treat it as ended."""
        if time.monotonic() - self._changed >= _PATIENCE:
            return self._is_damaged(error)
        if self.stage is Stage.READING:
            self._delivered = self.offset
        self.stage = Stage.WAITING
        if self._is_last_chance:
            self._finish()
        return False

    def _is_damaged(self, error: Corrupt) -> bool:
        """Deliver the text before the damage."""
        if self.stage is Stage.COMPARING:
            self._start(self._text.best.position.offset if self._text.best is not None else 0)
            return True
        self._fail(error)
        return False

    def _fail(self, error: Exception) -> None:
        self._context.counters.log_errors_total[self.source.name] += 1
        _log.warning("%s: %s", self.path, error)
        self.source.problem = f"{error}: the rest of it is not read"
        self._finish()

    def _finish(self) -> None:
        self.finish()
        self._end()

    def _end(self) -> None:
        self._set_done()
        self._owner.finished(self)

    def _set_done(self) -> None:
        self.stage = Stage.DONE
        self.has_moved()
        self.eof = True
        with contextlib.suppress(OSError):
            self.raw = Position.of(self.fd, self._seen[0])
        self._close_descriptor()
