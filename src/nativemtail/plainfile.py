"""Reads regular files of other origin safely: never blocks on a pipe or device, and bounds the size of small files."""

from __future__ import annotations

import io
import os
import stat

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_descriptor(path: str) -> int:
    """Open a regular file of any size.  Raises OSError for anything else, without blocking on it."""
    fd = os.open(path, _FLAGS)
    try:
        _check_kind(os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def open_file(path: str) -> io.FileIO:
    """The same, as an unbuffered file."""
    return io.FileIO(open_descriptor(path))


def check(path: str, most: int) -> None:
    """Raise OSError for anything but a regular file of at most `most` bytes."""
    _check(os.stat(path), most)


def read(path: str, most: int) -> bytes:
    """The content of a regular file.  Raises OSError, also for other files and for more than `most` bytes."""
    check(path, most)  # first, because opening a device or a pipe can change it
    fd = os.open(path, _FLAGS)
    try:
        status = os.fstat(fd)
        _check(status, most)
        data = bytearray()
        while more := os.read(fd, status.st_size + 4096):
            data += more
            if len(data) > most:
                raise _too_large(most)
        return bytes(data)
    finally:
        os.close(fd)


def _check_kind(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")


def _check(status: os.stat_result, most: int) -> None:
    _check_kind(status)
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    return OSError(0, f"larger than {most >> 20} MiB")
