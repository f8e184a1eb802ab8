"""StatsD: one datagram per series, counters as increases (spec metrics-export.md §6; rows `statsd-…`)."""

from __future__ import annotations

import errno
import math
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from nativemtail._core import GAUGE, TIMER
from nativemtail._render import number
from nativemtail.export import names, transport
from nativemtail.export.textformat import encode, exported, flat_names, is_number, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nativemtail._core import Metric, Row
    from nativemtail._render import View
    from nativemtail.export.transport import Budget

_VANISHED_KEPT = 1000
"""While pushes fail, the totals of at most about this many vanished series are kept."""

Key = tuple[str, str, int, int, tuple[str, ...], tuple[str, ...]]
"""The identity of a series: program, name, kind and type of its metric, keys, values."""
Totals = tuple[float, ...]
"""The value of a counter; count and sum of a histogram."""


class Datagram(NamedTuple):
    """What to send for a series, if anything; after sending, the server has `totals`.

    `cannot` is the reason if it cannot be sent.
    """

    key: Key
    totals: Totals
    data: bytes
    cannot: str = ""


def datagrams(view: View, metric: Metric, known: dict[Key, Totals], *, prefix: str = "") -> Iterator[Datagram]:
    """What is new for each series since `known`, the totals sent so far of counters and histograms."""
    start = f"{prefix}{names.statsd(metric.program)}."
    flat = flat_names(metric, ".", names.statsd)
    for row in view.rows(metric):
        path = start + flat(row.labels)
        key = _key(metric, row)
        if not is_number(row):
            yield Datagram(key, (), encode(path), "the value is no number")
        elif metric.kind in (GAUGE, TIMER):
            yield Datagram(key, (), encode(_level(path, metric.kind, row)), _no_level(metric.kind, row))
        elif row.value is None:
            yield _increases(key, {f"{path}.count": row.count, f"{path}.sum": row.sum}, known)
        elif isinstance(row.value, bytes):
            yield Datagram(key, (), encode(f"{path}:{value_text(row)}|c"))
        else:
            yield _increases(key, {path: row.value}, known)


def _key(metric: Metric, row: Row) -> Key:
    return metric.program, metric.name, metric.kind, metric.type, metric.keys, row.labels


def _no_level(kind: int, row: Row) -> str:
    """Why a server would reject the value; empty if it would not."""
    if isinstance(row.value, float) and not math.isfinite(row.value):
        return "the value is no number"
    if kind == TIMER and not isinstance(row.value, bytes) and row.value is not None and row.value < 0:
        return "a time is negative"
    return ""


def _level(path: str, kind: int, row: Row) -> str:
    text = f"{path}:{value_text(row)}|{'g' if kind == GAUGE else 'ms'}"
    if kind == GAUGE and text.startswith(f"{path}:-"):
        # A sign means a change of the gauge, so that a negative value can only be reached from zero.
        return f"{path}:0|g\n{text}"
    return text


def _increases(key: Key, totals: dict[str, float], known: dict[Key, Totals]) -> Datagram:
    """The lines of the counters that grew; one that shrank has restarted.  NaN and infinities are ignored."""
    before = known.get(key) or (0,) * len(totals)
    after = tuple(now if math.isfinite(now) else old for now, old in zip(totals.values(), before, strict=True))
    lines = []
    for path, now, old in zip(totals, after, before, strict=True):
        increase = now if now < old else now - old
        if increase:
            lines.append(f"{path}:{increase if isinstance(increase, int) else number(increase)}|c")
    return Datagram(key, after, encode("\n".join(lines)))


class Statsd:
    """A StatsD server, and the totals sent to it."""

    name = "statsd"

    def __init__(self, address: str, *, prefix: str = "") -> None:
        self.peer = address
        self._prefix = prefix
        self._known: dict[Key, Totals] = {}
        self._left_out = names.LeftOut(address)

    def resume(self, view: View) -> None:
        """An earlier process counted what the view shows, and sent it."""
        for metric in exported(view, text=False):
            for datagram in datagrams(view, metric, {}, prefix=self._prefix):
                if datagram.totals:
                    self._known[datagram.key] = datagram.totals

    def push(self, view: View, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Raises PushError."""
        sock = transport.dial_internet(self.peer, socket.SOCK_DGRAM, budget)
        deadline = budget.deadline()
        known, fresh = self._known.copy(), dict[Key, Totals]()
        try:
            with sock:
                for metric in exported(view, text=False):
                    count("total", 1)
                    for key, totals, data, cannot in datagrams(view, metric, known, prefix=self._prefix):
                        cannot = cannot or self._send(sock, deadline, data)
                        before = known.pop(key, ())  # a second series with the same key starts from zero
                        if cannot:
                            self._left_out.note(count, cannot, data)
                            totals = before
                        else:
                            count("success", bool(data))
                        if totals:
                            fresh[key] = totals
                # Without this check a refusal of the last datagram would go unnoticed.
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
        except ConnectionRefusedError as error:
            raise transport.NothingArrived(error) from None
        except OSError as error:
            self._known |= fresh
            self._forget_vanished(view)
            raise transport.WriteError(error) from None
        self._known = fresh

    def _forget_vanished(self, view: View) -> None:
        """If every push fails, vanished series are never removed: remove them when they may be the majority."""
        metrics = list(exported(view, text=False))
        if len(self._known) <= 2 * sum(map(len, metrics)) + _VANISHED_KEPT:
            return
        keys = (_key(metric, row) for metric in metrics for row in view.rows(metric))
        self._known = {key: self._known[key] for key in keys if key in self._known}

    @staticmethod
    def _send(sock: socket.socket, deadline: float, data: bytes) -> str:
        """Send `data` unless it is empty; returns why it can never be sent, or an empty text."""
        if not data:
            return ""
        try:
            sock.settimeout(transport.seconds_left(deadline))
            sock.send(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return "they are longer than a datagram"
        return ""
