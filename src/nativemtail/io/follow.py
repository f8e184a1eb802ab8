"""Regular files: reading them as they grow, and noticing truncation (spec inputs.md §3).

A `FileReader` belongs to an inode, not to a path: renaming a file does not change how far it has been read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zlib
from collections import deque
from collections.abc import Iterator

from nativemtail.io.content import START, Content
from nativemtail.io.copy_search import CopySearch, PreservedText
from nativemtail.io.lineage import LATER, Lineage
from nativemtail.io.lines import LineReader
from nativemtail.io.listing import Listings
from nativemtail.io.position import TAIL, Counted, Identity, Position, is_distinctive
from nativemtail.io.sources import Context, Source


class FileReader:
    """Follows one inode.  The owner decides when it ends and under which `sources` its lines count."""

    __slots__ = (
        "_begun",
        "_checksum",
        "_context",
        "_copies",
        "_end",
        "_fd",
        "_from_copy",
        "_head",
        "_head_checksum",
        "_length",
        "_lines",
        "_rewritten",
        "_wanted",
        "before_truncation",
        "closed",
        "copy_search",
        "eof",
        "identity",
        "is_catching_up",
        "last_data",
        "last_data_wall",
        "lineage",
        "modified",
        "news",
        "offset",
        "path",
        "sources",
    )

    def __init__(
        self,
        context: Context,
        listings: Listings,
        path: str,
        fd: int,
        who: Identity,
        offset: int,
    ) -> None:
        self._context = context
        self.path = path
        self.offset = offset
        self._fd = fd
        self.identity = who
        self.sources: list[Source] = []
        self.closed = False
        self.eof = False
        self.modified = -1
        self.news = False
        """Set when an event reports new data; matters while the file is not open."""
        self.last_data = time.monotonic()
        self.last_data_wall = time.time_ns()
        self._lines = LineReader(self._to_sources, context.settings.max_line_length, self._report_content)
        self._wanted = 0
        self._rewritten = False
        self._copies: deque[PreservedText] = deque()
        self._from_copy = False
        self.copy_search = CopySearch(self, listings)
        self.is_catching_up = False
        self._begun = b""
        self.before_truncation = Position(0)
        self._end = -1
        self.lineage: Lineage | None = None
        self._head = self._head_checksum = 0
        self._set_position(Position.of(fd, offset))
        self._begin_lines()

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
        return not self.closed and not self.is_open and self.news

    def set_aside(self) -> bool:
        """Close the file until there is something to read.  False, and kept open, if it might not be found again."""
        if self._fd < 0 or self._copies or self._from_copy or not self._can_be_found():
            return False
        with contextlib.suppress(OSError):
            if not self.eof or os.fstat(self._fd).st_size != self.offset:
                self.news = True
        os.close(self._fd)
        self._fd = -1
        return True

    @property
    def position(self) -> Position:
        return Position(self.offset, self._length, self._checksum, self._head, self._head_checksum)

    @property
    def pending(self) -> int:
        """Bytes of the unterminated last line."""
        return self._lines.pending

    def is_copied_in(self, fd: int) -> bool:
        """Whether the file open as `fd` is a copy of this one as it is now, or as it was before its truncation."""
        return self.holds(fd) or self.before_truncation.fits(fd) or (self.position.fits(fd) and not self._is_intact())

    def counted(self) -> list[Counted]:
        """The positions up to which its text was counted, or will be by this reader."""
        found = [Counted(self.before_truncation)]
        with contextlib.suppress(OSError):
            if self.is_open and (not self.offset or self.position.fits(self.fd)):
                found.append(Counted(Position.of(self.fd, os.fstat(self.fd).st_size), is_read_on=True))
                found.append(Counted(self.position, is_read_on=True))
                return found
        return [*found, Counted(self.position)]

    def may_want_copies(self) -> bool:
        """Whether it was truncated and may not have looked for copies yet."""
        return self.is_catching_up or not self._is_intact()

    def _is_intact(self) -> bool:
        """Whether the file still contains what was read; then a longer file with the same beginning is not a copy."""
        try:
            return self.position.fits(self.fd)
        except OSError:
            return False

    def is_being_copied(self, fd: int) -> bool:
        """Whether the file open as `fd` may be an incomplete copy of this one."""
        try:
            return os.fstat(fd).st_size < os.fstat(self.fd).st_size and self.holds(fd)
        except OSError:
            return False

    def holds(self, fd: int) -> bool:
        """Whether the file contains what the file open as `fd` contains now."""
        try:
            return _is_held_by(self.fd, fd)
        except OSError:
            return False

    def rewind(self) -> None:
        """Read the file from its beginning."""
        self.go_to(0)

    def go_to(self, offset: int) -> None:
        """Read the file from `offset` on."""
        self._set_position(Position.of(self.fd, offset))
        self._begin_lines()

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has been read yet."""
        return not self._lines.bytes_read

    def expect_copy(self) -> None:
        """A copy may be being made; if nothing was read yet, the truncation after it could not be noticed otherwise."""
        if not self.offset and self.is_untouched and not self.is_catching_up:
            self.is_catching_up = True
            # It was empty when it was opened, so older copies are of earlier content.
            self.copy_search.ignore_before(self.last_data_wall)

    @property
    def has_copies(self) -> bool:
        """Whether copies of its content before a truncation are still to be read."""
        return bool(self._copies)

    def turn(self) -> bool:
        """Read once; whether more may be available right away."""
        if self.closed or self._waits():
            return not self.closed
        try:
            count = self._read()
            if not self.is_open:  # it turned out to be another file
                self.news, self.eof = True, False
                return False
            self.news = False
        except OSError as error:
            self.eof = error.errno not in LATER
            self._fail(error)
            return False
        if self._rewritten:
            self._rewritten = False
            before = self.position
            self._locate()
            if not self.closed and self.position == before:
                self._start_over()
            return True
        if count:
            self._count(count)
        more = self._from_copy or count == self._wanted
        self.eof = not more
        return more

    def drain(self) -> Iterator[None]:
        """Read block by block to the present end of the file, then deliver the unterminated last line."""
        if self.closed:
            return
        self.lineage = None
        with contextlib.suppress(OSError):
            self._end = os.fstat(self.fd).st_size
            last = -1
            while (self.turn() or self.offset > last) and (self.offset < self._end or self._copies):
                last = self.offset
                yield
        self.finish()

    def give_up(self) -> int:
        """Give up what `drain` did not reach; the number of bytes."""
        if self.closed or self.is_idle:
            return 0
        left = sum(copy.size - copy.offset for copy in self._copies)
        with contextlib.suppress(OSError):
            size = os.fstat(self.fd).st_size
            left += max(0, (min(size, self._end) if self._end >= 0 else size) - self.offset)
        if left:
            left += self._lines.pending
            self._lines.drop()
        self.finish()
        return left

    def finish(self) -> None:
        """Deliver the unterminated last line; the next byte begins a new one."""
        self._lines.finish()
        self._count(0)

    def skip_to_end(self) -> bool:
        """Skip to the end of the file; whether that skipped anything."""
        size = os.fstat(self.fd).st_size
        if size == self.offset:
            return False
        self._set_position(Position.of(self.fd, size))
        self._begin_lines()
        return True

    def drop_line(self) -> int:
        """Drop the unterminated last line, because another reader will read it; its length."""
        length = self.pending
        self._lines.drop()
        return length

    def is_held_by(self, fd: int) -> bool:
        """Whether the file open as `fd` contains all that this one contains now."""
        try:
            return _is_held_by(fd, self.fd)
        except OSError:
            return False

    def drop_descriptor(self) -> None:
        """Close the file, so that it has to be found again by identity."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.news = True

    def has_names(self) -> bool:
        """Whether the file still has a name somewhere."""
        try:
            return os.fstat(self.fd).st_nlink > 0
        except OSError:
            return False  # it was set aside and cannot be found

    def reopen(self, fd: int) -> None:
        """Continue with a new descriptor of the same file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        self.closed = True
        self._leave_lineage()
        while self._copies:
            self._copies.popleft().close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _waits(self) -> bool:
        return self.lineage is not None and self.lineage.waits(self)

    def _leave_lineage(self) -> None:
        if self.lineage is not None:
            self.lineage.remove(self)

    def _to_sources(self, block: bytearray, start: int, end: int) -> int:
        lines = 0
        for source in self.sources:
            lines = source.deliver(block, start, end)
        return lines

    def _count(self, count: int) -> None:
        counters = self._context.counters
        for source in self.sources:
            counters.log_bytes_total[source.name] += count
        counters.count_lines(self._lines, *(source.name for source in self.sources))
        if count:
            self.last_data = time.monotonic()

    def _read(self) -> int:
        is_first = self.is_catching_up or (not self.offset and self.is_untouched)
        if is_first and not self._copies:
            # As long as nothing was read of the file itself, another truncation could not be noticed.
            self._begun = os.pread(self.fd, TAIL, self.offset)
            self.look_around()
            if self.is_catching_up:
                self._copies.extend(self.copy_search.find())
            if self.closed:
                return 0
        self._from_copy = bool(self._copies)
        if self._from_copy:
            return self._read_copy()
        if self.offset and not self._length and (passed := self._pass_hole()):
            return passed
        now = time.time_ns()
        count = self._lines.read(self._context.buffer, self._read_first if is_first else self._read_into)
        if count:
            self.is_catching_up = False
            self._begun = b""
            # Not updated while a copy is read: other copies may be made meanwhile.
            self.last_data_wall = now
            if self._lines.is_refused:
                self._set_position(Position.of(self.fd, max(self.offset, os.fstat(self.fd).st_size)))
        return count or 0

    def _pass_hole(self) -> int:
        """Skip a hole at the offset, which counts as NULs before a line; its length."""
        start: int = self.offset
        try:
            end = os.lseek(self.fd, start, os.SEEK_DATA)
        except OSError as error:
            end = os.fstat(self.fd).st_size if error.errno == errno.ENXIO else start
        if end <= start or not self._lines.pass_nuls(end - start):
            return 0
        self.offset = end
        self._wanted = end - start
        return end - start

    def _begin_lines(self) -> None:
        """Tell the line reader that the next bytes are at the offset."""
        start = b""
        if self.offset:
            with contextlib.suppress(OSError):
                start = os.pread(self.fd, START, 0)
        self._lines.begin(start, self.offset)

    def _report_content(self, content: Content | None) -> None:
        for source in self.sources:
            source.report_content(content)

    def _read_copy(self) -> int:
        copy = self._copies[0]
        if not copy.offset:
            self._lines.begin()
        count = self._lines.read(self._context.buffer, copy.read_into)
        if not count:
            copy.close()
            self._copies.popleft()
            self.finish()
            self._begin_lines()
        return count or 0

    def _read_first(self, target: memoryview) -> int:
        """Read, unless the file was truncated after the search for copies: there is then one more copy."""
        start = self.position
        count = self._read_into(target)
        begun = self._begun
        if not count or (begun and os.pread(self.fd, len(begun), start.offset) == begun):
            return count
        self._set_position(start)
        self._wanted = 0
        return 0

    def _read_into(self, target: memoryview) -> int:
        """Read from the offset on; the same call reads the bytes before it, to verify that they are unchanged."""
        self._wanted = len(target)
        length = self._length
        with memoryview(self._context.buffer.before) as tail, tail[:length] as before:
            # Checked before reading too: data read by a stale descriptor stays in the page cache, for others to see.
            count = 0 if self._has_changed() else os.preadv(self.fd, [before, target], self.offset - length) - length
            if self._has_changed():
                self.drop_descriptor()
                return 0
            if count < 0 or (length and zlib.crc32(before) != self._checksum):
                self._rewritten = True
                return 0
            if not count:
                self._rewritten = not length and os.fstat(self.fd).st_size < self.offset
                return 0
            self._remember(before, target[:count])
        self.offset += count
        return count

    def _remember(self, before: memoryview, new: memoryview) -> None:
        """Record checksums of the bytes that are now before the offset."""
        if self._head == self.offset < TAIL:
            more = new[: TAIL - self._head]
            self._head_checksum = zlib.crc32(more, self._head_checksum)
            self._head += len(more)
        tail = new[-TAIL:] if len(new) >= TAIL else (bytes(before) + bytes(new))[-TAIL:]
        self._length = len(tail) if is_distinctive(tail) else 0
        self._checksum = zlib.crc32(tail) if self._length else 0

    def _set_position(self, position: Position) -> None:
        self.offset = position.offset
        self._length = position.length
        self._checksum = position.checksum
        self._head = position.head
        self._head_checksum = position.head_checksum

    def _start_over(self) -> None:
        """After a truncation: first read what a copy preserved, then the file from its beginning."""
        for source in self.sources:
            self._context.counters.file_truncates_total[source.name] += 1
        self.before_truncation = self.position
        self.is_catching_up = False
        self._copies.extend(self.copy_search.find())
        self.is_catching_up = True
        copied = bool(self._copies)
        if not copied:
            self.finish()
        start = 0
        with contextlib.suppress(OSError):
            # A writer without O_APPEND continues at its old offset, which leaves a hole.
            start = os.lseek(self.fd, 0, os.SEEK_DATA)
        self._set_position(Position(start))
        if not copied:
            self._begin_lines()

    def _fail(self, error: OSError) -> None:
        """Reading failed with an error that `turn` caught."""
        raise error

    def _open_again(self) -> int:
        """A descriptor of the file that was set aside.  Raises OSError."""
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def _can_be_found(self) -> bool:
        """Whether `_open_again` would work now."""
        return False

    def _has_changed(self) -> bool:
        """Whether the descriptor now refers to another file, which can happen when a file server renames files."""
        return False

    def look_around(self) -> None:
        """Handle pending events about file names, which may close this reader."""

    def _locate(self) -> None:
        """Update the present names of the file, which may close this reader."""

    def is_in_place(self) -> bool:
        """Whether the file is still at its path, so that new copies there are copies of it."""
        return True

    def claim(self, fd: int) -> bool:
        """Whether this reader may read the copy, because no other reader does."""
        return True


def _is_held_by(file: int, copy: int) -> bool:
    """Whether a file contains what an incomplete copy contains: compares the beginning and the end of the copy."""
    try:
        size = os.fstat(copy).st_size
        places = (0, max(0, size - TAIL))
        return size > 0 and all(_at(copy, place, size) == _at(file, place, size) for place in places)
    except OSError:
        return False


def _at(fd: int, place: int, size: int) -> bytes:
    return os.pread(fd, min(TAIL, size - place), place)


def is_stale(error: OSError) -> bool:
    """Whether a file's server no longer knows the open file."""
    return error.errno == errno.ESTALE
