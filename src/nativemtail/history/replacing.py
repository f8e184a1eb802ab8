"""Files that are complete or not there: written beside their place and renamed."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextlib.contextmanager
def replaced(path: str) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` if the context ends without an error, and is removed otherwise.

    A symbolic link keeps its place, and a pipe or device is written to as it is.  Raises OSError.
    """
    path = os.path.realpath(path)
    if not _is_replaceable(path):
        with open(path, "wb") as out:
            yield out
        return
    directory, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as out:
            os.fchmod(descriptor, 0o666 & ~_umask())
            yield out
            out.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _is_replaceable(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)  # os.replace names a directory in its error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
