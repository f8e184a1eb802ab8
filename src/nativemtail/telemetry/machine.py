"""Resources of the machine and the process: CPU time, memory, free space on disks."""

from __future__ import annotations

import logging
import os
import queue
import resource
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)


class CpuUsage:
    """Percent of a processor that the process used since the last call, measured over at least `period` seconds."""

    def __init__(self, period: float = 1.0) -> None:
        self._period = period
        self._lock = threading.Lock()
        self._since = time.monotonic() - period
        self._used = 0.0
        self._percent = 0.0

    def percent(self) -> float:
        with self._lock:
            now, used = time.monotonic(), time.process_time()
            if now - self._since >= self._period:
                self._percent = 100 * (used - self._used) / (now - self._since)
                self._since, self._used = now, used
            return self._percent


class Space(NamedTuple):
    """Space on a file system: bytes and inodes, free (for ordinary users) and in all."""

    bytes_free: int
    bytes: int
    inodes_free: int
    inodes: int


class DiskSpace:
    """Free space of the file systems that hold the logs.

    A network file system may hang, so a separate thread queries them, at most once in `period` seconds; a scrape waits
    for at most `patience` seconds and then shows the previous result.  Without the thread there are no results.
    """

    def __init__(self, period: float = 10.0, patience: float = 0.2) -> None:
        self._period = period
        self._patience = patience
        self._known: dict[str, Space] = {}
        self._asked = -period
        self._thread: threading.Thread | None = None
        self._questions: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Start the thread; False if the system does not allow one."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="disk-space", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def free(self, paths: Iterable[str]) -> dict[str, Space]:
        """Space by mount point of the file systems that hold `paths`."""
        with self._lock:
            due = self._idle.is_set() and time.monotonic() - self._asked >= self._period
            if due and self.start():
                self._asked = time.monotonic()
                self._idle.clear()
                self._questions.put({os.path.dirname(path) for path in paths})
        self._idle.wait(self._patience)
        return self._known

    def _run(self) -> None:
        while True:
            directories = self._questions.get()
            try:
                self._ask(directories)
            finally:
                self._idle.set()

    def _ask(self, directories: set[str]) -> None:
        known: dict[str, Space] = {}
        devices: set[int] = set()
        for directory in sorted(directories):
            try:
                device = os.stat(directory).st_dev
                if device not in devices:
                    devices.add(device)
                    room = os.statvfs(directory)
                    known[_mount_point(directory)] = Space(
                        room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize, room.f_favail, room.f_files
                    )
            except OSError:
                continue
        self._known = known


def _mount_point(directory: str) -> str:
    path = os.path.realpath(directory)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def resident_memory() -> int:
    """Resident memory of this process in bytes; its peak where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
