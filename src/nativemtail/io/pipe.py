"""Named pipes and standard input (spec inputs.md §5).

With `until_end`, a pipe ends when its writers have closed it after at least one of them has written something.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import stat
import termios
from collections.abc import Callable, Iterator

from nativemtail.gotext import explain
from nativemtail.io.lines import LineReader
from nativemtail.io.loop import Loop
from nativemtail.io.position import Identity, identity
from nativemtail.io.sources import Context, Source, SourceError

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def open_pipe(path: str) -> int:
    """Open without waiting for a writer.  Raises OSError, also if the path is no longer a pipe."""
    fd = os.open(path, _OPEN_FLAGS)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return fd


def check_stdin(name: str, fd: int = 0) -> None:
    """Raises `SourceError` if standard input, called `name`, cannot be read."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    except OSError as error:
        why = "standard input is closed, or not open for reading"
        raise SourceError(f"{explain(error, 'read', name)}: {why}") from None


def waiting(fd: int) -> int:
    """Bytes that can be read without waiting; for a datagram socket, the size of the next datagram."""
    with contextlib.suppress(OSError):
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode):
            return max(0, info.st_size - os.lseek(fd, 0, os.SEEK_CUR))
        count = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, count)
        return count[0]
    return 0


class _PipeReader:
    """Reads a descriptor, one read a turn, so that a busy writer does not starve other sources."""

    def __init__(self, context: Context, loop: Loop, source: Source, fd: int) -> None:
        self._context = context
        self._loop = loop
        self.source = source
        self._lines: LineReader = source.line_reader()
        self._lines.begin()
        self._left = -1
        self.fd = fd
        self.ended = False

    @property
    def reading(self) -> int:
        """How many sources are being read."""
        return int(not self.ended)

    def ready(self, events: int) -> None:
        self._loop.queue(self)

    def turn(self) -> bool:
        raise NotImplementedError

    def finish(self) -> None:
        """Deliver the unterminated line."""
        self._lines.finish()
        self._count(0)

    def stop(self) -> None:
        """Stop reading; the source stays open."""
        raise NotImplementedError

    def close(self) -> None:
        self.stop()
        self._context.release(self.source)

    def _read(self) -> int | None:
        """Bytes read and delivered; 0 at the end of input or on an error, None if nothing is available now."""
        try:
            count = self._lines.read(self._context.buffer, self._read_into)
        except OSError as error:
            self.source.failed(explain(error, "read", self.source.name))
            count = 0
        self._count(count or 0)
        return count

    def _read_into(self, target: memoryview) -> int | None:
        try:
            return os.readv(self.fd, [target])
        except BlockingIOError:
            return None

    def _count(self, count: int) -> None:
        counters = self._context.counters
        counters.log_bytes_total[self.source.name] += count
        counters.count_lines(self._lines, self.source.name)

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def drain(self) -> Iterator[None]:
        """Read what is available now, then deliver the unterminated line."""
        if self.ended:
            return
        self._left = waiting(self.fd)
        while self._left > 0 and self._is_readable() and (count := self._read()):
            self._left -= count
            yield
        self._left = 0
        self.finish()

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Give up what `drain` did not reach: the source's name, and how many bytes."""
        left = self._left if self._left >= 0 or self.ended else waiting(self.fd)
        if left > 0:
            self._lines.drop()
        self.finish()
        yield self.source.name, max(0, left)


class FifoReader(_PipeReader):
    """A named pipe.  It stays open while writers come and go; when the last one closes, its line ends.

    `on_end` is called when the path no longer names this pipe, when it was retired and its last writer closed it, and
    with `until_end` when writers have written something and all have closed it.
    """

    def __init__(
        self,
        context: Context,
        loop: Loop,
        source: Source,
        path: str,
        fd: int,
        on_end: Callable[[FifoReader], None],
        *,
        until_end: bool = False,
    ) -> None:
        super().__init__(context, loop, source, fd)
        self.path = path
        self.identity: Identity = identity(os.fstat(fd))
        self._on_end = on_end
        self._until_end = until_end
        self._had_data = False
        self._retired = False
        loop.add(fd, self.ready)

    def turn(self) -> bool:
        if not self.ended:
            self._read_once()
        return False

    def retire(self) -> None:
        """The path no longer names the pipe: read until the last writer has closed it."""
        self._retired = True
        self._read_once()

    def stop(self) -> None:
        if not self.ended:
            self.ended = True
            self._loop.remove(self.fd)
            os.close(self.fd)

    def _read_once(self) -> None:
        count = self._read()
        if count:
            self._had_data = True
        elif count == 0:
            self._writers_gone()

    def _writers_gone(self) -> None:
        self.finish()
        self._lines.begin()
        is_over = self._retired or (self._until_end and self._had_data)
        if self._had_data:
            self._context.counters.log_closes_total[self.source.name] += 1
            self._had_data = False
        if is_over or not self._renew():
            self._on_end(self)

    def _renew(self) -> bool:
        """Replace the descriptor, which would report its hang-up forever; open before closing, to keep the data."""
        try:
            fd = open_pipe(self.path)
        except OSError:
            return False
        if identity(os.fstat(fd)) != self.identity:
            os.close(fd)
            return False
        self._loop.remove(self.fd)
        os.close(self.fd)
        self.fd = fd
        self._loop.add(fd, self.ready)
        return True


class StdinReader(_PipeReader):
    """Standard input, whatever it is: a pipe, a terminal, a socket, or a file (row `stdin-end`).

    The descriptor is shared with other processes, so it must stay blocking: it is read once each time it is readable.
    """

    def __init__(self, context: Context, loop: Loop, source: Source, fd: int = 0) -> None:
        super().__init__(context, loop, source, fd)
        self._waitable = True
        try:
            loop.add(fd, self.ready)
        except PermissionError:
            # epoll cannot wait for a regular file, which is always readable.
            self._waitable = False
            loop.queue(self)

    def turn(self) -> bool:
        if self.ended or not self._is_readable():
            return False
        if self._read() == 0:
            self.finish()
            self._context.counters.log_closes_total[self.source.name] += 1
            self.stop()
        return not self._waitable and not self.ended

    def stop(self) -> None:
        if not self.ended:
            self.ended = True
            self._loop.remove(self.fd)
