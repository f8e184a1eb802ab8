"""More logs than files may be open: idle ones give their descriptors up, and nothing is lost by it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append

from nativemtail.io import descriptors
from nativemtail.io.descriptors import Descriptors, Inodes
from nativemtail.io.position import identity
from nativemtail.io.sources import Settings
from nativemtail.io.table import Table

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
POLLING = replace(QUICK, inotify=False)
LOGS = 60
ALLOWED = 8


@pytest.fixture(params=[QUICK, POLLING], ids=["inotify", "polling"])
def settings(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.param
    return chosen


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr("nativemtail.io.tailer._raise_file_limit", lambda: 4 * ALLOWED)
    paths = [tmp_path / f"{i:02}.log" for i in range(LOGS)]
    for path in paths:
        path.write_bytes(b"before\n")
    return paths


def open_logs(directory: Path) -> int:
    """How many files below `directory` this process has open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{fd}").startswith(str(directory))
        except OSError:
            continue
    return found


def test_each_log_is_read(logs: list[Path], settings: Settings) -> None:
    with Rig(logs[0].parent / "*.log", settings=settings) as rig:
        assert rig.tailer.log_count == LOGS
        for turn in range(3):
            for path in logs:
                append(path, b"%d\n" % turn)
            rig.wait(lambda turn=turn: len(rig.lines) == LOGS * (turn + 1))
            assert open_logs(logs[0].parent) <= ALLOWED
        for path in logs:
            assert rig.of(path) == [b"0", b"1", b"2"]
        assert rig.tailer.counters.limits_total["open_files"] >= LOGS
        assert not rig.tailer.counters.log_errors_total


def test_what_comes_just_before_the_stop(logs: list[Path], settings: Settings) -> None:
    with Rig(logs[0].parent / "*.log", settings=settings) as rig:
        rig.wait(lambda: rig.tailer.log_count == LOGS)
        for path in logs:
            append(path, b"last")
    assert sorted(rig.lines) == [b"last"] * LOGS


def renamed(path: Path) -> None:
    path.rename(f"{path}.1")
    path.write_bytes(b"new\n")


def renamed_and_written(path: Path) -> None:
    append(path, b"1\n")
    path.rename(f"{path}.1")
    append(Path(f"{path}.1"), b"2\n")
    path.write_bytes(b"new\n")


def copied_and_truncated(path: Path) -> None:
    shutil.copyfile(path, f"{path}.1")
    os.truncate(path, 0)
    append(path, b"new\n")


def rewritten(path: Path) -> None:
    path.write_bytes(b"other!\nnew\n")


def rewritten_alike(path: Path) -> None:
    path.write_bytes(b"after!\n")


def deleted(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"new\n")


def moved_away(path: Path) -> None:
    (path.parent / "old").mkdir(exist_ok=True)
    path.rename(path.parent / "old" / path.name)
    path.write_bytes(b"new\n")


WAYS: list[tuple[Callable[[Path], None], list[bytes]]] = [
    (renamed, [b"new"]),
    (renamed_and_written, [b"1", b"2", b"new"]),
    (copied_and_truncated, [b"new"]),
    (rewritten, [b"other!", b"new"]),
    (rewritten_alike, [b"after!"]),
    (deleted, [b"new"]),
    (moved_away, [b"new"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "lines"), WAYS, ids=lambda value: getattr(value, "__name__", ""))
def test_all_are_rotated_at_once(
    way: Callable[[Path], None], lines: list[bytes], logs: list[Path], settings: Settings
) -> None:
    with Rig(logs[0].parent / "*.log", settings=settings) as rig:
        rig.wait(lambda: rig.tailer.log_count == LOGS)
        rig.sink.delay = 0.005  # others are closed before they had their turn
        for path in logs:
            way(path)
        rig.wait(lambda: len(rig.lines) >= LOGS * len(lines))
        rig.wait(lambda: rig.tailer.log_count == LOGS)
        time.sleep(0.3)
        for path in logs:
            assert rig.of(path) == lines


def test_a_file_is_found_by_its_inode(logs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the events about its renaming were missed."""
    monkeypatch.setattr(Table, "note_name", lambda self, path: None)
    with Rig(logs[0].parent / "*.log", settings=QUICK) as rig:
        rig.wait(lambda: rig.tailer.log_count == LOGS)
        for path in logs:
            path.rename(f"{path}.1")
        for path in logs:
            append(Path(f"{path}.1"), b"late\n")
        rig.wait(lambda: len(rig.lines) == LOGS)


def test_written_to_and_gone(logs: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read any more is counted as an error and said."""
    with Rig(logs[0].parent / "*.log", settings=QUICK) as rig:
        rig.wait(lambda: rig.tailer.log_count == LOGS)
        assert open_logs(logs[0].parent) <= ALLOWED
        rig.sink.may_scan.clear()
        append(logs[-1], b"held\n")
        time.sleep(0.1)
        with logs[0].open("ab") as writer:
            writer.write(b"lost\n")
            writer.flush()
            logs[0].unlink()
        rig.sink.may_scan.set()
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(logs[0])] == 1)
    assert "gone before it could be opened again" in caplog.text


def test_no_reader_is_forgotten_at_the_limit(logs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no descriptor for a while."""
    real, exhausted = os.open, True

    def opener(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if exhausted and str(path).endswith(".log"):
            raise OSError(24, "Too many open files")
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    with Rig(logs[0].parent / "*.log", settings=QUICK) as rig:
        for path in logs:
            append(path, b"new\n")
        rig.wait(lambda: rig.tailer.counters.limits_total["open_files"] >= 2)
        exhausted = False
        rig.wait(lambda: len(rig.lines) == LOGS)


class Spy:
    def __init__(self, *, may: bool = True) -> None:
        self.may = may
        self.asked = 0

    def set_aside(self) -> bool:
        self.asked += 1
        return self.may


@pytest.fixture
def allowed() -> Descriptors:
    return Descriptors(3)


def test_the_least_recently_used_goes(allowed: Descriptors) -> None:
    spies = [Spy(may=False), Spy(), Spy(), Spy()]
    for spy in spies[:3]:
        allowed.used(spy)
    allowed.used(spies[1])
    os.close(allowed.open("/dev/null"))
    assert [spy.asked for spy in spies] == [1, 0, 1, 0]
    os.close(allowed.open("/dev/null"))
    assert allowed.set_aside == 1


def test_without_room_the_system_decides(allowed: Descriptors) -> None:
    for _ in range(4):
        allowed.used(Spy(may=False))
    os.close(allowed.open("/dev/null"))
    assert allowed.set_aside == 0


def test_inodes_are_looked_up_in_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    listings = 0
    real = os.scandir

    def scandir(path: str) -> object:
        nonlocal listings
        listings += 1
        return real(path)

    monkeypatch.setattr(descriptors.os, "scandir", scandir)
    inodes = Inodes()
    for path in tmp_path.iterdir():
        listings = min(listings, 1)
        assert inodes.find(str(tmp_path), identity(path.stat())) == str(path)
    assert listings == 1
    monkeypatch.setattr(descriptors, "_REST", 1e9)
    assert inodes.find(str(tmp_path / ".."), (0, 0)) is None
    with pytest.raises(BlockingIOError):
        inodes.find(str(tmp_path / ".."), (0, 1))
