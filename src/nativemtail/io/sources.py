"""What all kinds of sources share: the sink, the counters, the named sources and the settings."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from nativemtail.io.content import UNMARKED_UTF16, Content
from nativemtail.io.lines import MAX_LINE_LENGTH, READ_SIZE, Buffer, LineReader
from nativemtail.io.moved import Moved

_log = logging.getLogger(__name__)

GONE_NAMES = 1000
"""Counters are kept for at most this many closed sources."""


class Sink(Protocol):
    """Receives lines, like the engine.  All calls come from the reading thread."""

    def open(self, name: str) -> int:
        """Open the source that `getfilename()` calls `name`; its number."""

    @property
    def has_records(self) -> bool:
        """Whether lines are put together to records."""

    def scan(self, source: int, block: bytearray, start: int, end: int, connection: int = 0) -> int:
        """Process the lines in block[start:end]; their number.  The last one may lack its newline."""

    def finish(self, source: int, connection: int = 0) -> None:
        """The log, or a connection, has ended: complete its records."""

    def finish_all(self) -> None:
        """Complete all records."""

    def finish_silent(self) -> float | None:
        """Complete records whose timeout is over; seconds until the next one, None if none is open."""

    def close(self, source: int) -> None:
        """No more lines of this source."""


class SourceError(Exception):
    """A source that cannot be opened at start-up; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds, sizes in bytes.

    `inotify` False polls everything.  `linger`: a rotated file is closed after this time without a write; `flush`: its
    unterminated last line is delivered after this time without a write.  `sweep`: interval at which everything is
    checked even where inotify works.  `max_clients`: connections of all stream sources, at most half of them from one
    address; fewer if the limit of open files is low.  `ignore` selects base names that are not read.  `drain`: longest
    time to continue reading after the stop.  `socket_mode`: access mode of Unix sockets.  `max_body`: length of the
    body of an HTTP request, as it is sent and decoded; `request_time`: longest time for a request to arrive,
    `idle_time`: between two.
    """

    poll_interval: float = 0.25
    poll_log_interval: float = 0.25
    ignore: Callable[[str], object] | None = None
    max_line_length: int = MAX_LINE_LENGTH
    inotify: bool = True
    linger: float = 5.0
    flush: float = 1.0
    sweep: float = 10.0
    max_clients: int = 2048
    max_partial: int = 64 * 1024 * 1024
    receive_buffer: int = 32 * 1024 * 1024
    drain: float = 15.0
    max_body: int = 4 * 1024 * 1024
    request_time: float = 30.0
    idle_time: float = 300.0
    socket_mode: int = 0o600


@dataclass(slots=True)
class Counters:
    """By source name unless said otherwise; written by the tail thread only, read by any.

    Names that are gone are forgotten after `GONE_NAMES` others, so that these tables stay bounded.
    """

    log_lines_total: Counter[str] = field(default_factory=Counter)
    log_bytes_total: Counter[str] = field(default_factory=Counter)
    log_errors_total: Counter[str] = field(default_factory=Counter)
    log_opens_total: Counter[str] = field(default_factory=Counter)
    log_closes_total: Counter[str] = field(default_factory=Counter)
    log_rotations_total: Counter[str] = field(default_factory=Counter)
    file_truncates_total: Counter[str] = field(default_factory=Counter)
    lines_cut_total: Counter[str] = field(default_factory=Counter)
    """Lines cut to `max_line_length`."""
    nuls_total: Counter[str] = field(default_factory=Counter)
    """NULs dropped before lines."""
    connections_total: Counter[str] = field(default_factory=Counter)
    connections_refused_total: Counter[str] = field(default_factory=Counter)
    """Connections refused because of `max_clients`, or because of the limit of one address."""
    connections_dropped_total: Counter[str] = field(default_factory=Counter)
    """Connections that never sent a whole line, or were idle, and were closed in favour of new ones."""
    datagrams_total: Counter[str] = field(default_factory=Counter)
    datagrams_cut_total: Counter[str] = field(default_factory=Counter)
    datagrams_dropped_total: Counter[str] = field(default_factory=Counter)
    """Dropped by the kernel because its receive buffer was full."""
    lost_logs_total: int = 0
    """Files of which something was not counted, and which were gone when they were to be read on after a restart."""
    limits_total: Counter[str] = field(default_factory=Counter)
    """By limit: `open_files`, `watches`, `events` (inotify queue), `partial_memory`, `request_body`, `request_time`,
    `catch_up`."""
    _gone: dict[str, None] = field(default_factory=dict)

    def count_lines(self, lines: LineReader, *names: str) -> None:
        """Add what `lines` has cut and dropped since the last call."""
        cut, nuls = lines.new_counts()
        if cut or nuls:
            for name in names:
                self.lines_cut_total[name] += cut
                self.nuls_total[name] += nuls

    def by_source(self) -> dict[str, Counter[str]]:
        """The counters shown for each source, by field of `telemetry.model.SourceState`."""
        return {
            "lines": self.log_lines_total,
            "bytes": self.log_bytes_total,
            "errors": self.log_errors_total,
            "opens": self.log_opens_total,
            "closes": self.log_closes_total,
            "truncations": self.file_truncates_total,
            "cut": self.lines_cut_total,
            "nuls": self.nuls_total,
        }

    def gone(self, name: str) -> None:
        """`name` is closed: its counters are forgotten after those of `GONE_NAMES` others."""
        self._gone.pop(name, None)
        self._gone[name] = None
        if len(self._gone) > GONE_NAMES:
            self._forget(next(iter(self._gone)))

    def back(self, name: str) -> None:
        self._gone.pop(name, None)

    def _forget(self, name: str) -> None:
        del self._gone[name]
        for table in (*self.by_source().values(), self.log_rotations_total):
            table.pop(name, None)


_DECOMPRESS = "decompress it first, or leave it out with -ignore_filename_regex_pattern"


class Context:
    """What all readers share: the settings, the counters, the sources by name, and the read buffer."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._sources: dict[str, Source] = {}
        self.settings = settings
        self.counters = Counters()
        self.buffer = Buffer(settings.max_line_length + READ_SIZE)
        self.moved = Moved()
        self.discovered: Callable[[], None] = lambda: None
        """Called when there is a source of a new name."""
        self.delivered: Callable[[], None] = lambda: None
        """Called when lines were delivered."""

    @property
    def resumes(self) -> bool:
        """Whether positions are kept: what is left of a line is then read again after the next start."""
        return self.moved.is_kept

    def is_held(self, name: str) -> bool:
        """Whether a source of that name is open."""
        return name in self._sources

    def sources(self) -> dict[str, Source]:
        """All sources by name, as they are now; from any thread."""
        return self._sources.copy()

    def hold(self, name: str) -> Source:
        """The source of that name, opened in the sink if necessary; each call needs a matching `release`."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(self, self._sink, name)
            self.counters.back(name)
            self.discovered()
        source.holders += 1
        return source

    def release(self, source: Source) -> None:
        source.holders -= 1
        if not source.holders:
            del self._sources[source.name]
            self._sink.close(source.number)
            self.counters.gone(source.name)


class Source:
    """A name that lines count under; several readers may deliver to it one after another."""

    __slots__ = ("_context", "_reported", "_sink", "holders", "name", "number", "problem")

    def __init__(self, context: Context, sink: Sink, name: str) -> None:
        self._context = context
        self._sink = sink
        self.name = name
        self.number = sink.open(name)
        self.holders = 0
        self.problem = ""
        """Why the log is not read, or cannot match any pattern; empty if nothing is wrong."""
        self._reported: set[Content] = set()

    def deliver(self, block: bytearray, start: int, end: int, connection: int = 0) -> int:
        """Give whole lines to the sink; their number."""
        lines = self._sink.scan(self.number, block, start, end, connection)
        self._context.counters.log_lines_total[self.name] += lines
        self._context.delivered()
        return lines

    def line_reader(self, connection: int = 0) -> LineReader:
        def deliver(block: bytearray, start: int, end: int) -> int:
            return self.deliver(block, start, end, connection)

        emit = deliver if connection else self.deliver
        return LineReader(emit, self._context.settings.max_line_length, self.report_content)

    @property
    def has_records(self) -> bool:
        return self._sink.has_records

    def finish(self, connection: int = 0) -> None:
        """The log, or a connection, has ended: complete its records."""
        self._sink.finish(self.number, connection)

    def has_moved(self) -> None:
        """Its record may have changed."""
        self._context.moved.note(self.name)

    def failed(self, text: str) -> None:
        """Count and log a failed read."""
        self._context.counters.log_errors_total[self.name] += 1
        _log.error("%s", text)

    def report_content(self, content: Content | None) -> None:
        """Record the kind of content of a log, None for plain text; a problem with it is logged once."""
        self.problem = ""
        if content is None:
            return
        if content is UNMARKED_UTF16:
            self.problem = (
                f"looks like {content.name}, in which no pattern finds text: have it written as UTF-8, or with the mark"
            )
        elif not content.encoding:
            self.problem = f"is compressed ({content.name}) and not read: {_DECOMPRESS}"
            self._context.counters.log_errors_total[self.name] += 1
        if content not in self._reported:
            self._reported.add(content)
            if self.problem:
                _log.warning("%s %s", self.name, self.problem)
            else:
                _log.info("%s: %s by its byte order mark: decoding it", self.name, content.name)
