"""One-shot: load the programs, read the logs to their end, print the metrics (spec inputs.md §8)."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator

from nativemtail._core import Store
from nativemtail.app.ignore import Ignore
from nativemtail.app.message_files import Screen
from nativemtail.app.progress import Progress
from nativemtail.gotext import explain
from nativemtail.io.compressed import Corrupt
from nativemtail.io.content import Content
from nativemtail.io.files import Found, find, read_to_end
from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.patterns import SEGMENTS_SCHEME, BadPattern, Glob, LogSpec
from nativemtail.io.poll import LiveSource, Poller
from nativemtail.options import Options
from nativemtail.programs.manager import FaultLog, Programs

log = logging.getLogger(__name__)

FORMATS = ("json", "prometheus")
LOGGED_FAULTS = 100
"""So many run-time errors of each program are logged one by one, the rest as a number."""


class OutputError(Exception):
    """The metrics cannot be shown in the format that was asked for."""


class Reading:
    """Reads sources to their end through the engine; `run` may be left by KeyboardInterrupt at any time."""

    def __init__(self, options: Options, programs: Programs, screen: Screen) -> None:
        self.errors: dict[str, int] = {}
        """Failures by source."""
        self._engine = programs.engine
        self._faults = FaultLog(programs, logged=options.vm_logs_runtime_errors, limit=LOGGED_FAULTS, period=math.inf)
        self._max_line_length = options.max_line_length
        self._socket_mode = int(options.log_socket_mode, 8)
        self._quiet = options.quiet or not os.isatty(2)
        self._screen = screen
        self._buffer = Buffer()
        self._readers: dict[str, LineReader] = {}
        self._poller = Poller(self._buffer, self._live_failed)
        self._progress: Progress | None = None

    def run(self, specs: Iterable[LogSpec], ignore: Ignore) -> None:
        """Raises `BadSource` for a socket that cannot be opened."""
        specs = list(specs)
        try:
            self._open_live(specs)
            files = [found for found in find(_globs(specs), ignore) if not self._open_pipe(found)]
            self._show_progress(files)
            for done in self._read_files(files):
                self._between_blocks(done)
            for _ in self._read_segments((spec for spec in specs if spec.kind == SEGMENTS_SCHEME), ignore):
                self._between_blocks(self._bytes)
            while self._poller:
                self._poller.step(None)
                self._between_blocks(self._bytes)
        finally:
            self._poller.close()
            self._hide_progress()
            self._summarise()

    @property
    def has_read(self) -> bool:
        """Whether some log could be read."""
        return any(name not in self.errors for name in self._readers)

    def _reader(self, name: str) -> LineReader:
        scan, source = self._engine.scan, self._engine.open(name)

        def run(block: bytearray, start: int, end: int) -> int:
            return scan(source, block, start, end)

        def tell(content: Content) -> None:
            if content.encoding:
                log.info("%s: %s by its byte order mark: decoding it", name, content.name)
            else:
                self._failed(name, f"{name} is compressed ({content.name}) and not read: decompress it first")

        reader = self._readers[name] = LineReader(run, self._max_line_length, tell)
        return reader

    def _open_live(self, specs: Iterable[LogSpec]) -> None:
        """Open standard input and the sockets: before any file is read, so that their peers need not wait."""
        stdin = next((spec for spec in specs if spec.kind == "stdin"), None)
        for spec in specs:
            if spec.kind in ("unix", "tcp", "unixgram", "udp"):
                from nativemtail.io.sockets import Datagrams, SingleConnection

                kind = SingleConnection if spec.kind in ("unix", "tcp") else Datagrams
                self._poller.add(kind(spec, self._reader(spec.name), self._socket_mode))
            elif spec is stdin:
                from nativemtail.io.stdin import StandardInput

                try:
                    self._poller.add(StandardInput(spec.name, self._reader(spec.name)))
                except OSError as error:
                    self._failed(spec.name, explain(error, "read", spec.name))

    def _open_pipe(self, found: Found) -> bool:
        """Open a named pipe; whether it is one."""
        if not found.is_fifo:
            return False
        from nativemtail.io.pipes import NamedPipe

        try:
            self._poller.add(NamedPipe(found.path, self._reader(found.path)))
        except OSError as error:
            self._failed(found.path, explain(error, "open", found.path))
        return True

    def _read_files(self, files: Iterable[Found]) -> Iterator[int]:
        """Yields between blocks how many bytes of all files have been used."""
        before = 0
        for found in files:
            used = 0
            try:
                for used in read_to_end(found.path, self._reader(found.path), self._buffer):
                    yield before + used
            except OSError as error:
                self._failed(found.path, explain(error, "read" if used else "open", found.path))
            except Corrupt as error:
                self._failed(found.path, f"{found.path}: {error}")
            before += found.status.st_size

    def _read_segments(self, specs: Iterable[LogSpec], ignore: Ignore) -> Iterator[None]:
        """All segments of each directory, those that are still being written as far as they go."""
        for spec in specs:
            from nativemtail.io.segments import read_segments

            def failed(message: str, name: str = spec.name) -> None:
                self._failed(name, message)

            yield from read_segments(spec.address, ignore, self._reader(spec.name), self._buffer, failed)

    def _between_blocks(self, done: int) -> None:
        if self._poller:
            self._poller.step(0)
        self._faults.collect()
        if self._progress and self._progress.due():
            self._progress.show(done, sum(reader.lines for reader in self._readers.values()))

    def _live_failed(self, source: LiveSource, error: OSError) -> None:
        self._failed(source.name, explain(error, "read", source.name))

    def _failed(self, name: str, message: str) -> None:
        self.errors[name] = self.errors.get(name, 0) + 1
        log.error("%s", message)

    @property
    def _bytes(self) -> int:
        return sum(reader.bytes_read for reader in self._readers.values())

    def _show_progress(self, files: Iterable[Found]) -> None:
        if not self._quiet:
            total = None if self._poller else sum(found.status.st_size for found in files)
            self._progress = Progress(total)
            self._screen.before = self._progress.clear

    def _hide_progress(self) -> None:
        if self._progress:
            self._progress.clear()
            self._screen.before = None

    def _summarise(self) -> None:
        self._faults.collect()
        self._faults.summarise()
        for name, reader in self._readers.items():
            errors = self.errors.get(name, 0)
            log.info("%s: %d lines, %d bytes, %d errors", name, reader.lines, reader.bytes_read, errors)
            if reader.nuls:
                log.info("%s: NUL bytes in front of lines, and dropped: %d", name, reader.nuls)
            if reader.cut_lines:
                log.warning(
                    "%s: lines longer than -max_line_length=%d, and cut: %d",
                    name,
                    self._max_line_length,
                    reader.cut_lines,
                )


def _globs(specs: Iterable[LogSpec]) -> Iterator[Glob]:
    for spec in specs:
        if spec.kind == "path":
            try:
                yield Glob(spec.name)
            except BadPattern as error:
                log.error("pollPattern(%s): glob failed: %s", spec.name, error)


def render(store: Store, options: Options) -> bytes:
    """The metrics in the form of `-one_shot_format`, one of `FORMATS`.  Raises OutputError."""
    snapshot = store.snapshot()
    if options.one_shot_format == "json":
        return snapshot.json(grouped=True)
    try:
        text = snapshot.prometheus(
            emit_prog_label=options.emit_prog_label,
            emit_timestamp=options.emit_metric_timestamp,
            strict=True,
        )
    except ValueError as error:
        raise OutputError(str(error)) from None
    return text
