"""Datagram sockets that receive logs: udp and unixgram (spec inputs.md §7).

With `until_end`, an empty datagram ends the source.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Iterator
from itertools import pairwise

from nativemtail.io.address import bind
from nativemtail.io.lines import READ_SIZE
from nativemtail.io.loop import Loop
from nativemtail.io.patterns import LogSpec
from nativemtail.io.pipe import waiting
from nativemtail.io.sources import Context, Source

MAX_DATAGRAM = 128 * 1024
"""Longer datagrams (possible on Unix sockets only) are cut."""

_DATAGRAMS_AT_ONCE = 4096
_SILENCE = 60.0
_DROP_CHECK = 1.0
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_MEMINFO_QUEUED = 0
_MEMINFO_DROPS = 8
_LEAST_CHARGE = 256
_UNIX_QUEUE = 4096

_log = logging.getLogger(__name__)


class DatagramListener:
    """A udp or unixgram socket: the end of a datagram ends its line (row `datagram-end`).

    The kernel's buffer is made large, since datagrams wait there while the engine works; what it dropped is counted.
    """

    reading = 1
    """How many sources are being read."""

    def __init__(self, context: Context, loop: Loop, spec: LogSpec, *, until_end: bool = False) -> None:
        self.context = context
        self._loop = loop
        self._bound = bind(spec, context.settings.socket_mode)
        self._socket = self._bound.socket
        _enlarge(self._socket, context.settings.receive_buffer)
        self.source: Source = context.hold(spec.name)
        self._lines = self.source.line_reader()
        self._batch = bytearray(READ_SIZE)
        self._dropped = 0
        self._unlogged = 0
        self._silent_until = 0.0
        self._checking = False
        self._drained = False
        self.ended = False
        self._until_end = until_end
        loop.add(self._socket.fileno(), self._ready)

    @property
    def address(self) -> object:
        return self._socket.getsockname()

    def turn(self) -> bool:
        """Read a batch of datagrams; whether there may be more."""
        more = self._socket.fileno() >= 0 and not self.ended and self._receive() > 0
        self._check_later()
        if self.ended:
            self._loop.remove(self._socket.fileno())
            self._count_dropped(last=True)
        return more and not self.ended

    def drain(self) -> Iterator[None]:
        """Read what has arrived by now, even if more keeps arriving."""
        left = self._meminfo()[_MEMINFO_QUEUED] // _LEAST_CHARGE + _UNIX_QUEUE
        while left > 0 and (taken := self._receive()):
            left -= taken
            yield
        self._count_dropped(last=True)
        self._drained = True

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Give up what `drain` did not reach: the source's name, and at least how many bytes (the next datagram)."""
        yield self.source.name, 0 if self._drained else waiting(self._socket.fileno())

    def close(self) -> None:
        self._loop.remove(self._socket.fileno())
        self._bound.close()
        self.context.counters.log_closes_total[self.source.name] += 1
        self.context.release(self.source)

    def _ready(self, events: int) -> None:
        self._loop.queue(self)

    def _receive(self) -> int:
        """Read a batch of datagrams and deliver their lines; returns the number of datagrams."""
        counters = self.context.counters
        name = self.source.name
        datagrams = size = 0
        ends: list[int] | None = [] if self.source.has_records else None
        with memoryview(self._batch) as batch:
            while size + MAX_DATAGRAM < len(batch) and datagrams < _DATAGRAMS_AT_ONCE:
                room = batch[size : size + MAX_DATAGRAM]
                try:
                    count = self._socket.recv_into(room, 0, socket.MSG_TRUNC)
                except BlockingIOError:
                    break
                except OSError:
                    counters.log_errors_total[name] += 1
                    break
                datagrams += 1
                if not count and self._until_end:
                    self.ended = True
                    break
                if count > MAX_DATAGRAM:
                    counters.datagrams_cut_total[name] += 1
                    count = MAX_DATAGRAM
                size += count
                if count and batch[size - 1] != 10:
                    batch[size] = 10
                    size += 1
                if ends is not None:
                    ends.append(size)
            counters.datagrams_total[name] += datagrams
            counters.log_bytes_total[name] += size
            self._deliver_all(batch[:size], ends)
        return datagrams

    def _deliver_all(self, data: memoryview, ends: list[int] | None) -> None:
        """`ends` of the datagrams are those of records; None if there are no records."""
        if ends is None:
            self._deliver(data)
            return
        for start, end in pairwise([0, *ends]):
            self._deliver(data[start:end])
            self.source.finish()

    def _deliver(self, data: memoryview) -> None:
        self._lines.feed(self.context.buffer, data)
        self.context.counters.count_lines(self._lines, self.source.name)

    def _check(self) -> None:
        self._checking = False
        if self._socket.fileno() >= 0:
            self._count_dropped()
            if self._unlogged:
                self._check_later()

    def _check_later(self) -> None:
        if not self._checking:
            self._checking = True
            self._loop.after(_DROP_CHECK, self._check)

    def _count_dropped(self, *, last: bool = False) -> None:
        """Count datagrams that the kernel dropped; log them now if `last`, else once in `_SILENCE` seconds."""
        total = self._meminfo()[_MEMINFO_DROPS]
        new = (total - self._dropped) & 0xFFFFFFFF
        if new:
            self._dropped = total
            self.context.counters.datagrams_dropped_total[self.source.name] += new
            self._unlogged += new
        if self._unlogged and (last or time.monotonic() >= self._silent_until):
            text = "%s: the kernel dropped %d datagrams, its receive buffer was full"
            _log.warning(text, self.source.name, self._unlogged)
            self._unlogged = 0
            self._silent_until = time.monotonic() + _SILENCE

    def _meminfo(self) -> tuple[int, ...]:
        try:
            return _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except OSError:
            return (*(0,) * _MEMINFO_DROPS, self._dropped)


def _enlarge(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:
        # SO_RCVBUFFORCE needs CAP_NET_ADMIN; otherwise net.core.rmem_max is the limit.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
