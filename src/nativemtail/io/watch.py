"""inotify, bound to libc, and the question whether it can be relied on for a directory or file."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
OVERFLOW = 0x4000
IGNORED = 0x8000
ONLYDIR = 0x1000000
ISDIR = 0x40000000

NEW_ENTRY = CREATE | MOVED_TO | MOVED_FROM | DELETE
"""After one of these a name stands for something else."""

FILE_EVENTS = MODIFY | ATTRIB | MOVE_SELF | DELETE_SELF
DIRECTORY_EVENTS = CREATE | MOVED_FROM | MOVED_TO | DELETE | ATTRIB | CLOSE_WRITE | DELETE_SELF | MOVE_SELF | ONLYDIR

_HEADER = struct.Struct("iIII")
_READ_SIZE = 64 * 1024
MANY = _READ_SIZE // (_HEADER.size + 256)
"""If `Inotify.read` gives fewer events than this, there were no more."""

_REMOTE = frozenset(
    {
        0x6969,  # NFS
        0xFF534D42,  # CIFS
        0xFE534D42,  # SMB2
        0x517B,  # SMB
        0x01021997,  # 9p
        0x65735546,  # FUSE
        0x00C36400,  # Ceph
        0x5346414F,  # AFS
        0x01161970,  # GFS2
        0x7461636F,  # OCFS2
        0x0BD00BD0,  # Lustre
        0x47504653,  # GPFS
    }
)
"""File systems on which other hosts (or a server process) write without the kernel here seeing it."""

_libc = ctypes.CDLL(None, use_errno=True)


class Event(NamedTuple):
    """What happened: `watch` as `Inotify.add` gave it, `name` the directory entry or empty."""

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """An inotify instance; `fileno()` is readable when there are events.  OSError when no more instances can be had."""

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int) -> int:
        """Watch the inode that `path` names (links are followed); the same inode gives the same number again."""
        return _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(mask)))

    def add_fd(self, fd: int, mask: int) -> int:
        """Watch the very inode that `fd` is open on, whatever its name is by now.  FileNotFoundError without /proc."""
        return self.add(f"/proc/self/fd/{fd}", mask)

    def remove(self, watch: int) -> None:
        """Stop watching; a watch that the kernel has dropped already is no error."""
        _libc.inotify_rm_watch(self._fd, ctypes.c_int(watch))

    def read(self) -> list[Event]:
        """The events that are there now, a bounded number of them."""
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return []
        events: list[Event] = []
        at = 0
        while at < len(data):
            watch, mask, cookie, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            events.append(Event(watch, mask, cookie, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
            at += length
        return events

    def close(self) -> None:
        os.close(self._fd)


def is_remote(path: str | int) -> bool:
    """Whether a path, or the file of a descriptor, is on a file system that is written to behind this kernel's back.

    False when nobody knows.
    """
    space = ctypes.create_string_buffer(512)
    if _libc.fstatfs(path, space) if isinstance(path, int) else _libc.statfs(os.fsencode(path), space):
        return False
    kind = ctypes.c_ulong.from_buffer(space).value & 0xFFFFFFFF
    return kind in _REMOTE


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))
    return result
