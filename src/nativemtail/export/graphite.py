"""Graphite's plaintext form, for `GET /graphite` and for pushes (spec metrics-export.md §5)."""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING

from nativemtail._render import number
from nativemtail.export import names, transport
from nativemtail.export.textformat import encode, exported, flat_names, is_number, joined, time_text, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nativemtail._core import Metric, Row
    from nativemtail._render import View
    from nativemtail.export.transport import Budget

CONTENT_TYPE = "text/plain"


def render(view: View, *, prefix: str = "") -> Iterator[bytes]:
    """The whole page in pieces, text metrics included."""
    return joined(entry for metric in exported(view, text=True) for entry in entries(view, metric, prefix=prefix))


def entries(view: View, metric: Metric, *, prefix: str = "") -> Iterator[bytes]:
    """The lines of each series: one; for histograms also one per bucket and the count.

    `prefix` is put before each line unchanged.
    """
    return (entry for _, entry in _entries(view, metric, prefix))


def _entries(view: View, metric: Metric, prefix: str) -> Iterator[tuple[Row, bytes]]:
    start = f"{prefix}{names.graphite(metric.program)}."
    flat = flat_names(metric, ".", names.graphite)
    for row in view.rows(metric):
        path = start + flat(row.labels)
        yield row, encode("".join(_lines(path, row)))


def _lines(path: str, row: Row) -> Iterator[str]:
    time = time_text(row)
    if row.value is None:
        for upper, count in row.buckets:
            yield f"{path}.bin_{'inf' if upper == math.inf else number(upper)} {count} {time}\n"
        yield f"{path}.count {row.count} {time}\n"
    yield f"{path} {value_text(row).replace(chr(10), '_')} {time}\n"


class Graphite:
    """A carbon server that accepts lines over TCP."""

    name = "graphite"

    def __init__(self, address: str, *, prefix: str = "") -> None:
        self.peer = address
        self._prefix = prefix
        self._left_out = names.LeftOut(address)

    def push(self, view: View, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Raises PushError."""
        sock = transport.dial_internet(self.peer, socket.SOCK_STREAM, budget)
        with transport.stream(sock, budget, lambda n: count("success", n)) as stream:
            for metric in exported(view, text=False):
                count("total", 1)
                for row, entry in _entries(view, metric, self._prefix):
                    if not is_number(row):
                        self._left_out.note(count, "the value is no number", entry)
                    elif not names.fits_graphite(entry.partition(b" ")[0]):
                        self._left_out.note(count, "the name is too long for a file of Graphite's", entry)
                    else:
                        stream.write(entry)
