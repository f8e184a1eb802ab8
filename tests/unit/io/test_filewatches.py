"""What inotify cannot watch is polled; what it lost is looked for."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rig import QUICK, Rig, append
from waiting import PATIENCE

from nativemtail.io import watch


def test_watch_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that can't be watched are polled."""
    real = watch.Watcher.add_fd
    count = 0

    def add_fd(self: watch.Watcher, fd: int, mask: int) -> int:
        nonlocal count
        count += 1
        if count > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, fd, mask)

    monkeypatch.setattr(watch.Watcher, "add_fd", add_fd)
    logs = [tmp_path / f"{i}.log" for i in range(5)]
    for path in logs:
        path.touch()
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        assert rig.tailer.counters.limits_total["watches"] == 3
        for path in logs:
            append(path, b"x\n")
        rig.expect([b"x"] * 5)


def test_network_file_system_is_polled(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "is_remote", lambda path: True)
    with Rig(log, settings=QUICK) as rig:
        log.write_bytes(b"1\n")
        rig.expect([b"1"])
        append(log, b"2\n")
        rig.expect([b"1", b"2"])
        log.rename(log.with_suffix(".1"))
        log.write_bytes(b"3\n")
        rig.expect([b"1", b"2", b"3"])


def test_event_overflow(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost events: everything is looked at."""
    other = log.with_suffix(".other.log")
    real = watch.Watcher.read

    def read(self: watch.Watcher) -> list[watch.Event]:
        return [watch.Event(-1, watch.OVERFLOW, 0, "")] if real(self) else []

    monkeypatch.setattr(watch.Watcher, "read", read)
    log.touch()
    with Rig(log.parent / "*.log", settings=QUICK) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        other.write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        assert rig.tailer.counters.limits_total["events"] >= 2


@pytest.mark.parametrize("pattern", ["app.log", "app*"])
def test_without_proc(pattern: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are watched by name then, and rotation works as ever, without polling."""
    real = watch.Watcher.add

    def add(self: watch.Watcher, path: str, mask: int) -> int:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(self, path, mask)

    monkeypatch.setattr(watch.Watcher, "add", add)
    log.touch()
    with Rig(log.parent / pattern, settings=replace(QUICK, sweep=10 * PATIENCE, poll_interval=10 * PATIENCE)) as rig:
        for turn in range(3):
            append(log, b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            log.rename(log.with_suffix(f".log.{turn}"))
            log.touch()


def test_a_file_watch_by_name_that_is_anothers(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and watching the name came to stand for another file: it is polled, and nobody is confused."""
    other = log.with_name("other.log")
    real = watch.Watcher.add

    def add(self: watch.Watcher, path: str, mask: int) -> int:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(self, str(other) if path == str(log) else path, mask)

    monkeypatch.setattr(watch.Watcher, "add", add)
    monkeypatch.setattr("nativemtail.io.filewatches.stands_for", lambda path, who: path != str(log))
    for path in (log, other):
        path.touch()
    with Rig(log.parent / "*.log", settings=replace(QUICK, sweep=10 * PATIENCE)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        append(other, b"2\n")
        rig.expect([b"1", b"2"])
