"""Stream sockets that receive logs: tcp and unix (spec inputs.md §6).

With `until_end`, a source accepts a single connection and ends with it.
"""

from __future__ import annotations

import errno
import itertools
import logging
import socket
import time
from collections.abc import Iterator
from typing import Protocol

from nativemtail import net
from nativemtail.io.address import bind
from nativemtail.io.loop import SLICE, Loop, in_turns
from nativemtail.io.octets import OctetFraming
from nativemtail.io.patterns import LogSpec
from nativemtail.io.peers import Peers, address_of
from nativemtail.io.pipe import waiting
from nativemtail.io.sources import Context, Source

numbers = itertools.count(1)
"""Of connections."""

_ACCEPTED_AT_ONCE = 64
_PIECE = 64 * 1024
_SILENCE = 60.0
_PAUSE = 0.5
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One peer of a listener."""

    address: str
    counted: int
    """The bytes of `pending` that the listener has counted."""

    @property
    def pending(self) -> int:
        """Bytes held of what is not delivered yet."""

    def fileno(self) -> int: ...

    def ready(self, events: int) -> None:
        """Something can be read."""

    def read(self) -> int | None:
        """Read once: 0 at the end of the connection, None if nothing is available now."""

    def make_room(self) -> None:
        """As `peers.Peer`."""

    def shed(self) -> None:
        """Too much is pending in all connections: hold nothing any more."""

    def stop(self) -> None:
        """What has arrived by now is the last that `drain` reads."""

    def drain(self) -> Iterator[None]:
        """Deliver what had arrived at the stop."""

    def give_up(self) -> int:
        """Give up what `drain` did not reach; the number of bytes."""

    def finish(self) -> None:
        """The peer has hung up."""

    def close(self) -> None: ...


class _Lines:
    """One peer of a stream socket, with its own line."""

    def __init__(self, listener: StreamListener, peer: socket.socket, address: str) -> None:
        self._listener = listener
        self._peer = peer
        self.address = address
        self._silent = True
        self.number = next(numbers)
        self.lines = listener.source.line_reader(self.number)
        self.lines.begin()
        self._framing = OctetFraming()
        self.counted = 0
        self._left = -1

    @property
    def pending(self) -> int:
        return self.lines.pending

    def fileno(self) -> int:
        return self._peer.fileno()

    def ready(self, events: int) -> None:
        self._listener.has_input(self)

    def read(self, most: int = _PIECE) -> int | None:
        """Read once: the number of bytes, 0 at the end of the connection, None if none are available now."""
        count: int | None
        try:
            count = self._receive(most)
        except OSError:
            count = 0
        self._account()
        return count

    def make_room(self) -> None:
        if self.read() == 0:
            self._listener.hung_up(self)
        elif self._silent:
            self._listener.drop(self)

    def shed(self) -> None:
        self.lines.finish()

    def stop(self) -> None:
        self._left = waiting(self.fileno())

    def drain(self) -> Iterator[None]:
        """Read what had arrived at the stop; then deliver the unterminated line, too."""
        while self._left > 0 and (count := self.read(min(self._left, _PIECE))):
            self._left -= count
            yield
        self._left = 0
        self.finish()

    def give_up(self) -> int:
        left = self._left if self._left >= 0 else waiting(self.fileno())
        if left > 0:
            self.lines.drop()
        self.finish()
        return max(0, left)

    def finish(self) -> None:
        rest = self._framing.end()
        if rest:
            self.lines.read(self._listener.context.buffer, lambda target: _put(target, rest))
        self.lines.finish()
        self._account()
        self._listener.source.finish(self.number)

    def close(self) -> None:
        self._peer.close()

    def _account(self) -> None:
        self._listener.context.counters.count_lines(self.lines, self._listener.source.name)
        self._listener.account(self)

    def _receive(self, most: int) -> int | None:
        received: int | None = None

        def read_into(target: memoryview) -> int | None:
            nonlocal received
            try:
                received = self._peer.recv_into(target[: min(len(target) - OctetFraming.HELD, most)])
            except BlockingIOError:
                return None
            if not received:
                return received
            data = self._framing.decode(bytes(target[:received]))
            if self._silent and b"\n" in data:
                self._silent = False
                self._listener.has_sent_line(self)
            return _put(target, data)

        self.lines.read(self._listener.context.buffer, read_into)
        if received:
            self._listener.received(received)
        return received


def _put(target: memoryview, data: bytes) -> int:
    target[: len(data)] = data
    return len(data)


class StreamListener:
    """A listening tcp or unix socket and its connections, which share the listener's turns."""

    SILENT = "that has sent no line"

    def __init__(self, context: Context, loop: Loop, spec: LogSpec, peers: Peers, *, until_end: bool = False) -> None:
        self.context = context
        self.loop = loop
        self._spec = spec
        self.peers = peers
        self._bound = bind(spec, context.settings.socket_mode)
        self._socket = self._bound.socket
        self.source: Source = context.hold(spec.name)
        self.connections: dict[Connection, None] = {}
        self._ready: dict[Connection, None] = {}
        self._partial = 0
        self._warned: dict[str, float] = {}
        self.address: object = self._socket.getsockname()
        """The address as bound, with the port that was chosen for port 0."""
        self.ended = False
        self._until_end = until_end
        loop.add(self._socket.fileno(), self._on_connect)

    @property
    def reading(self) -> int:
        """How many sources are being read: this one and its connections."""
        return 1 + len(self.connections)

    def has_input(self, connection: Connection) -> None:
        self._ready.setdefault(connection)
        self.loop.queue(self)

    def turn(self) -> bool:
        """Read from the connections that have input, one after another, for about `SLICE` seconds."""
        end = time.monotonic() + SLICE
        while self._ready and time.monotonic() < end:
            connection = next(iter(self._ready))
            del self._ready[connection]
            count = connection.read()
            if count == 0:
                self.hung_up(connection)
            elif count:
                self._ready[connection] = None
        return bool(self._ready)

    def hung_up(self, connection: Connection) -> None:
        connection.finish()
        self._forget(connection)
        self.ended = self._until_end

    def drop(self, connection: Connection) -> None:
        """Close a connection that never sent a whole line, so that another can be accepted."""
        self.context.counters.connections_dropped_total[self.source.name] += 1
        self.warn("dropped", f"closing a connection from %s {self.SILENT}: there are too many", connection.address)
        self.hung_up(connection)

    def has_sent_line(self, connection: Connection) -> None:
        self.peers.has_sent_line(connection)

    def received(self, count: int) -> None:
        self.context.counters.log_bytes_total[self.source.name] += count

    def account(self, connection: Connection) -> None:
        """Bound the memory for what is incomplete: a line that exceeds it is delivered in pieces."""
        if self._partial - connection.counted + connection.pending > self.context.settings.max_partial:
            self.context.counters.limits_total["partial_memory"] += 1
            connection.shed()
        self._partial += connection.pending - connection.counted
        connection.counted = connection.pending

    def drain(self) -> Iterator[None]:
        """Accept pending connections, read what has arrived by now, deliver the unterminated lines."""
        self._accept(net.BACKLOG)
        connections = list(self.connections)
        for connection in connections:
            connection.stop()  # all before any is read, so that draining ends even if the peers keep sending
        yield from in_turns(connection.drain() for connection in connections)

    def give_up(self) -> Iterator[tuple[str, int]]:
        """Give up what `drain` did not reach: the source's name, and how many bytes."""
        yield self.source.name, sum(connection.give_up() for connection in self.connections)

    def close(self) -> None:
        for connection in list(self.connections):
            self._forget(connection)
        self._stop_listening()
        self.context.release(self.source)

    def _stop_listening(self) -> None:
        if self._socket.fileno() >= 0:
            self.loop.remove(self._socket.fileno())
            self._bound.close()

    def _on_connect(self, events: int) -> None:
        self._accept(_ACCEPTED_AT_ONCE)

    def _accept(self, most: int) -> None:
        for _ in range(most if not self._until_end else int(self._socket.fileno() >= 0)):
            try:
                peer, name = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            self._admit(peer, address_of(name))

    def _accept_failed(self, error: OSError) -> None:
        """If descriptors have run out, stop accepting for a while; other errors mean that the peer disconnected."""
        self.context.counters.log_errors_total[self.source.name] += 1
        if error.errno in _NO_DESCRIPTORS:
            self.context.counters.limits_total["open_files"] += 1
            self.loop.remove(self._socket.fileno())
            self.loop.after(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self.loop.add(self._socket.fileno(), self._on_connect)

    def _admit(self, peer: socket.socket, address: str) -> None:
        counters = self.context.counters
        if not self.peers.admits(address):
            counters.connections_refused_total[self.source.name] += 1
            peer.close()
            limits = self.peers.most, self.peers.most_of_one
            self.warn("refused", "refusing %s: %d connections are allowed, %d from one address", address, *limits)
            return
        peer.setblocking(False)
        if self._spec.kind != "unix":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = self.connect(peer, address)
        self.connections[connection] = None
        self.peers.add(connection)
        counters.connections_total[self.source.name] += 1
        self.loop.add(connection.fileno(), connection.ready)
        if self._until_end:
            self._stop_listening()

    def connect(self, peer: socket.socket, address: str) -> Connection:
        """What reads from a new peer."""
        return _Lines(self, peer, address)

    def _forget(self, connection: Connection) -> None:
        self._partial -= connection.counted
        del self.connections[connection]
        self._ready.pop(connection, None)
        self.peers.remove(connection)
        self.loop.remove(connection.fileno())
        connection.close()
        self.context.counters.log_closes_total[self.source.name] += 1

    def warn(self, what: str, text: str, *values: object) -> None:
        """Log a warning, at most one of each kind in `_SILENCE` seconds."""
        now = time.monotonic()
        if now >= self._warned.get(what, 0.0):
            self._warned[what] = now + _SILENCE
            _log.warning("%s: " + text, self.source.name, *values)
