"""Compressing logs, and rotating them as logrotate does, at once or at the next rotation (`delay`)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import zstandard

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
"""By suffix."""


def compress(path: Path, suffix: str = ".gz") -> Path:
    """As gzip and logrotate do: written beside, given the times of the old file, which goes then."""
    info = path.stat()
    packed = path.with_name(path.name + suffix)
    packed.write_bytes(PACK[suffix](path.read_bytes()))
    os.utime(packed, ns=(info.st_atime_ns, info.st_mtime_ns))
    path.unlink()
    return packed


def numbered(log: Path, turn: int, delay: bool) -> None:
    for number in range(9, 0, -1):
        for suffix in (".gz", ""):
            old = log.with_name(f"{log.name}.{number}{suffix}")
            if old.exists():
                old.rename(log.with_name(f"{log.name}.{number + 1}{suffix}"))
    log.rename(f"{log}.1")
    log.touch()
    _compress_if_there(Path(f"{log}.2" if delay else f"{log}.1"))


def dated(log: Path, turn: int, delay: bool) -> None:
    log.rename(f"{log}-2026{turn:04}")
    log.touch()
    _compress_if_there(Path(f"{log}-2026{turn - delay:04}"))


def copied(log: Path, turn: int, delay: bool) -> None:
    """copytruncate."""
    shutil.copy2(log, f"{log}-2026{turn:04}")
    os.truncate(log, 0)
    _compress_if_there(Path(f"{log}-2026{turn - delay:04}"))


def _compress_if_there(old: Path) -> None:
    if old.exists():
        compress(old)
