"""StatsD: a datagram per label set, counters as increases (spec metrics-export.md §6; rows `statsd-…`)."""

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
"""Label sets that are there no more, of which the totals may be kept while pushes fail."""

Key = tuple[str, str, int, int, tuple[str, ...], tuple[str, ...]]
"""What a label set is known by: program, name, kind and type of its metric, keys, values."""
Totals = tuple[float, ...]
"""Of a counter its value; of a histogram its count and its sum."""


class Datagram(NamedTuple):
    """What is sent of a label set, if anything; once it is sent, `totals` are what the server has.

    `cannot` is why it cannot be sent, if so.
    """

    key: Key
    totals: Totals
    data: bytes
    cannot: str = ""


def datagrams(view: View, metric: Metric, known: dict[Key, Totals], *, prefix: str = "") -> Iterator[Datagram]:
    """For each label set what is new since `known`, which has what was sent of counters and histograms."""
    start = f"{prefix}{names.statsd(metric.program)}."
    flat = flat_names(metric.name, metric.keys, ".", names.statsd)
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
    """Why a server would take the value for a mistake; empty if it would not."""
    if isinstance(row.value, float) and not math.isfinite(row.value):
        return "the value is no number"
    if kind == TIMER and not isinstance(row.value, bytes) and row.value is not None and row.value < 0:
        return "a time is negative"
    return ""


def _level(path: str, kind: int, row: Row) -> str:
    text = f"{path}:{value_text(row)}|{'g' if kind == GAUGE else 'ms'}"
    if kind == GAUGE and text.startswith(f"{path}:-"):
        # A sign makes it a change, so that a negative value can only be reached from zero.
        return f"{path}:0|g\n{text}"
    return text


def _increases(key: Key, totals: dict[str, float], known: dict[Key, Totals]) -> Datagram:
    """The lines of the counters that grew; one that shrank began anew.  What is no number is as if it had not come."""
    before = known.get(key) or (0,) * len(totals)
    after = tuple(now if math.isfinite(now) else old for now, old in zip(totals.values(), before, strict=True))
    lines = []
    for path, now, old in zip(totals, after, before, strict=True):
        increase = now if now < old else now - old
        if increase:
            lines.append(f"{path}:{increase if isinstance(increase, int) else number(increase)}|c")
    return Datagram(key, after, encode("\n".join(lines)))


class Statsd:
    """A server, and what it has of each counter."""

    name = "statsd"

    def __init__(self, address: str, *, prefix: str = "") -> None:
        self.peer = address
        self._prefix = prefix
        self._known: dict[Key, Totals] = {}
        self._left_out = names.LeftOut(address)

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
                        before = known.pop(key, ())  # a second label set of that name begins anew
                        if cannot:
                            self._left_out.note(count, cannot, data)
                            totals = before
                        else:
                            count("success", bool(data))
                        if totals:
                            fresh[key] = totals
                # A refusal of the last datagram; without this check it would go unseen.
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
        """Where each push ends in an error, none tells what is gone: find it out when it may be the most."""
        metrics = list(exported(view, text=False))
        if len(self._known) <= 2 * sum(map(len, metrics)) + _VANISHED_KEPT:
            return
        keys = (_key(metric, row) for metric in metrics for row in view.rows(metric))
        self._known = {key: self._known[key] for key in keys if key in self._known}

    @staticmethod
    def _send(sock: socket.socket, deadline: float, data: bytes) -> str:
        """Send it, if there is something; why it cannot be sent, if so."""
        if not data:
            return ""
        try:
            sock.settimeout(transport.left(deadline))
            sock.send(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return "they are longer than a datagram"
        return ""
