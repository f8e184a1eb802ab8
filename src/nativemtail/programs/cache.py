"""A cache on disk for bytes that are cheaper to read than to compute: one file per path, replaced atomically.

An entry is used only if it is complete and was written by this version, for the same question, by this user; otherwise
it counts as absent.  Only our own files, in our own sub-directory, are read, written or deleted.  No link of another
user is followed: each directory is opened relative to its parent and checked by descriptor.
A cache that cannot be used is ignored: it never makes a start fail.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterator

from nativemtail import __version__

log = logging.getLogger(__name__)

SUBDIRECTORY = "nativemtail-plans"
MAX_FILES = 64
MAX_SIZE = 64_000_000
"""Maximum size of all files in bytes; the oldest are deleted beyond that."""

_MAGIC = b"nativemtail cache 2\n"
_CHECK = struct.Struct("<QL")
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
_ABANDONED = 3600.0
"""Seconds after which a temporary file was abandoned by its writer."""


def default_directory() -> str:
    """systemd's `CacheDirectory=`, else the user's (XDG Base Directory Specification); empty if there is neither."""
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", ""), ".cache")
    return os.path.join(base, "nativemtail") if os.path.isabs(base) else ""


def versions() -> str:
    """A text that changes with everything that cached bytes depend on: version, Python, installed files."""
    package = os.path.dirname(os.path.dirname(__file__))
    found = [__version__, sys.version]
    compiler = (path for path, _, _ in os.walk(os.path.join(package, "compiler")) if "__pycache__" not in path)
    for directory in (package, os.path.join(package, "programs"), *sorted(compiler)):
        with os.scandir(directory) as entries:
            files = [entry for entry in entries if entry.name.endswith((".py", ".so"))]
        for entry in sorted(files, key=lambda entry: entry.name):
            status = entry.stat()
            found.append(f"{entry.name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return "\n".join(found)


class Cache:
    """The cache below `directory`; an empty name turns it off."""

    def __init__(self, directory: str, *, is_wanted: bool = False) -> None:
        """`is_wanted`: the user named this directory, so it is a warning if it cannot be used."""
        self._directory = directory
        self._level = logging.WARNING if is_wanted else logging.INFO
        self._is_bad = False
        self._versions = b""

    def get(self, place: str, question: str) -> bytes | None:
        """The last entry put for `place`, if `question` and the versions were the same."""
        if not self._directory:
            return None
        head = self._head(place, question)
        try:
            directory = _open(self._directory)
            try:
                data = _read(_name(head), directory)
            finally:
                os.close(directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        if not data.startswith(head):
            return None
        body = data[len(head) + _CHECK.size :]
        return body if body and data[len(head) : -len(body)] == _check(body) else None

    def put(self, place: str, question: str, body: bytes) -> None:
        if not self._directory:
            return
        head = self._head(place, question)
        size = len(head) + _CHECK.size + len(body)
        if size > MAX_SIZE:
            return
        try:
            directory = _open(self._directory, make=True)
            try:
                _prune(directory, _name(head), size)
                _replace(directory, _name(head), head + _check(body) + body)
            finally:
                os.close(directory)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._is_bad:
            self._is_bad = True
            why = error.strerror or error
            remedy = "--cache_dir names another directory, or none"
            log.log(self._level, "the cache %s is not used: %s (%s)", self._directory, why, remedy)

    def _head(self, place: str, question: str) -> bytes:
        self._versions = self._versions or versions().encode("utf-8", "surrogateescape")
        texts = (place.encode("utf-8", "surrogateescape"), question.encode("utf-8", "surrogateescape"), self._versions)
        return _MAGIC + b"".join(b"%d:%s," % (len(text), text) for text in texts)


def _check(body: bytes) -> bytes:
    return _CHECK.pack(len(body), zlib.crc32(body))


def _name(head: bytes) -> str:
    return f"{zlib.crc32(head):08x}.plan"


# --- the directory -------------------------------------------------------------------------------------------


def _open(path: str, *, make: bool = False) -> int:
    """Open our sub-directory of `path`.  Raises OSError, also if others own it or may write to it."""
    base = _walk(os.path.abspath(path), make)
    try:
        _check_own(base, path)
        if make:
            _make(base, SUBDIRECTORY)
        found = os.open(SUBDIRECTORY, _READ | os.O_DIRECTORY, dir_fd=base)
    finally:
        os.close(base)
    try:
        _check_own(found, os.path.join(path, SUBDIRECTORY))
    except OSError:
        os.close(found)
        raise
    return found


def _walk(path: str, make: bool) -> int:
    """Open the directory of an absolute path, following only links owned by the user or root."""
    names = path.split("/")[::-1]
    at = os.open("/", _STEP)
    links = 0
    try:
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            if make and os.fstat(at).st_uid in (0, os.geteuid()):
                _make(at, name)
            found = os.open(name, _STEP, dir_fd=at)
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                os.close(at)
                at = found
                continue
            links += 1
            try:
                # The directory's owner counts, too, because they may have moved another user's link there.
                owners = {status.st_uid, os.fstat(at).st_uid}
                if not owners <= {0, os.geteuid()} or links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, f"{name} is another user's link, or one of too many")
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            names += target.split("/")[::-1]
            if target.startswith("/"):
                above, at = at, os.open("/", _STEP)
                os.close(above)
    except BaseException:
        os.close(at)
        raise
    return at


def _make(parent: int, name: str) -> None:
    """Make a directory for this user only, unless there is one."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            return


def _check_own(directory: int, path: str) -> None:
    if not _is_own(os.fstat(directory)):
        raise PermissionError(errno.EPERM, f"others own {path}, or may write there")


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


# --- the files -----------------------------------------------------------------------------------------------


def _read(name: str, directory: int) -> bytes:
    """Raises OSError, also for anything but a regular file of the user."""
    fd = os.open(name, _READ, dir_fd=directory)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not _is_own(status) or status.st_size > MAX_SIZE:
            raise PermissionError(errno.EPERM, f"{name} is not a file that we have written")
        with open(fd, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(fd)


def _replace(directory: int, name: str, data: bytes) -> None:
    temporary = f"{name}.{os.getpid()}.new"
    try:
        fd = os.open(temporary, _WRITE, 0o600, dir_fd=directory)
    except FileExistsError:  # left by a killed process that had the same process id
        os.unlink(temporary, dir_fd=directory)
        fd = os.open(temporary, _WRITE, 0o600, dir_fd=directory)
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise


def _prune(directory: int, name: str, size: int) -> None:
    """Delete the oldest files until one of that name and size fits within the limits."""
    left, files = MAX_SIZE - size, 1
    for status, other in sorted(_files(directory), key=lambda found: -found[0].st_mtime_ns):
        if other.endswith(".new"):
            surplus = time.time() - status.st_mtime > _ABANDONED
        elif other != name:
            left -= status.st_size
            files += 1
            surplus = left < 0 or files > MAX_FILES
        else:
            surplus = False
        if surplus:
            try:
                os.unlink(other, dir_fd=directory)
            except FileNotFoundError:  # another process prunes, too
                continue


def _files(directory: int) -> Iterator[tuple[os.stat_result, str]]:
    """The user's own files whose names have the form of ours."""
    for name in os.listdir(directory):
        stem, _, rest = name.partition(".plan")
        if not _is_hex(stem) or (rest and not _is_new(rest)):
            continue
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and _is_own(status):
            yield status, name


def _is_hex(text: str) -> bool:
    return len(text) == 8 and not text.strip("0123456789abcdef")


def _is_new(text: str) -> bool:
    return text.startswith(".") and text.endswith(".new") and text[1:-4].isdecimal()
