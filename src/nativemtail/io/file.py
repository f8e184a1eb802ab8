"""Reads the lines of one file, plain or compressed: to its end, or as it grows (spec inputs.md §3, §8).

A `FileReader` belongs to an inode, not to a path: renaming a file does not change how far it has been read.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nativemtail import plainfile
from nativemtail.io.compressed import Corrupt, Decoder, Truncated, decoder
from nativemtail.io.content import COMPRESSED, START, Content, is_undecided, recognise
from nativemtail.io.lines import READ_SIZE, LineReader
from nativemtail.io.position import TAIL, Bytes, Cursor, Identity, Position, identity
from nativemtail.io.sources import Context, Source

if TYPE_CHECKING:
    from nativemtail.io.lineage import Lineage


class FileReader:
    """Reads the file open as `fd` from `offset` on; `decoder`, if given, provides its text.

    With `until_end` it has ended when there is no more text, which is when the unterminated last line is delivered.
    Without, more may be written to it.  Subclasses notice truncation and rotation.
    """

    __slots__ = (
        "_begin_at",
        "_context",
        "_cursor",
        "_decoder",
        "_fd",
        "_lineage",
        "_lines",
        "_start_of_text",
        "_tail",
        "_until_end",
        "closed",
        "eof",
        "identity",
        "path",
        "sources",
    )

    def __init__(
        self,
        context: Context,
        path: str,
        fd: int,
        who: Identity,
        *,
        offset: int = 0,
        decoder: Decoder | None = None,
        until_end: bool = False,
    ) -> None:
        self._context = context
        self._fd = fd
        self._until_end = until_end
        self._lines = LineReader(self._to_sources, context.settings.max_line_length, self._report_content)
        self.path = path
        self.identity = who
        self.sources: list[Source] = []
        """Its lines count under all of them."""
        self.closed = False
        self.eof = False
        """Whether everything in the file so far was delivered."""
        self._lineage: Lineage | None = None
        self._decoder = decoder
        self._begin_at = 0
        self._start_of_text = self._tail = b""
        self._cursor = Cursor(Position(0))
        self.go_to(offset)

    # The file

    @property
    def fd(self) -> int:
        """The open file; one that was set aside is opened again, which raises OSError if it cannot be found."""
        if self._fd < 0:
            self._fd = self._open_again()
        return self._fd

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @property
    def is_idle(self) -> bool:
        """Whether it is not open, and there is no reason to open it."""
        return False

    @property
    def must_be_opened(self) -> bool:
        """Whether it was set aside and has been written to since."""
        return False

    # What is kept of it

    @property
    def lineage(self) -> Lineage | None:
        return self._lineage

    @lineage.setter
    def lineage(self, lineage: Lineage | None) -> None:
        self._lineage = lineage
        self.has_moved()

    def has_moved(self) -> None:
        """The records of its logs may have changed."""
        for source in self.sources:
            source.has_moved()

    # Where it stands

    @property
    def offset(self) -> int:
        """The offset read up to, in the decompressed text of a compressed file."""
        return self._cursor.offset

    @property
    def used(self) -> int:
        """Bytes of the file that have been read."""
        return self._cursor.offset if self._decoder is None else self._decoder.position

    @property
    def position(self) -> Position:
        """The place read up to."""
        return self._cursor.position

    @property
    def pending(self) -> int:
        """Bytes of the unterminated last line."""
        return self._lines.pending

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has been read yet."""
        return not self._lines.bytes_read

    @property
    def counted_to(self) -> Position:
        """The first byte that was not counted, which is where the unterminated last line begins.

        Reading that continues there, after a restart, counts each line once.  The checksums are of the text as it was
        read, up to there: nothing is read from the file again.  To be asked for between two turns.
        """
        cursor = self._cursor
        if cursor.offset < self._begin_at:
            return Position(self._begin_at)
        offset = cursor.offset - self._lines.uncounted
        if offset == cursor.offset:
            return cursor.position
        return cursor.line_end if offset == cursor.line_end.offset else Position(offset)

    @property
    def is_in_cut_line(self) -> bool:
        """Whether `counted_to` is in a line that was counted, cut to the longest length."""
        return self._lines.is_in_cut_line

    @property
    def is_compressed(self) -> bool:
        """Whether positions are in the decompressed text."""
        return self._decoder is not None

    def go_to(self, offset: int) -> None:
        """Read from `offset` on, which is in the decompressed text of a compressed file."""
        self.has_moved()
        if self._decoder is None:
            self._cursor.go_to(Position.of(self.fd, offset))
            self._begin_lines()
        else:
            self._begin_at = offset
            if not offset and not self._lines.pending:
                self._lines.begin()

    def resume(self, position: Position, *, in_cut_line: bool = False) -> None:
        """Continue where another reader of the same text had counted to (`counted_to`, `is_in_cut_line`)."""
        self.go_to(position.offset)
        if self._decoder is None:
            self._cursor.go_to(position)
        if in_cut_line:
            self._lines.skip_line()

    # Reading

    def turn(self) -> bool:
        """Read a block; whether more may be available right away.

        Raises OSError, and `Corrupt` after the text before the damage.
        """
        if self.closed or self._waits():
            return not self.closed
        try:
            self.eof = not self._read_block()
        except (OSError, Corrupt):
            self.finish()
            raise
        if self.eof and self._until_end:
            self.finish()
        return not self.eof

    def drain(self) -> Iterator[None]:
        """Read block by block to the present end, then deliver the unterminated last line."""
        self.lineage = None
        while self.turn():
            yield
        self.end()

    def give_up(self) -> int:
        """Give up what was not read, and then also the unterminated last line; the number of bytes left in the file."""
        if self.closed:
            return 0
        left = max(0, os.fstat(self.fd).st_size - self.used)
        if left:
            self._drop_line()
        self.end()
        return left

    def end(self) -> None:
        """Nothing more is read before the stop: deliver the unterminated last line, unless it is to be read again."""
        if self._context.resumes:
            self._drop_line()
        else:
            self.finish()

    def finish(self) -> None:
        """Deliver the unterminated last line; the next byte begins a new one."""
        if self._lines.pending:
            self.has_moved()
        self._lines.finish()
        self._count(0)

    def close(self) -> None:
        self.closed = True
        if self._lineage is not None:
            self._lineage.remove(self)
        self._close_descriptor()

    def _waits(self) -> bool:
        """Whether those of its lineage that come before it must be read first."""
        return self._lineage is not None and self._lineage.waits(self)

    def _drop_line(self) -> None:
        """Discard the unterminated last line: it is read again after a restart."""
        self._cursor.go_to(self.counted_to)
        self._lines.drop()
        self.has_moved()

    def _read_block(self) -> int:
        """Read and deliver a block; its length, 0 if nothing is there now."""
        if self._cursor.offset < self._begin_at:
            return self._pass_text()
        if self._cursor.offset and not self._cursor.length and (passed := self._pass_hole()):
            self._count(passed)
            return passed
        count = self._lines.read(self._context.buffer, self._read_into) or 0
        self._count(count)
        return count

    def _read_into(self, target: memoryview) -> int:
        if self._decoder is None:
            with memoryview(self._context.buffer.before) as tail, tail[: self._cursor.length] as before:
                count = max(0, self._read_after(before, target))
                self._cursor.advance(before, target[:count])
                return count
        count = self._decoder.readinto(target)
        self._advance(target[:count])
        return count

    def _read_after(self, before: memoryview, target: memoryview) -> int:
        """Read at the offset, and the bytes before it in the same call; negative if the file has become shorter."""
        length = len(before)
        return os.preadv(self.fd, [before, target], self._cursor.offset - length) - length

    def _pass_hole(self) -> int:
        """Skip a hole at the offset, which counts as NULs before a line; its length."""
        if self._decoder is not None:
            return 0
        start = self._cursor.offset
        size = os.fstat(self.fd).st_size  # before the search for data: what is appended after it is none of the hole
        try:
            end = os.lseek(self.fd, start, os.SEEK_DATA)
        except OSError as error:
            end = size if error.errno == errno.ENXIO else start
        if end <= start or not self._lines.pass_nuls(end - start):
            return 0
        self._cursor.pass_hole(end)
        return end - start

    def _pass_text(self) -> int:
        """Decode and skip text before the beginning; its length, 0 if the text ends there."""
        piece = self._next_text(min(self._begin_at - self._cursor.offset, READ_SIZE))
        self._start_of_text += piece[: START - len(self._start_of_text)]
        self._advance(piece)
        if self._cursor.offset == self._begin_at and not self._lines.pending:
            self._lines.begin(self._start_of_text, self._begin_at)
        return len(piece)

    def _next_text(self, most: int) -> bytes:
        """The next decoded text; empty at the end.  Raises `Corrupt`, OSError."""
        assert self._decoder is not None
        with memoryview(self._context.buffer.data) as view, view[:most] as target:
            return bytes(target[: self._decoder.readinto(target)])

    def _advance(self, text: Bytes) -> None:
        """`text` was decoded."""
        self._cursor.advance(self._tail, text)
        self._tail = bytes(text[-TAIL:]) if len(text) >= TAIL else (self._tail + bytes(text))[-TAIL:]

    def _begin_lines(self) -> None:
        """Tell the line reader that the next bytes are at the offset of the plain file."""
        start = b""
        if self._cursor.offset:
            with contextlib.suppress(OSError):
                start = os.pread(self.fd, START, 0)
        self._lines.begin(start, self._cursor.offset)

    def _to_sources(self, block: bytearray, start: int, end: int) -> int:
        lines = 0
        for source in self.sources:
            lines = source.deliver(block, start, end)
        return lines

    def _report_content(self, content: Content | None) -> None:
        for source in self.sources:
            source.report_content(content)

    def _count(self, count: int) -> None:
        """Count bytes that were delivered, and what the line reader cut and dropped."""
        counters = self._context.counters
        if count:
            self.has_moved()
        for source in self.sources:
            counters.log_bytes_total[source.name] += count
        counters.count_lines(self._lines, *(source.name for source in self.sources))

    def _open_again(self) -> int:
        """A descriptor of the file that was set aside.  Raises OSError."""
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def _close_descriptor(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_file(context: Context, source: Source, path: str, *, until_end: bool) -> FileReader:
    """A reader of the regular file at `path`, from its beginning; what is compressed is decoded.

    Raises OSError, and `Corrupt` if there is no decoder for it.
    """
    fd = plainfile.open_descriptor(path)
    try:
        who = identity(os.fstat(fd))
        reader = FileReader(context, path, fd, who, decoder=_decoder(path, fd), until_end=until_end)
    except BaseException:
        os.close(fd)
        raise
    reader.sources = [source]
    return reader


def _decoder(path: str, fd: int) -> Decoder | None:
    """The decoder for the file; None if it is not compressed.  Raises `Corrupt` if it cannot be decoded."""
    start = os.pread(fd, START, 0)
    content = recognise(start)
    if content is not None and not content.encoding:
        return decoder(content, io.FileIO(fd, closefd=False))
    if start and path.endswith(COMPRESSED) and is_undecided(start):
        raise Truncated
    return None
