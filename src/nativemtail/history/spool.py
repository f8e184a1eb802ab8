"""Keeps the results of parts in a file, so that a run that was interrupted can go on.

The file has a head that says what is counted, then the results, each with its length and checksum.  What follows an
incomplete one, as after a crash, is written anew.
"""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import BinaryIO

from nativemtail.history.blueprint import Blueprint
from nativemtail.history.parts import Part
from nativemtail.history.worker import Result

_MAGIC = b"nativemtail parts 1\n"
_FRAME = struct.Struct("<QI")
_ID = 32


class SpoolError(Exception):
    """The file is not one of this run; the text says what to do."""


def identity(blueprint: Blueprint, parts: Sequence[Part]) -> bytes:
    """Tells runs apart that count something else: other programs, settings, logs, or another division."""
    what = repr((blueprint.compiled, blueprint[1:3], blueprint.times, blueprint.max_line_length, blueprint.in_order))
    named = repr([(part.log.path, part.log.size, part.log.changed, part.start, part.end) for part in parts])
    return blake2b(f"{what}\n{named}\n{blueprint.zone}".encode("utf-8", "surrogateescape"), digest_size=_ID).digest()


class Spool:
    """The results of the parts that are done."""

    def __init__(self, path: str, identity: bytes) -> None:
        """Open the file, or begin one.  Raises OSError and SpoolError.

        Only a file of this user is read, since results are pickled.
        """
        self.path = path
        self._file = self._open(path)
        head = self._file.read(len(_MAGIC) + _ID)
        if not head:
            self._file.write(_MAGIC + identity)
            self._file.flush()
        elif head != _MAGIC + identity:
            self._file.close()
            raise SpoolError(
                f"{path} is not of this run: programs, logs, flags or the version have changed; remove it to begin anew"
            )

    @staticmethod
    def _open(path: str) -> BinaryIO:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        info = os.fstat(fd)
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            os.close(fd)
            raise SpoolError(f"{path} belongs to another user, or others may write to it: name another file")
        return os.fdopen(fd, "r+b")

    def results(self) -> Iterator[Result]:
        """What the file has; then it is at its end, and can be added to."""
        while True:
            at = self._file.tell()
            frame = self._file.read(_FRAME.size)
            if len(frame) == _FRAME.size:
                length, checksum = _FRAME.unpack(frame)
                data = self._file.read(length)
                if len(data) == length and zlib.crc32(data) == checksum:
                    yield pickle.loads(data)
                    continue
            self._file.seek(at)
            self._file.truncate()
            return

    def add(self, result: Result) -> None:
        data = pickle.dumps(result, protocol=5)
        self._file.write(_FRAME.pack(len(data), zlib.crc32(data)) + data)
        self._file.flush()

    def close(self, *, remove: bool) -> None:
        self._file.close()
        if remove:
            os.unlink(self.path)


__all__ = ["Spool", "SpoolError", "identity"]
