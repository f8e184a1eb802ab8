"""Reads a part of a log into blocks of whole lines."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

from nativemtail import plainfile
from nativemtail.history.parts import Part
from nativemtail.io.compressed import Corrupt, Truncated, decoder
from nativemtail.io.content import COMPRESSED, START, Content, is_undecided, recognise
from nativemtail.io.lines import Buffer, Emit, LineReader, ReadInto


class Changed(Exception):
    """The file is not the one that was divided."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} has changed meanwhile: begin anew")


def read(part: Part, emit: Emit, buffer: Buffer, max_line_length: int, report: Callable[[Content | None], None]) -> int:
    """Deliver the lines of a part; how many were cut.

    Raises OSError, Changed, and Corrupt after the text before the damage.
    """
    fd = plainfile.open_descriptor(part.log.path)
    lines = LineReader(emit, max_line_length, report)
    try:
        if os.fstat(fd).st_size < part.end:
            raise Changed(part.log.path)
        start = os.pread(fd, START, 0)
        lines.begin(start if part.start else b"", part.start)
        readinto = _readinto(part, fd, start)
        try:
            while lines.read(buffer, readinto):
                pass
        finally:
            lines.finish()
    finally:
        os.close(fd)
    return lines.cut_lines


def _readinto(part: Part, fd: int, start: bytes) -> ReadInto:
    content = recognise(start)
    if content is not None and not content.encoding:
        return decoder(content, io.FileIO(fd, closefd=False)).readinto
    if start and part.log.path.endswith(COMPRESSED) and is_undecided(start):
        raise Truncated
    at = part.start

    def read_range(target: memoryview) -> int:
        nonlocal at
        count = os.preadv(fd, [target[: part.end - at]], at) if at < part.end else 0
        at += count
        if not count and at < part.end:
            raise Changed(part.log.path)
        return count

    return read_range


__all__ = ["Changed", "Corrupt", "read"]
