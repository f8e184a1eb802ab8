"""Decides which files are followed: patterns, directories, rotation, new and deleted files (spec inputs.md §2, §3.2).

The state is in three tables: paths that match a pattern, readers by inode, watched directories.  Whatever may have
changed a path (an inotify event, a poll, the sweep) calls `look`, which matches the path with the reader of its file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator

from nativemtail.globs import Glob
from nativemtail.io import watch
from nativemtail.io.archive import ArchiveReader, is_archive
from nativemtail.io.archives import Archives
from nativemtail.io.catch_up import FileBacklog
from nativemtail.io.changes import Changes
from nativemtail.io.copies import Copies
from nativemtail.io.descriptors import OPEN_FLAGS, Descriptors, Inodes, open_as, stands_for
from nativemtail.io.directories import Directories, Directory
from nativemtail.io.file import FileReader
from nativemtail.io.filewatches import FileWatches
from nativemtail.io.first_offset import FirstOffsets
from nativemtail.io.follow import is_stale
from nativemtail.io.followed import Followed, LogPath, Reader, State
from nativemtail.io.generations import Made
from nativemtail.io.lineage import LATER, Generation
from nativemtail.io.listing import Listings
from nativemtail.io.loop import Loop, in_turns
from nativemtail.io.matching import Matching
from nativemtail.io.pipe import FifoReader
from nativemtail.io.position import Identity, identity
from nativemtail.io.positions import Positions
from nativemtail.io.replaced import Doubt
from nativemtail.io.reports import Reports
from nativemtail.io.restart import Restart
from nativemtail.io.retries import Retries
from nativemtail.io.rotation import Rotation
from nativemtail.io.saved import Saved
from nativemtail.io.sources import Context
from nativemtail.io.succession import Succession
from nativemtail.io.sweep import STEP, Sweep
from nativemtail.io.table import Table
from nativemtail.io.timers import Timers

SPARE_DESCRIPTORS = 256
_DRAIN_TICK = 0.25
_DOUBT_TICK = 0.05
_STALE_WAIT = 1.0
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENAMETOOLONG})


class Discovery:
    """Follows the files and named pipes that `globs` name.  Belongs to the loop's thread."""

    def __init__(
        self,
        context: Context,
        loop: Loop,
        changes: Changes,
        globs: Iterable[Glob],
        max_files: int,
        *,
        saved: Saved | None = None,
        from_beginning: bool = False,
        until_end: bool = False,
    ) -> None:
        globs = list(globs)
        self._draining = self.drain() if until_end else None
        self.ended = False
        """With `until_end`: whether everything was read to its end.  Otherwise files may always grow or appear."""
        self._saved = saved
        self._from_beginning = from_beginning
        self._context = context
        self._loop = loop
        self._changes = changes
        self._listings = Listings(changes)
        self.descriptors = Descriptors(max_files)
        self._inodes = Inodes()
        self._table = Table(context)
        self._reports = Reports(context.counters)
        self._timers = Timers(loop)
        self._directories = Directories(changes, self._reports, self._look_below_soon)
        self._first_offsets = FirstOffsets(changes, self._table, self._directories, self._listings)
        settings = context.settings
        self._matching = Matching(
            globs, loop, self._timers, self._directories, self._reports, settings.poll_log_interval, self._look_if_new
        )
        self._watches = FileWatches(changes, self._reports, self._timers, settings.poll_interval, self.look)
        self._sweep = Sweep(loop, self._table.paths, self.look, self._end_sweep)
        self._rotation = Rotation(context, loop, self._table)
        self._copies = Copies(loop, self._timers, self._table, context.settings)
        self._archives = Archives(
            context, loop, self._timers, self._table, self.descriptors, self._open_file, self.look
        )
        self._doubtful: dict[Followed, None] = {}
        self._retries = Retries(context, loop, self._reports, self.look)
        self._looking: set[str] = set()
        self._is_up_to_date = True
        self._succession = Succession(
            loop, self.catch_up, self._adopt, self._copies.is_read, self._open_file, self._listings
        )
        known = saved or Saved()
        self._restart = Restart(
            known, globs, self._table, self._archives, self._open_file, self._follow, self._begin_drain
        )
        self.positions = Positions(
            context.moved, self._table, self._archives, self._succession, known, self._restart.is_awaited
        )

    @property
    def reading(self) -> int:
        """Paths that are being read."""
        return sum(1 for path in list(self._table.paths.values()) if path.reader is not None)

    def start(self) -> None:
        """Follow existing files from their ends; later ones are read from their beginning (row `new-file`).

        Saved logs are read on from where they had been counted to.
        """
        started = self._saved.started if self._saved is not None else 0
        restart = self._restart if self._saved is not None else None
        self._first_offsets.begin(restart, started, from_beginning=self._from_beginning)
        self._changes.handled_by(self._on_events)
        if self._context.settings.inotify:
            try:
                self._changes.start(self._loop)
            except OSError as error:
                self._reports.limit("watches", "inotify is not available (%s): polling", error.strerror)
        self._first_offsets.is_starting = True
        if started:
            self._matching.watch()
            self._restart.begin(self._succession)
        self._matching.start()
        self._first_offsets.is_starting = False
        self._restart.count_lost(self._context.counters, self._retries.pending)
        self._sweep.every(self._context.settings.sweep)
        if self._draining is not None:
            self._loop.queue(self)

    def turn(self) -> bool:
        """With `until_end`, read the next block."""
        assert self._draining is not None
        self.ended = next(self._draining, self) is self
        return not self.ended

    def backlog(self) -> FileBacklog:
        """What is left of what the files contain now."""
        return FileBacklog(self._table, self._retries.pending, lambda: self._succession.unresolved)

    @property
    def started(self) -> int:
        """When logs were first followed, in nanoseconds since 1970."""
        return self._first_offsets.started

    def followed(self) -> list[tuple[str, int, Identity]]:
        """Path, offset and identity of every regular file that is being read; may be called from any thread."""
        found: list[tuple[str, int, Identity]] = []
        for path in list(self._table.paths.values()):
            reader = path.reader
            if isinstance(reader, Followed):
                found.append((path.path, reader.offset, reader.identity))
        return found

    def drain(self) -> Iterator[None]:
        """Read everything to its present end, rotated files first, and deliver unterminated lines."""
        self._copies.must_decide = True
        while self._changes.is_on:
            self._on_events()
            if not self._rotation.is_unproven:
                break
            yield
        if self._sweep.is_running:  # events were lost: find the changes by looking
            yield from self._look_at_all()
        self._matching.expand()
        yield from self._succession.drain()
        for rotated in self._rotation:
            yield from rotated.drain()
        others = [reader for reader in self._table.readers.values() if reader not in self._rotation]
        yield from in_turns(reader.drain() for reader in others if reader not in self._copies)
        # Last, the files that may be copies, unless another reader has claimed them by then.
        yield from in_turns(reader.drain() for reader in others if reader in self._copies)

    def _look_at_all(self) -> Iterator[None]:
        for number, path in enumerate(list(self._table.paths)):
            self.look(path)
            if number % STEP == 0:
                yield

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Give up what `drain` did not reach: names of logs, and how many bytes of each."""
        for reader in list(self._table.readers.values()):
            if isinstance(reader, FileReader):
                yield reader.sources[0].name if reader.sources else reader.path, reader.give_up()
            elif isinstance(reader, FifoReader):
                yield from reader.give_up()

    def close(self) -> None:
        for path in list(self._table.paths.values()):
            path.reader = None
        for reader in list(self._table.readers.values()):
            if isinstance(reader, FileReader):
                reader.end()
            if isinstance(reader, Followed):
                self._close(reader)
            elif isinstance(reader, ArchiveReader):
                self._archives.close(reader)
            else:
                reader.close()
        for path in self._table.paths.values():
            self._context.release(path.source)
        self._table.paths.clear()
        self._table.readers.clear()

    # Paths and readers

    def look(self, path: str) -> None:
        """Update the reader of `path`, which matches a pattern, to the file that is there now."""
        ignore = self._context.settings.ignore
        if path in self._looking or (ignore is not None and ignore(os.path.basename(path))):
            return
        self._looking.add(path)
        try:
            self._look(path)
        finally:
            self._looking.discard(path)

    def _look(self, path: str) -> None:
        try:
            info = os.stat(path)
        except OSError as error:
            if error.errno in _GONE:
                self._path_gone(path)
            else:
                self._retries.failed(path, error)
            return
        kind = stat.S_IFMT(info.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFIFO):
            self._path_gone(path)
            if kind != stat.S_IFDIR:
                self._reports.path_problem(path, "neither a file nor a named pipe")
                self._reports.once(path, "type", 'unsupported file type: "%s"', path)
            return
        known = self._table.paths.get(path)
        if known is None or known.reader is None or known.reader.identity != identity(info):
            self._bind(path, info)
        elif isinstance(known.reader, Followed):
            self._check(known.reader, path, info)
        elif isinstance(known.reader, ArchiveReader):
            self._check_archive(known.reader, path, info)

    def _check(self, reader: Followed, path: str, info: os.stat_result) -> None:
        """Queue the reader if its file, the same as before, has changed."""
        if info.st_size == reader.offset and info.st_mtime_ns == reader.modified:
            return
        is_behind = info.st_size > reader.offset and reader.is_open and reader.eof
        with contextlib.suppress(OSError):
            if is_behind and os.fstat(reader.fd).st_size <= reader.offset:
                # The open file may not grow with the named one: after an overlay copy-up, or a file server's restart.
                reader.reopen(self.descriptors.open(path))
                self._watches.remove(reader)
                self._watches.add(reader)
        reader.modified = info.st_mtime_ns
        reader.news = True
        self._loop.queue(reader)

    def _bind(self, path: str, info: os.stat_result, name: str = "") -> None:
        """Assign `path` to the reader of its file; opens the file if necessary, by `name` if given."""
        reader = self._table.readers.get(identity(info))
        if isinstance(reader, Followed) and not reader.is_open and not self._is_still(reader, path, name or path):
            self._abandon(reader)
            reader = None
        reader = reader or self._open(path, info, name or path)
        if reader is None:
            return
        if isinstance(reader, Followed) and reader.state is not State.DRAINING and self._is_another_name(path, reader):
            if path in self._table.paths:
                self._path_gone(path)  # it named another file before
            else:
                self._directories.watch_links(path)
            return
        known = self._table.paths.get(path)
        if known is None:
            known = self._table.add_path(path, self._context.hold(path))
        self._directories.watch_links(path)
        old, known.reader = known.reader, reader
        before = old or self._table.rotated.get(path)
        if before is not None:
            self._context.counters.log_rotations_total[path] += 1
        if isinstance(reader, Followed):
            self._attach(reader, known, before)
        elif isinstance(reader, ArchiveReader):
            self._archives.bind(reader, known)
            self._check_archive(reader, path, info)
        if old is not None:
            self._release(known, old)

    def _is_still(self, reader: Followed, path: str, name: str) -> bool:
        """Whether the file of `path`, which can be opened by `name`, is the one that `reader` had open before."""
        if any(owner.path == path for owner in reader.paths):
            return True
        fd = open_as([name], reader.is_continued_by, self._open_file)
        if fd is None:
            return False
        os.close(fd)
        return True

    def _attach(self, reader: Followed, path: LogPath, before: Generation | Reader | None) -> None:
        reader.paths.append(path)
        if reader.state is not State.DRAINING:
            reader.count_under_paths()
            reader.path = reader.paths[0].path
        readers, is_all = self._restart.before(path.path, reader.identity)
        before = readers[-1] if readers else before
        # The order of rotated files is that of the path which they come from.
        is_ordered = not self._table.is_generation(path.path)
        if is_all:
            self._succession.resumed(path.path, [*readers, reader] if readers else [])
        elif isinstance(before, Followed | ArchiveReader):
            if is_ordered:
                self._succession.replaced(path.path, before, reader)
            with contextlib.suppress(OSError):
                if reader.is_untouched and before.is_open:
                    reader.copy_search.last_copy = Made.of(before.fd)
        elif is_ordered:
            self._succession.appeared(path.path, reader)
        self._loop.queue(reader)

    def _is_another_name(self, path: str, reader: Followed) -> bool:
        """Whether the file of `path` is read under another name that still exists: `path` then becomes a successor."""
        for owner in reader.paths:
            if owner.path != path and stands_for(owner.path, reader.identity):
                if path not in reader.successors:
                    reader.successors.append(path)
                if not _is_rotated_name(path, owner.path):
                    text = "%s is the same file as %s: it is read once, under that name"
                    self._reports.once(path, "name", text, path, owner.path)
                return True
        for owner in list(reader.paths):
            self.look(owner.path)
        return False

    def _release(self, path: LogPath, reader: Reader) -> None:
        """`path` no longer names the file of `reader`."""
        if isinstance(reader, ArchiveReader):
            self._archives.release(reader, path)
        elif isinstance(reader, FifoReader):
            reader.retire()
        elif isinstance(reader, Followed):
            reader.paths.remove(path)
            if reader.paths:
                reader.count_under_paths()
                return
            self._begin_drain(reader, path.source.name)
            successors, reader.successors = reader.successors, []
            for successor in successors:
                self.look(successor)

    def _path_gone(self, path: str) -> None:
        self._retries.forget(path)
        self._reports.path_is_gone(path)
        self._first_offsets.path_gone(path)
        self._directories.watch_links(path)
        known = self._table.remove_path(path)
        if known is None:
            return
        reader, known.reader = known.reader, None
        if reader is not None:
            self._release(known, reader)
        self._context.release(known.source)

    # Opening and closing

    def _open(self, path: str, info: os.stat_result, name: str) -> Reader | None:
        """A reader for the file at `path`; None if it cannot be opened now, which will be retried."""
        try:
            fd = self._open_file(name)
        except OSError as error:
            self._first_offsets.not_opened(path, info)
            if error.errno not in _GONE:
                self._retries.failed(path, error)
            elif name == path:
                self._path_gone(path)
            return None
        self._retries.forget(path)
        self._reports.path_is_open(path)
        self._matching.is_found(path)
        info = os.fstat(fd)
        known = self._table.readers.get(identity(info))
        if known is not None or stat.S_IFMT(info.st_mode) not in (stat.S_IFREG, stat.S_IFIFO):
            os.close(fd)
            return known
        if stat.S_ISFIFO(info.st_mode):
            return self._open_fifo(path, fd)
        if is_archive("" if self._archives.is_plain(identity(info)) else path, fd):
            return self._open_archive(path, fd, info)
        place = self._first_offsets.take_place(fd, identity(info))
        offset = self._first_offsets.of(path, fd, info) if place is None else 0
        reader = self._follow(path, fd, info, info.st_size if offset is None else offset)
        if place is not None:
            self._restart.resume(reader, place, info)
        elif offset is None:
            self._copies.begin(reader)
        elif offset == 0 and not self._first_offsets.is_starting:
            self._begin_doubt(reader, path)
        if self._first_offsets.is_starting and not reader.offset:
            reader.copy_search.last_copy = self._first_offsets.rotated_last(path)
        return reader

    def _follow(self, path: str, fd: int, info: os.stat_result, offset: int) -> Followed:
        reader = Followed(self, self._context, self._listings, path, fd, identity(info), offset)
        if offset == info.st_size:
            reader.modified = info.st_mtime_ns
        self._table.readers[reader.identity] = reader
        self.descriptors.used(reader)
        self._context.counters.log_opens_total[path] += 1
        self._watches.add(reader)
        return reader

    def _open_file(self, name: str) -> int:
        before = self.descriptors.set_aside
        fd = self.descriptors.open(name)
        for _ in range(self.descriptors.set_aside - before):
            self._reports.limit(
                "open_files",
                "there are more logs than the process may open files: idle logs are closed until they are written to;"
                " to keep more open, raise LimitNOFILE= in the unit, or ulimit -n",
            )
        return fd

    def descriptor_changed(self, reader: Followed) -> None:
        """Handle a descriptor that refers to another file: look at the reader's paths, and find its file again."""
        for owner in list(reader.paths):
            self._loop.after(0, lambda path=owner.path: self.look(path))  # type: ignore[misc]
        self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))

    def find(self, reader: Followed) -> int:
        """Open a file that was set aside.  Raises OSError: ESTALE if it is gone."""
        fd = open_as([owner.path for owner in reader.paths], reader.is_same, self._open_file)
        if fd is None:
            fd = open_as([reader.name], reader.is_continued_by, self._open_file)
        if fd is None:
            name = self._inodes.find(os.path.dirname(reader.name), reader.identity)
            if name is not None:
                fd = open_as([name], reader.is_continued_by, self._open_file)
                reader.name = name
        if fd is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self.descriptors.used(reader)
        return fd

    def _open_fifo(self, path: str, fd: int) -> FifoReader:
        reader = FifoReader(self._context, self._loop, self._context.hold(path), path, fd, self._fifo_ended)
        self._table.readers[reader.identity] = reader
        return reader

    def _open_archive(self, path: str, fd: int, info: os.stat_result) -> ArchiveReader:
        is_history = self._first_offsets.is_archive_history(path, fd, info)
        # Files named as copies of a log, and last written before the start, are not delivered.
        not_before = self._first_offsets.started if self._table.is_named_as_copy(path) else 0
        place = self._first_offsets.take_place(fd, identity(info))
        if place is None:
            return self._archives.open(path, fd, info, not_before, is_history)
        reader = self._archives.open(path, fd, info, 0, is_history=False)
        reader.resume(place.position, in_cut_line=place.in_cut_line)
        return reader

    def _check_archive(self, reader: ArchiveReader, path: str, info: os.stat_result) -> None:
        try:
            self._archives.check(reader, path, info)
        except OSError as error:
            self._retries.failed(path, error)

    def _fifo_ended(self, reader: FifoReader) -> None:
        self._table.readers.pop(reader.identity, None)
        reader.close()
        for path in list(self._table.paths.values()):
            if path.reader is reader:
                path.reader = None
                self.look(path.path)

    def _close(self, reader: Followed) -> None:
        """Stop reading, and remember the position.

        A deleted file may still be reported under a name that it had, but its inode may be reused.
        """
        reader.finish()
        with contextlib.suppress(OSError):
            if reader.made.birth or not reader.is_open or os.fstat(reader.fd).st_nlink:
                self._table.remember(reader.made, reader.position)
        for source in reader.sources[:1]:
            self._context.counters.log_closes_total[source.name] += 1
            self._table.note_end(source.name, reader)
        self._watches.forget(reader)
        self._copies.forget(reader)
        self._table.readers.pop(reader.identity, None)
        self.descriptors.forget(reader)
        reader.close()
        self._rotation.forget(reader)

    def read_failed(self, reader: Followed, error: OSError) -> None:
        if error.errno in LATER:
            self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))
            return
        if not is_stale(error):
            for source in reader.sources:
                self._context.counters.log_errors_total[source.name] += 1
                self._reports.once(source.name, "read", "%s: read: %s", source.name, error.strerror)
            self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))
            return
        self._abandon(reader, _STALE_WAIT)

    def _abandon(self, reader: Followed, wait: float = 0.0) -> None:
        """Give up a reader whose file is no longer accessible, and look at its paths after `wait` seconds."""
        if reader.news and not reader.is_open:
            self._reports.log_is_lost(reader.path, reader.is_lost)
        again = [*(path.path for path in reader.paths), *reader.successors]
        for path in list(reader.paths):
            path.reader = None
        reader.paths.clear()
        self._close(reader)
        for name in again:
            self._loop.after(wait, lambda name=name: self.look(name))  # type: ignore[misc]

    # Logs that an editor may have saved

    def _begin_doubt(self, reader: Followed, path: str) -> None:
        before = self._table.before(path)
        if before is not None and self._first_offsets.is_moved_in(path, reader.identity) is not True:
            reader.doubt = Doubt.of(path, before)
        if reader.doubt is not None:
            self._doubtful[reader] = None
            self._timers.every("saved", _DOUBT_TICK, self._decide)

    def _decide(self) -> bool:
        for reader in list(self._doubtful):
            if reader.doubt is None or reader.closed:
                del self._doubtful[reader]
            self._loop.queue(reader)
        return bool(self._doubtful)

    # Rotated files

    def rewritten(self, reader: Followed) -> None:
        """Called when a file was truncated; one that is named as a copy may be about to become a copy again."""
        for source in reader.sources[:1]:
            self._table.note_past(source.name, reader.before_truncation)
        if reader.state is State.DRAINING and reader.paths:
            self._end_drain(reader)
        name = reader.path if reader.paths else reader.name
        if self._table.is_named_as_copy(name):
            reader.path = name
            self._copies.begin(reader)

    def is_own(self, file: Followed) -> bool:
        bases = self._table.bases(file.path)
        if any(map(self._succession.is_searching, bases)) and not self._copies.must_decide:
            return False  # the search may find that it was at one of these paths
        return self._copies.is_own(file)

    def claim(self, file: Followed, fd: int) -> bool:
        return self._copies.claim(file, fd)

    def _begin_drain(self, reader: Followed, name: str) -> None:
        self._rotation.begin(reader, name)
        self._timers.every("drain", _DRAIN_TICK, self._tick)

    def _tick(self) -> bool:
        for reader in self._rotation.due():
            self._end_drain(reader)
        return bool(self._rotation)

    def _end_drain(self, reader: Followed) -> None:
        if reader.paths:
            self._rotation.end(reader)
        else:
            self._close(reader)

    def _recover_renamed(self) -> list[watch.Event]:
        """Read the files that were renamed from followed paths before they could be opened there; settle copies.

        A name may already belong to another file.  Therefore the files are opened first, and are used only if the
        events up to then, which are returned, do not change their names.
        """
        opened = self._rotation.open_unproven()
        events = self._changes.take_events()
        self._follow_sighted(events)
        changed = {
            os.path.join(directory.path, event.name)
            for event in events
            if event.mask & (watch.NEW_ENTRY | watch.OVERFLOW)
            for directory in self._directories.of(event)
        }
        for path, origin, fd in opened:
            if path in changed or not self._changes.is_all:
                os.close(fd)
            else:
                self._rotation.proven([path])
                self._read_renamed(fd, origin)
        if self._changes.is_all:
            self._rotation.prove_all_but(changed)
            self._copies.settle_written(changed)
        return events

    def _read_renamed(self, fd: int, origin: str) -> None:
        """Read the file open as `fd`, which was at `origin`, from its beginning, unless it is or was already read."""
        before = self._table.rotated.get(origin)
        reader = self._table.readers.get(identity(os.fstat(fd)))
        found: Followed | ArchiveReader | None
        if isinstance(reader, Followed) and reader.is_copy and reader.is_untouched:
            os.close(fd)
            found = self._adopt_copy(reader, origin)
        else:
            found = self._adopt(origin, fd)
        if found is not None and before is not None and before is not found and origin not in self._table.paths:
            self._succession.replaced(origin, before, found)
        elif found is not None:
            self._succession.was_between(origin, found)

    def _adopt_copy(self, reader: Followed, path: str) -> Followed:
        """Read a file that is named as a copy as the one that was at `path`, before the present one."""
        self._copies.becomes_log(reader)
        self._rotation.forget(reader)
        self._begin_drain(reader, path)
        return reader

    def _adopt(self, path: str, fd: int) -> Followed | ArchiveReader | None:
        """A reader for the file open as `fd`, which was at `path`; None if it is or was read, or has nothing new."""
        info = os.fstat(fd)
        who = identity(info)
        reader = self._table.readers.get(who)
        is_read = self._copies.is_read(who) or (reader is None and Made.of(fd) in self._table.last_positions)
        is_read = is_read or self._copies.is_of_drained(path, fd)
        if is_read or not stat.S_ISREG(info.st_mode) or info.st_mtime_ns < self._first_offsets.started:
            os.close(fd)
            return None
        if isinstance(reader, Followed):
            os.close(fd)
            return self._adopt_copy(reader, path)
        if is_archive("", fd):
            return self._archives.open(path, fd, info, self._first_offsets.started, is_history=False, log=path)
        reader = self._follow(path, fd, info, 0)
        self._begin_drain(reader, path)
        return reader

    # Files that may no longer be at their paths

    def _follow_sighted(self, events: list[watch.Event]) -> None:
        """Follow the files that were opened when they appeared, in order; then the files that are there now."""
        sighted: dict[str, None] = {}
        for event in events:
            if event.fd < 0:
                continue
            try:
                info = os.fstat(event.fd)
                if stat.S_ISREG(info.st_mode) and identity(info) not in self._table.readers:
                    for directory in self._directories.of(event):
                        for named in self._paths_of(os.path.join(directory.path, event.name)):
                            self._follow_sighted_at(named, info, f"/proc/self/fd/{event.fd}")
                            sighted[named] = None
            finally:
                os.close(event.fd)
        for path in sighted:
            self.look(path)

    def _paths_of(self, path: str) -> list[str]:
        """The paths that match a pattern and lead to `path`: itself, and links to it."""
        ignore = self._context.settings.ignore
        is_ignored = ignore is not None and ignore(os.path.basename(path))
        matches = not is_ignored and self._matching.matches(path)
        return [*([path] if matches else ()), *self._directories.links_to(path)]

    def _follow_sighted_at(self, path: str, info: os.stat_result, name: str) -> None:
        """Follow a file that is not read yet, was at `path`, and can be opened by `name`."""
        known = self._table.paths.get(path)
        with contextlib.suppress(OSError):
            if known is None or known.reader is None or known.reader.identity != identity(os.stat(path)):
                self._bind(path, info, name)
            elif not self._table.is_named_as_copy(path):  # its successor is being read already
                self._read_renamed(os.open(name, OPEN_FLAGS), path)

    # Waking

    def _on_events(self) -> None:
        new = self._changes.take_events()
        self._follow_sighted(new)
        self._handle(new)
        if self._must_prove:
            self._handle(self._recover_renamed())
        self._matching.expand_soon()
        if self._must_prove:
            self._loop.after(0, self._try_again)

    @property
    def _must_prove(self) -> bool:
        return self._rotation.is_unproven or self._copies.has_written

    def _try_again(self) -> None:
        if self._must_prove:
            self.catch_up()

    def catch_up(self) -> bool:
        """Handle pending events, since what looks like a copy may be a rotated file; whether those were all."""
        if self._changes.is_on:
            self._on_events()
        return self._is_up_to_date

    def _handle(self, events: list[watch.Event]) -> None:
        self._is_up_to_date = self._changes.is_all
        for event in events:
            if event.mask & watch.OVERFLOW:
                self._reports.limit("events", "more than fs.inotify.max_queued_events events: looking at everything")
                self._rotation.lost_events()
                self._copies.lost_events()
                self._matching.must_expand()
                self._succession.lost_events(self._table.paths)
                self._sweep.begin()
            elif (reader := self._watches.of(event)) is not None:
                self._on_file_event(reader, event)
            else:
                for directory in self._directories.of(event):
                    self._on_directory_event(directory, event)

    def _on_file_event(self, reader: Followed, event: watch.Event) -> None:
        if event.mask & watch.IGNORED:
            self._watches.dropped(reader)
            if reader.is_open:
                self._watches.poll(reader)
            else:
                self._abandon(reader)
            return
        if event.mask & watch.MODIFY:
            reader.news = True
        if event.mask & ~watch.MODIFY:
            for owner in list(reader.paths):
                self.look(owner.path)
        self._loop.queue(reader)

    def _on_directory_event(self, directory: Directory, event: watch.Event) -> None:
        if not event.name:
            if event.mask & (watch.DELETE_SELF | watch.MOVE_SELF | watch.UNMOUNT | watch.IGNORED):
                self._forget_directory(directory)
            return
        path = os.path.join(directory.path, event.name)
        if event.mask & watch.CLOSE_WRITE:
            self._copies.written(path)
            return
        if event.mask & (watch.CREATE | watch.MOVED_TO):
            for reader in self._table.readers_of_bases(path):
                reader.expect_copy()
        matches = any(glob.matches(path) for glob in directory.files)
        if event.mask & watch.NEW_ENTRY:
            self._copies.renamed(path)
            self._rotation.note(path, event, matches)
        for named in [*([path] if matches else ()), *self._directories.links_to(path)]:
            if event.mask & (watch.CREATE | watch.MOVED_TO) and (self._table.is_known(named)):
                self._succession.arrived(named)
            self.look(named)
        for glob, pattern in directory.folders.items():
            if glob.matches(path):
                self._matching.must_expand([pattern])
        if event.mask & watch.NEW_ENTRY:
            self._matching.must_expand(self._directories.ways_through(path))

    def problems(self) -> dict[str, str]:
        """Problems by pattern or path; may be called from any thread."""
        return self._reports.problems()

    def _look_if_new(self, path: str) -> None:
        if path not in self._table.paths and path not in self._retries.pending:
            self.look(path)

    def _end_sweep(self) -> None:
        self._matching.must_expand()
        self._matching.expand()

    def _look_below_soon(self, directory: str) -> None:
        self._loop.after(0, lambda: self._look_below(directory))

    def _forget_directory(self, gone: Directory) -> None:
        """Forget a directory that was deleted, moved or unmounted, with everything below it."""
        self._directories.unwatch(gone)
        self._matching.must_expand()
        self._look_below(gone.path)

    def _look_below(self, directory: str) -> None:
        for path in self._table.tree.below(directory):
            self.look(path)


def _is_rotated_name(path: str, base: str) -> bool:
    return path.startswith((base + ".", base + "-"))
