"""Log lines by HTTP: a listener to which others POST lines, JSON records, or what they would push to Loki.

h11 implements the protocol.  A request is answered with 204 once the engine has counted its lines; one that cannot be
taken is refused as a whole.  All limits are in `Settings` (sources.py) or below.
"""

from __future__ import annotations

import http
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import h11

from nativemtail.gotext import go_quote
from nativemtail.io.bodies import (
    BadBody,
    decompress,
    has_snappy,
    json_lines,
    loki_lines,
    loki_message_lines,
    unsnap,
)
from nativemtail.io.lines import LineReader
from nativemtail.io.loop import Loop
from nativemtail.io.patterns import LogSpec
from nativemtail.io.peers import Peers
from nativemtail.io.pipe import waiting
from nativemtail.io.sources import Context
from nativemtail.io.stream import StreamListener, numbers

LOKI = "/loki/api/v1/push"
"""A source whose path ends so takes the form that Loki takes."""

_MAX_HEAD = 16 * 1024
_READ_HEAD = 16 * 1024
_READ_BODY = 64 * 1024
_LINGER = 1.0
_GRACE = 1.0
"""At the stop, for requests of which a part has arrived."""
_SWEEP = 1.0
_IDLE = 10.0
"""A connection may be closed in favour of others after so many seconds without a request."""
_STEPS = 16
_SLEEP = 0.001
_PROTOBUF = ("application/x-protobuf", "application/protobuf")
_LOKI_FORMS = "one of Loki's forms, application/json or application/x-protobuf"
_NO_SNAPPY = (
    "Loki's protobuf form cannot be read here: install cramjam, as by pip install 'nativemtail[loki]', "
    "or send Loki's JSON form (Content-Type: application/json)."
)
_BINARY = (*_PROTOBUF, "application/x-snappy", "multipart/")


class _Problem(NamedTuple):
    """Why a request is refused: the text says what to do."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


class _Form(NamedTuple):
    """What the head of a request says about its body."""

    is_gzip: bool
    is_json: bool
    is_protobuf: bool
    """Of Loki's form, which is always compressed with Snappy."""


class RequestConnection:
    """One HTTP client.  Between two requests it is idle; after a refusal it reads on for a moment (`_leaving`)."""

    def __init__(self, listener: RequestListener, peer: socket.socket, address: str) -> None:
        self._listener = listener
        self._peer = peer
        self.address = address
        self._number = next(numbers)
        self._lines = listener.source.line_reader(self._number)
        self.counted = 0
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self._form: _Form | None = None
        self._is_head = False
        self._body = bytearray()
        self._unsent = b""
        self._is_waiting_for_room = False
        self._is_idle = True
        self._has_sent_request = False
        self._leaving = False
        self._stopping = False
        self._drained = False
        settings = listener.context.settings
        self._max_body = settings.max_body
        self._request_time, self._idle_time = settings.request_time, settings.idle_time
        self._deadline = time.monotonic() + self._idle_time

    @property
    def pending(self) -> int:
        return len(self._body)

    def fileno(self) -> int:
        return self._peer.fileno()

    def ready(self, events: int) -> None:
        self._listener.has_input(self)

    # --- steps, each of which does a bounded amount -----------------------------------------------------------

    def read(self) -> int | None:
        """Receive or handle something: 0 ends the connection, None waits for the peer."""
        try:
            try:
                return self._step()
            except h11.RemoteProtocolError as error:
                return self._refuse(_Problem(error.error_status_hint, f"{error}."))
            except (ValueError, h11.LocalProtocolError) as error:  # of h11, which reads numbers of any length
                return self._refuse(_Problem(400, f"The request cannot be read: {error}."))
        except BlockingIOError:
            return None
        except (OSError, h11.LocalProtocolError):
            return 0

    def _step(self) -> int:
        """As `read`; raises BlockingIOError if there is nothing to do now, OSError, and what h11 raises."""
        if self._unsent:
            return self._flush()
        if self._leaving:
            return len(self._peer.recv(_READ_BODY))
        event = self._h11.next_event()
        if event is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                return self._send(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
            return self._receive()
        if isinstance(event, h11.Request):
            return self._begin(event)
        if isinstance(event, h11.Data):
            return self._take(event.data)
        if isinstance(event, h11.EndOfMessage):
            return self._end()
        return 0  # the peer has closed the connection

    def _receive(self) -> int:
        data = self._peer.recv(_READ_BODY if self._form is not None else _READ_HEAD)
        if self._is_idle and data:
            self._is_idle = False
            self._deadline = time.monotonic() + self._request_time
        self._h11.receive_data(data)
        return len(data)

    def _begin(self, request: h11.Request) -> int:
        """A request's head has arrived."""
        self._is_head = request.method == b"HEAD"
        form = self._listener.check(request)
        if isinstance(form, _Problem):
            return self._refuse(form)
        self._form = form
        return 1

    def _take(self, data: bytes) -> int:
        """A part of a request's body has arrived."""
        self._body += data
        if len(self._body) > self._max_body:
            return self._refuse(self._listener.too_large())
        self._listener.account(self)
        return 1

    def _end(self) -> int:
        """A request has arrived: count its lines, then answer."""
        form, body = self._form, bytes(self._body)
        assert form is not None
        self._form = None
        self._drop_body()
        try:
            self._listener.deliver(form, body, self._lines)
        except BadBody as error:
            self._listener.refused(self.address, _Problem(error.status, str(error)))
            return self._answer(error.status, str(error))
        return self._answer(204)

    # --- answers ----------------------------------------------------------------------------------------------

    def _answer(self, status: int, text: str = "") -> int:
        """Answer a request whose body was read; the next one may follow."""
        is_last = self._stopping and not self._h11.trailing_data[0]
        answer = self._response(_Problem(status, text), close=is_last)
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._is_idle = not self._h11.trailing_data[0]
            self._deadline = time.monotonic() + (self._idle_time if self._is_idle else self._request_time)
        else:
            self._is_idle = True
            self._leave()
        self._has_sent_request = True
        self._listener.has_sent_line(self)
        return self._send(answer)

    def _refuse(self, problem: _Problem) -> int:
        """Answer before the request is read, then close."""
        self._form = None
        self._drop_body()
        if self._leaving or self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return 0
        self._listener.refused(self.address, problem)
        answer = self._response(problem, close=True)
        self._leave()
        return self._send(answer)

    def _response(self, problem: _Problem, *, close: bool) -> bytes:
        status, text, headers = problem
        body = f"{text}\n".encode("utf-8", "replace") if text else b""
        fields = [("Date", formatdate(usegmt=True)), *headers]
        if body:
            fields += [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        if close:
            fields.append(("Connection", "close"))
        reason = http.HTTPStatus(status).phrase
        events = (
            h11.Response(status_code=status, headers=fields, reason=reason),
            h11.Data(data=b"" if self._is_head else body),
            h11.EndOfMessage(),
        )
        return b"".join(self._h11.send(event) or b"" for event in events)

    def _leave(self) -> None:
        """No request follows: read on for a moment, because unread bytes would reset the connection at once."""
        self._leaving = True
        self._deadline = time.monotonic() + _LINGER

    def _send(self, data: bytes | None) -> int:
        self._unsent += data or b""
        return self._flush()

    def _flush(self) -> int:
        """Send what is left to send; what the peer has not asked for yet is sent when it makes room."""
        loop = self._listener.loop
        try:
            self._unsent = self._unsent[self._peer.send(self._unsent) :]
        except BlockingIOError:
            if not self._is_waiting_for_room:
                self._is_waiting_for_room = True
                loop.expect_room(self.fileno(), room=True)
            raise
        if not self._unsent and self._is_waiting_for_room:
            self._is_waiting_for_room = False
            loop.expect_room(self.fileno(), room=False)
        if not self._unsent and self._leaving:
            self._peer.shutdown(socket.SHUT_WR)
        return 1

    # --- limits -----------------------------------------------------------------------------------------------

    def make_room(self) -> None:
        self._has_sent_request = False
        count: int | None = 1
        for _ in range(_STEPS):
            count = self.read()
            if not count:
                break
        if count == 0:
            self._listener.hung_up(self)
        elif not self._has_sent_request:
            self._listener.drop(self)

    def shed(self) -> None:
        self._try_to_refuse(_Problem(503, "Too many requests arrive: send this one again.", (("Retry-After", "1"),)))

    def check_time(self, now: float) -> None:
        """End what takes too long; let others have the place of a connection that is idle."""
        if now >= self._deadline:
            if self._is_idle or self._leaving or self._unsent:
                self._listener.hung_up(self)
            else:
                self._listener.context.counters.limits_total["request_time"] += 1
                text = f"The request took longer than {self._request_time:g} seconds to arrive."
                if not self._try_to_refuse(_Problem(408, text)):
                    self._listener.hung_up(self)
        elif self._is_idle and self._has_sent_request and now >= self._deadline - self._idle_time + _IDLE:
            self._has_sent_request = False
            self._listener.peers.is_idle(self)

    def _try_to_refuse(self, problem: _Problem) -> bool:
        """Whether the peer can still read the answer."""
        try:
            return self._refuse(problem) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _drop_body(self) -> None:
        self._body = bytearray()
        self._listener.account(self)

    # --- the end ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        self._stopping = True
        self._deadline = time.monotonic() + _GRACE

    def drain(self) -> Iterator[None]:
        """Count and answer the requests that have arrived or begun.

        Those that are not complete in time get no answer: senders repeat these, but not all repeat what was refused.
        """
        end = self._deadline
        while time.monotonic() < end:
            count = self.read()
            if count == 0 or (count is None and self._is_idle and not self._unsent):
                break
            if count is None:
                time.sleep(_SLEEP)
            yield
        self._drained = True

    def give_up(self) -> int:
        return 0 if self._drained else max(0, waiting(self.fileno())) + len(self._body)

    def finish(self) -> None:
        """An incomplete request is not counted: it was not answered."""
        self._listener.source.finish(self._number)

    def close(self) -> None:
        self._body = bytearray()
        self._peer.close()


class RequestListener(StreamListener):
    """A listening TCP socket to which HTTP clients POST lines, and its connections."""

    SILENT = "that sends no request"

    def __init__(self, context: Context, loop: Loop, spec: LogSpec, peers: Peers, *, until_end: bool = False) -> None:
        super().__init__(context, loop, spec, peers, until_end=until_end)
        self._path = unquote(spec.path, errors="replace")
        self._is_loki = self._path.endswith(LOKI)
        self._is_sweeping = False

    def connect(self, peer: socket.socket, address: str) -> RequestConnection:
        if not self._is_sweeping:
            self._is_sweeping = True
            self.loop.after(_SWEEP, self._sweep)
        return RequestConnection(self, peer, address)

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self.connections):
            assert isinstance(connection, RequestConnection)
            connection.check_time(now)
        self._is_sweeping = bool(self.connections)
        if self._is_sweeping:
            self.loop.after(_SWEEP, self._sweep)

    def check(self, request: h11.Request) -> _Form | _Problem:
        """What the body of a request is, or why it is refused."""
        fields: dict[bytes, str] = {}
        for name, value in request.headers:
            fields[name] = f"{fields[name]},{value.decode('latin-1')}" if name in fields else value.decode("latin-1")
        return self._misdirected(request, fields) or self._form(fields)

    def _misdirected(self, request: h11.Request, fields: dict[bytes, str]) -> _Problem | None:
        if request.http_version not in (b"1.0", b"1.1"):
            return _Problem(505, "Only HTTP/1.0 and HTTP/1.1 are supported.")
        path = _path_of(request.target.decode("latin-1"))
        if path != self._path:
            return _Problem(404, f"This source of logs is {self._path}, not {go_quote(path[:200])}.")
        if request.method != b"POST":
            return _Problem(405, "Lines are sent with POST.", (("Allow", "POST"),))
        if b"origin" in fields:
            return _Problem(403, "Requests that a web page makes are refused (Origin).")
        if b"content-length" in fields and b"transfer-encoding" in fields:
            return _Problem(400, "Content-Length and Transfer-Encoding exclude each other.")
        return self.too_large() if int(fields.get(b"content-length", "0")) > self.context.settings.max_body else None

    def _form(self, fields: dict[bytes, str]) -> _Form | _Problem:
        kind = fields.get(b"content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
        is_protobuf = self._is_loki and kind in _PROTOBUF
        coding = fields.get(b"content-encoding", "").strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip") and not (coding == "snappy" and is_protobuf):
            return _Problem(415, f"Content-Encoding {coding[:50]} is not supported: send gzip, or none.")
        if is_protobuf and not has_snappy():
            return _Problem(415, _NO_SNAPPY)
        if not is_protobuf and (kind.startswith(_BINARY) or (self._is_loki and not is_json)):
            wanted = _LOKI_FORMS if self._is_loki else "lines, or JSON records"
            return _Problem(415, f"Content-Type {kind[:100] or '(none)'} is not supported: send {wanted}.")
        return _Form("gzip" in coding, is_json, is_protobuf)

    def too_large(self) -> _Problem:
        self.context.counters.limits_total["request_body"] += 1
        most = self.context.settings.max_body
        return _Problem(413, f"The body has more than {most} bytes: send fewer lines at a time.")

    def deliver(self, form: _Form, body: bytes, lines: LineReader) -> None:
        """Give the lines of a body to the engine; all or, if BadBody is raised, none."""
        if form.is_gzip:
            body = self._decompressed(decompress, body)
        if form.is_protobuf:
            body = loki_message_lines(self._decompressed(unsnap, body))
        elif self._is_loki:
            body = loki_lines(body)
        elif form.is_json:
            body = json_lines(body)
        lines.feed(self.context.buffer, memoryview(body))
        lines.finish()
        self.received(len(body))
        self.context.counters.count_lines(lines, self.source.name)

    def _decompressed(self, decoder: Callable[[bytes, int], bytes], body: bytes) -> bytes:
        try:
            return decoder(body, self.context.settings.max_body)
        except BadBody as error:
            self.context.counters.limits_total["request_body"] += error.status == 413
            raise

    def refused(self, address: str, problem: _Problem) -> None:
        self.context.counters.log_errors_total[self.source.name] += 1
        self.warn(f"status {problem.status}", "%s from %s: %s", problem.status, address, problem.text)


def _path_of(target: str) -> str:
    """The decoded path of a request's target, in origin or absolute form."""
    try:
        path = target.partition("?")[0] if target.startswith("/") else urlsplit(target).path
    except ValueError:
        return target
    return unquote(path or "/", errors="replace")
