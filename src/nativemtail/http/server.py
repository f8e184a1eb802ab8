"""Listens, and admits connections.

One thread with its own event loop serves all connections; a few more threads render pages, because the store renders
without the GIL.  connection.py handles a single connection, traffic.py has what all of them share.  Untrusted peers get
401, except for the probes, which are answered in the loop.

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
from collections import Counter

from nativemtail.http.connection import Connection, hung_up, is_probe, peek, refuse
from nativemtail.http.events import FewEvents
from nativemtail.http.hosts import ANY_HOST, AllowedHosts
from nativemtail.http.limits import Limits
from nativemtail.http.listen import Listener, bind_tcp, bind_unix
from nativemtail.http.messages import Answer
from nativemtail.http.tls import TLS
from nativemtail.http.traffic import Traffic
from nativemtail.http.trust import LOOPBACK, TrustedHosts, plain_peer
from nativemtail.telemetry.model import Pool

log = logging.getLogger(__name__)

_ACCEPT_AGAIN = 0.1
_ACCEPTED = 64  # connections accepted in a turn of the loop
_TURNS = 32  # that a connection gets before others replace it
_PEER_ERRORS = frozenset((errno.ECONNABORTED, errno.EPERM, errno.EPROTO))


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
        self.trusted = trusted
        self.limits = limits or Limits()
        self._tls = tls
        self.pool = concurrent.futures.ThreadPoolExecutor(self.limits.render_threads, "http-render")
        self.traffic = Traffic(answer, self.limits, hosts, tls.context() if tls else None, self.pool)
        self._listeners: list[Listener] = []
        self._open: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._strangers = 0
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
            self.traffic.context = self._tls.context()

    def start(self) -> None:
        """Start serving in a new thread.  Raises RuntimeError if the system does not allow one."""
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(started,), name="http", daemon=True)
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
        return {listener.service: self.traffic.denied[listener.service] for listener in self._listeners}

    def limits_hit(self) -> dict[str, int]:
        """How often requests and answers were cut off, by limit."""
        return dict(self.traffic.exceeded)

    def pools(self) -> dict[str, Pool]:
        size = self.pool._max_workers
        return {"http": Pool(size, max(size - self.traffic.pages.busy, 0))}

    # --- the loop ---------------------------------------------------------------------------------------------

    def _begin_stop(self, grace: float) -> None:
        self._grace = grace
        if self._stop is not None:
            self._stop.set()

    def _run(self, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(FewEvents())) as runner:
            runner.run(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: log.debug("http: %s", context))
        self._stop = asyncio.Event()
        accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        started.set()
        await self._stop.wait()
        self.traffic.stopping = True
        for task in accepting:
            task.cancel()
        self.traffic.handshakes.refuse_all()
        for connection in list(self.traffic.waiting):
            connection.abort()
        if self.traffic.connections:
            await asyncio.wait(self.traffic.connections, timeout=self._grace)
        for task, connection in list(self.traffic.connections.items()):
            connection.abort()
            task.cancel()
        await asyncio.gather(*accepting, *self.traffic.connections, return_exceptions=True)

    async def _accept(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        complained = False
        accepted = 0
        while True:
            accepted += 1
            # Give the others a turn: a flood of connections must not delay them, or the probes queued after it.
            if accepted >= self._at_once():
                accepted = 0
                await asyncio.sleep(0)
            try:
                sock, peer = await loop.sock_accept(listener.bound.socket)
            except OSError as error:
                if error.errno not in _PEER_ERRORS:  # a local problem: usually file descriptors have run out
                    if not complained:
                        log.warning("cannot accept a connection on %s: %s", listener.name, error.strerror)
                    complained = True
                    await asyncio.sleep(0.01 if self.traffic.make_room() else _ACCEPT_AGAIN)
                continue
            complained = False
            address = "" if listener.is_unix else plain_peer(peer[0])
            if self._is_gone(listener, sock):
                self._accepted[listener.service] += 1
                sock.close()
                if not self._trusts(address):
                    self.traffic.deny(listener, address)
                elif listener.service == "https":
                    self.traffic.failed_handshake(listener)
            else:
                self._admit(listener, sock, address)

    def _trusts(self, peer: str) -> bool:
        return not peer or self.trusted.allows(peer)

    def _is_gone(self, listener: Listener, sock: socket.socket) -> bool:
        """Whether the peer has closed already, so that it cannot ask for anything."""
        if listener.service == "https":
            return hung_up(sock)
        try:
            return peek(sock) == b""
        except OSError:
            return True

    def _is_full(self) -> bool:
        """Whether accepting one more may close another; each connection first gets a turn to send its request."""
        waiting = len(self.traffic.waiting)
        return (
            (waiting + self.traffic.unknown > 0 and self.traffic.occupied() >= self.limits.connections)
            or waiting >= self.limits.incomplete
            or self._strangers >= self.limits.strangers
        )

    def _at_once(self) -> int:
        """How many to accept in a turn of the loop; when full, so few that each is only cut off some turns later."""
        if not self._is_full():
            return _ACCEPTED
        return min(max(len(self.traffic.waiting) // _TURNS, 1), _ACCEPTED)

    def _may_become_free(self) -> bool:
        """Whether a connection may soon turn out to have no whole request; a few more are admitted meanwhile."""
        surplus = self.traffic.occupied() - self.limits.connections
        return self.traffic.unknown > 0 and surplus < self.limits.probes // 4

    def _may_probe(self, listener: Listener, sock: socket.socket) -> bool:
        """Whether a connection that is one too many may be for a probe; with TLS that is not known in time."""
        if listener.service == "https" or self.traffic.occupied() >= self.limits.connections + self.limits.probes:
            return False
        start = peek(sock)
        return start is None or is_probe(start)

    @property
    def pending_bytes(self) -> int:
        """Bytes of answers that were rendered but not yet sent."""
        return self.traffic.pages.held

    def _admit(self, listener: Listener, sock: socket.socket, peer: str) -> None:
        trusted = self._trusts(peer)
        if not trusted and self._strangers >= self.limits.strangers and not self.traffic.make_room(stranger=True):
            self.traffic.deny(listener, peer)
            sock.close()
            return
        if len(self.traffic.waiting) >= self.limits.incomplete:
            self.traffic.cut_waiting()
        is_surplus = self.traffic.occupied() >= self.limits.connections and not self.traffic.make_room()
        only_probes = is_surplus and not self._may_become_free()
        if only_probes and not self._may_probe(listener, sock):
            self.traffic.denied[listener.service] += 1
            refuse(sock, plaintext=listener.service != "https")
            return
        connection = Connection(self.traffic, listener, sock, peer, trusted, only_probes=only_probes)
        self.traffic.waiting[connection] = None  # without a whole request it may be cut off in favour of another
        self._open[listener.service] += 1
        self._accepted[listener.service] += 1
        self._strangers += not trusted
        task = connection.task = asyncio.create_task(connection.run())
        self.traffic.connections[task] = connection

        def ended(task: asyncio.Task[None]) -> None:
            del self.traffic.connections[task]
            self._open[listener.service] -= 1
            self._strangers -= not trusted
            if task.cancelled():
                sock.close()  # it may have been cut off before its first step
            elif (error := task.exception()) is not None:
                log.error("a connection failed", exc_info=error)

        task.add_done_callback(ended)
