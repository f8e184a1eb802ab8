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
from nativemtail.io.catch_up import Backlog
from nativemtail.io.changes import Changes
from nativemtail.io.compressed import Corrupt, GrowingZstdDecoder, Truncated
from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.loop import Loop
from nativemtail.io.patterns import LogSpec
from nativemtail.io.saved import Record, Saved, SavedSegment, key_of
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
    """One file.  Its first `skip` bytes were written before the first start and are not delivered.

    The first `counted` bytes of its text were counted before a restart; with `in_cut_line`, more up to a newline.
    """

    def __init__(self, path: str, source: Source, place: SavedSegment, max_line_length: int) -> None:
        self.path = path
        self._source = source
        self._skip = place.skip
        self._raw = plainfile.open_file(path)
        self.decoder = GrowingZstdDecoder(self._raw)
        self.lines = LineReader(self._unless_old, max_line_length)
        if place.in_cut_line:
            self.lines.skip_line()
        self._counted = place.offset
        self._offset = 0

    def place(self, source: str, entry: Entry) -> SavedSegment:
        """The first byte that is not counted."""
        offset = max(self._counted, self._offset - self.lines.uncounted)
        return SavedSegment(source, *entry, offset, self._skip, self.lines.is_in_cut_line)

    def read(self, buffer: Buffer) -> int:
        """Read once; 0 if there is nothing now.  Raises OSError, Corrupt."""
        if self._offset < self._counted:
            with memoryview(buffer.data) as view, view[: self._counted - self._offset] as target:
                count = self.decoder.readinto(target)
                self._offset += count
                return count
        return self.lines.read(buffer, self._read_into) or 0

    def _read_into(self, target: memoryview) -> int:
        count = self.decoder.readinto(target)
        self._offset += count
        return count

    @property
    def is_counting(self) -> bool:
        """Whether what is read now is neither history nor was counted before a restart."""
        return not self.is_skipping and self._offset >= self._counted

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

    What exists at the very first start is not delivered (row `new-file`), unless `from_beginning` or `until_end`; later
    segments are read from their beginning.  `saved` is what was kept of all sources by the last run, if positions are
    kept.
    """

    reading = 1
    """How many sources are being read."""

    def __init__(
        self,
        context: Context,
        loop: Loop,
        changes: Changes,
        spec: LogSpec,
        *,
        saved: Saved | None = None,
        from_beginning: bool = False,
        until_end: bool = False,
    ) -> None:
        self.source = context.hold(spec.name)
        self._context = context
        self._loop = loop
        self._directory = spec.address
        self._open: dict[Entry, _Segment] = {}
        self._waiting: list[Entry] = []
        self._is_continued = saved is not None and spec.name in saved.patterns
        self._from_beginning = from_beginning or until_end
        saved_here = saved.segments.get(spec.name, {}) if saved is not None else {}
        self._places: dict[tuple[str, int], SavedSegment] = dict(saved_here)
        """By name and inode: the segments that are partly counted, and are not open."""
        self._done: set[Entry] = set()
        self._changed: dict[Entry, None] = {}
        """Those of which there is something to save."""
        self._refused: dict[Entry, str] = {}
        """Segments that could not be opened, and the message that was logged."""
        self._changes = changes
        self._watch = -1
        self._problem = ""
        self._drained = False
        self._until_end = until_end
        self.ended = False

    def start(self) -> None:
        """Find out which of the segments that exist are new."""
        try:
            entries = find_segments(self._directory, self._context.settings.ignore)
        except OSError:
            entries = []
        if self._is_continued:
            self._go_on(entries)
        elif not self._from_beginning:
            self._skip_all(entries)
        if self._until_end:
            self._look()
            self._loop.queue(self)
            return
        if self._context.settings.inotify:
            with contextlib.suppress(OSError):
                self._changes.start(self._loop)
        self._changes.observe(self)
        self._find()
        self._sweep()

    def _skip_all(self, entries: list[Entry]) -> None:
        for entry in entries:
            with contextlib.suppress(OSError):
                info = os.stat(os.path.join(self._directory, entry.name))
                if is_finished(info):
                    self._done.add(entry)
                elif stat.S_ISREG(info.st_mode):
                    self._places[entry] = SavedSegment(self.source.name, *entry, 0, info.st_size)
                self._touch(entry)

    def _go_on(self, entries: list[Entry]) -> None:
        """Continue after a restart: what is not known is read from its beginning."""
        for entry, place in list(self._places.items()):
            if place.is_done:
                self._done.add(Entry(*entry))
                del self._places[entry]
        for place in self._forget_all_but(entries):
            self._context.counters.lost_logs_total += 1
            log.warning("%s: the segment that was read before the restart is gone", place.name)

    def _forget_all_but(self, entries: list[Entry]) -> list[SavedSegment]:
        """Forget segments that are gone; those that were not read to their ends.

        Where there is nothing at all, a file system may not be mounted.
        """
        here = set(entries) if entries else self._done.union(self._places)
        for entry in self._done - here:
            self._done.discard(entry)
            self._touch(entry)
        gone = [Entry(*entry) for entry in self._places.keys() - here]
        for entry in gone:
            self._touch(entry)
        return [self._places.pop(entry) for entry in gone]

    def positions(self) -> dict[str, Record | None]:
        """The records of the segments that changed since the last call, by key; None for one that is gone."""
        found: dict[str, Record | None] = {}
        for entry in self._changed:
            place = self._place_of(entry)
            known = place or SavedSegment(self.source.name, *entry, 0)
            found[key_of(known)] = place.to_dict() if place is not None else None
        self._changed.clear()
        return found

    def _touch(self, entry: Entry) -> None:
        if self._context.resumes:
            self._changed[entry] = None

    def _place_of(self, entry: Entry) -> SavedSegment | None:
        segment = self._open.get(entry)
        if segment is not None:
            return segment.place(self.source.name, entry)
        if entry in self._done:
            return SavedSegment(self.source.name, *entry, 0, is_done=True)
        return self._places.get(entry)

    def backlog(self) -> Backlog:
        """What is left of what the segments contain now."""
        ends = {entry: self._size_of(entry) for entry in [*self._open, *self._waiting]}

        def left() -> dict[str, int]:
            total = 0
            for entry, end in list(ends.items()):
                segment = self._open.get(entry)
                rest = end - segment.decoder.position if segment is not None else end
                if rest > 0 and (segment is not None or entry in self._waiting):
                    total += rest
                else:
                    del ends[entry]
            return {self.source.name: total} if total else {}

        return left

    def _size_of(self, entry: Entry) -> int:
        try:
            return os.stat(os.path.join(self._directory, entry.name)).st_size
        except OSError:
            return 0

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
                self._leave_off(entry, segment)
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
            self._end_lines(segment)
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
            self._end_lines(segment)
        return left

    def _end_lines(self, segment: _Segment) -> None:
        """Deliver the unterminated last line before the stop, unless it is to be read again."""
        if not self._context.resumes:
            segment.lines.finish()

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
        self._forget_all_but(entries)
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
        place = self._places.get(entry) or SavedSegment(self.source.name, *entry, 0)
        self._open[entry] = _Segment(path, self.source, place, self._context.settings.max_line_length)
        self._places.pop(entry, None)
        self._touch(entry)
        self._open = dict(sorted(self._open.items()))
        self._context.counters.log_opens_total[self.source.name] += 1

    def _read(self, entry: Entry, segment: _Segment) -> bool:
        """Read once; whether there was something to read."""
        counters, name = self._context.counters, self.source.name
        try:
            count = segment.read(self._context.buffer)
        except (OSError, Corrupt) as error:
            self._failed(f"{segment.path}: {reason(error) if isinstance(error, OSError) else error}")
            self._end(entry, segment)
            return True
        if segment.is_counting:
            counters.log_bytes_total[name] += count
        if count:
            self._touch(entry)
        counters.count_lines(segment.lines, name)
        return count > 0

    def _finish(self, entry: Entry, segment: _Segment) -> None:
        if not segment.decoder.is_complete or segment.decoder.position < segment.status().st_size:
            self._failed(f"{segment.path}: {Truncated()}")
        self._end(entry, segment)

    def _end(self, entry: Entry, segment: _Segment) -> None:
        segment.lines.finish()
        self._close_segment(entry, segment)
        self._done.add(entry)

    def _leave_off(self, entry: Entry, segment: _Segment) -> None:
        """Read no more of a segment that is not finished in this run."""
        if not self._context.resumes:
            self._end(entry, segment)
            return
        self._places[entry] = segment.place(self.source.name, entry)
        self._close_segment(entry, segment)

    def _close_segment(self, entry: Entry, segment: _Segment) -> None:
        segment.close()
        del self._open[entry]
        self._touch(entry)
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
