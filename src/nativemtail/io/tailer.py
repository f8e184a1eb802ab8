"""The tail thread: every source that `-logs` names, in one loop, until it is told to stop.

`Tailer.open` in the main thread (what can't be opened ends the start-up there), `run` in a thread of its own, `stop`
from anywhere.  The limits are in `Settings` (sources.py), what was hit in `Counters`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nativemtail.io.datagram import DatagramListener
from nativemtail.io.discover import SPARE_DESCRIPTORS, Discovery
from nativemtail.io.follow import identity
from nativemtail.io.loop import Loop, in_turns
from nativemtail.io.patterns import DATAGRAM_SCHEMES, SEGMENTS_SCHEME, BadPattern, Glob, LogSpec
from nativemtail.io.peers import Peers
from nativemtail.io.pipe import StdinReader, check_stdin
from nativemtail.io.segments import SegmentDirectory
from nativemtail.io.sources import Context, Counters, Settings, Sink
from nativemtail.io.stream import StreamListener
from nativemtail.log import Log

_CLIENTS_PART = 4
"""A quarter of all descriptors may be connections, so that logs have theirs whoever connects."""

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source as a page shows it; `offset`, `size` and `lag` (bytes up to the end) are None but for files."""

    name: str
    lines: int
    bytes_read: int
    errors: int
    offset: int | None = None
    size: int | None = None
    lag: int | None = None


class Tailer:
    """Reads the sources `specs` and gives their lines to `sink`, whose methods are called in the thread of `run`.

    A sink that takes its time holds back files, pipes and streams; datagrams wait in the kernel's buffer.
    """

    def __init__(self, specs: Iterable[LogSpec], sink: Sink, settings: Settings | None = None) -> None:
        self._specs = list(specs)
        self._context = Context(sink, settings or Settings())
        self._loop = Loop()
        self._discovery: Discovery | None = None
        self._listeners: list[StreamListener | DatagramListener] = []
        self._stdin: list[StdinReader] = []
        self._segments: list[SegmentDirectory] = []
        self._bad_patterns: dict[str, str] = {}
        self._stopping = False
        self.beats = 0
        """Grows while `run` gets on; also when there is nothing to do, if it is nudged."""
        self.left: Counter[str] = Counter()
        """Bytes by source that were there at the stop and could not be read in time, once `run` has returned."""

    @property
    def counters(self) -> Counters:
        return self._context.counters

    @property
    def log_count(self) -> int:
        """Sources being read: paths, listeners with their connections, standard input."""
        connections = sum(entry.connections for entry in self._listeners if isinstance(entry, StreamListener))
        files = len(self._discovery) if self._discovery is not None else 0
        files += len(self._segments)
        return files + len(self._listeners) + connections + sum(not reader.closed for reader in self._stdin)

    @property
    def addresses(self) -> dict[str, object]:
        """Socket name of each listener, by source name."""
        return {entry.source.name: entry.address for entry in self._listeners}

    def open(self) -> None:
        """Bind the sockets and follow the files that are there, from their ends.

        Raises `SourceError` for a socket or a standard input that cannot be had; all others are closed again.
        """
        limit = _raise_file_limit()
        peers = Peers(min(self._context.settings.max_clients, limit // _CLIENTS_PART))
        try:
            for spec in self._specs:
                if spec.kind == "stdin":
                    check_stdin(spec.name)
                elif spec.kind not in ("path", SEGMENTS_SCHEME):
                    self._listeners.append(self._listener(spec, peers))
        except BaseException:
            self._close()
            raise
        globs = list(self._globs())
        if globs:
            for_peers = peers.most if any(isinstance(entry, StreamListener) for entry in self._listeners) else 0
            most = max(limit - SPARE_DESCRIPTORS - for_peers, limit // 4)
            self._discovery = Discovery(self._context, self._loop, globs, most)
            self._discovery.start()
        for spec in self._specs:
            if spec.kind == "stdin" and not self._stdin:
                source = self._context.hold(spec.name)
                self._stdin.append(StdinReader(self._context, self._loop, source, self._loop.wake))
            elif spec.kind == SEGMENTS_SCHEME:
                self._segments.append(SegmentDirectory(self._context, self._loop, spec.name, spec.address))
                self._segments[-1].start()

    def run(self) -> None:
        """Read until `stop`, or until nothing is left to be read; then read the rests, close, remove socket files."""
        try:
            while not self._stopping and self._is_alive():
                self._loop.run_once()
                self.beats += 1
            self._drain()
        finally:
            self._close()

    def stop(self) -> None:
        """Have `run` finish; from any thread or a signal handler, and more than once."""
        self._stopping = True
        self._loop.wake()

    def nudge(self) -> None:
        """Have an idle `run` go round once; from any thread."""
        self._loop.wake()

    def status(self) -> list[SourceStatus]:
        """Every source; from any thread."""
        files = {path: (offset, who) for path, offset, who in self._discovery.followed()} if self._discovery else {}
        return [self._status_of(name, files.get(name)) for name in sorted(self._context.sources)]

    def behind(self) -> Counter[str]:
        """Bytes of each file that are not read yet; from any thread."""
        return +Counter({status.name: status.lag or 0 for status in self.status()})

    def problems(self) -> dict[str, str]:
        """What is not read, and why, by pattern or path; from any thread."""
        return self._bad_patterns | (self._discovery.problems() if self._discovery is not None else {})

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
        return replace(status, offset=offset, size=size, lag=max(0, size - offset))

    def _globs(self) -> Iterable[Glob]:
        for spec in self._specs:
            if spec.kind == "path":
                try:
                    yield Glob(spec.name)
                except BadPattern as error:
                    _log.warning("%s: %s", spec.name, error)
                    self._bad_patterns[spec.name] = str(error)

    def _listener(self, spec: LogSpec, peers: Peers) -> StreamListener | DatagramListener:
        if spec.kind in DATAGRAM_SCHEMES:
            return DatagramListener(self._context, self._loop, spec)
        return StreamListener(self._context, self._loop, spec, peers)

    def _is_alive(self) -> bool:
        lasting = self._discovery is not None or bool(self._listeners) or bool(self._segments)
        return lasting or any(not reader.closed for reader in self._stdin)

    def _drain(self) -> None:
        """Read what is there, a block of each source in turn, as long as the settings allow."""
        deadline = time.monotonic() + self._context.settings.drain
        files = [self._discovery] if self._discovery is not None else []
        others = [*self._listeners, *self._stdin, *self._segments]
        for _ in in_turns(reader.drain() for reader in (*files, *others)):
            self.beats += 1
            if time.monotonic() >= deadline:
                break
        else:
            return
        for discovery in files:
            for name, left in discovery.give_up():
                self.left[name] += left
        for reader in others:
            self.left[reader.source.name] += reader.give_up()
        self.left = +self.left

    def _close(self) -> None:
        for entry in self._listeners:
            entry.close()
        for reader in self._stdin:
            reader.close()
            self._context.release(reader.source)
        for segments in self._segments:
            segments.close()
        self._listeners.clear()
        self._stdin.clear()
        self._segments.clear()
        if self._discovery is not None:
            self._discovery.close()
        self._context.changes.close()
        self._loop.close()


def _raise_file_limit() -> int:
    """Allow as many open files as the system lets us; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
