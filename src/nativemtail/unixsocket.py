"""Sockets that are files: made with the access mode that was asked for, whatever the umask."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket


def mode(text: str) -> int:
    """An octal access mode.  Raises ValueError."""
    number = int(text, 8) if text and not text.strip("01234567") else -1
    if not 0 <= number <= 0o777:
        raise ValueError(f"must be an octal number up to 777: {text}")
    return number


def bind(sock: socket.socket, path: str, mode: int) -> tuple[int, int]:
    """Make the file; its device and inode.  Raises OSError.

    The mode is right from the beginning, and no path is followed to change it later.  What other threads make
    meanwhile gets no more access than it asks for.
    """
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    status = os.stat(path, follow_symlinks=False)
    return status.st_dev, status.st_ino
