"""The directory of the state: made, and held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from types import TracebackType

from nativemtail.gotext import explain

NAME = "state.lock"


class StateError(Exception):
    """The state cannot be kept in the directory; the text says why."""


class Lock:
    """Holds the directory, which is made if necessary, until `close` or the end of the process.

    Raises StateError if it cannot be written, or if another process holds it.
    """

    def __init__(self, directory: str) -> None:
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
        except OSError as error:
            raise StateError(explain(error, "mkdir", directory)) from None
        path = os.path.join(directory, NAME)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateError(explain(error, "open", path)) from None
        try:
            self._take(directory)
        except BaseException:
            self.close()
            raise

    def _take(self, directory: str) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StateError(explain(error, "lock", os.path.join(directory, NAME))) from None
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            raise StateError(f"{directory} is in use by process {holder or '(unknown)'}") from None
        with contextlib.suppress(OSError):  # the number is for messages only, and the disk may be full
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
