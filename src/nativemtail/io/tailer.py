"""Reads all sources that `-logs` names in one loop, until it is stopped or until their ends.

A daemon calls `Tailer.open` in the main thread (a source that cannot be opened ends the start-up), `run` in a thread of
its own, `stop` from any thread.  The limits are in `Settings` (sources.py); `Counters` counts how often they were hit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nativemtail.globs import BadPattern, Glob
from nativemtail.gotext import explain
from nativemtail.io.files import FilesToEnd, find
from nativemtail.io.loop import Loop, in_turns
from nativemtail.io.patterns import DATAGRAM_SCHEMES, HTTP_SCHEME, SEGMENTS_SCHEME, STREAM_SCHEMES, LogSpec
from nativemtail.io.pipe import FifoReader, StdinReader, check_stdin, open_pipe
from nativemtail.io.position import identity
from nativemtail.io.silence import Silence
from nativemtail.io.sources import Context, Counters, Settings, Sink, Source, SourceError

if TYPE_CHECKING:  # imported when something needs them: a one-shot run of files must start quickly
    from nativemtail.io.catch_up import Backlog, CatchUp
    from nativemtail.io.changes import Changes
    from nativemtail.io.datagram import DatagramListener
    from nativemtail.io.discover import Discovery
    from nativemtail.io.peers import Peers
    from nativemtail.io.saved import Record, Saved
    from nativemtail.io.segments import SegmentDirectory
    from nativemtail.io.stream import StreamListener

_CLIENTS_PART = 4
"""At most a quarter of all descriptors are connections, so that files keep theirs."""

_log = logging.getLogger(__name__)


class Input(Protocol):
    """The source or sources of an element of `-logs`, or of all paths together.  It reads when it has its turn."""

    @property
    def ended(self) -> bool:
        """Whether there will be no more input."""

    @property
    def reading(self) -> int:
        """How many sources are being read."""

    def drain(self) -> Iterator[None]:
        """Read block by block what is available now, and deliver unterminated lines."""

    def give_up(self) -> Iterable[tuple[str, int]]:
        """Give up what `drain` did not reach: names of sources, and how many bytes of each."""

    def close(self) -> None: ...


class SourceStatus(NamedTuple):
    """One source as pages show it; `offset`, `size` and `lag` (bytes up to the end) are None except for files."""

    name: str
    lines: int
    bytes_read: int
    errors: int
    offset: int | None = None
    size: int | None = None
    lag: int | None = None


class Tailer:
    """Reads the sources `specs` and gives their lines to `sink`, whose methods are called in the thread that reads.

    A slow sink holds back files, pipes and streams; datagrams wait in the kernel's buffer.
    With `until_end` each source ends: files and segments where they end now, pipes with their writers, streams with
    their first connection, datagrams with an empty one.

    If positions are kept (`Tailer.positions`), `saved` is what was kept by then: logs are read on from there.  What
    exists at the very first start is skipped, unless `read_from_beginning` or `until_end`.
    """

    def __init__(
        self,
        specs: Iterable[LogSpec],
        sink: Sink,
        settings: Settings | None = None,
        *,
        until_end: bool = False,
        saved: Saved | None = None,
        read_from_beginning: bool = False,
    ) -> None:
        self._specs = list(specs)
        self._sink = sink
        self._context = Context(sink, settings or Settings())
        self._context.moved.is_kept = saved is not None
        self._until_end = until_end
        self._saved = saved
        self._from_beginning = read_from_beginning or until_end
        self._is_tail_kept = False
        self._untaken: dict[str, Record | None] = {}
        self._loop = Loop()
        if not until_end:
            self._context.delivered = Silence(sink, self._loop, lambda: self.catching_up).lines_came
        self._changes: Changes | None = None
        self._peers: Peers | None = None
        self._inputs: list[Input] = []
        self._listeners: list[StreamListener | DatagramListener] = []
        self._discovery: Discovery | None = None
        self._files: FilesToEnd | None = None
        self._segments: list[SegmentDirectory] = []
        self._catch_up: CatchUp | None = None
        self._refused: list[Source] = []
        self._bad_patterns: dict[str, str] = {}
        self._stopping = False
        self._calls: deque[Callable[[], None]] = deque()
        self.beats = 0
        """Increases while `run` makes progress, and with each `nudge` when it is idle."""
        self.unread: Counter[str] = Counter()
        """Unread bytes by source that existed at the stop; complete once `run` has returned."""

    @property
    def counters(self) -> Counters:
        return self._context.counters

    @property
    def log_count(self) -> int:
        """Sources being read: paths, listeners with their connections, standard input."""
        return sum(entry.reading for entry in self._inputs)

    @property
    def addresses(self) -> dict[str, object]:
        """Socket name of each listener, by source name."""
        return {entry.source.name: entry.address for entry in self._listeners}

    @property
    def size(self) -> int | None:
        """Total bytes to read until the end; None if unknown."""
        return self._files.size if self._files is not None and self._inputs == [self._files] else None

    @property
    def used(self) -> int:
        """Bytes of `size` read so far; without a `size`, all bytes read so far."""
        if self.size is not None and self._files is not None:
            return self._files.used
        return self.counters.log_bytes_total.total()

    def open(self) -> None:
        """Bind the sockets and open the existing files, to be read from their ends on or (`until_end`) up to them.

        Raises `SourceError` for a socket that cannot be bound, and for unreadable standard input unless `until_end`;
        what was opened is then closed again.
        """
        limit = _raise_file_limit()
        try:
            self._listen(min(self._context.settings.max_clients, limit // _CLIENTS_PART))
        except BaseException:
            self.close()
            raise
        globs = list(self._globs())
        if self._until_end and self._saved is None:
            self._open_files(globs)
        elif globs:
            self._follow(globs, limit)
        for spec in self._specs:
            if spec.kind == SEGMENTS_SCHEME:
                self._open_segments(spec)
        if self._saved is not None and self._saved.started:
            self._begin_catching_up()

    def _listen(self, most_clients: int) -> None:
        """Open standard input and sockets; done before the search for files, so that peers need not wait."""
        has_stdin = False
        for spec in self._specs:
            if spec.kind == "stdin" and not has_stdin:
                has_stdin = True
                self._open_stdin(spec.name)
            elif spec.kind in DATAGRAM_SCHEMES or spec.kind in STREAM_SCHEMES or spec.kind == HTTP_SCHEME:
                self._open_socket(spec, most_clients)

    def _open_socket(self, spec: LogSpec, most_clients: int) -> None:
        from nativemtail.io.datagram import DatagramListener
        from nativemtail.io.peers import Peers
        from nativemtail.io.stream import StreamListener

        listener: StreamListener | DatagramListener
        if spec.kind in DATAGRAM_SCHEMES:
            listener = DatagramListener(self._context, self._loop, spec, until_end=self._until_end)
        else:
            if self._peers is None:
                self._peers = Peers(most_clients)
            kind = StreamListener
            if spec.kind == HTTP_SCHEME:
                from nativemtail.io.requests import RequestListener as kind
            listener = kind(self._context, self._loop, spec, self._peers, until_end=self._until_end)
        self._listeners.append(listener)
        self._inputs.append(listener)

    def _follow(self, globs: list[Glob], limit: int) -> None:
        from nativemtail.io.discover import SPARE_DESCRIPTORS, Discovery

        for_peers = self._peers.most if self._peers is not None else 0
        most = max(limit - SPARE_DESCRIPTORS - for_peers, limit // 4)
        self._discovery = Discovery(
            self._context,
            self._loop,
            self._watched(),
            globs,
            most,
            saved=self._saved,
            from_beginning=self._from_beginning,
            until_end=self._until_end,
        )
        self._inputs.append(self._discovery)
        self._discovery.start()

    def _open_segments(self, spec: LogSpec) -> None:
        from nativemtail.io.segments import SegmentDirectory

        segments = SegmentDirectory(
            self._context,
            self._loop,
            self._watched(),
            spec,
            saved=self._saved,
            from_beginning=self._from_beginning,
            until_end=self._until_end,
        )
        self._inputs.append(segments)
        self._segments.append(segments)
        segments.start()

    def _begin_catching_up(self) -> None:
        """Watch how much is left of what the logs contain now."""
        from nativemtail.io.catch_up import CatchUp
        from nativemtail.io.timers import Timers

        backlogs: list[Backlog] = [segments.backlog() for segments in self._segments]
        if self._discovery is not None:
            backlogs.append(self._discovery.backlog())
        self._catch_up = CatchUp(backlogs, self.counters)
        self._catch_up.keep_checking(Timers(self._loop))

    def _watched(self) -> Changes:
        """The one stream of inotify's events."""
        from nativemtail.io.changes import Changes

        if self._changes is None:
            self._changes = Changes()
        return self._changes

    def _open_stdin(self, name: str) -> None:
        problem: SourceError | None = None
        try:
            check_stdin(name)
        except SourceError as error:
            if not self._until_end:
                raise
            problem = error
        source = self._context.hold(name)
        if problem is None:
            self._inputs.append(StdinReader(self._context, self._loop, source))
        else:
            self._refuse(source, str(problem))

    def _refuse(self, source: Source, text: str) -> None:
        source.failed(text)
        self._refused.append(source)

    def _open_files(self, globs: Iterable[Glob]) -> None:
        """Open the files that match now, to be read to their ends."""
        files = []
        for found in find(globs, self._context.settings.ignore):
            if found.is_fifo:
                self._open_pipe(found.path)
            else:
                files.append(found)
        if files:
            self._files = FilesToEnd(self._context, self._loop, files)
            self._inputs.append(self._files)

    def _open_pipe(self, path: str) -> None:
        source = self._context.hold(path)
        try:
            fd = open_pipe(path)
        except OSError as error:
            self._refuse(source, explain(error, "open", path))
        else:
            reader = FifoReader(self._context, self._loop, source, path, fd, FifoReader.stop, until_end=True)
            self._inputs.append(reader)

    def run(self, at_end: Callable[[], None] = lambda: None) -> None:
        """Read until `stop`, or until nothing is left to read; then drain, close, and remove socket files.

        `at_end` is called after the last line, before anything is closed.
        """
        try:
            self._context.delivered()  # there may be records that were kept
            for _ in self.turns():
                pass
            self._drain()
            self.finish_records()
            at_end()
        finally:
            self.close()

    def finish_records(self) -> None:
        """Complete the records of all logs: no more lines come."""
        self._sink.finish_all()

    def turns(self) -> Iterator[None]:
        """Read until `stop`, or until nothing is left to read; each step handles events and gives one turn."""
        while not self._stopping and not all(entry.ended for entry in self._inputs):
            self._loop.run_once()
            self._serve_calls()
            self.beats += 1
            yield

    def prepare_positions(self) -> bool:
        """Spend a moment on what `positions` would have to do; whether that takes only a moment now.

        In the thread that reads, between two turns.
        """
        return self._discovery is None or self._discovery.positions.prepare()

    def positions(self) -> dict[str, Record | None]:
        """What is to be kept of the sources, where it changed since the last call, by key; None for what is gone.

        In the thread that reads, between two turns.  All that was returned, put together, is given to `Saved.of`.
        """
        from nativemtail.io.saved import tail_record

        found = self._untaken  # also what was found by a call that failed
        if not self._is_tail_kept:
            started = self._discovery.started if self._discovery is not None else time.time_ns()
            found.update([tail_record(started, [spec.name for spec in self._specs])])
            self._is_tail_kept = True
        if self._discovery is not None:
            found |= self._discovery.positions.changed()
        for segments in self._segments:
            found |= segments.positions()
        self._untaken = {}
        return found

    def when_discovered(self, work: Callable[[], None]) -> None:
        """Have `work` called, in the thread that reads, whenever there is a new log: it is to be saved soon."""
        self._context.discovered = work

    @property
    def catching_up(self) -> int:
        """Bytes until every log is read to where it ended at the start; from any thread."""
        return self._catch_up.left if self._catch_up is not None else 0

    def call(self, work: Callable[[], None]) -> None:
        """Have the thread that reads call `work` between two turns, soon; from any thread.

        Then the sink has every line before the positions, and none after them.  Nothing is called once `run` has
        called `at_end`.
        """
        self._calls.append(work)
        self._loop.wake()

    def _serve_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def stop(self) -> None:
        """Make `run` finish; may be called from any thread or signal handler, repeatedly."""
        self._stopping = True
        self._loop.wake()

    def nudge(self) -> None:
        """Make an idle `run` go around its loop once; from any thread."""
        self._loop.wake()

    def status(self) -> list[SourceStatus]:
        """The status of every source; from any thread."""
        files = {path: (offset, who) for path, offset, who in self._discovery.followed()} if self._discovery else {}
        return [self._status_of(name, files.get(name)) for name in sorted(self._context.sources())]

    def behind(self) -> Counter[str]:
        """Unread bytes of each file; from any thread."""
        return +Counter({status.name: status.lag or 0 for status in self.status()})

    def names(self) -> list[str]:
        """The names of the open sources; from any thread."""
        return sorted(self._context.sources())

    def problems(self) -> dict[str, str]:
        """Why something is not read, by pattern or path; from any thread."""
        found = {name: source.problem for name, source in self._context.sources().items() if source.problem}
        return self._bad_patterns | (self._discovery.problems() if self._discovery is not None else {}) | found

    def _status_of(self, name: str, file: tuple[int, tuple[int, int]] | None) -> SourceStatus:
        counters = self.counters
        status = SourceStatus(
            name, counters.log_lines_total[name], counters.log_bytes_total[name], counters.log_errors_total[name]
        )
        if file is None:
            return status
        offset, who = file
        size = offset
        with contextlib.suppress(OSError):
            info = os.stat(name)
            if identity(info) == who:
                size = info.st_size
        return status._replace(offset=offset, size=size, lag=max(0, size - offset))

    def _globs(self) -> Iterable[Glob]:
        for spec in self._specs:
            if spec.kind == "path":
                try:
                    yield Glob(spec.name)
                except BadPattern as error:
                    _log.warning("%s: %s", spec.name, error)
                    self._bad_patterns[spec.name] = str(error)

    def _drain(self) -> None:
        """Read what is available, a block of each source in turn, for at most the `drain` time."""
        deadline = time.monotonic() + self._context.settings.drain
        for _ in in_turns(entry.drain() for entry in self._inputs if not entry.ended):
            self._serve_calls()
            self.beats += 1
            if time.monotonic() >= deadline:
                self.give_up()
                break

    def give_up(self) -> None:
        """Stop reading: count unread bytes in `unread`, and deliver unterminated lines of what was read completely."""
        for entry in self._inputs:
            for name, left in entry.give_up() if not entry.ended else ():
                self.unread[name] += left
        self.unread = +self.unread

    def close(self) -> None:
        for entry in self._inputs:
            entry.close()
        self._inputs.clear()
        self._segments.clear()
        self._listeners.clear()
        for source in self._refused:
            self._context.release(source)
        self._refused.clear()
        if self._changes is not None:
            self._changes.close()
        self._loop.close()


def _raise_file_limit() -> int:
    """Raise the limit of open files as far as the system allows; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
