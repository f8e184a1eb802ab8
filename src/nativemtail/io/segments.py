"""A directory of Zstandard segments, as KumoMTA writes its logs: `zstd:///var/log/kumomta`.

The writer opens one segment after another, flushes blocks to it, and removes its write permission when it is finished.
Names sort by age; names that begin with a dot are ignored.  All segments are one source.  With `until_end`, only the
segments that exist are read, as far as they have been written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nativemtail import plainfile
from nativemtail.gotext import explain, reason
from nativemtail.io import watch
from nativemtail.io.changes import Changes
from nativemtail.io.compressed import Corrupt, GrowingZstdDecoder, Truncated
from nativemtail.io.lines import LineReader
from nativemtail.io.loop import Loop
from nativemtail.io.patterns import LogSpec
from nativemtail.io.sources import Context, Source

MAX_OPEN = 64
"""Maximum number of open segments; more wait.  The oldest that was not written to for `ABANDONED` seconds is closed, as
its writer must have crashed."""
ABANDONED = 60.0

_EVENTS = watch.DIRECTORY_EVENTS | watch.MODIFY
_LOST = watch.DELETE_SELF | watch.MOVE_SELF | watch.UNMOUNT | watch.IGNORED
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A directory entry; the inode tells it from a later one of the same name."""

    name: str
    inode: int


def find_segments(directory: str, ignore: Callable[[str], object] | None) -> list[Entry]:
    """The segments, oldest first.  Raises OSError."""
    with os.scandir(directory) as entries:
        found = [Entry(entry.name, entry.inode()) for entry in entries if not entry.name.startswith(".")]
    return sorted(entry for entry in found if ignore is None or not ignore(entry.name))


def is_finished(info: os.stat_result) -> bool:
    """Whether nothing will be written to it any more: it is read-only or deleted."""
    return not info.st_mode & _WRITABLE or not info.st_nlink


class _Segment:
    """One file.  Its first `skip` bytes were written before the start and are not delivered."""

    def __init__(self, path: str, source: Source, skip: int, max_line_length: int) -> None:
        self.path = path
        self._source = source
        self._skip = skip
        self._raw = plainfile.open_file(path)
        self.decoder = GrowingZstdDecoder(self._raw)
        self.lines = LineReader(self._unless_old, max_line_length)

    @property
    def is_skipping(self) -> bool:
        return self.decoder.position <= self._skip

    def status(self) -> os.stat_result:
        return os.fstat(self._raw.fileno())

    def close(self) -> None:
        self._raw.close()

    def _unless_old(self, block: bytearray, start: int, end: int) -> int:
        if self.is_skipping:
            return 0
        return self._source.deliver(block, start, end)


class SegmentDirectory:
    """Follows the segments in `directory`, which may be created later.  Belongs to the loop's thread.

    What exists at the start is not delivered (row `new-file`), except with `until_end`; later segments are read from
    their beginning.
    """

    reading = 1
    """How many sources are being read."""

    def __init__(
        self, context: Context, loop: Loop, changes: Changes, spec: LogSpec, *, until_end: bool = False
    ) -> None:
        self.source = context.hold(spec.name)
        self._context = context
        self._loop = loop
        self._directory = spec.address
        self._open: dict[Entry, _Segment] = {}
        self._waiting: list[Entry] = []
        self._skip: dict[Entry, int] = {}
        self._done: set[Entry] = set()
        self._refused: dict[Entry, str] = {}
        """Segments that could not be opened, and the message that was logged."""
        self._changes = changes
        self._watch = -1
        self._problem = ""
        self._drained = False
        self._until_end = until_end
        self.ended = False

    def start(self) -> None:
        """Record the segments that exist."""
        if self._until_end:
            self._look()
            self._loop.queue(self)
            return
        try:
            entries = find_segments(self._directory, self._context.settings.ignore)
        except OSError:
            entries = []
        for entry in entries:
            with contextlib.suppress(OSError):
                info = os.stat(os.path.join(self._directory, entry.name))
                if is_finished(info):
                    self._done.add(entry)
                elif stat.S_ISREG(info.st_mode):
                    self._skip[entry] = info.st_size
        if self._context.settings.inotify:
            with contextlib.suppress(OSError):
                self._changes.start(self._loop)
        self._changes.observe(self)
        self._find()
        self._sweep()

    def turn(self) -> bool:
        """Read once, from the oldest segment that has something."""
        self._fill()
        for entry, segment in list(self._open.items()):
            if self._open.get(entry) is not segment:
                continue  # closed meanwhile, in favour of others
            finished = is_finished(segment.status())
            if self._read(entry, segment):
                return True
            if finished:
                self._finish(entry, segment)
            elif self._until_end:
                self._end(entry, segment)
            self._fill()
        if not self._until_end:
            return False
        self.ended = not self._open
        return not self.ended

    def drain(self) -> Iterator[None]:
        """Read everything to its end once more and deliver what is unterminated."""
        self._look()
        while self.turn():
            yield
        for segment in self._open.values():
            segment.lines.finish()
        self._drained = True

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Give up what `drain` did not reach: the source's name, and how many (compressed) bytes."""
        if not self._drained:
            yield self.source.name, self._leave()

    def _leave(self) -> int:
        left = sum(segment.status().st_size - segment.decoder.position for segment in self._open.values())
        for entry in self._waiting:
            with contextlib.suppress(OSError):
                left += os.stat(os.path.join(self._directory, entry.name)).st_size
        for segment in self._open.values():
            if left:
                segment.lines.drop()
            segment.lines.finish()
        return left

    def close(self) -> None:
        for segment in self._open.values():
            segment.close()
        self._open.clear()
        self._changes.unwatch_directory(self._watch)
        self._context.release(self.source)

    # Segments

    def _look(self) -> None:
        """Find new segments."""
        try:
            entries = find_segments(self._directory, self._context.settings.ignore)
        except OSError as error:
            self._failed(explain(error, "open", self._directory))
            return
        self._problem = ""
        self._done.intersection_update(entries)
        if self._refused:
            self._refused = {entry: self._refused[entry] for entry in entries if entry in self._refused}
        known = self._done.union(self._open, self._waiting)
        new = [entry for entry in entries if entry not in known]
        if new:
            self._waiting = sorted([*self._waiting, *new])

    def _fill(self) -> None:
        """Open waiting segments, oldest first."""
        while self._waiting:
            if len(self._open) >= MAX_OPEN and not self._give_up_one():
                return
            entry = self._waiting.pop(0)
            path = os.path.join(self._directory, entry.name)
            try:
                if stat.S_ISREG(os.stat(path).st_mode):
                    self._open_segment(entry)
                else:
                    self._done.add(entry)
            except FileNotFoundError:
                continue
            except OSError as error:
                text = explain(error, "open", path)
                if self._refused.get(entry) != text:
                    self._refused[entry] = text
                    self._failed(text)

    def _open_segment(self, entry: Entry) -> None:
        path = os.path.join(self._directory, entry.name)
        skip = self._skip.get(entry, 0)
        self._open[entry] = _Segment(path, self.source, skip, self._context.settings.max_line_length)
        self._skip.pop(entry, None)
        self._open = dict(sorted(self._open.items()))
        self._context.counters.log_opens_total[self.source.name] += 1

    def _read(self, entry: Entry, segment: _Segment) -> bool:
        """Read once; whether there was something to read."""
        counters, name = self._context.counters, self.source.name
        try:
            count = segment.lines.read(self._context.buffer, segment.decoder.readinto) or 0
        except (OSError, Corrupt) as error:
            self._failed(f"{segment.path}: {reason(error) if isinstance(error, OSError) else error}")
            self._end(entry, segment)
            return True
        if not segment.is_skipping:
            counters.log_bytes_total[name] += count
        counters.count_lines(segment.lines, name)
        return count > 0

    def _finish(self, entry: Entry, segment: _Segment) -> None:
        if not segment.decoder.is_complete or segment.decoder.position < segment.status().st_size:
            self._failed(f"{segment.path}: {Truncated()}")
        self._end(entry, segment)

    def _end(self, entry: Entry, segment: _Segment) -> None:
        segment.lines.finish()
        segment.close()
        del self._open[entry]
        self._done.add(entry)
        self._context.counters.log_closes_total[self.source.name] += 1

    def _give_up_one(self) -> bool:
        for entry, segment in self._open.items():
            info = segment.status()
            if info.st_size == segment.decoder.position and time.time() - info.st_mtime > ABANDONED:
                self._context.counters.limits_total["open_files"] += 1
                self._end(entry, segment)
                return True
        return False

    def _failed(self, text: str) -> None:
        """Count a failure, and log it unless it was the last one logged."""
        self._context.counters.log_errors_total[self.source.name] += 1
        if text != self._problem:
            log.error("%s", text)
        self._problem = text

    # Waking

    def _sweep(self) -> None:
        """List the directory from time to time, in case inotify has missed something."""
        self._look()
        self._loop.queue(self)
        self._loop.after(self._context.settings.sweep, self._sweep)

    def _find(self) -> None:
        """Watch the directory; as long as that is not possible, poll it."""
        self._changes.unwatch_directory(self._watch)
        self._watch = -1
        if not watch.is_remote(self._directory):
            with contextlib.suppress(OSError):
                self._watch = self._changes.watch_directory(self._directory, _EVENTS)
        self._look()
        self._loop.queue(self)
        if self._watch < 0:
            self._loop.after(self._context.settings.poll_interval, self._find)

    def note(self, event: watch.Event) -> None:
        """Handle the change later, in the loop."""
        is_overflow = bool(event.mask & watch.OVERFLOW)
        if event.watch != self._watch and not is_overflow:
            return
        if not event.name and event.mask & _LOST:
            # A directory of this name that appears later is another one.
            self._watch = -1
            self._loop.after(0, self._find)
        elif event.mask & watch.NEW_ENTRY or is_overflow:
            self._loop.after(0, self._look)
        self._loop.queue(self)
