"""Regular files as they grow: truncation, and the copies that preserve what was truncated (spec inputs.md §3)."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Iterator

from nativemtail.io.copy_search import CopySearch, PreservedText
from nativemtail.io.descriptors import OPEN_FLAGS
from nativemtail.io.file import FileReader
from nativemtail.io.lineage import LATER
from nativemtail.io.listing import Listings
from nativemtail.io.position import TAIL, Counted, Identity, Position, identity
from nativemtail.io.sources import Context


class GrowingFile(FileReader):
    """Follows one inode.  The owner decides when it ends and under which `sources` its lines count."""

    __slots__ = (
        "_begun",
        "_copies",
        "_end",
        "_from_copy",
        "_is_rewritten",
        "_wanted",
        "before_truncation",
        "beginning",
        "copy_search",
        "is_catching_up",
        "last_data",
        "last_data_wall",
        "modified",
        "news",
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
        super().__init__(context, path, fd, who, offset=offset)
        self.modified = -1
        self.news = False
        """Set when an event reports new data; matters while the file is not open."""
        self.last_data = time.monotonic()
        self.last_data_wall = time.time_ns()
        self._wanted = 0
        self._is_rewritten = False
        self._copies: deque[PreservedText] = deque()
        self._from_copy = False
        self.copy_search = CopySearch(self, listings)
        self.is_catching_up = False
        self._begun = b""
        self.before_truncation = Position(0)
        self.beginning = Position(0) if offset else Position.at_beginning(fd)
        """The first bytes when it was opened, if nothing was counted then."""
        self._end = -1

    def resume(self, position: Position, *, in_cut_line: bool = False) -> None:
        self.beginning, position = (Position(0), position) if position.offset else (position, Position(0))
        super().resume(position, in_cut_line=in_cut_line)

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
        if self._is_rewritten:
            self._is_rewritten = False
            before = self.position
            self._locate()
            if not self.closed and self.position == before:
                return self._try_to_start_over()
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
        self.end()

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
            self._drop_line()
        self.end()
        return left

    def skip_to_end(self) -> bool:
        """Skip to the end of the file; whether that skipped anything."""
        size = os.fstat(self.fd).st_size
        if size == self.offset:
            return False
        self.go_to(size)
        return True

    def drop_line(self) -> int:
        """Drop the unterminated last line, because another reader will read it; the offset where it begins."""
        start = self.counted_to.offset
        self._lines.drop()
        self.has_moved()
        return start

    def is_held_by(self, fd: int) -> bool:
        """Whether the file open as `fd` contains all that this one contains now."""
        try:
            return _is_held_by(fd, self.fd)
        except OSError:
            return False

    def drop_descriptor(self) -> None:
        """Close the file, so that it has to be found again by identity."""
        self._close_descriptor()
        self.news = True

    def has_names(self) -> bool:
        """Whether the file still has a name somewhere."""
        try:
            return os.fstat(self.fd).st_nlink > 0
        except OSError:
            return False  # it was set aside and cannot be found

    def reopen(self, fd: int) -> None:
        """Continue with a new descriptor of the same file."""
        self._close_descriptor()
        self._fd = fd

    def close(self) -> None:
        while self._copies:
            self._copies.popleft().close()
        super().close()

    @property
    def counted_to(self) -> Position:
        # As long as a copy is read, the unterminated line is of the copy.
        return self.position if self._copies else super().counted_to

    def copies_counted_to(self) -> list[tuple[str, Identity, Position]]:
        """Path, identity and `counted_to` of the copies that are read before the file itself."""
        found = []
        for copy in self._copies:
            pending = self._lines.uncounted if copy is self._copies[0] else 0
            position = Position.of(copy.fd, max(0, copy.offset - pending))
            found.append((copy.path, identity(os.fstat(copy.fd)), position))
        return found

    @property
    def progress(self) -> tuple[int, int, int]:
        """Changes whenever something was read."""
        return self.offset, self.pending, sum(copy.offset + 1 for copy in self._copies)

    def _drop_line(self) -> None:
        if self._copies:
            self._copies[0].offset -= self._lines.uncounted
        super()._drop_line()

    def _count(self, count: int) -> None:
        super()._count(count)
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
                self.has_moved()
            if self.closed:
                return 0
        self._from_copy = bool(self._copies)
        if self._from_copy:
            return self._read_copy()
        if self.offset and not self._cursor.length and (passed := self._pass_hole()):
            self._wanted = passed
            return passed
        now = time.time_ns()
        count = self._lines.read(self._context.buffer, self._read_first if is_first else self._read_into)
        if count:
            self.is_catching_up = False
            self._begun = b""
            # Not updated while a copy is read: other copies may be made meanwhile.
            self.last_data_wall = now
            if self._lines.is_refused:
                self._cursor.go_to(Position.of(self.fd, max(self.offset, os.fstat(self.fd).st_size)))
        return count or 0

    def _read_copy(self) -> int:
        copy = self._copies[0]
        if not copy.offset:
            self._lines.begin()
        count = self._lines.read(self._context.buffer, copy.read_into)
        if not count:
            copy.close()
            self._copies.popleft()
            self.has_moved()
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
        self._cursor.go_to(start)
        self._wanted = 0
        return 0

    def _read_into(self, target: memoryview) -> int:
        """Read from the offset on, if the bytes before it are unchanged."""
        self._wanted = len(target)
        cursor = self._cursor
        with memoryview(self._context.buffer.before) as tail, tail[: cursor.length] as before:
            # Checked before reading too: data read by a stale descriptor stays in the page cache, for others to see.
            count = 0 if self._has_changed() else self._read_after(before, target)
            if self._has_changed():
                self.drop_descriptor()
                return 0
            if count < 0 or not cursor.follows(before):
                self._is_rewritten = True
                return 0
            if not count:
                self._is_rewritten = not cursor.length and os.fstat(self.fd).st_size < cursor.offset
                return 0
            cursor.advance(before, target[:count])
        return count

    def _try_to_start_over(self) -> bool:
        """Start over; False if that must be tried again because there are no descriptors for copies."""
        try:
            self._start_over()
        except OSError as error:
            self.eof = False
            self._fail(error)
            return False
        return True

    def _start_over(self) -> None:
        """After a truncation: first read what a copy preserved, then the file from its beginning."""
        self.before_truncation = self.position
        self.beginning = Position(0)
        self.is_catching_up = False
        self._copies.extend(self.copy_search.find())
        for source in self.sources:
            self._context.counters.file_truncates_total[source.name] += 1
        self.is_catching_up = True
        copied = bool(self._copies)
        if not copied:
            self.finish()
        start = 0
        with contextlib.suppress(OSError):
            # A writer without O_APPEND continues at its old offset, which leaves a hole.
            start = os.lseek(self.fd, 0, os.SEEK_DATA)
        self._cursor.go_to(Position(start))
        self.has_moved()
        if not copied:
            self._begin_lines()

    def open(self, path: str) -> int:
        """Open a copy.  Raises OSError."""
        return os.open(path, OPEN_FLAGS)

    def _fail(self, error: OSError) -> None:
        """Reading failed with an error that `turn` caught."""
        raise error

    def _can_be_found(self) -> bool:
        """Whether the file could be opened again now."""
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
