"""Sockets that are files: made with the access mode that was asked for, and only ours are removed."""

from __future__ import annotations

import os
import socket
import stat

Made = tuple[str, int, int]
"""Path, device and inode of a file that we have made."""


def mode(text: str) -> int:
    """An octal access mode.  Raises ValueError."""
    number = int(text, 8) if text and not text.strip("01234567") else -1
    if not 0 <= number <= 0o777:
        raise ValueError(f"must be an octal number up to 777: {text}")
    return number


def bind(sock: socket.socket, path: str, mode: int) -> Made:
    """Make the file.  Raises OSError or ValueError.

    The mode is right from the beginning, and no path is followed to change it later.  What other threads make
    meanwhile gets no more access than it asks for.
    """
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    return made(path)


def made(path: str) -> Made:
    """What was just made there.  Raises OSError."""
    status = os.lstat(path)
    return path, status.st_dev, status.st_ino


def remove(made: Made) -> None:
    """Remove the file, unless another has taken its place."""
    path, *identity = made
    try:
        status = os.lstat(path)
        if [status.st_dev, status.st_ino] == identity:
            os.unlink(path)
    except OSError:
        return


def remove_abandoned(path: str, kind: socket.SocketKind) -> bool:
    """Remove a socket of this user that nobody listens on any more; whether there was one."""
    try:
        status = os.lstat(path)
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
            return False
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except ConnectionRefusedError:
        remove((path, status.st_dev, status.st_ino))
        return True
    except (OSError, ValueError):
        return False
    return False
