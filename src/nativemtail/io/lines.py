"""Block assembly: what is read from a source becomes blocks of whole lines, without a copy of their bytes.

A `Buffer` is the memory that reads go into; all sources of one thread share it.  A `LineReader` is the state of one
source: the line that is not complete yet.  A block is valid until the next read into the same buffer.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Scan = Callable[[bytearray, int, int], int]
    """Takes block, start and end; gives the number of lines.  The last line may lack its newline."""

    ReadInto = Callable[[memoryview], int | None]
    """Fills the memory from its beginning; 0 at the end of input, None when nothing is there now."""

READ_SIZE = 512 * 1024
MAX_LINE_LENGTH = 1024 * 1024
MIN_MAX_LINE_LENGTH = 1024


class Buffer:
    """Memory for one read and the incomplete line in front of it; grows to `MAX_LINE_LENGTH + READ_SIZE` at most."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray(READ_SIZE)

    def reserve(self, size: int) -> None:
        if len(self.data) < size:
            # A new object rather than a resized one: somebody may still hold a view of the old.
            self.data = bytearray(size)


class LineReader:
    """Cuts the bytes of one source into blocks of whole lines (spec inputs.md §4).

    A line longer than `max_line_length` bytes is delivered cut to that length as soon as that much of it is there;
    the rest up to its newline is skipped and the line counted in `cut_lines`.
    """

    __slots__ = ("_max", "_read_size", "_rest", "_scan", "_skipping", "bytes_read", "cut_lines", "lines")

    def __init__(self, scan: Scan, max_line_length: int = MAX_LINE_LENGTH) -> None:
        self._scan = scan
        self._max = max_line_length
        # No longer than the limit: then only the first line to end in a read can be beyond it.
        self._read_size = min(READ_SIZE, max_line_length)
        self._rest = bytearray()
        self._skipping = False
        self.bytes_read = 0
        self.lines = 0
        self.cut_lines = 0

    @property
    def pending(self) -> int:
        """Length of the incomplete line."""
        return len(self._rest)

    def read(self, buffer: Buffer, readinto: ReadInto) -> int | None:
        """Read once and deliver the lines that are complete; what `readinto` returned."""
        head = len(self._rest)
        buffer.reserve(head + self._read_size)
        with memoryview(buffer.data) as view, view[head : head + self._read_size] as target:
            count = readinto(target)
        if count:
            self.bytes_read += count
            self._deliver(buffer.data, head, head + count)
        return count

    def finish(self) -> None:
        """Deliver the incomplete line, if there is one: the source has ended, or its next byte begins a line."""
        if self._rest:
            self.lines += self._scan(self._rest, 0, len(self._rest))
            self._rest = bytearray()
        self._skipping = False

    def drop(self) -> None:
        """Forget the incomplete line: nobody will read its end."""
        self._rest = bytearray()

    def _deliver(self, data: bytearray, head: int, end: int) -> None:
        """New bytes are in data[head:end]; data[:head] is room for the incomplete line."""
        start = 0
        if self._skipping:
            start = head = data.find(b"\n", head, end) + 1
            if not start:
                return
            self._skipping = False
        last = data.rfind(b"\n", head, end) + 1
        if last:
            start = self._complete(data, start, head, last)
            if start < last:
                self.lines += self._scan(data, start, last)
            head = last
        self._keep(data, head, end)

    def _complete(self, data: bytearray, start: int, head: int, last: int) -> int:
        """Put the incomplete line in front of its end; where the block of whole lines begins."""
        if not self._rest:
            return start
        data[: len(self._rest)] = self._rest
        self._rest.clear()
        first = data.find(b"\n", head, last)
        if first <= self._max:
            return start
        self._cut(data)
        return first + 1

    def _keep(self, data: bytearray, start: int, end: int) -> None:
        """data[start:end] is without newline: it goes behind the incomplete line."""
        self._rest += memoryview(data)[start:end]
        if len(self._rest) > self._max:
            self._cut(self._rest)
            self._rest.clear()
            self._skipping = True

    def _cut(self, line: bytearray) -> None:
        self.lines += self._scan(line, 0, self._max)
        self.cut_lines += 1
