"""Many logs of one directory that rotate at once: what it costs to look around grows with their number, no faster."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from events import lose_events
from rig import Rig, append

from nativemtail.io import listing, succession
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.2, poll_log_interval=0.2, linger=0.4, flush=0.2, sweep=60.0)
"""Polled so seldom that few polls fall into the time that a busy machine takes."""
FEW = 100


def numbered(log: Path) -> None:
    log.rename(f"{log}.1")
    log.touch()


def dated(log: Path) -> None:
    log.rename(f"{log}-20261130")
    log.touch()


def before_the_extension(log: Path) -> None:
    log.rename(log.with_name(f"{log.stem}-001.log.old"))
    log.touch()


def twice(log: Path) -> None:
    """One generation goes by unseen."""
    log.rename(f"{log}.2")
    log.write_bytes(b"unseen\n")
    numbered(log)


def copied(log: Path) -> None:
    shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of the tail thread that list directories or look at names, and how often it waited for a renaming."""
    counts: Counter[str] = Counter()

    def counted(module: object, name: str, what: str) -> None:
        real = getattr(module, name)

        def call(*values: object, **options: object) -> object:
            counts[what] += threading.current_thread() is not threading.main_thread()
            return real(*values, **options)

        monkeypatch.setattr(module, name, call)

    counted(listing.os, "listdir", "lists")
    counted(listing.os, "scandir", "lists")
    counted(succession.os, "lstat", "looks")
    counted(succession.time, "sleep", "sleeps")
    return counts


def cost(directory: Path, number: int, rotate: Callable[[Path], None], settings: Settings, calls: Counter[str]) -> None:
    """What was called while `number` logs rotated and got a line each."""
    directory.mkdir()
    logs = [directory / f"{i:05}.log" for i in range(number)]
    for log in logs:
        log.write_bytes(b"before\n")
    other = directory / "other.log"
    other.touch()
    each = [b"unseen", b"new"] if rotate is twice else [b"new"]
    with Rig(directory / "*.log", settings=settings) as rig:
        append(other, b"stop\n")
        rig.sink.may_scan.clear()
        rig.wait(lambda: rig.sink.entered)
        for log in logs:
            rotate(log)
        calls.clear()
        for log in logs:
            append(log, b"new\n")
        time.sleep(0.05)  # where no events come, a directory that changed just now is not known for sure
        rig.sink.may_scan.set()
        rig.wait(lambda: len(rig.lines) > number * len(each))
        after = calls.copy()
        assert [rig.of(log) for log in logs] == [each] * number
    calls.clear()
    calls.update(after)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["events", "overflow", "polling"])
@pytest.mark.parametrize("rotate", [numbered, dated, before_the_extension, twice, copied])
def test_the_cost_grows_with_the_number(
    rotate: Callable[[Path], None], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    settings = replace(QUICK, inotify=way != "polling")
    lost = [True] if way == "overflow" else []
    lose_events(monkeypatch, lost)
    for number in (FEW, 3 * FEW):
        cost(tmp_path / str(number), number, rotate, settings, calls)
        assert calls["lists"] < FEW
        assert calls["sleeps"] < FEW
        assert calls["looks"] < 50 * number


@pytest.mark.parametrize("rotate", [numbered, dated, twice])
def test_stopped_after_events_were_lost(
    rotate: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep that makes up for them is not done yet: at the end it is."""
    lose_events(monkeypatch, [True])
    logs = [tmp_path / f"{i:05}.log" for i in range(FEW)]
    for log in logs:
        log.write_bytes(b"before\n")
    other = tmp_path / "other.log"
    other.touch()
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        append(other, b"stop\n")
        rig.sink.may_scan.clear()
        rig.wait(lambda: rig.sink.entered)
        for log in logs:
            rotate(log)
            append(log, b"new\n")
        rig.tailer.stop()
        rig.sink.may_scan.set()
    assert [rig.of(log) for log in logs] == [[b"unseen", b"new"] if rotate is twice else [b"new"]] * FEW
