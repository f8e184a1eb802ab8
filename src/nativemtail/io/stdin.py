"""Standard input, named `-` or `/dev/stdin` (spec inputs.md §5)."""

from __future__ import annotations

import io

from nativemtail.io.lines import Buffer, LineReader


class StandardInput:
    """File descriptor 0, be it a pipe, a terminal or a file.  Raises OSError when it is closed."""

    def __init__(self, name: str, reader: LineReader) -> None:
        self.name = name
        self.reader = reader
        reader.begin()
        self._file = io.FileIO(0, closefd=False)

    def fileno(self) -> int:
        return self._file.fileno()

    def ready(self, buffer: Buffer) -> bool:
        return self.reader.read(buffer, self._file.readinto) != 0

    def close(self) -> None:
        self._file.close()
