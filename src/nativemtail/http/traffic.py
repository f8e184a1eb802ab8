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
from collections.abc import Callable
from typing import NamedTuple, Protocol

from nativemtail.http.hosts import AllowedHosts
from nativemtail.http.limits import Limits
from nativemtail.http.listen import Listener
from nativemtail.http.messages import Answer
from nativemtail.http.shared import Pages

log = logging.getLogger(__name__)

EXCEEDED = {408: "http_request_time", 413: "http_body", 431: "http_header"}
"""The limits that a request can exceed, by the status of the answer."""
_LIMITS = (*EXCEEDED.values(), "http_answer_time", "http_pending", "http_connections", "http_stalled")
_HANDSHAKES = 2  # TLS handshakes that begin in a turn of the loop
_LOOKED_AT = 32  # connections that wait for one and may have been closed meanwhile
_BEGINNING = 2  # connections that begin to handle a request in a turn of the loop
_WRITERS = 8
_REPORTED_STRANGERS = 100


class Peer(Protocol):
    """A connection that can be cut off."""

    @property
    def trusted(self) -> bool: ...

    def abort(self) -> None: ...


class Turns:
    """Lets a few tasks continue in each turn of the loop, of one network after the other.

    A probe over TLS looks like any other handshake.  So that those of one network do not keep the others waiting, each
    network has its turn; and of a network, alternately the task that came last, which then does not wait for all that
    came before, and the one that has waited longest, which then does not wait for all that come after.
    """

    def __init__(self, most: int) -> None:
        """`most`: how many may wait."""
        self._most = most
        self._count = 0
        self._waiting: OrderedDict[str, _Line] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    async def turn(self, network: str, is_gone: Callable[[], bool] = lambda: False) -> bool:
        """Wait for one's turn; false if its peer is gone, or there are too many and this one has waited longest in the
        largest network."""
        loop = asyncio.get_running_loop()
        mine = _Waiter(loop.create_future(), is_gone)
        if not self._waiting:
            loop.call_soon(self._wake, loop)
        self._waiting.setdefault(network, _Line()).add(mine)
        self._count += 1
        if self._count > self._most:
            max(self._waiting.values(), key=len).refuse()
        try:
            return await mine.future
        finally:
            self._count -= 1

    def refuse_all(self) -> None:
        for line in self._waiting.values():
            while line:
                line.refuse()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        woken = looked_at = 0
        while self._waiting and woken < _HANDSHAKES and looked_at < _LOOKED_AT:
            network, line = self._waiting.popitem(last=False)
            woken += line.wake()
            looked_at += 1
            if line:
                self._waiting[network] = line
        if self._waiting:
            loop.call_soon(self._wake, loop)


class _Waiter(NamedTuple):
    future: asyncio.Future[bool]
    is_gone: Callable[[], bool]

    def answer(self, *, may_continue: bool) -> bool:
        """Whether it continues; otherwise it was cancelled, is gone or may not."""
        if self.future.done():
            return False
        may_continue = may_continue and not self.is_gone()
        self.future.set_result(may_continue)
        return may_continue


class _Line:
    """Those of one network that wait."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiter] = deque()
        self._newest = True

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: _Waiter) -> None:
        self._waiting.append(waiter)

    def wake(self) -> bool:
        """Whether the next one continues."""
        waiter = self._waiting.pop() if self._newest else self._waiting.popleft()
        if not waiter.answer(may_continue=True):
            return False
        self._newest = not self._newest
        return True

    def refuse(self) -> None:
        """Let the one that has waited longest not continue."""
        self._waiting.popleft().answer(may_continue=False)


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
        self.handshakes = Turns(limits.handshakes)
        """Trusted connections that wait there have no other place."""
        self.stopping = False
        self.denied: Counter[str] = Counter()
        """Connections refused, by service."""
        self.exceeded = Counter(dict.fromkeys(_LIMITS, 0))
        """How often each limit was hit."""
        self.pages = Pages(answer, limits, pool, lambda: self.exceeded.update(("http_stalled",)))
        self._reported: set[str] = set()

    def occupied(self) -> int:
        """How many places for connections are taken."""
        return len(self.connections) - len(self.handshakes)

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
