"""The saver: when it saves, what it says, and that every instant is whole."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kept import Run, count, shown
from waiting import PATIENCE

from nativemtail import _core_testing as ops
from nativemtail._core import COUNTER, INT, Delta, Metric, Store
from nativemtail.state import saver as saver_module
from nativemtail.state.database import NAME
from nativemtail.state.restore import open_state
from nativemtail.state.saver import Counts, Saver


def until(condition: Callable[[], object]) -> None:
    """Wait for another thread."""
    waiting = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if condition():
            return
        waiting.wait(0.002)
    raise AssertionError("not in time")


def restored(directory: Path) -> list[Any]:
    with Run(directory) as run:
        assert run.opened.damaged == ""
        return [shown(run.store), run.opened.kept.logs]


# --- saves -----------------------------------------------------------------------------------------------------------


def test_saves_follow_each_other(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        for amount in range(1, 5):
            count(run.store, amount, series=100 * amount)
            run.logs = {"a": {"offset": amount}, f"b{amount}": {"offset": 0}, f"b{amount - 1}": None}
            assert run.saver.save()
        wanted = [shown(run.store), {"a": {"offset": 4}, "b4": {"offset": 0}}]
    assert restored(tmp_path) == wanted
    assert restored(tmp_path) == wanted


def test_a_restored_run_writes_only_what_changes(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1, series=5000)
        assert run.saver.save()
        first = run.counts.bytes
    with Run(tmp_path) as run:
        ops._store_add(run.store.metrics()[1], ("host7", "200"), 5)
        assert run.saver.save()
        assert 0 < run.counts.bytes < first / 20
        wanted = shown(run.store)
    assert restored(tmp_path)[0] == wanted


def test_nothing_is_written_if_nothing_has_changed(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        assert run.counts.age() is None
        assert run.saver.save()
        before = run.counts.saved_at
        assert run.saver.save()
        assert run.counts.saves == 1
        assert run.counts.saved_at != before
        age = run.counts.age()
        assert age is not None
        assert 0 <= age < PATIENCE


def test_metrics_that_are_gone_leave_nothing_behind(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1)
        assert run.saver.save()
        run.store.remove(run.store.metrics()[1])
        assert run.saver.save()
        wanted = [shown(run.store), {}]
    assert restored(tmp_path) == wanted


def test_what_is_on_the_disk_is_small(tmp_path: Path) -> None:
    """At most twice the label bytes and 60 bytes a series."""
    labels = [(f"host-{i % 1000}.example.net", f"/path/{i}") for i in range(20_000)]
    made = Metric("m", "p.mtail", COUNTER, INT, ("host", "path"))
    store = Store()
    store.add(made)
    for label in labels:
        ops._store_add(made, label, 12345, 1_700_000_000_000_000_000)
    state = open_state(str(tmp_path), dict)
    saver = Saver(
        state.database, store, Counts(), interval=1, between_turns=lambda work: work(), positions=tuple, records={}
    )
    assert saver.save()
    saver.stop(PATIENCE)
    state.lock.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size <= 2 * sum(len(text) for label in labels for text in label) + 60 * len(labels)


# --- the thread ------------------------------------------------------------------------------------------------------


def test_the_thread_saves_again_and_again(tmp_path: Path) -> None:
    with Run(tmp_path, interval=0.01) as run:
        run.saver.start()
        for amount in range(1, 4):
            before = run.counts.saves
            count(run.store, amount)
            until(lambda before=before: run.counts.saves > before)  # type: ignore[misc]


def test_positions_are_prepared_in_parts_before_the_instant(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        done: list[str] = []

        def prepare() -> bool:
            done.append("a part")
            return len(done) == 3

        def positions() -> Any:
            done.append("the rest")
            return {"a": {"offset": len(done)}}.items()

        run.saver._prepare, run.saver._positions = prepare, positions
        run.saver.start()
        run.saver.request()
        until(lambda: run.counts.saves == 1)
        assert done == ["a part"] * 3 + ["the rest"]


def test_logs_that_move_faster_than_positions_are_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saver_module, "_SLICES", 10)
    with Run(tmp_path) as run:
        count(run.store, 1)
        run.saver._prepare = lambda: False
        run.saver.start()
        run.saver.request()
        until(lambda: run.counts.saves == 1)


def test_positions_that_cannot_be_prepared(tmp_path: Path) -> None:
    """Taking them fails, too: a save that fails."""

    def fail() -> Any:
        raise OSError(5, "Input/output error")

    with Run(tmp_path) as run:
        run.saver._prepare = run.saver._positions = fail
        run.saver.start()
        run.saver.request()
        until(lambda: run.counts.failures == 1)


def test_a_request_is_served_before_the_interval_is_over(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.saver.start()
        count(run.store, 1)
        run.saver.request()
        until(lambda: run.counts.saves == 1)


def test_the_last_instant_is_written(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.saver.start()
        count(run.store, 1)
        run.logs = {"a": {"offset": 1}}
        run.saver.fix_last()
        wanted = [shown(run.store), {"a": {"offset": 1}}]
        count(run.store, 1)
        assert run.saver.stop(PATIENCE)
    assert restored(tmp_path) == wanted


def test_a_run_without_a_last_instant_keeps_the_one_before(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1)
        assert run.saver.save()
        wanted = [shown(run.store), {}]
        run.saver.start()
        count(run.store, 1)
        assert run.saver.stop(PATIENCE)
    assert restored(tmp_path) == wanted


def test_the_thread_ends_although_nobody_reads(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        asked = threading.Event()
        run.saver._between_turns = lambda work: asked.set()
        run.saver.start()
        run.saver.request()
        assert asked.wait(PATIENCE)
        assert run.saver.stop(PATIENCE)


def test_a_snapshot_that_is_being_copied_does_not_hold_up_the_reader(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        other = Delta(run.store)
        other.fix()
        asked: list[Callable[[], None]] = []
        run.saver._between_turns = asked.append
        run.saver.start()
        run.saver.request()
        until(lambda: asked)
        asked.pop()()  # comes back although `other` is not copied
        until(lambda: asked)
        other.copy()
        asked.pop()()
        until(lambda: run.counts.saves == 1)


def test_the_last_instant_waits_for_a_save_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the failed save gives back to the store is in the last one."""
    with Run(tmp_path) as run:
        entered, go_on = threading.Event(), threading.Event()
        write = run.opened.database.write

        def fail_once(changes: Any) -> Any:
            monkeypatch.setattr(run.opened.database, "write", write)
            entered.set()
            assert go_on.wait(PATIENCE)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(run.opened.database, "write", fail_once)
        run.saver.start()
        count(run.store, 1)
        run.logs = {"a": {"offset": 1}}
        run.saver.request()
        assert entered.wait(PATIENCE)
        reader = threading.Thread(target=run.saver.fix_last)
        reader.start()
        go_on.set()
        reader.join(PATIENCE)
        assert run.saver.stop(PATIENCE)
        wanted = [shown(run.store), {"a": {"offset": 1}}]
    assert restored(tmp_path) == wanted


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.fixture
def _full_disk() -> Iterator[None]:
    """No file may grow beyond what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("_full_disk")
def test_a_full_disk_is_said_once_and_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Run(tmp_path) as run:
        count(run.store, 1)
        run.logs = {"a": {"offset": 1}}
        assert run.saver.save()
        good = [shown(run.store), {"a": {"offset": 1}}]
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        for amount in range(3):
            count(run.store, amount, series=2000)
            run.logs = {"a": {"offset": 2 + amount}, f"b{amount}": {}}
            assert not run.saver.save()
        assert run.counts.failures == 3
        assert run.counts.damaged == 0
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        said = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == 1
        assert "cannot be saved" in said[0].message
        with sqlite3.connect(tmp_path / NAME) as look:
            assert look.execute("SELECT record FROM logs").fetchall() == [('{"offset":1}',)]
        look.close()
        assert run.saver.save()
        assert "is saved in" in caplog.records[-1].message
        wanted = [shown(run.store), {"a": {"offset": 4}, "b0": {}, "b1": {}, "b2": {}}]
        assert wanted != good
    assert restored(tmp_path) == wanted


def test_what_is_no_longer_writable_is_said_once_and_made_up_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a file system is remounted read-only."""
    with Run(tmp_path) as run:
        count(run.store, 1)
        assert run.saver.save()
        run.opened.database._connection.execute("PRAGMA query_only = ON")
        for _ in range(3):
            count(run.store, 1)
            run.logs = {"a": {"offset": 1}}
            assert not run.saver.save()
        assert (run.counts.failures, run.counts.damaged) == (3, 0)
        said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(said) == 1
        assert said[0].startswith(f"the state cannot be saved in {tmp_path}: attempt to write a readonly database; ")
        run.opened.database._connection.execute("PRAGMA query_only = OFF")
        assert run.saver.save()
        wanted = [shown(run.store), {"a": {"offset": 1}}]
    assert restored(tmp_path) == wanted


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_is_set_changes_nothing(jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    with Run(tmp_path) as run:
        count(run.store, 1)
        assert run.saver.save()
        monkeypatch.setattr(time, "time", lambda: now + jump)
        monkeypatch.setattr(time, "time_ns", lambda: int((now + jump) * 1e9))
        age = run.counts.age()
        assert age is not None
        assert 0 <= age < PATIENCE
        count(run.store, 1)
        assert run.saver.save()
        wanted = [shown(run.store), {}]
    monkeypatch.undo()
    assert restored(tmp_path) == wanted
    age = Counts(int((now + jump) * 1e9)).age()
    assert age is not None
    assert age >= 0


def test_a_database_that_is_damaged_meanwhile_is_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1, series=3000)
        run.logs = {"a": {"offset": 1}, "b": {"offset": 7}}
        assert run.saver.save()
        with sqlite3.connect(tmp_path / NAME) as other:
            other.execute("DROP TABLE slabs")
        other.close()
        count(run.store, 1)
        run.logs = {"a": {"offset": 2}}
        assert not run.saver.save()
        assert run.counts.damaged == 1
        count(run.store, 1)
        assert run.saver.save()
        wanted = [shown(run.store), {"a": {"offset": 2}, "b": {"offset": 7}}]
    assert restored(tmp_path) == wanted
    assert len([path for path in tmp_path.iterdir() if "damaged" in path.name]) == 1
    assert "written again" in caplog.text


def test_a_database_that_is_removed_meanwhile_is_written_anew(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1, series=3000)
        assert run.saver.save()
        for path in tmp_path.glob(f"{NAME}*"):
            path.unlink()
        count(run.store, 1)
        assert not run.saver.save()
        assert run.saver.save()
        wanted = [shown(run.store), {}]
    assert restored(tmp_path) == wanted


def test_positions_that_cannot_be_had_are_a_failed_save(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        count(run.store, 1)

        def fail() -> Any:
            raise RuntimeError("a bug")

        positions, run.saver._positions = run.saver._positions, fail
        assert not run.saver.save()
        run.saver._positions = positions
        assert run.saver.save()
        wanted = [shown(run.store), {}]
    assert restored(tmp_path) == wanted


# --- killed at every point -------------------------------------------------------------------------------------------

TURNS = 4
LINES = 40


class Points:
    """Ends the process at the given point; each call that touches the disk has one before it and one after it."""

    def __init__(self, last: int) -> None:
        self.left = last

    def reached(self) -> None:
        if self.left == 0:
            os._exit(9)
        self.left -= 1

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.reached()
            result = function(*args, **named)
            self.reached()
            return result

        return call

    def install(self) -> None:
        points = self

        class Connection(sqlite3.Connection):
            execute = points.around(sqlite3.Connection.execute)
            executemany = points.around(sqlite3.Connection.executemany)
            executescript = points.around(sqlite3.Connection.executescript)

        connect = sqlite3.connect
        sqlite3.connect = lambda *args, **named: connect(*args, factory=Connection, **named)  # type: ignore[assignment]
        for name in ("rename", "unlink", "fsync", "makedirs", "open", "ftruncate", "pwrite"):
            setattr(os, name, self.around(getattr(os, name)))


def count_lines(directory: str, last: int) -> None:
    """A run that counts what is left of LINES lines, with a save every few; its end is saved."""
    logging.disable()
    Points(last).install()
    with Run(Path(directory)) as run:
        assert run.opened.damaged == ""
        done = run.opened.kept.logs.get("log", {"offset": 0})["offset"]
        while done < LINES:
            for _ in range(LINES // TURNS):
                ops._store_add(run.store.metrics()[0], (), 1)
                ops._store_add(run.store.metrics()[1], (f"host{done}", "200"), done)
                done += 1
            run.logs = {"log": {"offset": done}}
            assert run.saver.save()


def ended(directory: Path, last: int) -> int:
    process = multiprocessing.get_context("fork").Process(target=count_lines, args=(str(directory), last))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
def test_a_kill_at_any_point_changes_no_total(tmp_path: Path) -> None:
    wanted = None
    for last in range(1000):
        directory = tmp_path / str(last)
        killed = ended(directory, last)
        assert killed in (0, 9)
        assert ended(directory, -1) == 0
        totals = [[(row[0], row[1]) for row in rows] for _, rows in restored(directory)[0]]
        wanted = wanted or totals
        assert totals == wanted
        assert dict(totals[1])[f"host{LINES - 1}", "200"] == LINES - 1
        assert len(totals[1]) == LINES
        assert totals[0] == [((), LINES)]
        if killed == 0:
            break
    assert last > 100
