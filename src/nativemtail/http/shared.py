"""Renders pages, each once for all requests that wait for it.

A large page is rendered in pieces.  The next piece is rendered when the clients have received enough of the earlier
ones, so memory is bounded per page and in total; a piece is freed when all clients have it.  A client that receives
nothing while others wait for that memory is cut off.  Everything runs in the server's loop, except rendering, which
runs in a thread of its pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from nativemtail.http.limits import Limits
from nativemtail.http.messages import Answer, Request, Response

log = logging.getLogger(__name__)

_LOOK_AGAIN = 0.1
_GZIP = 16 + zlib.MAX_WBITS
_Key = tuple[str, str, str, bool]
_T = TypeVar("_T")


class PageError(OSError):
    """A page failed after its first piece: the connection must be closed without an end of the answer."""


@dataclass(slots=True)
class _Making:
    """A page being rendered by a thread of the pool."""

    response: Response
    more: Iterator[bytes]
    compressor: zlib._Compress | None

    def next(self) -> tuple[bytes, bool]:
        """The next bytes to send, and whether they are the last."""
        for piece in self.more:
            data = self.compressor.compress(piece) if self.compressor else piece
            if data:
                return data, False
        return self.compressor.flush() if self.compressor else b"", True


class Change:
    """Wakes all who wait for it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


class _Page:
    """A page, with the pieces that some client still needs."""

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.response: Response | None = None
        self.compressed = False
        self.length: int | None = None
        """Length of the body, if it is a single piece."""
        self.first = 0
        """The number of the first piece held."""
        self.pieces: deque[bytes] = deque()
        self.held = 0
        self.ended = False
        self.failed = False
        self.full = False
        """Rendering could not begin within the memory limit."""
        self.readers: set[Reader] = set()
        self.changed = Change()
        """For the readers: there is more, or the end."""
        self.taken = Change()
        """For what renders: a reader has taken a piece, or is gone."""

    @property
    def end(self) -> int:
        return self.first + len(self.pieces)


class Reader:
    """The progress of one client through a page."""

    def __init__(self, pages: Pages, page: _Page, cut_off: Callable[[], None]) -> None:
        self._pages = pages
        self.page = page
        self._cut_off = cut_off
        self.at = 0
        self.moved = time.monotonic()
        page.readers.add(self)

    @property
    def compressed(self) -> bool:
        return self.page.compressed

    @property
    def length(self) -> int | None:
        """Length of the whole body, if known."""
        return self.page.length

    async def response(self) -> Response | None:
        """Wait for the head; its body must not be used.  None if rendering could not begin within the memory limit."""
        while self.page.response is None:
            if self.page.full:
                return None
            if self.page.failed:
                raise PageError
            await self.page.changed.wait()
        return self.page.response

    async def piece(self) -> bytes:
        """The next piece; empty at the end.  Raises PageError."""
        page = self.page
        while self in page.readers:
            if self.at < page.end:
                return page.pieces[self.at - page.first]
            if page.failed:
                raise PageError
            if page.ended:
                return b""
            await page.changed.wait()
        raise PageError  # it was cut off

    def progress(self) -> None:
        """The peer has received something."""
        self.moved = time.monotonic()

    def taken(self) -> None:
        """The peer has the piece."""
        self.at += 1
        self._pages.trim(self.page)

    def close(self) -> None:
        self.page.readers.discard(self)
        self._pages.trim(self.page)

    def is_behind(self) -> bool:
        """Whether its peer has not received all available pieces yet."""
        return self.at < self.page.end

    def cut_off(self) -> None:
        self.close()
        self.page.changed.wake()
        self._cut_off()


class Pages:
    """All pages being rendered or sent."""

    def __init__(self, answer: Answer, limits: Limits, pool: ThreadPoolExecutor, on_cut: Callable[[], None]) -> None:
        self._answer = answer
        self._limits = limits
        self._pool = pool
        self._on_cut = on_cut
        self.held = 0
        """Bytes rendered but not yet sent to all clients, each counted once."""
        self.busy = 0
        """Threads at work."""
        self._threads = asyncio.Semaphore(limits.render_threads)
        self._pages: set[_Page] = set()
        self._fresh: dict[_Key, _Page] = {}
        """Pages of which no piece has been freed: further clients may join."""
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, request: Request, compress: bool, cut_off: Callable[[], None]) -> Reader | None:
        """A reader of the answer, which must be closed; None if too many bytes are already waiting to be sent."""
        key = request.path, request.query_string, request.accept, compress
        page = self._fresh.get(key)
        if page is None:
            if not self._has_room():
                return None
            page = self._fresh[key] = _Page(key)
            self._pages.add(page)
            task = asyncio.create_task(self._make(page, request, compress))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Reader(self, page, cut_off)

    def trim(self, page: _Page) -> None:
        """Free the pieces that all readers have."""
        low = min((reader.at for reader in page.readers), default=page.end)
        while page.first < low:
            size = len(page.pieces.popleft())
            page.first += 1
            page.held -= size
            self.held -= size
            self._forget(page)
        if page.ended and not page.readers:
            self._pages.discard(page)
        page.taken.wake()

    def cut_slowest(self) -> bool:
        """Cut off the peer that has received nothing for the longest time, if that exceeds the limit."""
        return self._cut(reader for page in self._pages for reader in page.readers)

    def _cut(self, readers: Iterator[Reader]) -> bool:
        slowest = min((r for r in readers if r.is_behind()), key=lambda r: r.moved, default=None)
        if slowest is None or time.monotonic() - slowest.moved < self._limits.stall_seconds:
            return False
        self._on_cut()
        slowest.cut_off()
        return True

    def _has_room(self) -> bool:
        while self.held >= self._limits.pending_bytes:
            if not self.cut_slowest():
                return False
        return True

    async def _room(self, page: _Page) -> None:
        """Wait until the next piece may be rendered, or no reader is left."""
        while page.readers:
            if page.held >= self._limits.window_bytes:
                if any(not reader.is_behind() for reader in page.readers):
                    self._cut(iter(page.readers))
            elif self._has_room():
                return
            if page.readers:
                await page.taken.wait(_LOOK_AGAIN)

    async def _make(self, page: _Page, request: Request, compress: bool) -> None:
        try:
            begun = await self._run(lambda: self._begin(request, compress))
            if begun is None:
                page.full = True
                return
            making, data, last = begun
            page.response, page.compressed = making.response, making.compressor is not None
            if last:
                page.length = len(data)
            self._add(page, data, last)
            while not page.ended:
                await self._room(page)
                if not page.readers:
                    break
                if (made := await self._run(making.next)) is not None:
                    self._add(page, *made)
        except Exception:
            log.exception("the page %s failed", request.path)
            page.failed = True
        finally:
            page.ended = True
            self._forget(page)
            self.trim(page)
            page.changed.wake()

    def _forget(self, page: _Page) -> None:
        """Accept no further readers."""
        if self._fresh.get(page.key) is page:
            del self._fresh[page.key]

    def _begin(self, request: Request, compress: bool) -> tuple[_Making, bytes, bool]:
        """Render the head and the first bytes; runs in a thread of the pool."""
        response = self._answer(request)
        small = response.more is None and len(response.body) < self._limits.compress_from
        compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP) if compress and not small else None
        making = _Making(response.head(), response.pieces(), compressor)
        data, last = making.next()
        if response.more is None and not last:
            rest, last = making.next()
            data += rest
        return making, data, last

    async def _run(self, work: Callable[[], _T]) -> _T | None:
        """Render in a thread of the pool; None if there is too little memory when its turn comes."""
        async with self._threads:
            if not self._has_room():
                return None
            self.busy += 1
            try:
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
            finally:
                self.busy -= 1

    def _add(self, page: _Page, data: bytes, last: bool) -> None:
        if data:
            for reader in page.readers:
                if not reader.is_behind():
                    reader.progress()  # its stall time begins now
            page.pieces.append(data)
            page.held += len(data)
            self.held += len(data)
        page.ended = last
        self.trim(page)
        page.changed.wake()
