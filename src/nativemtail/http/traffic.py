"""What all connections share, and the limits that apply to all of them together.

Everything here belongs to the server's loop, but counts may be read by any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import ssl
import time
from collections import Counter, OrderedDict, deque
from typing import Protocol

from nativemtail.http.hosts import AllowedHosts
from nativemtail.http.limits import Limits
from nativemtail.http.listen import Listener
from nativemtail.http.messages import Answer
from nativemtail.http.shared import Pages

log = logging.getLogger(__name__)

EXCEEDED = {408: "http_request_time", 413: "http_body", 431: "http_header"}
"""The limits that a request can exceed, by the status of the answer."""
_LIMITS = (*EXCEEDED.values(), "http_answer_time", "http_pending", "http_connections", "http_stalled")
_BEGINNING = 2  # connections that begin to handle a request in a turn of the loop
_WRITERS = 8
_REPORTED_STRANGERS = 100


class Peer(Protocol):
    """A connection that can be cut off."""

    @property
    def trusted(self) -> bool: ...

    def abort(self) -> None: ...


class Turns:
    """Lets two tasks continue in each turn of the loop: the one that came last, and the one that has waited longest.

    A probe over TLS looks like any other handshake: the newest first, so that it does not wait for all that came
    before; the oldest too, so that it does not wait for all that come after.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._wake, loop)
        self._waiting.append(mine)
        await mine

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        for take in self._waiting.pop, self._waiting.popleft:
            while self._waiting:
                waiter = take()
                if not waiter.done():  # otherwise it was cancelled
                    waiter.set_result(None)
                    break
        if self._waiting:
            loop.call_soon(self._wake, loop)


class Traffic:
    """All connections of a server."""

    def __init__(
        self,
        answer: Answer,
        limits: Limits,
        hosts: AllowedHosts,
        context: ssl.SSLContext | None,
        pool: concurrent.futures.ThreadPoolExecutor,
    ) -> None:
        self.answer = answer
        self.limits = limits
        self.hosts = hosts
        self.context = context
        """For new connections with TLS."""
        self.connections: dict[asyncio.Task[None], Peer] = {}
        self.waiting: OrderedDict[Peer, None] = OrderedDict()
        """Connections without a whole request, the one that has waited longest first."""
        self.sending: OrderedDict[Peer, float] = OrderedDict()
        """Connections to which a short answer is being sent, and since when."""
        self.writing = asyncio.Semaphore(_WRITERS)
        """How many connections send a piece of a page in a turn of the loop; `pipelining`: continue a pipeline."""
        self.pipelining = asyncio.Semaphore(1)
        self.beginning = asyncio.Semaphore(_BEGINNING)
        self.unknown = 0
        """Connections that wait for their turn, and may turn out not to have sent a whole request."""
        self.handshakes = Turns()
        self.stopping = False
        self.denied: Counter[str] = Counter()
        """Connections refused, by service."""
        self.exceeded = Counter(dict.fromkeys(_LIMITS, 0))
        """How often each limit was hit."""
        self.pages = Pages(answer, limits, pool, lambda: self.exceeded.update(("http_stalled",)))
        self._reported: set[str] = set()

    def write_bytes(self) -> int:
        """How many bytes of its answer a connection may copy, in addition to the shared pieces."""
        low, high = self.limits.write_bytes
        return min(max(self.limits.buffer_bytes // (len(self.connections) or 1), low), high)

    def make_room(self, *, stranger: bool = False) -> bool:
        """Cut off the connection that has waited longest without a whole request, else one whose peer has stalled.

        `stranger`: only connections of untrusted peers.
        """
        if self.cut_waiting(stranger=stranger):
            return True
        late = time.monotonic() - self.limits.stall_seconds
        for connection, since in self.sending.items():
            if since < late and not (stranger and connection.trusted):
                del self.sending[connection]
                self.exceeded["http_stalled"] += 1
                connection.abort()
                return True
        return not stranger and self.pages.cut_slowest()

    def cut_waiting(self, *, stranger: bool = False) -> bool:
        found = next((connection for connection in self.waiting if not stranger or not connection.trusted), None)
        if found is None:
            return False
        del self.waiting[found]
        self.exceeded["http_connections"] += 1
        found.abort()
        return True

    def deny(self, listener: Listener, peer: str) -> None:
        """Count an untrusted peer, and log it once."""
        self.denied[listener.service] += 1
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
        self.denied[listener.service] += 1
