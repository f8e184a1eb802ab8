"""inotify, and whether it can be relied on for a directory or file."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from nativemtail._core import FileWatcher

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
MASK_ADD = 0x20000000

NEW_ENTRY = CREATE | MOVED_TO | MOVED_FROM | DELETE
"""Events after which a name refers to another file, or to none."""

FILE_EVENTS = MODIFY | ATTRIB | MOVE_SELF | DELETE_SELF
DIRECTORY_EVENTS = CREATE | MOVED_FROM | MOVED_TO | DELETE | ATTRIB | CLOSE_WRITE | DELETE_SELF | MOVE_SELF | ONLYDIR

MANY = 4096
"""If `Watcher.read` returns fewer events than this, there were no more."""

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
    """An inotify event: `watch` as `Watcher.add` returned it, `name` of the directory entry or empty.

    `fd` is an O_PATH descriptor of the file that had the name when it appeared, if that was requested, else -1.
    """

    watch: int
    mask: int
    cookie: int
    name: str
    fd: int = -1


class Watcher:
    """An inotify instance; `fileno()` is readable when there are events.  Raises OSError if there are too many."""

    def __init__(self, *, thread: bool = True) -> None:
        self._native = FileWatcher(thread=thread)

    def fileno(self) -> int:
        return self._native.fileno()

    def add(self, path: str, mask: int) -> int:
        """Watch the inode that `path` names (links are followed); the same inode gives the same number again."""
        return self._native.add(path, mask)

    def add_fd(self, fd: int, mask: int) -> int:
        """Watch the inode that `fd` refers to, whatever its name is now.  Raises FileNotFoundError without /proc."""
        return self.add(f"/proc/self/fd/{fd}", mask)

    def remove(self, watch: int) -> None:
        """Stop watching; it is no error if the kernel has already dropped the watch."""
        self._native.remove(watch)

    def open_new(self, watch: int, directory: str, pieces: list[str]) -> None:
        """Open what appears in a watched directory under a name that contains `pieces` (Glob.last).  Raises OSError."""
        self._native.open_new(watch, directory, pieces)

    def read(self) -> list[Event]:
        """The pending events, up to a bounded number."""
        return [Event._make(event) for event in self._native.read(MANY)]

    def close(self) -> None:
        self._native.close()


def is_remote(path: str | int) -> bool:
    """Whether a path or descriptor is on a file system where other hosts write without local inotify events.

    False if unknown.
    """
    space = ctypes.create_string_buffer(512)
    if _libc.fstatfs(path, space) if isinstance(path, int) else _libc.statfs(os.fsencode(path), space):
        return False
    kind = ctypes.c_ulong.from_buffer(space).value & 0xFFFFFFFF
    return kind in _REMOTE
