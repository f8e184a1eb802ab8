"""Notices changed programs and loads them while the engine keeps running (spec runtime.md §6.3)."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from nativemtail.io import watch
from nativemtail.io.loop import Loop
from nativemtail.programs.directory import SUFFIX, list_all
from nativemtail.programs.manager import Programs
from nativemtail.telemetry.counters import Latency

log = logging.getLogger(__name__)

_EVENTS = (
    watch.CREATE | watch.MOVED_FROM | watch.MOVED_TO | watch.DELETE | watch.CLOSE_WRITE | watch.ATTRIB | watch.MOVE_SELF
)
_QUIET = 0.2
_PATIENCE = 2.0
_SWEEP = 10.0
_POLL = 1.0

Signature = tuple[tuple[str, int, int, int, int, int], ...]
"""Name, device, inode, size, times of content and attributes of each program."""


class ProgramWatch:
    """Calls `changed`, in the loop's thread, when program files have changed and then stayed unchanged for a moment.

    An editor writes, renames and deletes several files at once, which is one change.  What inotify does not report (a
    changed link in the path, a network file system) is found by polling.
    """

    def __init__(
        self, loop: Loop, paths: Sequence[str], changed: Callable[[], None], included: Callable[[], set[str]] = set
    ) -> None:
        """`included` gives the paths where included files are looked for."""
        self._included = included
        self._loop = loop
        self._paths = paths
        self._changed = changed
        self._directories: list[str] = []
        self._inotify: watch.Watcher | None = None
        self._watches: set[int] = set()
        self._is_complete = False
        self._first = 0.0
        self._last = 0.0
        self._pending = False
        self._awaiting = False
        self._seen: Signature = ()

    def start(self) -> None:
        """Begin to watch: changes from now on are reported."""
        places = [path if os.path.isdir(path) else os.path.dirname(path) or "." for path in self._paths]
        self._directories = list(dict.fromkeys(places))
        with contextlib.suppress(OSError):
            self._inotify = watch.Watcher(thread=False)
            self._loop.add(self._inotify.fileno(), self._on_events)
        self._watch()
        self._seen = self._signature()
        self._sweep()

    def follow_included(self) -> None:
        """Programs were loaded, which may include other files than before: watch these, too."""
        self._watch()
        if self._signature() != self._seen:
            self._touch()

    def close(self) -> None:
        if self._inotify is not None:
            self._loop.remove(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def _watch(self) -> None:
        """Watch the directories, and those that programs are linked from."""
        if self._inotify is None:
            return
        watches: set[int] = set()
        watched: set[str] = set()
        for path in (*self._directories, *self._links(), *sorted({os.path.dirname(p) for p in self._included()})):
            with contextlib.suppress(OSError):
                watches.add(self._inotify.add(path, _EVENTS))
                watched.add(path)
        self._is_complete = watched.issuperset(self._directories)
        for number in self._watches - watches:
            self._inotify.remove(number)
        self._watches = watches

    def _links(self) -> Iterator[str]:
        yield from filter(os.path.islink, list_all(self._paths).programs.values())

    def _signature(self) -> Signature:
        found = []
        programs, clashes, _ = list_all(self._paths)
        files = [*programs.items(), *zip(clashes, clashes, strict=True), *((p, p) for p in sorted(self._included()))]
        for name, path in files:
            with contextlib.suppress(OSError):
                info = os.stat(path)
                found.append((name, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
        return tuple(found)

    def _on_events(self, events: int) -> None:
        assert self._inotify is not None
        names = {os.path.basename(path) for path in self._included()}
        for event in self._inotify.read():
            # Kubernetes swaps a link whose name begins with ".." when a ConfigMap changes.
            if not event.name or event.name.endswith(SUFFIX) or event.name.startswith("..") or event.name in names:
                self._touch()

    def _touch(self) -> None:
        self._last = time.monotonic()
        if not self._pending:
            self._pending = True
            self._first = self._last
            self._loop.after(_QUIET, self._settle)

    def _settle(self) -> None:
        now = time.monotonic()
        if now - self._last < _QUIET and now - self._first < _PATIENCE:
            self._loop.after(_QUIET, self._settle)
            return
        self._pending = False
        self._compare()

    def _compare(self) -> None:
        self._watch()  # a directory may have been replaced
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            self._watch()
            self._changed()
        self._await()

    def _await(self) -> None:
        """Poll for directories that have disappeared and cannot be watched."""
        missing = [path for path in self._directories if not os.path.isdir(path)]
        if self._awaiting or self._inotify is None or not missing:
            return

        def look() -> None:
            self._awaiting = False
            if any(map(os.path.isdir, missing)):
                self._touch()
            self._await()

        self._awaiting = True
        self._loop.after(_POLL, look)

    def _sweep(self) -> None:
        reliable = self._is_complete and not any(map(watch.is_remote, self._directories))
        self._loop.after(_SWEEP if reliable else _POLL, self._swept)

    def _swept(self) -> None:
        if not self._pending and self._signature() != self._seen:
            self._touch()
        if not self._is_complete:
            self._watch()
        self._sweep()


class Reloader:
    """Compiles in its own thread and commits between two blocks of lines; a failure changes nothing.

    Calls `loaded` after each attempt.  `loop` runs in that thread, too: a program may be on a mount that hangs.
    """

    def __init__(
        self,
        programs: Programs,
        latency: Latency,
        *,
        loaded: Callable[[], None],
    ) -> None:
        self._programs = programs
        self._latency = latency
        self._loaded = loaded
        self.loop = Loop()
        self._requested = False
        self._asked = False
        self._stopping = False
        self._first: Callable[[], None]
        self._ready = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self, first: Callable[[], None] = lambda: None) -> None:
        """Start the thread, which does `first` before anything else."""
        self._first = first
        self._thread.start()

    def is_ready(self, seconds: float) -> bool:
        """Wait for `first`, for at most `seconds`; whether it has been done.  Raises what it raised."""
        if not self._ready.wait(seconds):
            return False
        if self._failed is not None:
            raise self._failed
        return True

    def request(self, *, asked: bool = False) -> None:
        """Have the other thread look for changes soon.  Requests during a load cause one more load.

        `asked`: a person requested it, so persisting errors are reported again.
        """
        self._asked = self._asked or asked
        self._requested = True
        self.loop.wake()

    def stop(self, patience: float = 2.0) -> bool:
        """Stop the thread; a running load has no effect.  Whether it has ended within `patience` seconds."""
        self._stopping = True
        self.loop.wake()
        if self._thread.ident is not None:
            self._thread.join(patience)
        return not self._thread.is_alive()

    def load(self) -> None:
        """Load what is new or changed, in the caller's thread.  Programs that fail are logged and left out."""
        begin = time.perf_counter()
        asked, self._asked = self._asked, False
        change = self._programs.prepare(asked=asked)
        if change is None or self._stopping:
            return
        self._programs.commit(change)
        seconds = time.perf_counter() - begin
        own = {name: self._programs.status[name].load_seconds for name in change.loaded}
        for name in change.loaded:
            self._latency.observe(seconds - sum(own.values()) + own[name])

    def _run(self) -> None:
        try:
            self._first()
        except Exception as error:
            self._failed = error
            self._stopping = True
        self._ready.set()
        while not self._stopping:
            self.loop.run_once()
            if not self._requested or self._stopping:
                continue
            self._requested = False
            try:
                self.load()
            except Exception:
                log.exception("programs could not be reloaded; those that ran before keep running")
            self._loaded()
