"""The listener: sockets, connections, limits.

One thread with an event loop of its own serves all connections; answers are made by a few more threads, since the
store renders without the GIL.  The protocol itself is h11's.  Each connection is a short dialogue: wait, read a
request, answer, again.  Every step has a limit (`Limits`), and who is not trusted gets no further than 401, but for
the probes, which are answered in the loop.

Every method is answered as GET is, HEAD without the body, as mtail does; only CONNECT, which names no page, is 405.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import http
import logging
import re
import socket
import ssl
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate

import h11

from nativemtail import net, plainfile
from nativemtail.http.hosts import ANY_HOST, AllowedHosts
from nativemtail.http.limits import Limits
from nativemtail.http.messages import Answer, Request, Response, plain, quality
from nativemtail.http.shared import Pages
from nativemtail.http.trust import LOOPBACK, TrustedHosts, plain_peer
from nativemtail.telemetry.model import Pool

log = logging.getLogger(__name__)

_READ = 16 * 1024
_MAX_PEM = 16 << 20
_ACCEPT_AGAIN = 0.1
_ACCEPTED = 64  # connections in a turn of the loop
_BEGINNING = 2  # of them, and of the others, so many begin with a request in a turn
_WRITERS = 8
_UNSENT = 256 * 1024  # what the kernel holds for a peer beside what is on its way
_PEER_ERRORS = frozenset((errno.ECONNABORTED, errno.EPERM, errno.EPROTO))
_REPORTED_STRANGERS = 100
_PORT = re.compile(r"[0-9]{1,5}|[a-zA-Z][a-zA-Z0-9_-]*")
_EXCEEDED = {408: "http_request_time", 413: "http_body", 431: "http_header"}
_LIMITS = (*_EXCEEDED.values(), "http_answer_time", "http_pending", "http_connections", "http_stalled")
_PROBES = ("/-/healthy", "/-/ready")
_PROBE_STARTS = (b"GET /-/", b"HEAD /-/")
_PEEKED = 8
_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class ListenError(Exception):
    """An address that cannot be listened on; the text says which, why, and what to do."""


class TLSError(Exception):
    """Certificate files that cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """The files of `--tls_cert`, `--tls_key`, `--tls_client_ca`; with the last one clients need a certificate too."""

    cert: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """Read the files; raises TLSError."""
        for what, path in ("certificate", self.cert), ("key", self.key), ("client CA", self.client_ca):
            try:
                if path:
                    plainfile.check(path, _MAX_PEM)  # a pipe, or a file without end, would hold up the daemon
            except (OSError, ValueError) as error:
                raise TLSError(f"cannot use {what} {path}: {getattr(error, 'strerror', None) or error}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            why = _why(error, {self.cert: "CERTIFICATE", self.key: "PRIVATE KEY"})
            raise TLSError(f"cannot use certificate {self.cert} with key {self.key}: {why}") from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as error:
                why = _why(error, {self.client_ca: "CERTIFICATE"})
                raise TLSError(f"cannot use client CA {self.client_ca}: {why}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _why(error: Exception, wanted: Mapping[str, str]) -> str:
    """What OpenSSL does not say: which of the files lacks what is wanted of it."""
    if not isinstance(error, ssl.SSLError):
        return str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    for path, what in wanted.items():
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if f"{what}-----".encode() not in file.read(_MAX_PEM):
                return f"{path} has no {what.lower()} in PEM form"
    return str(error)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


@dataclass(frozen=True, slots=True)
class _Listener:
    bound: net.Bound
    service: str
    """The label of the connection counts: `http`, `https` or `http_unix`."""
    name: str

    @property
    def is_unix(self) -> bool:
        return self.bound.file is not None


class Server:
    """Listens from `listen_…` on, answers between `start` and `stop`."""

    def __init__(
        self,
        answer: Answer,
        *,
        trusted: TrustedHosts = LOOPBACK,
        hosts: AllowedHosts = ANY_HOST,
        tls: TLS | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`answer` is called in several threads and does not raise.  Raises TLSError."""
        self.answer = answer
        self.trusted = trusted
        self.hosts = hosts
        self.limits = limits or Limits()
        self._tls = tls
        self.context = tls.context() if tls else None
        self.waiting: OrderedDict[_Connection, None] = OrderedDict()
        """Connections without a whole request, the one that has waited longest first."""
        self.sending: OrderedDict[_Connection, float] = OrderedDict()
        """Connections to which a short answer is being sent, and since when."""
        self.writing = asyncio.Semaphore(_WRITERS)
        """So many connections send of a page in a turn of the loop, and one goes on with what was sent ahead."""
        self.pipelining = asyncio.Semaphore(1)
        self.beginning = asyncio.Semaphore(_BEGINNING)
        self.stopping = False
        self._listeners: list[_Listener] = []
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._open: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._denied: Counter[str] = Counter()
        self.exceeded = Counter(dict.fromkeys(_LIMITS, 0))
        self._strangers = 0
        self._reported: set[str] = set()
        self.pool = concurrent.futures.ThreadPoolExecutor(self.limits.render_threads, "http-render")
        self.pages = Pages(answer, self.limits, self.pool, lambda: self.exceeded.update(("http_stalled",)))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._grace = 0.0

    # --- set-up, in the caller's thread -----------------------------------------------------------------------

    def listen_tcp(self, address: str, port: str) -> None:
        """Bind `address`:`port` (empty address: all, IPv4 and IPv6; port 0: any free one); raises ListenError."""
        bound = _bind_tcp(address, port)
        host, number = bound.socket.getsockname()[:2]
        service = "https" if self._tls else "http"
        self._listeners.append(_Listener(bound, service, f"[{host}]:{number}" if ":" in host else f"{host}:{number}"))

    def listen_unix(self, path: str, mode: int = 0o600) -> None:
        """Bind a Unix socket; what is left of a dead server there is replaced.  Raises ListenError."""
        self._listeners.append(_Listener(_bind_unix(path, mode), "http_unix", path))

    def reload_tls(self) -> None:
        """Read the certificate files again, for connections from now on; raises TLSError and keeps the old ones."""
        if self._tls is not None:
            self.context = self._tls.context()

    def start(self) -> None:
        """Serve, in a thread of its own.  Raises RuntimeError when the system gives no thread."""
        started = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="http", daemon=True)
        thread.start()
        self._thread = thread
        started.wait()
        self._start_rendering()

    def _start_rendering(self) -> None:
        """Have the pool's threads now: at a request there may be none to be had.  Raises RuntimeError without one."""
        all_there = threading.Event()
        try:
            for _ in range(self.limits.render_threads):
                self.pool.submit(all_there.wait)
        except RuntimeError:
            if not self.pool._threads:
                raise
            self.pool._max_workers = len(self.pool._threads)  # or each request would try to start another one
        finally:
            all_there.set()

    def stop(self, grace: float = 2.0) -> None:
        """Close the listeners, let answers under way end for `grace` seconds, cut off the rest."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._begin_stop, grace)
            self._thread.join()
        self.pool.shutdown(wait=False, cancel_futures=True)
        for listener in self._listeners:
            listener.bound.close()
        self._listeners.clear()

    # --- counts, from any thread ------------------------------------------------------------------------------

    def addresses(self) -> list[str]:
        """Where this server listens."""
        return [listener.name for listener in self._listeners]

    def connections(self) -> dict[str, int]:
        return {listener.service: self._open[listener.service] for listener in self._listeners}

    def accepted(self) -> dict[str, int]:
        return {listener.service: self._accepted[listener.service] for listener in self._listeners}

    def denied(self) -> dict[str, int]:
        return {listener.service: self._denied[listener.service] for listener in self._listeners}

    def limits_hit(self) -> dict[str, int]:
        """How often requests and answers were cut off, by limit."""
        return dict(self.exceeded)

    def pools(self) -> dict[str, Pool]:
        size = self.pool._max_workers
        return {"http": Pool(size, max(size - self.pages.busy, 0))}

    # --- the loop ---------------------------------------------------------------------------------------------

    def _begin_stop(self, grace: float) -> None:
        self._grace = grace
        if self._stop is not None:
            self._stop.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: log.debug("http: %s", context))
        self._stop = asyncio.Event()
        accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        started.set()
        await self._stop.wait()
        self.stopping = True
        for task in accepting:
            task.cancel()
        for connection in list(self.waiting):
            connection.abort()
        if self._connections:
            await asyncio.wait(self._connections, timeout=self._grace)
        for task, connection in list(self._connections.items()):
            connection.abort()
            task.cancel()
        await asyncio.gather(*accepting, *self._connections, return_exceptions=True)

    async def _accept(self, listener: _Listener) -> None:
        loop = asyncio.get_running_loop()
        complained = False
        accepted = 0
        while True:
            accepted += 1
            # A flood of connections must not keep the others waiting, but there may be a probe behind it.
            if accepted % _ACCEPTED == 0 or self._is_full():
                await asyncio.sleep(0)
            try:
                sock, peer = await loop.sock_accept(listener.bound.socket)
            except OSError as error:
                if error.errno not in _PEER_ERRORS:  # it is us: usually no file descriptor is left
                    if not complained:
                        log.warning("cannot accept a connection on %s: %s", listener.name, error.strerror)
                    complained = True
                    await asyncio.sleep(0.01 if self._make_room() else _ACCEPT_AGAIN)
                continue
            complained = False
            self._admit(listener, sock, "" if listener.is_unix else plain_peer(peer[0]))

    def _is_full(self) -> bool:
        """Whether one more may cost another one its place, which each gets a turn to earn first."""
        return (
            len(self._connections) >= min(self.limits.connections, self.limits.incomplete)
            or self._strangers >= self.limits.strangers
        )

    @property
    def pending_bytes(self) -> int:
        """Made but not yet taken."""
        return self.pages.held

    def write_bytes(self) -> int:
        """How much a connection may have of its answer beside what all share."""
        least, most = self.limits.write_bytes
        return min(max(self.limits.buffer_bytes // (len(self._connections) or 1), least), most)

    def _admit(self, listener: _Listener, sock: socket.socket, peer: str) -> None:
        trusted = not peer or self.trusted.allows(peer)
        if not trusted and self._strangers >= self.limits.strangers and not self._make_room(stranger=True):
            self.deny(listener, peer)
            sock.close()
            return
        if len(self.waiting) >= self.limits.incomplete:
            self._cut_waiting()
        if len(self._connections) >= self.limits.connections and not self._make_room():
            self._denied[listener.service] += 1
            _refuse(sock, plaintext=listener.service != "https")
            return
        connection = _Connection(self, listener, sock, peer, trusted)
        self._open[listener.service] += 1
        self._accepted[listener.service] += 1
        self._strangers += not trusted
        task = connection.task = asyncio.create_task(connection.run())
        self._connections[task] = connection

        def ended(task: asyncio.Task[None]) -> None:
            del self._connections[task]
            self._open[listener.service] -= 1
            self._strangers -= not trusted
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a connection failed", exc_info=error)

        task.add_done_callback(ended)

    def _make_room(self, *, stranger: bool = False) -> bool:
        """Cut off the connection that has waited longest without a whole request, else one whose peer has stalled.

        `stranger`: one of a peer that is not trusted.
        """
        if self._cut_waiting(stranger=stranger):
            return True
        late = time.monotonic() - self.limits.stall_seconds
        for connection, since in self.sending.items():
            if since < late and not (stranger and connection.trusted):
                del self.sending[connection]
                self.exceeded["http_stalled"] += 1
                connection.abort()
                return True
        return not stranger and self.pages.cut_slowest()

    def _cut_waiting(self, *, stranger: bool = False) -> bool:
        found = next((connection for connection in self.waiting if not stranger or not connection.trusted), None)
        if found is None:
            return False
        del self.waiting[found]
        self.exceeded["http_connections"] += 1
        found.abort()
        return True

    def deny(self, listener: _Listener, peer: str) -> None:
        """Count, and log once, a peer that is not trusted."""
        self._denied[listener.service] += 1
        if peer not in self._reported and len(self._reported) < _REPORTED_STRANGERS:
            self._reported.add(peer)
            log.warning("refused %s on %s: not among the trusted hosts (--trusted_hosts)", peer, listener.name)

    def misdirected(self, listener: _Listener, name: str) -> str:
        """Log once a name that this server does not have; what to tell who used it."""
        text = f"{name[:200]} is not a name of this server. If it should be, list it with --allowed_hosts."
        if text not in self._reported and len(self._reported) < _REPORTED_STRANGERS:
            self._reported.add(text)
            log.warning("refused a request on %s: %s", listener.name, text)
        return text

    def failed_handshake(self, listener: _Listener) -> None:
        self._denied[listener.service] += 1


class _Connection:
    """One peer's dialogue."""

    def __init__(self, server: Server, listener: _Listener, sock: socket.socket, peer: str, trusted: bool) -> None:
        self.trusted = trusted
        self._known = trusted
        """Trusted, or told apart already: as somebody who probes, or as a stranger who has been counted."""
        self._server = server
        self._listener = listener
        self._limits = server.limits
        self._socket = sock
        self._peer = peer
        self._context = server.context if listener.service == "https" else None
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
        self._server.waiting[self] = None  # until there is a whole request it may be cut off to make room
        try:
            await self._open()
            async with asyncio.timeout(self._limits.header_seconds):
                self._h11.receive_data(await self._reader.read(_READ))
            while await self._exchange():
                self._h11.start_next_cycle()
                self._server.waiting[self] = None
                if self._h11.trailing_data[0]:
                    async with self._server.pipelining:  # nor must a long pipeline, or many
                        await asyncio.sleep(0)
                else:
                    async with asyncio.timeout(self._limits.idle_seconds):
                        data = await self._reader.read(_READ)
                    await self._await_turn(data)
                    self._h11.receive_data(data)
        except (OSError, h11.ProtocolError):  # the peer is gone, broke the rules or a limit
            self.abort()
        finally:
            self._server.waiting.pop(self, None)
            if not self._known:
                self._server.deny(self._listener, self._peer)
            await self._close()

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
        """Wrap the socket in streams when the peer says something; with TLS the handshake happens here."""
        loop = asyncio.get_running_loop()
        seconds = self._limits.header_seconds if self._context else None
        try:
            async with asyncio.timeout(self._limits.header_seconds):
                start = await self._peek()
            await self._await_turn(start)
            if self._context:
                self._server.waiting[self] = None
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
            self._reader = asyncio.StreamReader(limit=_READ)
            protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, self._socket, ssl=self._context, ssl_handshake_timeout=seconds
            )
        except OSError:
            if self._known and self._context:
                self._server.failed_handshake(self._listener)
            raise
        if not self._listener.is_unix:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        transport.set_write_buffer_limits(high=1)  # drained means: the kernel has it (0 hangs with TLS)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def _peek(self) -> bytes:
        """The first bytes, which stay where they are: a silent peer costs next to nothing."""
        loop = asyncio.get_running_loop()
        number = self._socket.fileno()
        while True:
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv(_PEEKED, socket.MSG_PEEK)
            arrived = asyncio.Event()
            loop.add_reader(number, arrived.set)
            try:
                await arrived.wait()
            finally:
                loop.remove_reader(number)

    async def _await_turn(self, start: bytes) -> None:
        """Probes go first; of what else has arrived at once, little is looked at in a turn of the loop."""
        if start.startswith(_PROBE_STARTS):
            return
        self._server.waiting.pop(self, None)
        async with self._server.beginning:
            await asyncio.sleep(0)

    async def _exchange(self) -> bool:
        """One request and its answer; whether another one may follow."""
        try:
            async with asyncio.timeout(self._limits.header_seconds):
                head = await self._request()
        except TimeoutError:
            return await self._give_up(408, "The request took too long to arrive.\n")
        except h11.RemoteProtocolError as error:
            return await self._give_up(error.error_status_hint, f"{error}\n")
        finally:
            self._server.waiting.pop(self, None)
        if head is None:
            return False
        if isinstance(head, Response):
            return await self._give_up(head.status, head.body.decode())
        await self._respond(*head)
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def _request(self) -> tuple[Request, bool] | Response | None:
        """The next request, its body dropped, and whether gzip is welcome; an answer to a bad one; None at the end."""
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        self._is_head = event.method == b"HEAD"
        if event.http_version not in (b"1.0", b"1.1"):
            return plain(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.\n")
        # h11 looks at its own limit only while a request is incomplete
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
            return plain(405, "CONNECT has no meaning here.\n")
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
                    413, f"Request bodies have no use here; one of {self._limits.body_bytes} bytes is too long.\n"
                )
        return request, bool(quality(coding, "gzip", "x-gzip", "*"))

    async def _event(self) -> object:
        """h11's next event, reading as much as it needs."""
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._server.waiting[self] = None
            self._h11.receive_data(await self._reader.read(_READ))
        return event

    def _parsed(self, target: str, accept: str) -> tuple[Request | None, str]:
        """The request, or what is wrong with it."""
        try:
            return Request.parse(target, accept, self._limits.query_fields), ""
        except ValueError as error:
            return None, str(error)

    def _refused(self, request: Request | None, target: str, host: str) -> Response | None:
        """Why this peer, or one that asks for this host, gets nothing; everybody may probe."""
        if request is not None and request.path in _PROBES:
            self._known = True
            return None
        if not self.trusted:
            if not self._known:
                self._known = True
                self._server.deny(self._listener, self._peer)
            return plain(401, f"{self._peer} is not trusted to ask for {target[:200]} (--trusted_hosts).\n")
        if self._listener.is_unix:  # no browser gets here
            return None
        for name in (host, request.authority if request else ""):
            if not self._server.hosts.allows(name):
                return plain(421, self._server.misdirected(self._listener, name) + "\n")
        return None

    async def _respond(self, request: Request, compress: bool) -> None:
        server = self._server
        if request.path in _PROBES:
            await self._send(server.answer(request))
            return
        reader = server.pages.open(request, compress, self.abort)
        try:
            response = await reader.response() if reader is not None else None
            if reader is None or response is None:
                server.exceeded["http_pending"] += 1
                await self._send(plain(503, "Too many answers are being sent; try again.\n"))
                return
            async with self._answer_time():
                head = self._head(response, reader.length, compressed=reader.compressed)
                while not self._is_head and (piece := await reader.piece()):
                    step = server.write_bytes()
                    for start in range(0, len(piece), step):
                        async with server.writing:
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
        self._server.sending[self] = time.monotonic()
        try:
            async with self._answer_time():
                head = self._head(response, len(response.body), close=close)
                await self._write(head + self._data(b"" if self._is_head else response.body) + self._end())
        finally:
            self._server.sending.pop(self, None)

    @contextlib.asynccontextmanager
    async def _answer_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                yield
        except TimeoutError:
            self._server.exceeded["http_answer_time"] += 1
            raise

    def _head(self, response: Response, length: int | None, *, compressed: bool = False, close: bool = False) -> bytes:
        """Status line and headers."""
        headers = [("Date", formatdate(usegmt=True)), ("Content-Type", response.content_type), *response.headers]
        said = {name for name, _ in response.headers}
        headers += ((name, value) for name, value in _EVERY_ANSWER.items() if name not in said)
        if length is not None:
            headers.append(("Content-Length", str(length)))
        if compressed:
            headers.append(("Content-Encoding", "gzip"))
        if compressed or length is None or length >= self._limits.compress_from:
            headers.append(("Vary", "Accept-Encoding"))
        if close or self._server.stopping:
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
        """Say why, then close; read on a little, or the peer's own bytes in flight would reset what it is told."""
        if status in _EXCEEDED:
            self._server.exceeded[_EXCEEDED[status]] += 1
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(plain(status, text), close=True)
            assert self._writer is not None
            if self._writer.can_write_eof():
                self._writer.write_eof()
            self._server.waiting[self] = None
            self._server.waiting.move_to_end(self, last=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.linger_seconds):
                    while await self._reader.read(_READ):
                        pass
        return False


# --- sockets -------------------------------------------------------------------------------------------------


def _bind_tcp(address: str, port: str) -> net.Bound:
    address = address.strip("[]")
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        return net.bind_inet(address, port, socket.SOCK_STREAM)
    except net.InvalidPort:
        text = f"{port!r} is not a port (0 to 65535, or the name of a service)"
        raise ListenError(f"listen tcp {shown}: {text}") from None
    except net.UnknownService:
        raise ListenError(f"listen tcp {shown}: no service is named {port!r}: give --port a number") from None
    except net.UnknownHost as error:
        raise ListenError(f"listen tcp {shown}: {error}") from error
    except OSError as error:
        hint = " (choose another port with --port, 0 for any free one, or another address with --address)"
        raise ListenError(f"listen tcp {shown}: {_why_not_bound(error, hint)}") from error


def _bind_unix(path: str, mode: int) -> net.Bound:
    try:
        return net.bind_unix(path, socket.SOCK_STREAM, mode)
    except (OSError, ValueError) as error:
        hint = " (choose another path with --unix_socket)"
        raise ListenError(f"listen unix {path}: {_why_not_bound(error, hint)}") from error


def _why_not_bound(error: Exception, hint: str) -> str:
    in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    return f"bind: {net.reason(error)}{hint if in_use else ''}"


def _refuse(sock: socket.socket, *, plaintext: bool) -> None:
    """Without reading: 503 where the peer can read it, then the end."""
    body = b"Too many connections; try again.\n"
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    head += b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in _EVERY_ANSWER.items())
    with contextlib.suppress(OSError), sock:
        if plaintext:
            sock.send(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            sock.shutdown(socket.SHUT_WR)
