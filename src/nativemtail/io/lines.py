"""Assembles blocks of whole lines from what is read, without copying their bytes.

A `Buffer` is the memory that reads go into; all sources of one thread share it.  A `LineReader` is the state of one
source: its incomplete line.  A block is valid until the next read into the same buffer.

NULs before a line are dropped: they are holes left by a writer without O_APPEND, or blocks lost in a power failure.
Text in UTF-16 or UTF-32 is decoded and a byte order mark dropped, if the reader knows where a file begins.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from nativemtail.io.content import START, UNMARKED_UTF16, Content, is_undecided, is_unmarked_utf16, recognise
from nativemtail.io.position import TAIL

Emit = Callable[[bytearray, int, int], int]
"""Takes whole lines (block, start, end) and returns their number.  The last line may lack its newline."""

ReadInto = Callable[[memoryview], int | None]
"""Reads into the memory; the number of bytes, 0 at the end of input, None if nothing is available now."""

OnContent = Callable[[Content | None], None]
"""Called with the kind of content once the first bytes of a log show it; None is plain text."""

READ_SIZE = 512 * 1024
MAX_LINE_LENGTH = 1024 * 1024
MIN_MAX_LINE_LENGTH = 1024
_USUAL_LINE = 64 * 1024
"""Lines up to this many bytes need no more memory.  Clearing memory for the longest line would slow the start."""


class Buffer:
    """Memory for one read and the incomplete line before it.  It grows once, to `most` bytes, when a line is long.

    `before` is memory for the bytes before the read, which show whether a file was rewritten.
    """

    __slots__ = ("before", "data", "most")

    def __init__(self, most: int = MAX_LINE_LENGTH + READ_SIZE) -> None:
        self.most = most
        self.data = bytearray(min(most, READ_SIZE + _USUAL_LINE))
        self.before = bytearray(TAIL)

    def reserve(self, size: int) -> None:
        if len(self.data) < size:
            # A new object, because there may still be views of the old one.
            self.data = bytearray(max(size, self.most))


class LineReader:
    """Cuts the bytes of one source into blocks of whole lines (spec inputs.md §4).

    A line longer than `max_line_length` bytes is cut to that length, delivered as soon as it exceeds it, and counted in
    `cut_lines`; the rest up to its newline is skipped.  Compressed content is not delivered.
    """

    __slots__ = (
        "_beginning",
        "_content",
        "_decoder",
        "_emit",
        "_is_plain",
        "_is_reported",
        "_max",
        "_odd",
        "_on_content",
        "_partial",
        "_read_size",
        "_skipping",
        "_start",
        "_taken",
        "bytes_read",
        "cut_lines",
        "lines",
        "nuls",
    )

    def __init__(self, emit: Emit, max_line_length: int = MAX_LINE_LENGTH, on_content: OnContent | None = None) -> None:
        self._emit = emit
        self._on_content = on_content
        self._max = max_line_length
        # At most the limit: then only the first line that ends in a read can exceed it.
        self._read_size = min(READ_SIZE, max_line_length)
        self._partial = bytearray()
        self._skipping = False
        self.bytes_read = 0
        self.lines = 0
        self.cut_lines = 0
        self.nuls = 0
        """NULs dropped before lines."""
        self._taken = 0, 0
        # For logs that are not plain text, and for first bytes that do not yet show what a log is:
        self._is_plain = True
        self._start: bytes | None = None
        self._beginning = b""
        self._content: Content | None = None
        self._is_reported = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._odd = 0

    @property
    def pending(self) -> int:
        """Length of the incomplete line."""
        return len(self._partial) + len(self._start or b"")

    @property
    def uncounted(self) -> int:
        """Bytes of the source, as they were read, from the beginning of the incomplete line on."""
        if self._decoder is None or self._content is None:
            return self.pending
        text = self._partial.decode("utf-8", "replace").encode(self._content.encoding, "replace")
        return len(text) + len(self._decoder.getstate()[0])

    @property
    def is_in_cut_line(self) -> bool:
        """Whether the next bytes belong to a line that was delivered, cut to the longest length."""
        return self._skipping

    @property
    def is_refused(self) -> bool:
        """Whether the content is compressed, and therefore not delivered."""
        return self._content is not None and not self._content.encoding

    def new_counts(self) -> tuple[int, int]:
        """The increases of `cut_lines` and `nuls` since the last call."""
        cut, nuls = self._taken
        self._taken = self.cut_lines, self.nuls
        return self.cut_lines - cut, self.nuls - nuls

    def begin(self, start: bytes = b"", offset: int = 0) -> None:
        """The next bytes are at `offset` of a log that begins with `start`, which is not needed at offset 0."""
        if offset and not start.strip(b"\0"):
            return  # the beginning is a hole or unknown: nothing new is learned
        self._content = self._decoder = None
        self._start = None if offset else b""
        if offset and (content := recognise(start)):
            self._set_content(content, offset)
        self._is_plain = False
        self._beginning = start

    def skip_line(self) -> None:
        """The next bytes belong to a line that was delivered already."""
        self._skipping = True

    def read(self, buffer: Buffer, readinto: ReadInto) -> int | None:
        """Read once and deliver the complete lines; returns what `readinto` returned."""
        head = len(self._partial)
        buffer.reserve(head + self._read_size)
        with memoryview(buffer.data) as view, view[head : head + self._read_size] as target:
            count = readinto(target)
        if count:
            self.bytes_read += count
            if self._is_plain:
                self._deliver(buffer.data, head, head + count)
            else:
                self._deliver_text(buffer, self._text_of(bytes(memoryview(buffer.data)[head : head + count])))
        return count

    def feed(self, buffer: Buffer, data: memoryview) -> None:
        """Deliver the complete lines of `data`, reading all of it."""
        at = 0

        def read_into(target: memoryview) -> int:
            nonlocal at
            part = data[at : at + len(target)]
            at += len(part)
            target[: len(part)] = part
            return len(part)

        while at < len(data):
            self.read(buffer, read_into)

    def pass_nuls(self, count: int) -> bool:
        """Count the next `count` NULs as dropped without reading them; False if they must be read."""
        if self._partial or not self._is_plain:
            return False
        if not self._skipping:
            self.nuls += count
        self.bytes_read += count
        return True

    def finish(self) -> None:
        """Deliver the incomplete line, if any: the source has ended, or its next byte begins a line."""
        if self._start:
            text = self._first(self._start)
            self._partial += text.lstrip(b"\0")
            self.nuls += len(text) - len(self._partial)
        if self._partial:
            self.lines += self._emit(self._partial, 0, len(self._partial))
            self._partial = bytearray()
        self._skipping = False

    def drop(self) -> None:
        """Discard the incomplete line, whose end will not be read."""
        self._partial = bytearray()

    def _deliver(self, data: bytearray, head: int, end: int) -> None:
        """New bytes are in data[head:end]; data[:head] is reserved for the incomplete line."""
        if data.find(0, head, end) >= 0:
            end = self._drop_nuls(data, head, end)
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
                self.lines += self._emit(data, start, last)
            head = last
        self._keep(data, head, end)

    def _drop_nuls(self, data: bytearray, head: int, end: int) -> int:
        """Drop NULs before lines from data[head:end]; the new end."""
        text = bytes(memoryview(data)[head:end])
        if not self._partial and not self._skipping:
            text = text.lstrip(b"\0")
        if b"\n\0" in text:
            text = re.sub(rb"\n\0+", b"\n", text)
        self.nuls += end - head - len(text)
        end = head + len(text)
        data[head:end] = text
        return end

    def _complete(self, data: bytearray, start: int, head: int, last: int) -> int:
        """Copy the incomplete line to the front of the block; returns where the whole lines begin."""
        if not self._partial:
            return start
        data[: len(self._partial)] = self._partial
        self._partial.clear()
        first = data.find(b"\n", head, last)
        if first <= self._max:
            return start
        self._cut(data)
        return first + 1

    def _keep(self, data: bytearray, start: int, end: int) -> None:
        """Append data[start:end], which has no newline, to the incomplete line."""
        self._partial += memoryview(data)[start:end]
        if len(self._partial) > self._max:
            self._cut(self._partial)
            self._partial.clear()
            self._skipping = True

    def _cut(self, line: bytearray) -> None:
        self.lines += self._emit(line, 0, self._max)
        self.cut_lines += 1

    # Content that is not plain text, or may turn out not to be

    def _text_of(self, data: bytes) -> bytes:
        """The next bytes, decoded."""
        if self._start is None:
            self._examine(data)
            return self._decode(data)
        self._start += data
        return b"" if is_undecided(self._start) else self._first(self._start)

    def _first(self, start: bytes) -> bytes:
        """The first bytes, decoded, now that they show what the log is."""
        self._start = None
        seen = start
        content = recognise(start)
        if content is not None:
            self._set_content(content, 0)
            start = start[content.mark :]
        self._examine(seen)
        return self._decode(start)

    def _examine(self, data: bytes) -> None:
        """Examine the first bytes of plain text for UTF-16 without a byte order mark."""
        if self._content is not None:
            return
        self._beginning += data[: START - len(self._beginning)]
        self._is_plain = len(self._beginning) >= START
        if self._is_plain and self._on_content is not None:
            self._on_content(UNMARKED_UTF16 if is_unmarked_utf16(self._beginning) else None)

    def _set_content(self, content: Content, offset: int) -> None:
        if content.encoding == "utf-8":
            return
        self._content = content
        self._is_reported = False
        if content.encoding:
            self._decoder = codecs.getincrementaldecoder(content.encoding)("replace")
            # The mark is one code unit long: a unit that begins before the offset is lost.
            self._odd = -offset % content.mark

    def _decode(self, data: bytes) -> bytes:
        if self._content is None or not data:
            return data
        if self._on_content is not None and not self._is_reported:
            self._is_reported = True
            self._on_content(self._content)
        if self._decoder is None:
            return b""
        odd, self._odd = self._odd, max(0, self._odd - len(data))
        return self._decoder.decode(data[odd:]).encode("utf-8", "replace")

    def _deliver_text(self, buffer: Buffer, text: bytes) -> None:
        """Deliver text in pieces no longer than a read."""
        for at in range(0, len(text), self._read_size):
            piece = text[at : at + self._read_size]
            head = len(self._partial)
            buffer.reserve(head + len(piece))
            buffer.data[head : head + len(piece)] = piece
            self._deliver(buffer.data, head, head + len(piece))
