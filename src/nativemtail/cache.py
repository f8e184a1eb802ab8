"""A directory of bytes that are cheaper read than made anew: one file for each place, replaced as a whole.

What is read was written by this version, for the same question, by this user, and is whole: otherwise it counts as
absent.  Nothing here fails a start; a cache that cannot be used is none.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
import zlib

from nativemtail.log import Log

log = Log(__name__)

MAX_FILES = 64
"""The oldest of more are removed."""
MAX_SIZE = 256 << 20
"""Bytes of a file."""

_MAGIC = b"nativemtail cache 1\n"
_CHECK = struct.Struct("<QL")


def default_directory() -> str:
    """systemd's `CacheDirectory=`, else the user's (XDG Base Directory Specification); empty: there is none."""
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", ""), ".cache")
    return os.path.join(base, "nativemtail") if os.path.isabs(base) else ""


def versions() -> str:
    """Changes with whatever makes the bytes: Python and the installed files of this package."""
    package = os.path.dirname(__file__)
    found = [sys.version]
    for directory in (package, os.path.join(package, "compiler"), os.path.join(package, "compiler", "regex")):
        with os.scandir(directory) as entries:
            files = [entry for entry in entries if entry.name.endswith((".py", ".so"))]
        for entry in sorted(files, key=lambda entry: entry.name):
            status = entry.stat()
            found.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(found)


class Cache:
    """The files of `directory`; an empty name turns it off."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._versions = b""

    def get(self, place: str, question: str) -> bytes | None:
        """What was last put for `place`, if `question` and the versions were the same."""
        if not self._directory:
            return None
        try:
            if not _is_own(os.stat(self._directory)):
                log.info("%s is not used: others may write there, or own it", self._directory)
                return None
            data = _read(self._path(place))
        except OSError:
            return None
        head = self._head(place, question)
        if not data.startswith(head):
            return None
        body = data[len(head) + _CHECK.size :]
        return body if body and data[len(head) : -len(body)] == _check(body) else None

    def put(self, place: str, question: str, body: bytes) -> None:
        if not self._directory or len(body) > MAX_SIZE:
            return
        path = self._path(place)
        temporary = f"{path}.{os.getpid()}.new"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            if not _is_own(os.stat(self._directory)):
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(self._head(place, question) + _check(body) + body)
            os.replace(temporary, path)
            self._prune()
        except OSError as error:
            import contextlib

            log.debug("cannot write %s: %s", path, error)
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _head(self, place: str, question: str) -> bytes:
        self._versions = self._versions or versions().encode("utf-8", "surrogateescape")
        texts = (place.encode("utf-8", "surrogateescape"), question.encode("utf-8", "surrogateescape"), self._versions)
        return _MAGIC + b"".join(b"%d:%s," % (len(text), text) for text in texts)

    def _path(self, place: str) -> str:
        return os.path.join(self._directory, f"{zlib.crc32(os.fsencode(place)):08x}.plan")

    def _prune(self) -> None:
        with os.scandir(self._directory) as entries:
            files = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in entries]
        for _, path in sorted(files)[:-MAX_FILES]:
            os.unlink(path)


def _check(body: bytes) -> bytes:
    return _CHECK.pack(len(body), zlib.crc32(body))


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read(path: str) -> bytes:
    """Raises OSError, also for what is not the user's own regular file."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not _is_own(status) or status.st_size > MAX_SIZE + (1 << 20):
            raise OSError(0, "not a file of the cache")
        return file.read()
