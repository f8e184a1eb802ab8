"""collectd's plain text protocol, pushed to its Unix socket (spec metrics-export.md §7.1)."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from nativemtail._core import COUNTER, GAUGE, HISTOGRAM, TIMER
from nativemtail.export import names, transport
from nativemtail.export.textformat import encode, exported, flat_names, is_number, time_text, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nativemtail._core import Metric, Row
    from nativemtail._render import View
    from nativemtail.export.transport import Budget

log = logging.getLogger(__name__)

_KINDS = {COUNTER: "counter", GAUGE: "gauge", TIMER: "gauge", HISTOGRAM: "histogram"}
"""collectd's type by `Metric.kind`."""


def entries(view: View, metric: Metric, *, host_name: str, interval: int, prefix: str = "") -> Iterator[bytes]:
    """One line per series; `interval` in seconds."""
    return (entry for _, _, entry in _entries(view, metric, f"{host_name}/{prefix}", interval))


def _entries(view: View, metric: Metric, start: str, interval: int) -> Iterator[tuple[Row, bool, bytes]]:
    """Row, whether its name is short enough, and line."""
    program = names.collectd(metric.program)
    kind = _KINDS[metric.kind]
    flat = flat_names(metric, "-", names.collectd)
    for row in view.rows(metric):
        instance = flat(row.labels)
        identifier = names.collectd_quoted(f"{start}mtail-{program}/{kind}-{instance}")
        line = encode(f'PUTVAL "{identifier}" interval={interval} {time_text(row)}:{_value(row, kind)}\n')
        fits = len(encode(instance)) <= names.COLLECTD_NAME and len(line) <= names.COLLECTD_LINE
        yield row, fits, line


def _value(row: Row, kind: str) -> str:
    """The value as text.  Counters are written in full: collectd would read `1e+06`, as in other formats, as 1."""
    if kind == "counter" and isinstance(row.value, float) and math.isfinite(row.value):
        return str(int(row.value))
    return value_text(row)


class Collectd:
    """A collectd daemon, reached through its Unix socket."""

    name = "collectd"

    def __init__(self, path: str, *, host_name: str, interval: float, prefix: str = "") -> None:
        self.peer = path
        self._host_name = host_name
        self._interval = int(interval)
        self._prefix = prefix
        self._refusal = ""
        self._left_out = names.LeftOut(path)

    def push(self, view: View, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Raises PushError."""
        answers = _Answers()
        sock = transport.dial_unix(self.peer, budget)
        with transport.stream(sock, budget, lambda n: count("success", n), answers.feed) as stream:
            for metric in exported(view, text=False):
                count("total", 1)
                start = f"{self._host_name}/{self._prefix}"
                for row, fits, entry in _entries(view, metric, start, self._interval):
                    if not is_number(row):
                        self._left_out.note(count, "the value is no number", entry)
                    elif not fits:
                        self._left_out.note(count, "the name is too long for collectd", entry)
                    else:
                        stream.write(entry)
        count("dropped", answers.refused)
        self._report(answers)

    def _report(self, answers: _Answers) -> None:
        """Log refusals when they begin, and when their reason changes."""
        if answers.refusal and answers.refusal != self._refusal:
            log.warning("%s refused %d values: %s", self.peer, answers.refused, answers.refusal)
        self._refusal = answers.refusal


class _Answers:
    """Parses collectd's answers: one line per value, which begins with a negative number if it was refused."""

    _LONGEST = 4096

    def __init__(self) -> None:
        self.refused = 0
        self.refusal = ""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[: self._LONGEST]
        for line in lines:
            if line.startswith(b"-"):
                self.refused += 1
                self.refusal = self.refusal or line[:200].decode("utf-8", "replace")
