"""A store with saved state, for the tests of nativemtail.state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nativemtail import _core_testing as ops
from nativemtail._core import BUCKETS, COUNTER, GAUGE, HISTOGRAM, INT, STRING, TEXT, Delta, Metric, Store
from nativemtail.state.database import Record
from nativemtail.state.restore import Opened, open_state
from nativemtail.state.saver import Counts, Saver

Logs = dict[str, Record]


def metrics() -> list[Metric]:
    """One of each form, in two programs."""
    return [
        Metric("lines", "a.mtail", COUNTER, INT, (), version="one", help="all", unit="lines"),
        Metric("hosts", "a.mtail", COUNTER, INT, ("host", "code"), "a.mtail:2", version="one", labels=(("site", "ü"),)),
        Metric("state", "a.mtail", GAUGE, INT, ("host",), hidden=True, version="one"),
        Metric("state", "a.mtail", GAUGE, INT, ("host",), hidden=True, version="one"),
        Metric("texts", "b.mtail", TEXT, STRING, ("x",), limit=50, version="two"),
        Metric("times", "b.mtail", HISTOGRAM, BUCKETS, ("x",), buckets=(0.0, 0.5, 1e300), version="two"),
    ]


def store_of(made: list[Metric]) -> Store:
    store = Store()
    for metric in made:
        store.add(metric)
    return store


def count(store: Store, amount: int, *, series: int = 300) -> None:
    """Change every metric of a store that began as `metrics()`, on `series` of its label sets."""
    lines, hosts, one, two, texts, times = store.metrics() if len(store.metrics()) == 6 else metrics()
    ops._store_add(lines, (), amount)
    for i in range(series):
        ops._store_add(hosts, (f"host{i}", "200"), amount)
    for at, state in enumerate((one, two)):
        ops._store_set(state, ("h",), amount + at)
    ops._store_set(texts, ("t",), b"text %d" % amount)
    ops._store_expire(texts, ("t",), 10**18)
    ops._store_set(times, ("t",), float(amount))


def shown(store: Store) -> list[Any]:
    """All of it, in order."""
    view = store.snapshot()
    return [
        (
            (
                *(m.name, m.program, m.kind, m.type, m.keys, m.source, m.buckets, m.limit, m.hidden, m.version),
                *(m.help, m.unit, m.labels),
            ),
            [(r.labels, r.value, r.time, r.expiry, r.count, r.sum, r.buckets) for r in view.rows(m)],
        )
        for m in store.metrics()
    ]


def read_logs(records: Mapping[str, Record]) -> Logs:
    return dict(records)


def opened(directory: Path) -> Opened[Logs]:
    return open_state(str(directory), read_logs)


class Run:
    """A process that keeps its state: opened, with a store and a saver whose logs are the attribute `logs`."""

    def __init__(self, directory: Path, *, interval: float = 3600.0) -> None:
        self.opened = opened(directory)
        self.store = store_of(self.opened.kept.metrics or metrics())
        self.logs: dict[str, Record | None] = {}
        self.counts = Counts()
        self.saver = Saver(
            self.opened.database,
            self.store,
            self.counts,
            interval=interval,
            between_turns=lambda work: work(),
            positions=self._positions,
            records=self.opened.kept.records,
        )

    def _positions(self) -> list[tuple[str, Record | None]]:
        changed, self.logs = self.logs, {}
        return list(changed.items())

    def close(self) -> None:
        self.saver.stop(10.0)
        self.opened.lock.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


RECORD: Record = {
    "log": "/l/\udcff.log",
    "connection": 0,
    "statement": "start",
    "stream": None,
    "message": "",
    "parts": 0,
    "part_time": None,
    "logtime": "2026",
    "text": "a\n\xff",
    "lines": 2,
    "quoted": False,
    "read_at": 1,
}
"""An unfinished record of several lines."""


class Unfinished(Run):
    """Its unfinished records are the attribute `unfinished`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.unfinished: list[Record] = self.opened.kept.unfinished
        self.saver._unfinished = self.opened.kept.unfinished
        self.saver._fix_store = self._fix

    def _fix(self, delta: Delta, wait: bool) -> list[Record] | None:
        return list(self.unfinished) if delta.fix(wait=wait) else None
