"""Admits connections, and enforces the limits that apply to all of them together.

One thread with its own event loop serves all connections; a few more threads render pages, because the store renders
without the GIL.  connection.py handles a single connection.  Untrusted peers get 401, except for the probes, which are
answered in the loop.

As in mtail, every method is answered like GET, HEAD without the body; only CONNECT, which names no page, is 405.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import logging
import socket
import threading
import time
from collections import Counter, OrderedDict

from nativemtail.http.connection import EXCEEDED, Connection, refuse
from nativemtail.http.hosts import ANY_HOST, AllowedHosts
from nativemtail.http.limits import Limits
from nativemtail.http.listen import Listener, bind_tcp, bind_unix
from nativemtail.http.messages import Answer
from nativemtail.http.shared import Pages
from nativemtail.http.tls import TLS
from nativemtail.http.trust import LOOPBACK, TrustedHosts, plain_peer
from nativemtail.telemetry.model import Pool

log = logging.getLogger(__name__)

_ACCEPT_AGAIN = 0.1
_ACCEPTED = 64  # connections accepted in a turn of the loop
_BEGINNING = 2  # connections that begin to handle a request in a turn of the loop
_WRITERS = 8
_PEER_ERRORS = frozenset((errno.ECONNABORTED, errno.EPERM, errno.EPROTO))
_REPORTED_STRANGERS = 100
_LIMITS = (*EXCEEDED.values(), "http_answer_time", "http_pending", "http_connections", "http_stalled")


class Server:
    """Listens from `listen_…` on, and answers between `start` and `stop`."""

    def __init__(
        self,
        answer: Answer,
        *,
        trusted: TrustedHosts = LOOPBACK,
        hosts: AllowedHosts = ANY_HOST,
        tls: TLS | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`answer` is called in several threads and must not raise.  Raises TLSError."""
        self.answer = answer
        self.trusted = trusted
        self.hosts = hosts
        self.limits = limits or Limits()
        self._tls = tls
        self.context = tls.context() if tls else None
        self.waiting: OrderedDict[Connection, None] = OrderedDict()
        """Connections without a whole request, the one that has waited longest first."""
        self.sending: OrderedDict[Connection, float] = OrderedDict()
        """Connections to which a short answer is being sent, and since when."""
        self.writing = asyncio.Semaphore(_WRITERS)
        """How many connections send a piece of a page in a turn of the loop; `pipelining`: continue a pipeline."""
        self.pipelining = asyncio.Semaphore(1)
        self.beginning = asyncio.Semaphore(_BEGINNING)
        self.stopping = False
        self._listeners: list[Listener] = []
        self._connections: dict[asyncio.Task[None], Connection] = {}
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
        bound = bind_tcp(address, port)
        host, number = bound.socket.getsockname()[:2]
        service = "https" if self._tls else "http"
        self._listeners.append(Listener(bound, service, f"[{host}]:{number}" if ":" in host else f"{host}:{number}"))

    def listen_unix(self, path: str, mode: int = 0o600) -> None:
        """Bind a Unix socket, replacing the abandoned socket of a dead process.  Raises ListenError."""
        self._listeners.append(Listener(bind_unix(path, mode), "http_unix", path))

    def reload_tls(self) -> None:
        """Read the certificate files again, for new connections.  Raises TLSError; the old ones then stay in use."""
        if self._tls is not None:
            self.context = self._tls.context()

    def start(self) -> None:
        """Start serving in a new thread.  Raises RuntimeError if the system does not allow one."""
        started = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="http", daemon=True)
        thread.start()
        self._thread = thread
        started.wait()
        self._start_rendering()

    def _start_rendering(self) -> None:
        """Start the pool's threads now: later the system may refuse them.  Raises RuntimeError if it allows none."""
        all_there = threading.Event()
        try:
            for _ in range(self.limits.render_threads):
                self.pool.submit(all_there.wait)
        except RuntimeError:
            if not self.pool._threads:
                raise
            self.pool._max_workers = len(self.pool._threads)  # otherwise each request would try to start another one
        finally:
            all_there.set()

    def stop(self, grace: float = 2.0) -> None:
        """Close the listeners, give running answers `grace` seconds to finish, cut off the rest."""
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
        """The addresses on which this server listens."""
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

    async def _accept(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        complained = False
        accepted = 0
        while True:
            accepted += 1
            # A flood of connections must not delay the others, nor a probe behind it.
            if accepted % _ACCEPTED == 0 or self._is_full():
                await asyncio.sleep(0)
            try:
                sock, peer = await loop.sock_accept(listener.bound.socket)
            except OSError as error:
                if error.errno not in _PEER_ERRORS:  # a local problem: usually file descriptors have run out
                    if not complained:
                        log.warning("cannot accept a connection on %s: %s", listener.name, error.strerror)
                    complained = True
                    await asyncio.sleep(0.01 if self._make_room() else _ACCEPT_AGAIN)
                continue
            complained = False
            self._admit(listener, sock, "" if listener.is_unix else plain_peer(peer[0]))

    def _is_full(self) -> bool:
        """Whether accepting one more may close another; each connection first gets a turn to send its request."""
        return (
            len(self._connections) >= min(self.limits.connections, self.limits.incomplete)
            or self._strangers >= self.limits.strangers
        )

    @property
    def pending_bytes(self) -> int:
        """Bytes of answers that were rendered but not yet sent."""
        return self.pages.held

    def write_bytes(self) -> int:
        """How many bytes of its answer a connection may copy, in addition to the shared pieces."""
        low, high = self.limits.write_bytes
        return min(max(self.limits.buffer_bytes // (len(self._connections) or 1), low), high)

    def _admit(self, listener: Listener, sock: socket.socket, peer: str) -> None:
        trusted = not peer or self.trusted.allows(peer)
        if not trusted and self._strangers >= self.limits.strangers and not self._make_room(stranger=True):
            self.deny(listener, peer)
            sock.close()
            return
        if len(self.waiting) >= self.limits.incomplete:
            self._cut_waiting()
        if len(self._connections) >= self.limits.connections and not self._make_room():
            self._denied[listener.service] += 1
            refuse(sock, plaintext=listener.service != "https")
            return
        connection = Connection(self, listener, sock, peer, trusted)
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

        `stranger`: only connections of untrusted peers.
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

    def deny(self, listener: Listener, peer: str) -> None:
        """Count an untrusted peer, and log it once."""
        self._denied[listener.service] += 1
        if peer not in self._reported and len(self._reported) < _REPORTED_STRANGERS:
            self._reported.add(peer)
            log.warning("refused %s on %s: not among the trusted hosts (--trusted_hosts)", peer, listener.name)

    def misdirected(self, listener: Listener, name: str) -> str:
        """Log an unknown host name once; returns the text for the client."""
        text = f"{name[:200]} is not a name of this server. If it should be, list it with --allowed_hosts."
        if text not in self._reported and len(self._reported) < _REPORTED_STRANGERS:
            self._reported.add(text)
            log.warning("refused a request on %s: %s", listener.name, text)
        return text

    def failed_handshake(self, listener: Listener) -> None:
        self._denied[listener.service] += 1
