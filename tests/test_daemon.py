"""What of the daemon cannot be seen from outside; tests/daemon has the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nativemtail import daemon, systemd
from nativemtail.daemon import Daemon
from nativemtail.options import Options


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Daemon]:
    (tmp_path / "a.mtail").write_bytes(b"counter lines\n/$/ {\n  lines++\n}\n")
    return lambda **flags: Daemon(Options(progs=str(tmp_path), logs=[str(tmp_path / "*.log")], **flags))


@pytest.mark.parametrize(
    ("alive", "block_seconds", "expected"), [(True, 0.0, 1), (True, 4.9, 1), (True, 5.1, 0), (False, 0.0, 0)]
)
def test_watchdog_is_fed_while_lines_can_flow(
    alive: bool, block_seconds: float, expected: int, make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(systemd, "alive", lambda: told.append(True))
    subject = make()
    subject.tail = cast(threading.Thread, SimpleNamespace(is_alive=lambda: alive))
    monkeypatch.setattr(subject.feed, "block_seconds", lambda: block_seconds)
    subject._feed_watchdog(5.0)
    assert len(told) == expected


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, 0), (1, 1), (50_000_000, 1), (150_000_000, 50_000_000)], ids=["no", "1", "less", "more"]
)
def test_label_sets_may_have_what_the_process_does_not_need(
    limit: int, expected: int, make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = make(memory_limit=limit)
    monkeypatch.setattr(daemon, "resident_memory", lambda: 100_000_000 + subject.programs.store.memory)
    subject._limit_memory()
    assert subject.programs.store.limit == expected


def test_periodic_work_survives_its_errors(make: Callable[..., Daemon]) -> None:
    subject = make()
    calls: list[Any] = []

    def fail() -> None:
        calls.append(None)
        raise ValueError

    subject._every(0.001, fail)
    while len(calls) < 3:
        subject.loop.run_once()
