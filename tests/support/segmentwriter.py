"""Writes Zstandard segments as KumoMTA does."""

from __future__ import annotations

from pathlib import Path

import zstandard


class SegmentWriter:
    """A segment that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")
        self._frame = zstandard.ZstdCompressor(write_checksum=True).compressobj()

    def write(self, text: bytes) -> None:
        """Write and flush."""
        self._append(self._frame.compress(text) + self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def finish(self) -> None:
        self._append(self._frame.flush())
        self.path.chmod(0o444)

    def _append(self, data: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(data)
