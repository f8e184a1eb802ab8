"""collectd's plain text protocol, pushed to its Unix socket (spec metrics-export.md §7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nativemtail.export import wire
from nativemtail.export.values import encode, exported, flat_name, time_text, value_text
from nativemtail.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nativemtail._core import Metric, Snapshot
    from nativemtail.export.wire import Budget

log = Log(__name__)

_KINDS = {1: "counter", 2: "gauge", 3: "gauge", 5: "histogram"}
"""collectd's type by `Metric.kind`."""


def entries(snapshot: Snapshot, metric: Metric, *, host_name: str, interval: int, prefix: str = "") -> Iterator[bytes]:
    """For each label set its line; `interval` in seconds."""
    for row in snapshot.rows(metric):
        instance = flat_name(metric.name, metric.keys, row.labels, "-")
        identifier = f"{host_name}/{prefix}mtail-{metric.program}/{_KINDS[metric.kind]}-{instance}"
        yield encode(f'PUTVAL "{identifier}" interval={interval} {time_text(row)}:{value_text(row)}\n')


class Collectd:
    """The daemon behind a Unix socket."""

    name = "collectd"

    def __init__(self, path: str, *, host_name: str, interval: float, prefix: str = "") -> None:
        self.peer = path
        self._host_name = host_name
        self._interval = int(interval)
        self._prefix = prefix
        self._refusal = ""

    def push(self, snapshot: Snapshot, budget: Budget, count: Callable[[str, int], None]) -> None:
        """Raises PushError."""
        answers = _Answers()
        sock = wire.dial_unix(self.peer, budget)
        with wire.stream(sock, budget, lambda n: count("success", n), answers.hear) as stream:
            for metric in exported(snapshot, text=False):
                count("total", 1)
                for entry in entries(
                    snapshot, metric, host_name=self._host_name, interval=self._interval, prefix=self._prefix
                ):
                    stream.write(entry)
        self._report(answers)

    def _report(self, answers: _Answers) -> None:
        """Say what collectd refuses when it begins to, and if it gives another reason."""
        if answers.refusal and answers.refusal != self._refusal:
            log.warning("%s refused %d values: %s", self.peer, answers.refused, answers.refusal)
        self._refusal = answers.refusal


class _Answers:
    """What collectd says: a line for each value, which begins with a negative number if it was refused."""

    _LONGEST = 4096

    def __init__(self) -> None:
        self.refused = 0
        self.refusal = ""
        self._rest = b""

    def hear(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[: self._LONGEST]
        for line in lines:
            if line.startswith(b"-"):
                self.refused += 1
                self.refusal = self.refusal or line[:200].decode("utf-8", "replace")
