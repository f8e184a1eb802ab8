"""One connection: wait, read a request, answer, repeat.  h11 implements the protocol; every step has a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import http
import select
import socket
import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import h11

from nativemtail.http.listen import Listener
from nativemtail.http.messages import Request, Response, plain, quality
from nativemtail.http.traffic import EXCEEDED, Traffic
from nativemtail.http.trust import network

_READ = 16 * 1024
_UNSENT = 256 * 1024  # unsent bytes that the kernel may buffer per peer
PROBES = ("/-/healthy", "/-/ready")
_PROBE_STARTS = (b"GET /-/", b"HEAD /-/")
_PEEKED = 8
EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Connection:
    """A connection to one peer."""

    def __init__(
        self,
        traffic: Traffic,
        listener: Listener,
        sock: socket.socket,
        peer: str,
        trusted: bool,
        *,
        only_probes: bool = False,
    ) -> None:
        self.trusted = trusted
        self._only_probes = only_probes
        self._known = trusted
        """Whether the peer is trusted or already classified: as a prober, or as a denied client that was counted."""
        self._traffic = traffic
        self._listener = listener
        self._limits = traffic.limits
        self._socket = sock
        self._peer = peer
        self._context = traffic.context if listener.service == "https" else None
        self._h11: h11.Connection
        self._is_head = False
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self.task: asyncio.Task[None] | None = None

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        elif self.task is not None:  # in the handshake
            self.task.cancel()

    async def run(self) -> None:
        try:
            await self._open()
            async with asyncio.timeout(self._limits.header_seconds):
                data = await self._reader.read(_READ)
            if self._context:  # without TLS it had its turn before
                await self._await_turn(data)
            self._h11.receive_data(data)
            while await self._exchange():
                self._h11.start_next_cycle()
                self._traffic.waiting[self] = None
                if self._h11.trailing_data[0]:
                    async with self._traffic.pipelining:  # so that long pipelines do not starve other connections
                        await asyncio.sleep(0)
                else:
                    async with asyncio.timeout(self._limits.idle_seconds):
                        data = await self._reader.read(_READ)
                    await self._await_turn(data)
                    self._h11.receive_data(data)
        except (OSError, h11.ProtocolError):  # the peer is gone, broke the rules or a limit
            self.abort()
        finally:
            self._traffic.waiting.pop(self, None)
            if not self._known:
                self._traffic.deny(self._listener, self._peer)
            await self._close()
            self.task = None  # a cycle with it would wait for the garbage collector

    async def _close(self) -> None:
        if self._writer is None:
            self._socket.close()
            return
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                await self._writer.wait_closed()
        except OSError:
            self.abort()

    async def _open(self) -> None:
        """Wrap the socket in streams once the peer has sent something; with TLS this includes the handshake."""
        loop = asyncio.get_running_loop()
        seconds = self._limits.header_seconds if self._context else None
        try:
            async with asyncio.timeout(self._limits.header_seconds):
                start = await self._peek()
            if not start:
                raise ConnectionAbortedError  # the peer closed without a word
            if self._only_probes and not is_probe(start):
                self._known = True
                self._traffic.denied[self._listener.service] += 1
                refuse(self._socket, plaintext=True)
                raise ConnectionAbortedError
            if self._context:
                await self._await_handshake()
            else:
                await self._await_turn(start)
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
            self._reader = asyncio.StreamReader(limit=_READ)
            protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, self._socket, ssl=self._context, ssl_handshake_timeout=seconds
            )
        except OSError:
            if self._known and self._context:
                self._traffic.failed_handshake(self._listener)
            raise
        if not self._listener.is_unix:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
            # With TLS an answer would wait 40 ms for the peer to acknowledge the session tickets.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that drain() waits until the kernel has all bytes; 0 hangs with TLS.
        transport.set_write_buffer_limits(high=1)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def _peek(self) -> bytes:
        """Wait for the first bytes and peek at them, without the memory of a stream for a silent peer."""
        loop = asyncio.get_running_loop()
        number = self._socket.fileno()
        while True:
            if (start := peek(self._socket)) is not None:
                return start
            arrived = asyncio.Event()
            loop.add_reader(number, arrived.set)
            try:
                await arrived.wait()
            finally:
                loop.remove_reader(number)

    async def _await_handshake(self) -> None:
        waiting = self._traffic.waiting
        if self.trusted:  # others stay there, where their limit finds them
            waiting.pop(self, None)
        async with asyncio.timeout(self._limits.header_seconds):
            is_next = await self._traffic.handshakes.turn(network(self._peer), lambda: hung_up(self._socket))
        if self.trusted or self in waiting:
            waiting[self] = None
            waiting.move_to_end(self)  # until now it was we who kept it waiting
        if self._traffic.stopping:
            raise ConnectionAbortedError
        if not is_next:
            self._traffic.exceeded["http_connections"] += not hung_up(self._socket)
            raise ConnectionAbortedError

    async def _await_turn(self, start: bytes) -> None:
        """Let probes go first: only a few other connections begin in each turn of the loop."""
        self._traffic.waiting.pop(self, None)
        if is_probe(start):
            return
        self._traffic.unknown += 1
        try:
            async with self._traffic.beginning:
                await asyncio.sleep(0)
        finally:
            self._traffic.unknown -= 1

    async def _exchange(self) -> bool:
        """Handle one request; whether another one may follow on the connection."""
        try:
            async with asyncio.timeout(self._limits.header_seconds):
                head = await self._request()
        except TimeoutError:
            return await self._give_up(408, "The request took too long to arrive.\n")
        except h11.RemoteProtocolError as error:
            return await self._give_up(error.error_status_hint, f"{error}\n")
        finally:
            self._traffic.waiting.pop(self, None)
        if head is None:
            return False
        if isinstance(head, Response):
            return await self._give_up(head.status, head.body.decode())
        await self._respond(*head)
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def _request(self) -> tuple[Request, bool] | Response | None:
        """The next request, without its body, and whether gzip is accepted; an answer if it is bad; None at the end."""
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        self._is_head = event.method == b"HEAD"
        if event.http_version not in (b"1.0", b"1.1"):
            return plain(505, "Only HTTP/1.0 and HTTP/1.1 are supported.\n")
        # h11 checks its own limit only while a request is incomplete
        if len(event.target) + sum(len(n) + len(v) + 4 for n, v in event.headers) > self._limits.header_bytes:
            return plain(431, "The request's headers are too long.\n")
        headers = [(name, value.decode("latin-1")) for name, value in event.headers]
        target = event.target.decode("latin-1")
        accept, coding, host = (
            ",".join(v for n, v in headers if n == name) for name in (b"accept", b"accept-encoding", b"host")
        )
        request, problem = self._parsed(target, accept)
        if refused := self._refused(request, target, host):
            return refused
        if event.method == b"CONNECT":
            return plain(405, "CONNECT is not supported.\n")
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
            return plain(400, "Content-Length and Transfer-Encoding exclude each other.\n")
        if request is None:
            return plain(400, f"{problem}\n")
        if self._h11.they_are_waiting_for_100_continue:
            await self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
        size = 0
        while isinstance(event := await self._event(), h11.Data):
            size += len(event.data)
            if size > self._limits.body_bytes:
                return plain(
                    413, f"Request bodies are ignored; more than {self._limits.body_bytes} bytes are refused.\n"
                )
        return request, bool(quality(coding, "gzip", "x-gzip", "*"))

    async def _event(self) -> object:
        """h11's next event, reading as much as needed."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._traffic.waiting[self] = None
            self._h11.receive_data(await self._reader.read(_READ))
        return event

    def _parsed(self, target: str, accept: str) -> tuple[Request | None, str]:
        """The request, or None and what is wrong with it."""
        try:
            return Request.parse(target, accept, self._limits.query_fields), ""
        except ValueError as error:
            return None, str(error)

    def _refused(self, request: Request | None, target: str, host: str) -> Response | None:
        """The answer to a peer or host name that is not allowed; None if it is.  Everybody may probe."""
        if request is not None and request.path in PROBES:
            self._known = True
            return None
        if not self.trusted:
            if not self._known:
                self._known = True
                self._traffic.deny(self._listener, self._peer)
            return plain(401, f"{self._peer} is not trusted to ask for {target[:200]} (--trusted_hosts).\n")
        if self._listener.is_unix:  # no browser can connect
            return None
        for name in (host, request.authority if request else ""):
            if not self._traffic.hosts.allows(name):
                return plain(421, self._traffic.misdirected(self._listener, name) + "\n")
        return None

    async def _respond(self, request: Request, compress: bool) -> None:
        traffic = self._traffic
        if request.path in PROBES:
            await self._send(traffic.answer(request))
            return
        reader = traffic.pages.open(request, compress, self.abort)
        try:
            response = await reader.response() if reader is not None else None
            if reader is None or response is None:
                traffic.exceeded["http_pending"] += 1
                await self._send(plain(503, "Too many answers are being sent; try again.\n"))
                return
            async with self._answer_time():
                head = self._head(response, reader.length, compressed=reader.compressed)
                while not self._is_head and (piece := await reader.piece()):
                    step = traffic.write_bytes()
                    for start in range(0, len(piece), step):
                        async with traffic.writing:
                            await asyncio.sleep(0)
                        await self._write(head + self._data(piece[start : start + step]))
                        reader.progress()
                        head = b""
                    reader.taken()
                await self._write(head + self._end())
        finally:
            if reader is not None:
                reader.close()

    async def _send(self, response: Response, *, close: bool = False) -> None:
        """A short answer."""
        self._traffic.sending[self] = time.monotonic()
        try:
            async with self._answer_time():
                head = self._head(response, len(response.body), close=close)
                await self._write(head + self._data(b"" if self._is_head else response.body) + self._end())
        finally:
            self._traffic.sending.pop(self, None)

    @contextlib.asynccontextmanager
    async def _answer_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                yield
        except TimeoutError:
            self._traffic.exceeded["http_answer_time"] += 1
            raise

    def _head(self, response: Response, length: int | None, *, compressed: bool = False, close: bool = False) -> bytes:
        """Status line and headers."""
        headers = [("Date", formatdate(usegmt=True)), ("Content-Type", response.content_type), *response.headers]
        given = {name for name, _ in response.headers}
        headers += ((name, value) for name, value in EVERY_ANSWER.items() if name not in given)
        if length is not None:
            headers.append(("Content-Length", str(length)))
        if compressed:
            headers.append(("Content-Encoding", "gzip"))
        if compressed or length is None or length >= self._limits.compress_from:
            headers.append(("Vary", "Accept-Encoding"))
        if close or self._traffic.stopping:
            headers.append(("Connection", "close"))
        reason = http.HTTPStatus(response.status).phrase
        return self._h11.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""

    def _data(self, data: bytes) -> bytes:
        return self._h11.send(h11.Data(data=data)) or b""

    def _end(self) -> bytes:
        return self._h11.send(h11.EndOfMessage()) or b""

    async def _write(self, data: bytes | None) -> None:
        assert self._writer is not None
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _give_up(self, status: int, text: str) -> bool:
        """Send an error and close, after reading on for a moment: unread bytes would reset the connection before the
        peer has read the answer."""
        if status in EXCEEDED:
            self._traffic.exceeded[EXCEEDED[status]] += 1
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(plain(status, text), close=True)
            assert self._writer is not None
            if self._writer.can_write_eof():
                self._writer.write_eof()
            self._traffic.waiting[self] = None
            self._traffic.waiting.move_to_end(self, last=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.linger_seconds):
                    while await self._reader.read(_READ):
                        pass
        return False


def peek(sock: socket.socket) -> bytes | None:
    """The first bytes that have arrived, which stay there; None if there are none yet."""
    try:
        return sock.recv(_PEEKED, socket.MSG_PEEK)
    except BlockingIOError:
        return None


def hung_up(sock: socket.socket) -> bool:
    """Whether the peer has closed its side, or the whole connection."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def is_probe(start: bytes) -> bool:
    """Whether a request that begins so is likely to be a probe."""
    return start.startswith(_PROBE_STARTS)


def refuse(sock: socket.socket, *, plaintext: bool) -> None:
    """Close without reading, after a 503 unless the peer expects TLS."""
    body = b"Too many connections; try again.\n"
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    head += b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in EVERY_ANSWER.items())
    with contextlib.suppress(OSError), sock:
        if plaintext:
            sock.send(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            sock.shutdown(socket.SHUT_WR)
