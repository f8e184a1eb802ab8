"""Standard streams, and the exit status when writing to them fails."""

from __future__ import annotations

import contextlib
import os
import select

from nativemtail import gotext

SUCCESS, FAILURE, WRONG_FLAGS, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def occupy_closed_descriptors() -> None:
    """Occupy descriptors 0 to 2 if they are closed, so that no other file gets their numbers; using them fails."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if fd else os.O_WRONLY)


def write(fd: int, data: bytes) -> int:
    """Write to standard output or error; the exit status."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except BrokenPipeError:
            return BROKEN_PIPE
        except OSError as error:
            if fd == 1:
                write(2, f"cannot write to standard output: {gotext.reason(error)}\n".encode())
            return FAILURE
    return SUCCESS
