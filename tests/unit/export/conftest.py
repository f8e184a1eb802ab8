"""A store of a few metrics, as Debian's mtail had them when it was asked for the texts that the tests expect."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nativemtail._core import Store
from nativemtail.programs.builder import Settings
from nativemtail.programs.manager import open_programs

TIME = 1795295856_500000000


def _row(labels: tuple[str, ...], value: object, **histogram: Any) -> SimpleNamespace:
    return SimpleNamespace(labels=labels, time=TIME, value=value, **histogram)


class Snapshot:
    def __init__(self, *metrics: tuple[SimpleNamespace, list[SimpleNamespace]]) -> None:
        self._metrics = metrics

    def metrics(self) -> list[SimpleNamespace]:
        return [metric for metric, _ in self._metrics]

    def rows(self, metric: SimpleNamespace) -> list[SimpleNamespace]:
        return next(rows for known, rows in self._metrics if known is metric)


def _metric(name: str, kind: int, keys: tuple[str, ...] = (), hidden: bool = False) -> SimpleNamespace:
    return SimpleNamespace(name=name, program="a.mtail", kind=kind, keys=keys, hidden=hidden, labels=())


def _observed(label: str, total: float, cell: int) -> SimpleNamespace:
    bounds = (1.0, 2.5, 1e6, math.inf)
    counts = tuple((bound, int(i == cell)) for i, bound in enumerate(bounds))
    return _row((label,), None, count=1, sum=total, buckets=counts)


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot(
        (_metric("c", 1, ("x",)), [_row(("foo",), 1), _row(("bar",), 3)]),
        (_metric("g-h", 2), [_row((), 4)]),
        (_metric("t", 4), [_row((), b"b\xffd")]),
        (_metric("h", 5, ("x",)), [_observed("foo", 2.25, 1), _observed("bar", 123456789.5, 3)]),
        (_metric("f", 2, ("z", "a")), [_row(("2.25", "foo"), 2.25)]),
        (_metric("secret", 1, hidden=True), [_row((), 7)]),
    )


class Live:
    """Programs that run: `feed` gives them lines."""

    def __init__(self, path: Path) -> None:
        self._programs = open_programs(Settings(paths=(str(path),)))
        self._programs.load(strict=True)
        self._source = self._programs.engine.open("test")
        self.store: Store = self._programs.store

    def feed(self, *lines: str) -> None:
        self._programs.engine.scan(self._source, "".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def live(tmp_path: Path) -> Callable[[str], Live]:
    def load(text: str) -> Live:
        program = tmp_path / "p.mtail"
        program.write_text(text)
        return Live(program)

    return load
