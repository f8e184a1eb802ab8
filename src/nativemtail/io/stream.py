"""Sockets that logs are sent to: tcp, udp, unix and unixgram (spec inputs.md §6, §7; RFC 6587 for octet counting)."""

from __future__ import annotations

import errno
import re
import socket
import struct
import time
from collections.abc import Iterator

from nativemtail import net
from nativemtail.io.lines import READ_SIZE
from nativemtail.io.loop import SLICE, Loop, in_turns
from nativemtail.io.patterns import LogSpec
from nativemtail.io.peers import Peers, address_of
from nativemtail.io.pipe import waiting
from nativemtail.io.sources import Context, Source, SourceError
from nativemtail.log import Log

MAX_DATAGRAM = 128 * 1024
"""Longer datagrams (possible on Unix sockets only) are cut."""

_ACCEPTED_AT_ONCE = 64
_PIECE = 64 * 1024
_DATAGRAMS_AT_ONCE = 4096
_SILENCE = 60.0
_PAUSE = 0.5
_DROP_CHECK = 1.0
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_MEMINFO_QUEUED = 0
_MEMINFO_DROPS = 8
_LEAST_CHARGE = 256
_UNIX_QUEUE = 4096
_IN_FLIGHT = 8 * 1024 * 1024
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = Log(__name__)


class OctetFraming:
    """Turns `LENGTH SP MESSAGE` frames into lines, as bytes come; a stream that does not begin like one stays as it is.

    A stream is octet-counted if it begins with a length, a space and a syslog priority.  A frame that does not end in
    a newline gets one; newlines within a frame separate lines.  After a malformed length the rest is taken as lines.
    """

    HELD = 16
    """At most so many bytes come out more than went in."""

    _BEGIN = re.compile(rb"[1-9]\d{0,7} <\d")
    _MAYBE = re.compile(rb"(?:[1-9]\d{0,7}(?: <?)?)?\Z")
    _HEAD = re.compile(rb"[\n\r\0]*([1-9]\d{0,7}) ")
    _MAX_DIGITS = 8

    def __init__(self) -> None:
        self._counting: bool | None = None
        self._held = b""
        self._left = 0

    def decode(self, data: bytes) -> bytes:
        """The lines in the next bytes of the stream; parts of them may come later."""
        if self._counting is None:
            data = self._held + data
            self._held = b""
            if self._MAYBE.match(data):
                self._held = data
                return b""
            self._counting = self._BEGIN.match(data) is not None
        return self._frames(data) if self._counting else data

    def end(self) -> bytes:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return b"" if self._counting else held

    def _frames(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data):
            if not self._left and not self._held:
                at = self._whole_frames(data, at, out)
                if at == len(data):
                    break
            if self._left:
                part = data[at : at + self._left]
                out.append(part)
                at += len(part)
                self._left -= len(part)
                if not self._left and not part.endswith(b"\n"):
                    out.append(b"\n")
                continue
            at, malformed = self._length(data, at)
            if malformed:
                self._counting = False
                out += (self._held, data[at:])
                self._held = b""
                break
        return b"".join(out)

    def _whole_frames(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Take the frames that are there from length to end, which are most; where the next thing begins."""
        while head := self._HEAD.match(data, at):
            begin = head.end()
            end = begin + int(head[1])
            if end > len(data):
                break
            out.append(data[begin:end])
            if data[end - 1] != 10:
                out.append(b"\n")
            at = end
        return at

    def _length(self, data: bytes, at: int) -> tuple[int, bool]:
        """Read a frame's length, or the part of it that is there; where the data go on and whether it is malformed."""
        if not self._held:
            while at < len(data) and data[at] in b"\n\r\0":
                at += 1
        end = at
        while end < len(data) and 48 <= data[end] <= 57 and end - at <= self._MAX_DIGITS:
            end += 1
        digits = self._held + data[at:end]
        if len(digits) > self._MAX_DIGITS:
            return at, True
        if end == len(data):
            self._held = digits
            return end, False
        if data[end] != 32 or not digits:
            return at, True
        self._held = b""
        self._left = int(digits)
        return end + 1, False


class _Connection:
    """One peer of a stream socket, with its own line."""

    def __init__(self, listener: StreamListener, peer: socket.socket, address: str) -> None:
        self._listener = listener
        self._peer = peer
        self.address = address
        self._silent = True
        self.lines = listener.source.line_reader()
        self.lines.begin()
        self._framing = OctetFraming()
        self.counted = 0
        self._left = -1

    def fileno(self) -> int:
        return self._peer.fileno()

    def ready(self, events: int) -> None:
        self._listener.has_input(self)

    def read(self) -> int | None:
        """Read once: how many bytes, 0 at the end of the connection, None when there are none now."""
        count: int | None
        try:
            count = self._receive()
        except OSError:
            count = 0
        self._listener.account(self)
        return count

    def give_way(self) -> None:
        if self.read() == 0:
            self._listener.ended(self)
        elif self._silent:
            self._listener.drop(self)

    def drain(self, more: int) -> Iterator[None]:
        """Read what is there, and `more` that may be on its way; then deliver the unterminated rest."""
        self._left = waiting(self.fileno())
        room = self._left + more
        while room > 0 and (count := self.read()):
            self._left -= count
            room -= count
            yield
        self._left = 0
        self.finish()

    def give_up(self) -> int:
        """Leave what `drain` did not come to; how many bytes that is."""
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
        self._listener.account(self)

    def close(self) -> None:
        self._peer.close()

    def _receive(self) -> int | None:
        received: int | None = None

        def read_into(target: memoryview) -> int | None:
            nonlocal received
            try:
                received = self._peer.recv_into(target[: min(len(target) - OctetFraming.HELD, _PIECE)])
            except BlockingIOError:
                return None
            if not received:
                return received
            data = self._framing.decode(bytes(target[:received]))
            if self._silent and b"\n" in data:
                self._silent = False
                self._listener.spoke(self)
            return _put(target, data)

        self.lines.read(self._listener.context.buffer, read_into)
        if received:
            self._listener.received(received)
        return received


def _put(target: memoryview, data: bytes) -> int:
    target[: len(data)] = data
    return len(data)


class StreamListener:
    """A listening tcp or unix socket and its connections, which take turns within those of the listener."""

    def __init__(self, context: Context, loop: Loop, spec: LogSpec, peers: Peers) -> None:
        self.context = context
        self._loop = loop
        self._spec = spec
        self._peers = peers
        self._bound = _bind(spec, socket.SOCK_STREAM, context.settings.socket_mode)
        self._socket = self._bound.socket
        self.source: Source = context.hold(spec.name)
        self._connections: dict[_Connection, None] = {}
        self._ready: dict[_Connection, None] = {}
        self._partial = 0
        self._said: dict[str, float] = {}
        loop.add(self._socket.fileno(), self._knocked)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def address(self) -> object:
        """As the system has it, with the port that was chosen for port 0."""
        return self._socket.getsockname()

    def has_input(self, connection: _Connection) -> None:
        self._ready.setdefault(connection)
        self._loop.queue(self)

    def turn(self) -> bool:
        """Read from the connections that have something, one after the other, for about `SLICE` seconds."""
        end = time.monotonic() + SLICE
        while self._ready and time.monotonic() < end:
            connection = next(iter(self._ready))
            del self._ready[connection]
            count = connection.read()
            if count == 0:
                self.ended(connection)
            elif count:
                self._ready[connection] = None
        return bool(self._ready)

    def ended(self, connection: _Connection) -> None:
        connection.finish()
        self._forget(connection)

    def drop(self, connection: _Connection) -> None:
        """Close a connection that never sent a whole line, for others to have its place."""
        self.context.counters.connections_dropped_total[self.source.name] += 1
        self._say(
            "dropped", "closing a connection from %s that has sent no line: there are too many", connection.address
        )
        self.ended(connection)

    def spoke(self, connection: _Connection) -> None:
        self._peers.spoke(connection)

    def received(self, count: int) -> None:
        self.context.counters.log_bytes_total[self.source.name] += count

    def account(self, connection: _Connection) -> None:
        """Keep the sum of all unterminated lines below its limit: who exceeds it has its line delivered in pieces."""
        lines = connection.lines
        counters = self.context.counters
        counters.count_lines(lines, self.source.name)
        if self._partial - connection.counted + lines.pending > self.context.settings.max_partial:
            counters.limits_total["partial_memory"] += 1
            lines.finish()
        self._partial += lines.pending - connection.counted
        connection.counted = lines.pending

    def drain(self) -> Iterator[None]:
        """Accept who waits, read what is there, deliver the unterminated rests."""
        self._accept(net.BACKLOG)
        connections = list(self._connections)
        share = _IN_FLIGHT // max(1, len(connections))  # so that a crowd that goes on sending has an end
        yield from in_turns(connection.drain(share) for connection in connections)

    def give_up(self) -> int:
        """Leave what `drain` did not come to; how many bytes that is."""
        return sum(connection.give_up() for connection in self._connections)

    def close(self) -> None:
        self._loop.remove(self._socket.fileno())
        for connection in list(self._connections):
            self._forget(connection)
        self._bound.close()
        self.context.release(self.source)

    def _knocked(self, events: int) -> None:
        self._accept(_ACCEPTED_AT_ONCE)

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                peer, name = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            self._welcome(peer, address_of(name))

    def _accept_failed(self, error: OSError) -> None:
        """Out of descriptors: the backlog keeps who knocks; other errors are the peer's, who went away again."""
        self.context.counters.log_errors_total[self.source.name] += 1
        if error.errno in _NO_DESCRIPTORS:
            self.context.counters.limits_total["open_files"] += 1
            self._loop.remove(self._socket.fileno())
            self._loop.after(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add(self._socket.fileno(), self._knocked)

    def _welcome(self, peer: socket.socket, address: str) -> None:
        counters = self.context.counters
        if not self._peers.admits(address):
            counters.connections_refused_total[self.source.name] += 1
            peer.close()
            limits = self._peers.most, self._peers.most_of_one
            self._say("refused", "refusing %s: %d connections are allowed, %d from one address", address, *limits)
            return
        peer.setblocking(False)
        if self._spec.kind == "tcp":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = _Connection(self, peer, address)
        self._connections[connection] = None
        self._peers.came(connection)
        counters.connections_total[self.source.name] += 1
        self._loop.add(connection.fileno(), connection.ready)

    def _forget(self, connection: _Connection) -> None:
        self._partial -= connection.counted
        del self._connections[connection]
        self._ready.pop(connection, None)
        self._peers.left(connection)
        self._loop.remove(connection.fileno())
        connection.close()
        self.context.counters.log_closes_total[self.source.name] += 1

    def _say(self, what: str, text: str, *values: object) -> None:
        """A warning; the same one not again for `_SILENCE` seconds."""
        now = time.monotonic()
        if now >= self._said.get(what, 0.0):
            self._said[what] = now + _SILENCE
            _log.warning("%s: " + text, self.source.name, *values)


class DatagramListener:
    """A udp or unixgram socket: the end of a datagram ends its line (row `datagram-end`).

    The kernel's buffer is made large, since datagrams wait there while the engine works; what it dropped is counted.
    """

    def __init__(self, context: Context, loop: Loop, spec: LogSpec) -> None:
        self.context = context
        self._loop = loop
        self._bound = _bind(spec, socket.SOCK_DGRAM, context.settings.socket_mode)
        self._socket = self._bound.socket
        _enlarge(self._socket, context.settings.receive_buffer)
        self.source: Source = context.hold(spec.name)
        self._lines = self.source.line_reader()
        self._batch = bytearray(READ_SIZE)
        self._dropped = 0
        self._unsaid = 0
        self._silent_until = 0.0
        self._checking = False
        self._drained = False
        loop.add(self._socket.fileno(), self._ready)

    @property
    def address(self) -> object:
        return self._socket.getsockname()

    def turn(self) -> bool:
        """Take a batch of datagrams; whether there may be more."""
        more = self._socket.fileno() >= 0 and self._receive() > 0
        self._check_later()
        return more

    def drain(self) -> Iterator[None]:
        """Take what is there by now, which others may go on adding to."""
        left = self._meminfo()[_MEMINFO_QUEUED] // _LEAST_CHARGE + _UNIX_QUEUE
        while left > 0 and (taken := self._receive()):
            left -= taken
            yield
        self._count_dropped(last=True)
        self._drained = True

    def give_up(self) -> int:
        """Leave what `drain` did not come to; how many bytes that is at least: those of the next datagram."""
        return 0 if self._drained else waiting(self._socket.fileno())

    def close(self) -> None:
        self._loop.remove(self._socket.fileno())
        self._bound.close()
        self.context.counters.log_closes_total[self.source.name] += 1
        self.context.release(self.source)

    def _ready(self, events: int) -> None:
        self._loop.queue(self)

    def _receive(self) -> int:
        """Take a batch of datagrams and deliver their lines; how many datagrams."""
        counters = self.context.counters
        name = self.source.name
        datagrams = size = 0
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
                if count > MAX_DATAGRAM:
                    counters.datagrams_cut_total[name] += 1
                    count = MAX_DATAGRAM
                size += count
                if count and batch[size - 1] != 10:
                    batch[size] = 10
                    size += 1
            counters.datagrams_total[name] += datagrams
            counters.log_bytes_total[name] += size
            self._deliver(batch[:size])
        return datagrams

    def _deliver(self, data: memoryview) -> None:
        at = 0

        def read_into(target: memoryview) -> int:
            nonlocal at
            part = data[at : at + len(target)]
            at += len(part)
            target[: len(part)] = part
            return len(part)

        while at < len(data):
            self._lines.read(self.context.buffer, read_into)
        self.context.counters.count_lines(self._lines, self.source.name)

    def _check(self) -> None:
        self._checking = False
        if self._socket.fileno() >= 0:
            self._count_dropped()
            if self._unsaid:
                self._check_later()

    def _check_later(self) -> None:
        if not self._checking:
            self._checking = True
            self._loop.after(_DROP_CHECK, self._check)

    def _count_dropped(self, *, last: bool = False) -> None:
        """Count them, and say how many there were since it was said; `last`: now, else once in `_SILENCE` seconds."""
        total = self._meminfo()[_MEMINFO_DROPS]
        new = (total - self._dropped) & 0xFFFFFFFF
        if new:
            self._dropped = total
            self.context.counters.datagrams_dropped_total[self.source.name] += new
            self._unsaid += new
        if self._unsaid and (last or time.monotonic() >= self._silent_until):
            text = "%s: the kernel dropped %d datagrams, its receive buffer was full"
            _log.warning(text, self.source.name, self._unsaid)
            self._unsaid = 0
            self._silent_until = time.monotonic() + _SILENCE

    def _meminfo(self) -> tuple[int, ...]:
        try:
            return _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except OSError:
            return (*(0,) * _MEMINFO_DROPS, self._dropped)


def listener(context: Context, loop: Loop, spec: LogSpec, peers: Peers) -> StreamListener | DatagramListener:
    """The listener that `spec` asks for.  Raises `SourceError` with the system's message when it cannot be had."""
    if spec.kind in ("udp", "unixgram"):
        return DatagramListener(context, loop, spec)
    return StreamListener(context, loop, spec, peers)


def _enlarge(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:
        # Without CAP_NET_ADMIN as much as net.core.rmem_max allows.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _bind(spec: LogSpec, kind: socket.SocketKind, mode: int) -> net.Bound:
    """Raises `SourceError` with Go's text."""
    listen = f"listen {spec.kind}"
    try:
        if spec.kind in ("unix", "unixgram"):
            return net.bind_unix(spec.address, kind, mode)
        host, port = _host_and_port(spec)
        return net.bind_inet(host, port, kind)
    except net.InvalidPort as error:
        raise SourceError(f"{listen}: address {error}: invalid port") from None
    except net.UnknownService as error:
        raise SourceError(f"{listen}: lookup {spec.kind}/{error}: unknown port") from None
    except net.UnknownHost as error:
        raise SourceError(f"{listen}: lookup {host}: no such host") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{listen} {spec.address}: bind: {net.reason(error)}") from error


def _host_and_port(spec: LogSpec) -> tuple[str, str]:
    host, colon, port = spec.address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif not colon or ":" in host or "]" in port:
        what = "too many colons in address" if ":" in host else "missing port in address"
        raise SourceError(f"listen {spec.kind}: address {spec.address}: {what}")
    return host, port or "0"
