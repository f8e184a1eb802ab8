"""Sources that have to be waited for, read by one thread as their data come: pipes, standard input, sockets."""

from __future__ import annotations

import select

from nativemtail.io.lines import Buffer, LineReader
from nativemtail.log import Log
from nativemtail.record import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

log = Log(__name__)


class LiveSource(Protocol):
    """A source with a file descriptor to wait on; it may change with each `ready`."""

    name: str
    reader: LineReader

    def fileno(self) -> int: ...

    def ready(self, buffer: Buffer) -> bool:
        """Read once; False when the source has ended.  Raises OSError."""

    def close(self) -> None: ...


class Poller:
    """Reads whichever source is ready.  `failed` is told of a source that ends with an error."""

    def __init__(self, buffer: Buffer, failed: Callable[[LiveSource, OSError], None]) -> None:
        self._buffer = buffer
        self._failed = failed
        self._poll = select.poll()
        self._sources: dict[int, LiveSource] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, source: LiveSource) -> None:
        self._sources[source.fileno()] = source
        # Poll, not epoll: standard input may be a regular file, which epoll refuses.
        self._poll.register(source.fileno(), select.POLLIN)

    def step(self, seconds: float | None) -> None:
        """Wait for at most `seconds` (None: for ever) and read once from every source that is ready."""
        for fd, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            source = self._sources.pop(fd)
            self._poll.unregister(fd)
            if self._read(source):
                self.add(source)
            else:
                source.close()

    def _read(self, source: LiveSource) -> bool:
        try:
            more = source.ready(self._buffer)
        except OSError as error:
            self._failed(source, error)
            more = False
        if not more:
            source.reader.finish()
        return more

    def close(self) -> None:
        """End all sources, delivering their incomplete lines."""
        for source in self._sources.values():
            source.reader.finish()
            source.close()
        self._sources.clear()
