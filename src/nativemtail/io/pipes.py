"""Named pipes, read until their writers are gone (spec inputs.md §5)."""

from __future__ import annotations

import io
import os

from nativemtail.io.lines import Buffer, LineReader


class NamedPipe:
    """A FIFO.  An end of input before the first byte is none: writers may come yet.  Raises OSError."""

    def __init__(self, path: str, reader: LineReader) -> None:
        self.name = path
        self.reader = reader
        reader.begin()
        self._file = self._open()

    def _open(self) -> io.FileIO:
        # Without O_NONBLOCK opening would wait for a writer.
        return io.FileIO(os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self._file.fileno()

    def ready(self, buffer: Buffer) -> bool:
        if self.reader.read(buffer, self._file.readinto) != 0:
            return True
        if self.reader.bytes_read:
            return False
        # Poll reports a hang-up on this descriptor for ever; on a new one only after the next writer.
        old, self._file = self._file, self._open()
        old.close()
        return True

    def close(self) -> None:
        self._file.close()
