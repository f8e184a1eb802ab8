"""Which files are followed: patterns and directories, rotation, files that come and go (spec inputs.md §2, §3.2).

Three tables carry it: paths that match a pattern, readers by inode, watched directories.  `look` brings a path and its
reader together; everything that may have changed a path (an inotify event, a poll, the sweep) ends in `look`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from nativemtail.io import doubts, watch
from nativemtail.io.archive import ArchiveReader, Stage, is_archive
from nativemtail.io.changes import Changes
from nativemtail.io.content import START, recognise
from nativemtail.io.descriptors import NO_DESCRIPTORS, OPEN_FLAGS, Descriptors, Inodes, Renames, open_as, stands_for
from nativemtail.io.follow import FileReader, is_stale
from nativemtail.io.generations import Made, birth, is_generation, newer
from nativemtail.io.lineage import LATER
from nativemtail.io.links import places
from nativemtail.io.listing import Listings
from nativemtail.io.loop import Loop, in_turns
from nativemtail.io.pathtree import PathTree
from nativemtail.io.patterns import Glob
from nativemtail.io.pipe import FifoReader
from nativemtail.io.position import Counted, Identity, Position, identity
from nativemtail.io.replaced import Doubt, goes_on, take_over
from nativemtail.io.sources import Context, Source
from nativemtail.io.succession import Succession

REMEMBERED = 65_536
"""So many files that are no longer read are remembered with the position that was reached."""

SPARE_DESCRIPTORS = 256
_SWEEP_STEP = 64
_SWEEP_PAUSE = 0.005
_LINGER_TICK = 0.25
_DOUBT_TICK = 0.05
_SETTLE_LIMIT = 60.0
_WANTED = 1.0
_CLOCK_GRAIN = 20_000_000
_STALE_WAIT = 1.0
_RETRY_LIMIT = 4.0
_MAX_MOVES = 1024
_MAX_UNPROVEN = 32
_PAST = 8
_MAX_COMPARED = 1024
_ARCHIVES = 16
_SURE = 4096
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENAMETOOLONG})

_log = logging.getLogger(__name__)


class LogPath:
    """A path that is followed, and what reads it at present."""

    __slots__ = ("path", "reader", "source")

    def __init__(self, path: str, source: Source) -> None:
        self.path = path
        self.source = source
        self.reader: Followed | ArchiveReader | FifoReader | None = None


class Followed(FileReader):
    """A file with the paths that name it.

    After rotation it `lingers`: it is read on under its old source until nobody has written to it for a while, then it
    is left to the path that it was renamed to, if that is followed too, or closed.  A rotated copy is `settling` while
    it is being written: what it holds then was counted already.
    """

    __slots__ = (
        "catch_up",
        "claim",
        "descriptors",
        "doubt",
        "find",
        "heirs",
        "is_copy",
        "is_proven",
        "is_rotated",
        "judge",
        "judged",
        "lingers",
        "name",
        "on_lost",
        "on_rewritten",
        "paths",
        "settling",
        "watch",
    )

    paths: list[LogPath]
    lingers: Source | None
    heirs: list[str]
    settling: bool
    is_copy: bool
    is_proven: bool
    """It holds what was counted, whatever its name says."""
    is_rotated: bool
    """It was at a path that is another file's now."""
    judge: Callable[[Followed], bool]
    judged: int
    """Its size when it was compared with what it may be a copy of."""
    doubt: Doubt | None
    """It may be the same log as the one before; nothing is read until that is known."""
    claim: Callable[[Followed, int], bool]
    catch_up: Callable[[], object]
    on_lost: Callable[[Followed], None]
    on_rewritten: Callable[[Followed], None]
    watch: int
    name: str
    """What it was last seen to be called."""
    find: Callable[[Followed], int]
    descriptors: Descriptors

    def turn(self) -> bool:
        if self.closed or self.is_idle:
            return False
        if self.is_open:
            self.descriptors.used(self)
        if not self.decide():
            return False
        if self.has_copies or not self.settling or self.judge(self):
            return super().turn()
        if self.skip_to_end():
            self.last_data = time.monotonic()
        return False

    def decide(self, at_once: bool = False) -> bool:
        """Whether it is known, or must be, if it is the same log as the one before: it goes on there, then."""
        doubt = self.doubt
        if doubt is None:
            return True
        is_same: bool | None = False
        with contextlib.suppress(OSError):
            is_same = doubt.is_same_log(self.fd)
        if is_same is None and not at_once:
            return False
        self.doubt = None
        if is_same:
            self.go_to(take_over(doubt.before, self.fd))
        return True

    @property
    def is_idle(self) -> bool:
        """Whether it was set aside, and the kernel would have told if there was something to read."""
        return not self.is_open and not self.news and self.watch >= 0

    @property
    def names(self) -> list[str]:
        """What it may be called."""
        return [self.name, *(owner.path for owner in self.paths)]

    def drain(self) -> Iterator[None]:
        self.decide(at_once=True)
        if self.is_idle:
            self.finish()
        else:
            yield from super().drain()

    def lose(self) -> None:
        super().lose()
        self.descriptors.forget(self)
        self.on_lost(self)

    def _has_changed(self) -> bool:
        return self.watch < 0 and not self.is_same(self.fd)

    def is_same(self, fd: int) -> bool:
        return identity(os.fstat(fd)) == self.identity

    def is_continued_by(self, fd: int) -> bool:
        """Whether it is the file of `fd`: who has no descriptor may lose the inode, and then it becomes another's."""
        info = os.fstat(fd)
        if identity(info) != self.identity or info.st_size < self.offset:
            return False
        return not self.position.length or self.position.fits(fd)

    def _open_again(self) -> int:
        return self.find(self)

    def _can_be_found(self) -> bool:
        # What lingers and must be polled would have to be opened again at once.
        may_close = not self.settling and not (self.lingers is not None and self.watch < 0)
        return may_close and any(stands_for(name, self.identity) for name in self.names)

    def _start_over(self) -> None:
        super()._start_over()
        self.on_rewritten(self)

    def _look_around(self) -> None:
        self.catch_up()

    def _is_in_place(self) -> bool:
        return self.lingers is None

    def _claim(self, fd: int) -> bool:
        return self.claim(self, fd)


class _Pattern:
    """A glob and the globs of the directories on its way."""

    def __init__(self, glob: Glob) -> None:
        self.glob = glob
        parts = glob.pattern.split("/")[1:]
        self.folders = [Glob("/" + "/".join(parts[:depth])) for depth in range(1, len(parts))]
        self.polled = False
        self.places: list[str] = []
        """What decides where the links among its directories lead."""

    def directories(self) -> Iterator[tuple[str, Glob]]:
        """The directories that exist on the way, each with the glob of what matters in it."""
        inner = [*self.folders, self.glob]
        yield "/", inner[0]
        for folder, matters in zip(self.folders, inner[1:], strict=True):
            for path in folder.expand():
                if os.path.isdir(path):
                    yield path, matters


class _Directory:
    """A watched directory: which names in it matter to which patterns."""

    __slots__ = ("files", "folders", "identity", "path", "watch")

    def __init__(self, path: str, number: int, who: Identity) -> None:
        self.path = path
        self.identity = who
        self.watch = number
        self.files: dict[Glob, None] = {}
        self.folders: dict[Glob, _Pattern] = {}


class Discovery:
    """Follows the files and named pipes that `globs` name.  Belongs to the loop's thread."""

    ended = False
    """More may always come."""

    def __init__(self, context: Context, loop: Loop, changes: Changes, globs: Iterable[Glob], max_files: int) -> None:
        self._context = context
        self._loop = loop
        self._descriptors = Descriptors(max_files)
        self._inodes = Inodes()
        self._patterns = [_Pattern(glob) for glob in globs]
        self._paths: dict[str, LogPath] = {}
        self._tree = PathTree()
        self._readers: dict[Identity, Followed | ArchiveReader | FifoReader] = {}
        self._archives: dict[ArchiveReader, list[LogPath]] = {}
        self._unread: dict[ArchiveReader, None] = {}
        self._lingering: dict[Followed, None] = {}
        self._settling: dict[Followed, float] = {}
        self._doubtful: dict[Followed, None] = {}
        self._polled: dict[Followed, None] = {}
        self._rotated: dict[str, Followed] = {}
        self._generations: dict[str, dict[Followed, None]] = {}
        self._pending: dict[str, float] = {}
        self._retrying: set[str] = set()
        self._at_start: dict[str, tuple[Identity, int]] = {}
        self._left: dict[Identity, Position] = {}
        self._plain: dict[Identity, None] = {}
        self._past: dict[str, deque[Position]] = {}
        self._looking: set[str] = set()
        self._is_sweeping = False
        self._must_sweep = False
        self._doubts: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._said: dict[tuple[str, str], None] = {}
        self._starting = False
        self._is_draining = False
        self._is_up_to_date = True
        self._started = 0
        self._changes = changes
        self._listings = Listings(changes)
        self._file_watches: dict[int, Followed] = {}
        self._directories: dict[str, _Directory] = {}
        self._directory_tree = PathTree()
        self._directory_watches: dict[int, list[_Directory]] = {}
        self._links: dict[str, set[str]] = {}
        self._hops: dict[str, list[str]] = {}
        self._ways: dict[str, dict[_Pattern, None]] = {}
        self._moves: dict[int, str] = {}
        self._rotated_names: dict[str, str] = {}
        self._is_moved_in: dict[str, bool] = {}
        self._renames = Renames()
        self._unproven: dict[str, str] = {}
        self._written: dict[str, Followed] = {}
        self._succession = Succession(
            loop, self._catch_up, self._adopt, self._readers.__contains__, self._open_file, self._listings
        )
        self._dirty: dict[_Pattern, None] = {}
        self._will_clean = False
        self._clean_at = 0.0
        self._ticking: set[str] = set()

    @property
    def reading(self) -> int:
        """Paths that are being read."""
        return sum(1 for path in list(self._paths.values()) if path.reader is not None)

    def start(self) -> None:
        """Follow what is there from its end; what comes later is read from its beginning (row `new-file`)."""
        self._started = time.time_ns() - _CLOCK_GRAIN
        self._changes.observe(self)
        self._changes.handled_by(self._on_events)
        if self._context.settings.inotify:
            try:
                self._changes.start(self._loop)
            except OSError as error:
                self._limit("watches", "inotify is not to be had (%s): polling", error.strerror)
        self._starting = True
        for pattern in self._patterns:
            self._refresh(pattern)
        self._starting = False
        self._loop.after(self._context.settings.sweep, self._begin_sweep)

    def followed(self) -> list[tuple[str, int, Identity]]:
        """Path, offset and identity of every regular file that is being read; may be called from any thread."""
        found: list[tuple[str, int, Identity]] = []
        for path in list(self._paths.values()):
            reader = path.reader
            if isinstance(reader, Followed):
                found.append((path.path, reader.offset, reader.identity))
        return found

    def drain(self) -> Iterator[None]:
        """Read everything to its end once more and deliver what is unterminated, rotated files first."""
        self._is_draining = True
        while self._changes.is_on:
            self._on_events()
            if not self._unproven:
                break
            yield
        if self._is_sweeping:  # events were lost: what they told of is there to be seen
            yield from self._look_at_all()
        self._clean()
        yield from self._succession.drain()
        for lingering in list(self._lingering):
            yield from lingering.drain()
        others = [reader for reader in self._readers.values() if reader not in self._lingering]
        yield from in_turns(reader.drain() for reader in others if reader not in self._settling)
        # What may be a copy is read if by now nobody else wants it.
        yield from in_turns(reader.drain() for reader in others if reader in self._settling)

    def _look_at_all(self) -> Iterator[None]:
        for number, path in enumerate(list(self._paths)):
            self.look(path)
            if number % _SWEEP_STEP == 0:
                yield

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Leave what `drain` did not come to: names of logs, and how many bytes of them."""
        for reader in list(self._readers.values()):
            if isinstance(reader, Followed):
                yield reader.sources[0].name if reader.sources else reader.path, reader.give_up()
            else:
                yield from reader.give_up()

    def close(self) -> None:
        for path in list(self._paths.values()):
            path.reader = None
        for reader in list(self._readers.values()):
            if isinstance(reader, Followed):
                self._close(reader)
            elif isinstance(reader, ArchiveReader):
                self._close_archive(reader)
            else:
                reader.close()
        for path in self._paths.values():
            self._context.release(path.source)
        self._paths.clear()
        self._readers.clear()

    # Paths and readers

    def look(self, path: str) -> None:
        """Compare what is at `path`, which matches a pattern, with what is known of it."""
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
                self._gone(path)
            else:
                self._failed(path, error)
            return
        kind = stat.S_IFMT(info.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFIFO):
            self._gone(path)
            if kind != stat.S_IFDIR:
                self._problem(path, "neither a file nor a named pipe")
                self._say_once(path, "type", 'unsupported file type: "%s"', path)
            return
        known = self._paths.get(path)
        if known is None or known.reader is None or known.reader.identity != identity(info):
            self._bind(path, info)
        elif isinstance(known.reader, Followed):
            self._check(known.reader, path, info)
        elif isinstance(known.reader, ArchiveReader):
            self._check_archive(known.reader, path, info)

    def _check(self, reader: Followed, path: str, info: os.stat_result) -> None:
        """The same file as before: is there something to read?"""
        if info.st_size == reader.offset and info.st_mtime_ns == reader.modified:
            return
        is_behind = info.st_size > reader.offset and reader.is_open and reader.eof
        if is_behind and os.fstat(reader.fd).st_size <= reader.offset:
            # The open file does not grow with the named one: a copied-up overlay file, a server that restarted.
            with contextlib.suppress(OSError):
                reader.reopen(self._descriptors.open(path))
                self._unwatch_file(reader)
                self._watch_file(reader)
        reader.modified = info.st_mtime_ns
        reader.news = True
        self._loop.queue(reader)

    def _bind(self, path: str, info: os.stat_result, name: str = "") -> None:
        """Make `path` the path of the reader of its file, which may have to be opened: by `name` if not by `path`."""
        reader = self._readers.get(identity(info))
        if isinstance(reader, Followed) and not reader.is_open and not self._is_still(reader, path, name or path):
            self._abandon(reader)
            reader = None
        reader = reader or self._open(path, info, name or path)
        if reader is None:
            return
        if isinstance(reader, Followed) and reader.lingers is None and self._is_another_name(path, reader):
            if path in self._paths:
                self._gone(path)  # it stood for another file
            else:
                self._watch_links(path)
            return
        known = self._paths.get(path)
        if known is None:
            known = self._paths[path] = LogPath(path, self._context.hold(path))
            self._tree.add(path)
        self._watch_links(path)
        old, known.reader = known.reader, reader
        before = old or self._rotated.get(path)
        if before is not None:
            self._context.counters.log_rotations_total[path] += 1
        if isinstance(reader, Followed):
            self._own(reader, known, before)
        elif isinstance(reader, ArchiveReader):
            self._archives[reader].append(known)
            self._check_archive(reader, path, info)
        if old is not None:
            self._release(known, old)

    def _is_still(self, reader: Followed, path: str, name: str) -> bool:
        """Whether the file of `path`, which can be opened by `name`, is what `reader` read before it was closed."""
        if any(owner.path == path for owner in reader.paths):
            return True
        fd = open_as([name], reader.is_continued_by, self._open_file)
        if fd is None:
            return False
        os.close(fd)
        return True

    def _own(self, reader: Followed, path: LogPath, before: Followed | ArchiveReader | FifoReader | None) -> None:
        reader.paths.append(path)
        if reader.lingers is None:
            reader.sources = [owner.source for owner in reader.paths]
            reader.path = reader.paths[0].path
        if isinstance(before, Followed):
            self._succession.succeeds(path.path, before, reader)
            if reader.is_untouched and before.is_open:
                reader.copied_last = Made.of(before.fd)
        else:
            self._succession.begins(path.path, reader)
        self._loop.queue(reader)

    def _is_another_name(self, path: str, reader: Followed) -> bool:
        """Whether the file of `path` is read under a name that it still has: `path` waits until that is gone."""
        for owner in reader.paths:
            if owner.path != path and stands_for(owner.path, reader.identity):
                if path not in reader.heirs:
                    reader.heirs.append(path)
                if not _is_rotated_name(path, owner.path):
                    text = "%s is the same file as %s: it is read once, under that name"
                    self._say_once(path, "name", text, path, owner.path)
                return True
        for owner in list(reader.paths):
            self.look(owner.path)
        return False

    def _release(self, path: LogPath, reader: Followed | ArchiveReader | FifoReader) -> None:
        """`path` no longer names the file of `reader`."""
        if isinstance(reader, ArchiveReader):
            self._archives[reader].remove(path)
            self._leave_archive(reader)
            return
        if isinstance(reader, FifoReader):
            reader.retire()
            return
        reader.paths.remove(path)
        if reader.paths:
            if reader.lingers is None:
                reader.sources = [owner.source for owner in reader.paths]
            return
        self._linger(reader, path.source.name)
        heirs, reader.heirs = reader.heirs, []
        for heir in heirs:
            self.look(heir)

    def _gone(self, path: str) -> None:
        self._pending.pop(path, None)
        self._problems.pop(path, None)
        self._at_start.pop(path, None)
        self._watch_links(path)
        known = self._paths.pop(path, None)
        if known is None:
            return
        self._tree.discard(path)
        reader, known.reader = known.reader, None
        if reader is not None:
            self._release(known, reader)
        self._context.release(known.source)

    # Opening and closing

    def _open(self, path: str, info: os.stat_result, name: str) -> Followed | ArchiveReader | FifoReader | None:
        """A reader for what is at `path`; None if it can't be opened now, which will be tried again."""
        try:
            fd = self._open_file(name)
        except OSError as error:
            self._remember_start(path, info)
            if error.errno not in _GONE:
                self._failed(path, error)
            elif name == path:
                self._gone(path)
            return None
        self._pending.pop(path, None)
        self._said.pop((path, "open"), None)
        self._problems.pop(path, None)
        self._found(path)
        info = os.fstat(fd)
        known = self._readers.get(identity(info))
        if known is not None or stat.S_IFMT(info.st_mode) not in (stat.S_IFREG, stat.S_IFIFO):
            os.close(fd)
            return known
        if stat.S_ISFIFO(info.st_mode):
            return self._open_fifo(path, fd)
        if is_archive("" if identity(info) in self._plain else path, fd):
            return self._open_archive(path, fd, info)
        offset = self._first_offset(path, fd, info)
        reader = self._follow(path, fd, info, info.st_size if offset is None else offset)
        if offset is None:
            self._begin_settling(reader)
        elif offset == 0:
            self._begin_doubt(reader, path)
        if self._starting and not info.st_size:
            reader.copied_last = self._rotated_last(path)
        return reader

    def _rotated_last(self, path: str) -> Made | None:
        """The newest of the files that were rotated away from `path`."""
        directory, base = os.path.split(path)
        with contextlib.suppress(OSError):
            names = self._listings.beginning_with(directory, base + ".", base + "-")
            for name in newer(names, base, None)[-1:]:
                return Made.at(os.path.join(directory, name))
        return None

    def _follow(self, path: str, fd: int, info: os.stat_result, offset: int) -> Followed:
        reader = Followed(self._context, self._listings, path, fd, identity(info), offset, self._read_failed)
        reader.paths = []
        reader.lingers = None
        reader.heirs = []
        reader.doubt = None
        reader.settling = False
        reader.is_copy = reader.is_proven = reader.is_rotated = False
        reader.judge = self._is_own
        reader.judged = -1
        reader.claim = self._claim_copy
        reader.catch_up = self._catch_up
        reader.on_lost = self._lost
        reader.on_rewritten = self._rewritten
        reader.watch = -1
        reader.name = path
        if offset == info.st_size:
            reader.modified = info.st_mtime_ns
        reader.find = self._find
        reader.descriptors = self._descriptors
        self._readers[reader.identity] = reader
        self._descriptors.used(reader)
        self._context.counters.log_opens_total[path] += 1
        self._watch_file(reader)
        return reader

    def _open_file(self, name: str) -> int:
        before = self._descriptors.set_aside
        fd = self._descriptors.open(name)
        for _ in range(self._descriptors.set_aside - before):
            self._limit(
                "open_files",
                "there are more logs than files may be open: idle ones are closed until they are written to;"
                " LimitNOFILE= of the unit, or ulimit -n, allows more",
            )
        return fd

    def _lost(self, reader: Followed) -> None:
        """The descriptor stands for another file: look what its paths stand for, and find the file again."""
        for owner in list(reader.paths):
            self._loop.after(0, lambda path=owner.path: self.look(path))  # type: ignore[misc]
        self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))

    def _find(self, reader: Followed) -> int:
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
        self._descriptors.used(reader)
        return fd

    def _open_fifo(self, path: str, fd: int) -> FifoReader:
        reader = FifoReader(self._context, self._loop, self._context.hold(path), path, fd, self._fifo_ended)
        self._readers[reader.identity] = reader
        return reader

    # Compressed files

    def _open_archive(self, path: str, fd: int, info: os.stat_result, log: str = "") -> ArchiveReader:
        """A reader of a compressed file that is at `path`, or was at `log`, whose lines it has then."""
        source = self._context.hold(log or path)
        # What is named as a copy of a log, and was written before the start, is history.
        not_before = self._started if log or self._bases(path) else 0
        reader = ArchiveReader(self, self._context, source, path, fd, identity(info), not_before)
        self._archives[reader] = []
        self._readers[reader.identity] = reader
        self._context.counters.log_opens_total[source.name] += 1
        left = self._left.pop(reader.identity, None)
        is_known = left is not None and left.offset == info.st_size and left.fits(fd)
        was_here = self._starting or (self._at_start.pop(path, (None, 0))[0] == reader.identity)
        if is_known or was_here or (not log and self._before(path) is None and self._is_history(fd, info)):
            reader.pass_over()
        else:
            self._begin_archive(reader)
            if log:
                self._loop.queue(reader)  # others may wait for it
        return reader

    def _begin_archive(self, reader: ArchiveReader) -> None:
        self._unread[reader] = None
        self._descriptors.used(reader)
        self._every("archives", _LINGER_TICK, self._turn_archives)
        self._turn_archives()

    def _check_archive(self, reader: ArchiveReader, path: str, info: os.stat_result) -> None:
        if reader.stage is Stage.DONE and reader.has_changed(info):
            try:
                reader.look(info, self._open_file(path))
            except OSError as error:
                self._failed(path, error)
                return
            self._begin_archive(reader)

    def _turn_archives(self) -> bool:
        """A few at a time, so that not all of them are open."""
        for reader in islice(self._unread, _ARCHIVES):
            self._loop.queue(reader)
        return bool(self._unread)

    def open_again(self, archive: ArchiveReader) -> int:
        names = [path.path for path in self._archives[archive]] or [archive.path]
        fd = open_as(names, lambda fd: identity(os.fstat(fd)) == archive.identity, self._open_file)
        if fd is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._descriptors.used(archive)
        return fd

    def counted(self, archive: ArchiveReader) -> list[Counted]:
        names = self._compared_with(archive)
        found = [Counted(position) for name in names for position in self._past.get(name, ())]
        for reader in self._readers_of(names):
            found += reader.counted()
        return found

    def is_held(self, archive: ArchiveReader, end: Position) -> bool:
        readers = self._readers_of(self._compared_with(archive))
        return any(reader.is_open and end.fits(reader.fd) for reader in readers)

    def _compared_with(self, archive: ArchiveReader) -> set[str]:
        """The logs that `archive` may hold a copy of: those that it is named after, or all if there are few."""
        start = archive.path.rfind("/") + 2
        names = {archive.path[:at] for at in range(start, len(archive.path)) if archive.path[at] in ".-"}
        names |= {archive.path, archive.source.name}
        if len(self._past) + len(self._readers) <= _MAX_COMPARED:
            names.update(self._past, self._paths, self._rotated)
        return names

    def _readers_of(self, names: set[str]) -> Iterator[Followed]:
        """What reads, or goes on reading, logs of these names."""
        found: dict[Followed, None] = {}
        for name in names:
            known = self._paths.get(name)
            at_path = known.reader if known is not None else None
            for reader in (at_path, self._rotated.get(name), *self._generations.get(name, ())):
                # What is a copy itself and was never read tells nothing: the log it was copied from does.
                if isinstance(reader, Followed) and not (reader.is_copy and reader.is_untouched):
                    found[reader] = None
        return iter(found)

    def finished(self, archive: ArchiveReader) -> None:
        if archive.position.length:
            self._note_past(archive.source.name, archive.position)
        self._unread.pop(archive, None)
        self._descriptors.forget(archive)
        self._turn_archives()
        self._leave_archive(archive)

    def _leave_archive(self, archive: ArchiveReader) -> None:
        """Forget it if it is done and has no path."""
        if archive.stage is Stage.DONE and not self._archives.get(archive, True):
            self._close_archive(archive)

    def _close_archive(self, archive: ArchiveReader) -> None:
        self._left[archive.identity] = archive.raw
        _trim(self._left, REMEMBERED)
        self._context.counters.log_closes_total[archive.source.name] += 1
        self._readers.pop(archive.identity, None)
        self._unread.pop(archive, None)
        self._descriptors.forget(archive)
        del self._archives[archive]
        archive.close()
        self._context.release(archive.source)

    def no_archive(self, archive: ArchiveReader) -> None:
        """Its name misled: it is a log like others."""
        paths = self._archives[archive]
        for path in paths:
            path.reader = None
        again = [path.path for path in paths]
        paths.clear()
        self._close_archive(archive)
        self._left.pop(archive.identity, None)
        self._plain[archive.identity] = None
        _trim(self._plain, _MAX_MOVES)
        for name in again:
            self.look(name)

    def _fifo_ended(self, reader: FifoReader) -> None:
        self._readers.pop(reader.identity, None)
        reader.close()
        for path in list(self._paths.values()):
            if path.reader is reader:
                path.reader = None
                self.look(path.path)

    def _remember_start(self, path: str, info: os.stat_result) -> None:
        if self._starting:
            self._at_start[path] = (identity(info), info.st_size)

    def _first_offset(self, path: str, fd: int, info: os.stat_result) -> int | None:
        """Where to begin with a file that is not being read (row `new-file`); None for a rotated copy."""
        if self._starting:
            return info.st_size
        at_start = self._at_start.pop(path, None)
        if at_start is not None and at_start[0] == identity(info):
            return at_start[1] if at_start[1] <= info.st_size else 0
        left = self._left.pop(identity(info), None)
        if left is not None and left.fits(fd):
            return left.offset
        before = self._before(path)
        if before is not None and goes_on(before, fd, info, self._is_moved_in.get(path)):
            return take_over(before, fd)
        if before is not None and self._is_edited(before, path):
            return info.st_size
        is_within_reach = before is None or before.identity[0] != info.st_dev
        if is_within_reach and self._is_history(fd, info):
            return info.st_size
        return None if self._is_rotated_copy(path) else 0

    def _before(self, path: str) -> Followed | None:
        """What was read at `path` last."""
        known = self._paths.get(path)
        before = (known.reader if known is not None else None) or self._rotated.get(path)
        return before if isinstance(before, Followed) else None

    def _is_edited(self, before: Followed, path: str) -> bool:
        """Whether a script may have put what is at `path` now in the place of a rotated file, which was counted."""
        is_counted = (before.is_rotated or before.is_copy) and bool(self._bases(path))
        return is_counted and self._is_moved_in.get(path) is not False and not before.has_names()

    def _is_history(self, fd: int, info: os.stat_result) -> bool:
        """Whether the file was there before the start, unless the clock was set back since."""
        made = birth(fd) or info.st_mtime_ns
        return made < self._started < time.time_ns()

    def _is_rotated_copy(self, path: str) -> bool:
        return bool(self._bases(path))

    def _bases(self, path: str) -> list[str]:
        """The followed paths that make `path` when `.…` or `-…` is added."""
        start = path.rfind("/") + 2
        bases = (path[:at] for at in range(start, len(path)) if path[at] in ".-")
        return [base for base in bases if self._context.is_held(base)]

    def _close(self, reader: Followed) -> None:
        """Stop reading; remember how far it went, unless the file is no more and its inode may become another's."""
        reader.finish()
        with contextlib.suppress(OSError):
            if not reader.is_open or os.fstat(reader.fd).st_nlink:
                self._left[reader.identity] = reader.position
                _trim(self._left, REMEMBERED)
        for source in reader.sources[:1]:
            self._context.counters.log_closes_total[source.name] += 1
            self._note_past(source.name, reader.position)
        self._unwatch_file(reader)
        self._polled.pop(reader, None)
        self._lingering.pop(reader, None)
        self._settling.pop(reader, None)
        self._readers.pop(reader.identity, None)
        self._renames.forget(reader)
        self._descriptors.forget(reader)
        reader.close()
        lingers, reader.lingers = reader.lingers, None
        if lingers is not None:
            self._forget_rotated(reader, lingers)

    def _read_failed(self, reader: FileReader, error: OSError) -> None:
        assert isinstance(reader, Followed)
        if error.errno in LATER:
            self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))
            return
        if not is_stale(error):
            for source in reader.sources:
                self._context.counters.log_errors_total[source.name] += 1
                self._say_once(source.name, "read", "%s: read: %s", source.name, error.strerror)
            self._loop.after(self._context.settings.poll_interval, lambda: self._loop.queue(reader))
            return
        self._abandon(reader, _STALE_WAIT)

    def _abandon(self, reader: Followed, wait: float = 0.0) -> None:
        """The file of `reader` is not to be had any more: look after a while for what its paths stand for."""
        if reader.news and not reader.is_open:
            self._context.counters.log_errors_total[reader.path] += 1
            self._say_once(
                reader.path,
                "lost",
                "%s: written to and gone before it could be opened again, its last lines are lost:"
                " LimitNOFILE= of the unit, or ulimit -n, allows more open files",
                reader.path,
            )
        again = [*(path.path for path in reader.paths), *reader.heirs]
        for path in list(reader.paths):
            path.reader = None
        reader.paths.clear()
        self._close(reader)
        for name in again:
            self._loop.after(wait, lambda name=name: self.look(name))  # type: ignore[misc]

    def _failed(self, path: str, error: OSError) -> None:
        """Count and say that `path` could not be had, and try again later, less and less often."""
        self._context.counters.log_errors_total[path] += 1
        if error.errno in NO_DESCRIPTORS:
            self._limit("open_files", "%s: %s (limit of open files)", path, error.strerror)
        else:
            text = os.strerror(error.errno or 0)
            if error.errno in (errno.EACCES, errno.EPERM):
                text = f"{text}: allow the user of nativemtail to read it"
            self._problem(path, text)
            self._say_once(path, "open", "%s: %s", path, text)
        interval = self._context.settings.poll_log_interval
        self._pending[path] = min(2 * self._pending.get(path, interval / 2), max(interval, _RETRY_LIMIT))
        if path not in self._retrying:
            self._retrying.add(path)
            self._loop.after(self._pending[path], lambda: self._retry(path))

    def _retry(self, path: str) -> None:
        self._retrying.discard(path)
        if path in self._pending:
            self.look(path)

    # Logs that an editor may have saved

    def _begin_doubt(self, reader: Followed, path: str) -> None:
        before = self._before(path)
        if before is not None and self._is_moved_in.get(path) is not True:
            reader.doubt = Doubt.of(path, before)
        if reader.doubt is not None:
            self._doubtful[reader] = None
            self._every("saved", _DOUBT_TICK, self._decide)

    def _decide(self) -> bool:
        for reader in list(self._doubtful):
            if reader.doubt is None or reader.closed:
                del self._doubtful[reader]
            self._loop.queue(reader)
        return bool(self._doubtful)

    # Rotated files

    def _begin_settling(self, copy: Followed) -> None:
        copy.settling = copy.is_copy = True
        copy.is_proven = False
        copy.judged = -1
        copy.last_data = time.monotonic()
        self._settling[copy] = time.monotonic() + _SETTLE_LIMIT
        self._every("settle", _LINGER_TICK, self._settle)

    def _settle(self) -> bool:
        now = time.monotonic()
        for copy, limit in list(self._settling.items()):
            if copy.turn():
                self._loop.queue(copy)
            is_quiet = copy.is_proven and now - copy.last_data >= self._context.settings.flush
            if copy in self._settling and (is_quiet or now >= limit) and not self._is_being_made(copy):
                self._settled(copy, is_late=True)
        return bool(self._settling)

    def _settled(self, copy: Followed, is_late: bool = False) -> None:
        """If the copy is complete, what it holds was counted, and what comes from now on is new."""
        if copy.turn():
            self._loop.queue(copy)
        if copy.is_proven or (is_late and os.fstat(copy.fd).st_size):
            copy.settling = False
            self._settling.pop(copy, None)

    def _is_own(self, copy: Followed) -> bool:
        """Whether a file that is named as a copy is none, by what it holds now; then it is read from its beginning."""
        size = os.fstat(copy.fd).st_size
        if copy.is_proven or size in (0, copy.judged):
            return False
        copy.judged = size
        content = recognise(os.pread(copy.fd, START, 0))
        if self._is_counted(copy) or (content is not None and not content.encoding):
            # What is short may begin alike by chance.
            copy.is_proven = size >= _SURE or not self._is_being_made(copy)
            return False
        waiting = [base for base in self._readers_of_bases(copy.path) if base.may_want_copies()]
        is_early = time.monotonic() < self._settling.get(copy, 0.0) - _SETTLE_LIMIT + _WANTED
        if waiting and is_early and not self._is_draining:
            for base in waiting:
                self._loop.queue(base)
            copy.judged = -1
            return False
        self._settling.pop(copy, None)
        copy.settling = copy.is_copy = False
        copy.rewind()
        return True

    def _rewritten(self, reader: Followed) -> None:
        """A file was truncated; one that is named as a copy may be about to become a copy again."""
        for source in reader.sources[:1]:
            self._note_past(source.name, reader.before_truncation)
        if reader.lingers is not None and reader.paths:
            self._end_linger(reader)
        name = reader.path if reader.paths else reader.name
        if self._bases(name):
            reader.path = name
            self._begin_settling(reader)

    def _note_past(self, name: str, position: Position) -> None:
        """A log stood there: what holds this is a copy of what was counted."""
        self._past.setdefault(name, deque(maxlen=_PAST)).append(position)
        _trim(self._past, REMEMBERED // _PAST)

    def _claim_copy(self, log: Followed, fd: int) -> bool:
        """Whether a truncated file's reader may read the copy: not if that is or was read as a file of its own."""
        info = os.fstat(fd)
        who = identity(info)
        reader = self._readers.get(who)
        left = self._left.get(who)
        if isinstance(reader, Followed) and not reader.is_copy:
            return False
        if left is not None and left.fits(fd):
            return False
        self._left[who] = Position.of(fd, info.st_size)
        _trim(self._left, REMEMBERED)
        for source in log.sources[:1]:
            self._note_past(source.name, self._left[who])
        return True

    def _is_counted(self, copy: Followed) -> bool:
        """Whether `copy` holds what is or will be read by the reader of the file that it is named after."""
        left = self._left.get(copy.identity)
        is_claimed = left is not None and left.offset in (copy.offset, copy.judged) and left.fits(copy.fd)
        bases = self._bases(copy.path)
        rotated = (reader for base in bases for reader in self._generations.get(base, ()) if reader is not copy)
        return (
            is_claimed
            or any(base.is_copied_in(copy.fd) for base in self._readers_of_bases(copy.path))
            or any(reader.is_copied_in(copy.fd) for reader in rotated)
            or any(position.fits(copy.fd) for position in self._past_of(copy, bases))
        )

    def _past_of(self, copy: Followed, bases: list[str]) -> Iterator[Position]:
        """Where logs stood that it may be a copy of; one that a backup restored is a copy of what it was."""
        path = copy.path
        for base in bases:
            yield from self._past.get(base, ())
        if any(is_generation(base, path) for base in bases):
            yield copy.before_truncation
            yield from self._past.get(path, ())
            if path in self._rotated:
                yield self._rotated[path].position

    def _is_being_made(self, copy: Followed) -> bool:
        return any(base.is_being_copied(copy.fd) for base in self._readers_of_bases(copy.path))

    def _readers_of_bases(self, path: str) -> Iterator[Followed]:
        for base in self._bases(path):
            known = self._paths.get(base)
            for reader in (known.reader if known is not None else None, self._rotated.get(base)):
                if isinstance(reader, Followed) and reader.path != path:
                    yield reader

    def _linger(self, reader: Followed, name: str) -> None:
        reader.is_rotated = True
        reader.decide(at_once=True)
        if reader.lingers is None:
            reader.lingers = self._context.hold(name)
            reader.sources = [reader.lingers]
        self._rotated[name] = reader
        self._generations.setdefault(reader.lingers.name, {})[reader] = None
        reader.last_data = time.monotonic()
        self._lingering[reader] = None
        self._loop.queue(reader)
        self._every("linger", _LINGER_TICK, self._tick)

    def _tick(self) -> bool:
        settings = self._context.settings
        now = time.monotonic()
        for reader in list(self._lingering):
            if reader.watch < 0:
                self._loop.queue(reader)
            if now - reader.last_data < settings.flush:
                continue
            if reader.turn() or reader.last_data > now or (reader.news and not reader.is_open):
                self._loop.queue(reader)
                continue
            reader.finish()
            if now - reader.last_data >= settings.linger:
                self._end_linger(reader)
        return bool(self._lingering)

    def _end_linger(self, reader: Followed) -> None:
        if not reader.paths:
            self._close(reader)
            return
        if not reader.has_copies:  # or its last line may go on there
            reader.finish()
        del self._lingering[reader]
        lingers, reader.lingers = reader.lingers, None
        if lingers is not None:
            self._note_past(lingers.name, reader.position)
        reader.sources = [owner.source for owner in reader.paths]
        reader.path = reader.paths[0].path
        if lingers is not None:
            self._forget_rotated(reader, lingers)

    def _forget_rotated(self, reader: Followed, source: Source) -> None:
        if self._rotated.get(source.name) is reader:
            del self._rotated[source.name]
        rotated = self._generations.get(source.name, {})
        rotated.pop(reader, None)
        if not rotated:
            self._generations.pop(source.name, None)
        self._context.release(source)

    def _rescue(self) -> list[watch.Event]:
        """Read the files that were renamed from followed paths before they could be opened there; settle copies.

        A name may stand for another file by now.  So they are opened first, and count if the events up to then, which
        are returned, leave their names alone.
        """
        opened: list[tuple[str, str, int]] = []
        for path, origin in self._unproven.items():
            with contextlib.suppress(OSError):
                opened.append((path, origin, os.open(path, OPEN_FLAGS)))
        events = self._changes.take()
        self._take_sightings(events)
        changed = {
            os.path.join(directory.path, event.name)
            for event in events
            if event.mask & (watch.NEW_ENTRY | watch.OVERFLOW)
            for directory in self._directory_watches.get(event.watch, ())
        }
        for path, origin, fd in opened:
            if path in changed or not self._changes.is_all:
                os.close(fd)
            else:
                self._unproven.pop(path, None)
                self._take(fd, origin)
        if self._changes.is_all:
            for path in [path for path in self._unproven if path not in changed]:
                self._unproven.pop(path, None)
            for path in [path for path in self._written if path not in changed]:
                copy = self._written.pop(path, None)  # settling one may come back here
                if copy is not None and copy in self._settling:
                    self._settled(copy)
        return events

    def _take(self, fd: int, origin: str) -> None:
        """Read the file of `fd`, which was at `origin`, from its beginning, unless it is or was being read."""
        reader = self._readers.get(identity(os.fstat(fd)))
        if reader is None:
            before = self._rotated.get(origin)
            found = self._adopt(origin, fd)
            if found is not None and before is not None and origin not in self._paths:
                self._succession.succeeds(origin, before, found)
            elif found is not None:
                self._succession.came_between(origin, found)
            return
        os.close(fd)
        if isinstance(reader, Followed) and reader.is_copy and reader.is_untouched:
            self._settling.pop(reader, None)
            reader.settling = reader.is_copy = False
            reader.rewind()
            self._linger(reader, origin)

    def _adopt(self, path: str, fd: int) -> Followed | ArchiveReader | None:
        """A reader for the file of `fd`, which was at `path`; None if it is or was read, or has nothing new."""
        info = os.fstat(fd)
        who = identity(info)
        is_new = who not in self._readers and who not in self._left
        if not is_new or not stat.S_ISREG(info.st_mode) or info.st_mtime_ns < self._started:
            os.close(fd)
            return None
        if is_archive("", fd):
            return self._open_archive(path, fd, info, path)
        reader = self._follow(path, fd, info, 0)
        self._linger(reader, path)
        return reader

    # Files that may no longer be at their paths

    def _take_sightings(self, events: list[watch.Event]) -> None:
        """Follow the files that were opened when they appeared, one generation of a path after the other; then what is
        there now.
        """
        sighted: dict[str, None] = {}
        for event in events:
            if event.fd < 0:
                continue
            try:
                info = os.fstat(event.fd)
                if stat.S_ISREG(info.st_mode) and identity(info) not in self._readers:
                    for directory in list(self._directory_watches.get(event.watch, ())):
                        for named in self._named(os.path.join(directory.path, event.name)):
                            self._sight(named, info, f"/proc/self/fd/{event.fd}")
                            sighted[named] = None
            finally:
                os.close(event.fd)
        for path in sighted:
            self.look(path)

    def _named(self, path: str) -> list[str]:
        """The paths that match a pattern and mean `path`: itself, and links to it."""
        ignore = self._context.settings.ignore
        is_ignored = ignore is not None and ignore(os.path.basename(path))
        matches = not is_ignored and any(pattern.glob.matches(path) for pattern in self._patterns)
        return [*([path] if matches else ()), *self._links.get(path, ())]

    def _sight(self, path: str, info: os.stat_result, name: str) -> None:
        """A file that nobody reads was at `path`, and can be opened by `name`."""
        known = self._paths.get(path)
        with contextlib.suppress(OSError):
            if known is None or known.reader is None or known.reader.identity != identity(os.stat(path)):
                self._bind(path, info, name)
            elif not self._is_rotated_copy(path):  # its successor is being read already
                self._take(os.open(name, OPEN_FLAGS), path)

    # Waking

    def _on_events(self) -> None:
        new = self._changes.take()
        self._take_sightings(new)
        self._handle(new)
        if self._unproven or self._written:
            self._handle(self._rescue())
        if self._dirty:
            self._clean_soon()
        if self._unproven or self._written:
            self._loop.after(0, self._try_again)

    def note(self, event: watch.Event) -> None:
        """How a file came to a path is noted at once, as it matters when it is opened."""
        if event.mask & (watch.CREATE | watch.MOVED_TO):
            for directory in self._directory_watches.get(event.watch, ()):
                path = os.path.join(directory.path, event.name)
                for named in (path, *self._links.get(path, ())):
                    if named in self._paths or named in self._rotated:
                        self._is_moved_in[named] = bool(event.mask & watch.MOVED_TO)
                        _trim(self._is_moved_in, REMEMBERED)

    def _try_again(self) -> None:
        if self._unproven or self._written:
            self._catch_up()

    def _catch_up(self) -> bool:
        """Handle the events that are waiting: what looks like a copy may be a rotated file.  Whether there are more."""
        if self._changes.is_on:
            self._on_events()
        return self._is_up_to_date

    def _handle(self, events: list[watch.Event]) -> None:
        self._is_up_to_date = self._changes.is_all
        for event in events:
            if event.mask & watch.OVERFLOW:
                self._limit("events", "more than fs.inotify.max_queued_events events: looking at everything")
                self._unproven.clear()
                self._written.clear()
                self._dirty.update(dict.fromkeys(self._patterns))
                self._succession.lost_events(self._paths)
                self._sweep()
            elif event.watch in self._file_watches:
                self._on_file(self._file_watches[event.watch], event)
            else:
                for directory in list(self._directory_watches.get(event.watch, ())):
                    self._on_directory(directory, event)

    def _on_file(self, reader: Followed, event: watch.Event) -> None:
        if event.mask & watch.IGNORED:
            self._file_watches.pop(event.watch, None)
            reader.watch = -1
            if reader.is_open:
                self._poll_file(reader)
            else:
                self._abandon(reader)
            return
        if event.mask & watch.MODIFY:
            reader.news = True
        if event.mask & ~watch.MODIFY:
            for owner in list(reader.paths):
                self.look(owner.path)
        self._loop.queue(reader)

    def _on_directory(self, directory: _Directory, event: watch.Event) -> None:
        if not event.name:
            if event.mask & (watch.DELETE_SELF | watch.MOVE_SELF | watch.UNMOUNT | watch.IGNORED):
                self._forget_directory(directory)
            return
        path = os.path.join(directory.path, event.name)
        if event.mask & watch.CLOSE_WRITE:
            self._on_written(path)
            return
        if event.mask & (watch.CREATE | watch.MOVED_TO):
            for reader in self._readers_of_bases(path):
                reader.expect_copy()
        matches = any(glob.matches(path) for glob in directory.files)
        self._note_rename(path, event, matches)
        for named in [*([path] if matches else ()), *self._links.get(path, ())]:
            if event.mask & (watch.CREATE | watch.MOVED_TO) and (named in self._paths or named in self._rotated):
                self._succession.arrived(named)
            self.look(named)
        for glob, pattern in directory.folders.items():
            if glob.matches(path):
                self._dirty[pattern] = None
        if event.mask & watch.NEW_ENTRY:
            self._dirty.update(self._ways.get(path, {}))

    def _on_written(self, path: str) -> None:
        """A writer of `path` is done: with what is there now, unless an event that waits gives the name to another."""
        known = self._paths.get(path)
        if known is not None and isinstance(known.reader, Followed) and known.reader.settling:
            self._written[path] = known.reader

    def _note_rename(self, path: str, event: watch.Event, matches: bool) -> None:
        """Keep track of the names that the file of a followed path gets."""
        if not event.mask & watch.NEW_ENTRY:
            return
        origin = self._rotated_names.pop(path, "")
        self._unproven.pop(path, None)
        self._written.pop(path, None)
        if event.mask & watch.MOVED_FROM:
            known = self._paths.get(path)
            reader = known.reader if known is not None else None
            self._renames.moved_from(path, event.cookie, reader if isinstance(reader, Followed) else None)
            if not origin and matches and not self._is_rotated_copy(path):
                origin = path
            if origin:
                self._moves[event.cookie] = origin
                _trim(self._moves, _MAX_MOVES)
        if event.mask & watch.MOVED_TO:
            self._renames.moved_to(path, event.cookie)
        if event.mask & watch.MOVED_TO and event.cookie in self._moves:
            self._rotated_names[path] = self._unproven[path] = self._moves.pop(event.cookie)
            _trim(self._rotated_names, _MAX_MOVES)
            _trim(self._unproven, _MAX_UNPROVEN)

    def _clean_soon(self) -> None:
        """At most half of the time goes into it: it costs as much as there are directories, however few changed."""
        if not self._will_clean:
            self._will_clean = True
            self._loop.after(max(0.0, self._clean_at - time.monotonic()), self._clean_later)

    def _clean_later(self) -> None:
        self._will_clean = False
        began = time.monotonic()
        self._clean()
        self._clean_at = 2 * time.monotonic() - began

    def _clean(self) -> None:
        dirty = list(self._dirty)
        self._dirty.clear()
        for pattern in dirty:
            self._refresh(pattern)

    def _refresh(self, pattern: _Pattern) -> None:
        """Watch the directories of a pattern as they are now, and look at matches that are not known."""
        polled = False
        if self._changes.is_on:
            self._watch_ways(pattern)
        blocked = ""
        for path, matters in pattern.directories():
            blocked = blocked or doubts.of_directory(path, matters.pattern.rpartition("/")[2])
            directory = self._watch_directory(path)
            if directory is None:
                polled = True
            elif matters is pattern.glob:
                directory.files[matters] = None
                self._changes.open_new(directory.watch, path, pattern.glob.last)
            else:
                directory.folders[matters] = pattern
        matches = pattern.glob.expand()
        for path in matches:
            if path not in self._paths and path not in self._pending:
                self.look(path)
        self._judge(pattern.glob, matches, blocked)
        pattern.polled = polled
        if polled:
            self._every("patterns", self._context.settings.poll_log_interval, self._poll_patterns)

    def _judge(self, glob: Glob, matches: list[str], blocked: str) -> None:
        """Say what is wrong with a pattern."""
        nothing = doubts.of_matches(glob, matches)
        doubt = doubts.of_text(glob) or blocked or nothing
        if not doubt:
            self._doubts.pop(glob.pattern, None)
            return
        self._doubts[glob.pattern] = doubt
        if self._starting or doubt is not nothing:  # later, it may be in the middle of a rotation
            self._say_once(glob.pattern, "pattern", "%s: %s", glob.pattern, doubt)

    def _found(self, path: str) -> None:
        """No pattern that it matches waits any more."""
        for pattern in self._patterns if self._doubts else ():
            glob = pattern.glob
            if self._doubts.get(glob.pattern) == doubts.of_matches(glob, ()) and glob.matches(path):
                del self._doubts[glob.pattern]

    def _problem(self, path: str, text: str) -> None:
        self._problems[path] = text
        _trim(self._problems, _MAX_MOVES)

    def problems(self) -> dict[str, str]:
        """What is wrong, by pattern or path; may be called from any thread."""
        return self._doubts | self._problems

    def _watch_directory(self, path: str) -> _Directory | None:
        known = self._directories.get(path)
        if not self._changes.is_on or (known is not None and stands_for(path, known.identity)):
            return known
        if known is not None:
            self._unwatch_directory(known)
            self._loop.after(0, lambda: self._look_below(path))
        if watch.is_remote(path):
            return None
        try:
            who = identity(os.stat(path))  # first: what comes to its place meanwhile is another one's
            number = self._changes.watch_directory(path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._limit("watches", "%s: fs.inotify.max_user_watches is reached: polling", path)
            return None
        directory = self._directories[path] = _Directory(path, number, who)
        self._directory_tree.add(path)
        self._directory_watches.setdefault(number, []).append(directory)
        return directory

    def _forget_directory(self, gone: _Directory) -> None:
        """A directory was deleted, moved or unmounted: so were those below it and all files in them."""
        self._unwatch_directory(gone)
        self._dirty.update(dict.fromkeys(self._patterns))
        self._look_below(gone.path)

    def _unwatch_directory(self, gone: _Directory) -> None:
        for path in [gone.path, *self._directory_tree.below(gone.path)]:
            directory = self._directories.pop(path, None)
            if directory is None:
                continue  # told of more than once
            self._directory_tree.discard(path)
            sharing = self._directory_watches.get(directory.watch, [])
            if directory in sharing:
                sharing.remove(directory)
            if not sharing:
                self._directory_watches.pop(directory.watch, None)
            self._changes.unwatch_directory(directory.watch)

    def _look_below(self, directory: str) -> None:
        for path in self._tree.below(directory):
            self.look(path)

    def _watch_links(self, path: str) -> None:
        """Watch where the symbolic links of a path lead, as a change there changes the path's file."""
        self._unwatch_links(path)
        if not os.path.islink(path):
            return  # of its directories `_watch_ways` takes care
        hops = self._hops[path] = self._watch_places(path)
        for place in hops:
            self._links.setdefault(place, set()).add(path)
            directory = self._directories.get(os.path.dirname(place))
            if directory is not None and not os.path.isdir(place):
                self._changes.open_new(directory.watch, directory.path, [os.path.basename(place)])

    def _watch_ways(self, pattern: _Pattern) -> None:
        """Watch where the links among the directories of a pattern lead."""
        for place in pattern.places:
            self._ways.get(place, {}).pop(pattern, None)
            if not self._ways.get(place):
                self._ways.pop(place, None)
        links = [path for folder in pattern.folders for path in folder.expand() if os.path.islink(path)]
        pattern.places = [place for link in links for place in self._watch_places(link)]
        for place in pattern.places:
            self._ways.setdefault(place, {})[pattern] = None

    def _watch_places(self, path: str) -> list[str]:
        return [place for place in places(path) if self._watch_directory(os.path.dirname(place)) is not None]

    def _unwatch_links(self, path: str) -> None:
        for hop in self._hops.pop(path, ()):
            leading = self._links.get(hop, set())
            leading.discard(path)
            if not leading:
                self._links.pop(hop, None)

    def _watch_file(self, reader: Followed) -> None:
        if self._changes.is_on and not watch.is_remote(reader.fd):
            try:
                reader.watch = self._watch_inode(reader)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self._limit("watches", "%s: fs.inotify.max_user_watches is reached: polling", reader.path)
            else:
                self._file_watches[reader.watch] = reader
                return
        self._poll_file(reader)

    def _watch_inode(self, reader: Followed) -> int:
        try:
            return self._changes.watch_open(reader.fd)
        except FileNotFoundError:  # there is no /proc
            number = self._changes.watch_file(reader.name)
            is_ours = number not in self._file_watches
            if is_ours and stands_for(reader.name, reader.identity):
                return number
            if is_ours:
                self._changes.unwatch_file(number)
            raise

    def _unwatch_file(self, reader: Followed) -> None:
        if reader.watch >= 0 and self._file_watches.pop(reader.watch, None) is not None:
            self._changes.unwatch_file(reader.watch)
        reader.watch = -1

    # Polling, and the sweep

    def _poll_file(self, reader: Followed) -> None:
        self._polled[reader] = None
        self._every("files", self._context.settings.poll_interval, self._poll_files)

    def _poll_files(self) -> bool:
        for reader in list(self._polled):
            for owner in list(reader.paths):
                self.look(owner.path)
        return bool(self._polled)

    def _poll_patterns(self) -> bool:
        for pattern in self._patterns:
            if pattern.polled:
                self._refresh(pattern)
        return any(pattern.polled for pattern in self._patterns)

    def _begin_sweep(self) -> None:
        """The next of the sweeps that are made from time to time."""
        self._sweep()
        self._loop.after(self._context.settings.sweep, self._begin_sweep)

    def _sweep(self) -> None:
        """Look at everything, a few paths at a time: for what inotify missed (memory-mapped writes, links of links).

        If that is going on, it is done once more.
        """
        self._must_sweep = True
        if self._is_sweeping:
            return
        self._is_sweeping = True
        paths: Iterator[str] = iter(())

        def step() -> None:
            nonlocal paths
            some = list(islice(paths, _SWEEP_STEP))
            for path in some:
                self.look(path)
            if some:
                self._loop.after(_SWEEP_PAUSE, step)
                return
            self._dirty.update(dict.fromkeys(self._patterns))
            self._clean()
            if self._must_sweep:
                begin()
            else:
                self._is_sweeping = False

        def begin() -> None:
            nonlocal paths
            self._must_sweep = False
            paths = iter(list(self._paths))
            step()

        begin()

    def _every(self, what: str, interval: float, action: Callable[[], bool]) -> None:
        """Do `action` regularly until it says that there is no more need; once however often it is asked for."""
        if what in self._ticking:
            return
        self._ticking.add(what)

        def tick() -> None:
            if action():
                self._loop.after(interval, tick)
            else:
                self._ticking.discard(what)

        self._loop.after(interval, tick)

    # Messages

    def _limit(self, limit: str, text: str, *values: object) -> None:
        self._context.counters.limits_total[limit] += 1
        self._say_once(limit, "limit", text, *values)

    def _say_once(self, path: str, what: str, text: str, *values: object) -> None:
        if (path, what) in self._said:
            return
        self._said[path, what] = None
        _trim(self._said, _MAX_MOVES)
        _log.warning(text, *values)


def _is_rotated_name(path: str, base: str) -> bool:
    return path.startswith((base + ".", base + "-"))


def _trim(table: dict[Any, Any], size: int) -> None:
    """Forget the oldest entries."""
    while len(table) > size:
        del table[next(iter(table))]
