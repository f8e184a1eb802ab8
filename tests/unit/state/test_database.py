"""The database: what is written is read, or found to be damaged."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from kept import Run, count, opened, shown

from nativemtail.state.database import NAME, VERSION, Changes, Damaged, Database, is_damage
from nativemtail.state.lock import StateError
from nativemtail.state.restore import open_state

PAGE = 16_384


def made(directory: Path, *, amount: int = 1) -> Path:
    """A database with a save in it, closed; its path."""
    with Run(directory) as run:
        count(run.store, amount)
        run.logs = {"/var/log/a": {"offset": amount}, "/var/log/ü": {"offset": 2 * amount}}
        assert run.saver.save()
    return directory / NAME


def damage_of(directory: Path) -> str:
    """Why the state there could not be used; empty if it could."""
    state = opened(directory)
    state.database.close()
    state.lock.close()
    return state.damaged


def aside(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if "damaged" in path.name)


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    made(tmp_path)
    with Run(tmp_path) as run, Run(tmp_path / "other") as fresh:
        count(fresh.store, 1)
        assert shown(run.store) == shown(fresh.store)
        assert run.opened.kept.logs == {"/var/log/a": {"offset": 1}, "/var/log/ü": {"offset": 2}}
        assert run.opened.kept.time > 0
        assert run.opened.damaged == ""


def test_the_file_is_for_its_user_only(tmp_path: Path) -> None:
    assert stat.S_IMODE(made(tmp_path).stat().st_mode) == 0o600


def test_a_first_start_finds_nothing(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert (state.kept.metrics, state.kept.logs, state.kept.time, state.damaged) == ([], {}, 0, "")
    state.lock.close()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it is empty"),
        (b"hello", "it is not an SQLite database"),
        (b"\0" * 8192, "it is not an SQLite database"),
        (b"SQLite format 3\0" + b"\0" * 84, "its header is damaged"),
        (b"SQLite format 3\0\x10\0\1\1\0@  " + b"\0" * 5000, "malformed|not a database|something else|disk image"),
    ],
)
def test_what_is_no_database_is_moved_aside(
    tmp_path: Path, content: bytes, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    problem = damage_of(tmp_path)
    assert any(part in problem for part in text.split("|"))
    (name,) = aside(tmp_path)
    assert (tmp_path / name).read_bytes() == content
    assert [(record.levelno, problem in record.message, name in record.message) for record in caplog.records] == [
        (logging.ERROR, True, True)
    ]
    assert damage_of(tmp_path) == ""


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    assert damage_of(tmp_path) == "it is a database of something else"


@pytest.mark.parametrize("version", [0, VERSION + 1, -1, 2**31 - 1])
def test_an_unknown_version(tmp_path: Path, version: int) -> None:
    path = made(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert f"it has version {version}, and this nativemtail reads those up to {VERSION}" in damage_of(tmp_path)


def test_two_in_one_second_are_moved_aside_under_two_names(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / NAME).write_bytes(b"no")
        damage_of(tmp_path)
    assert len(aside(tmp_path)) == 3


def is_told_or_harmless(directory: Path, wanted: list[object]) -> bool:
    """Whether the state is found to be damaged, and what was restored otherwise is what had been saved."""
    with Run(directory) as run:
        if run.opened.damaged:
            return True
        assert [shown(run.store), run.opened.kept.logs] == wanted
        return False


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_told_or_harmless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One in every 61 bytes, another bit each time; all pages are hit."""
    caplog.set_level(logging.CRITICAL)
    path = made(tmp_path / "good")
    with Run(tmp_path / "good") as run:
        wanted = [shown(run.store), run.opened.kept.logs]
    good = path.read_bytes()
    told = set()
    for number, at in enumerate(range(0, len(good), 61)):
        directory = tmp_path / f"flipped{at}"
        directory.mkdir()
        flipped = bytearray(good)
        flipped[at] ^= 1 << number % 8
        (directory / NAME).write_bytes(flipped)
        if is_told_or_harmless(directory, wanted):
            told.add(at // PAGE)
        shutil.rmtree(directory)
    assert len(told) >= len(good) // PAGE - 1


@pytest.mark.parametrize("part", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_database_that_was_cut(tmp_path: Path, part: float) -> None:
    path = made(tmp_path)
    os.truncate(path, int(path.stat().st_size * part))
    assert damage_of(tmp_path)


def copy_with_wal(directory: Path, target: Path) -> Path:
    """What a process killed after its second save leaves: the second save is in the write-ahead log only."""
    with Run(directory) as run:
        count(run.store, 1)
        run.logs = {"a": {"offset": 1}}
        assert run.saver.save()
        sqlite3.connect(directory / NAME).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        count(run.store, 10)
        run.logs = {"a": {"offset": 2}}
        assert run.saver.save()
        target.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(directory / (NAME + suffix), target / (NAME + suffix))
    return target / f"{NAME}-wal"


def test_the_last_save_survives_a_kill(tmp_path: Path) -> None:
    assert copy_with_wal(tmp_path / "a", tmp_path / "b").stat().st_size > 0
    with Run(tmp_path / "b") as run:
        assert run.opened.kept.logs == {"a": {"offset": 2}}


@pytest.mark.slow
def test_a_damaged_write_ahead_log_gives_an_earlier_instant_or_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    wal = copy_with_wal(tmp_path / "a", tmp_path / "b")
    good = wal.read_bytes()
    database = (tmp_path / "b" / NAME).read_bytes()
    for number, at in enumerate(range(0, len(good), 997)):
        directory = tmp_path / f"c{at}"
        directory.mkdir()
        flipped = bytearray(good)
        flipped[at] ^= 1 << number % 8
        (directory / NAME).write_bytes(database)
        (directory / f"{NAME}-wal").write_bytes(flipped if number % 2 else good[:at])
        with Run(directory) as run:
            instants = {1: 1, 2: 11}
            if not run.opened.damaged:
                offset = run.opened.kept.logs["a"]["offset"]
                assert next(run.store.snapshot().rows(run.store.metrics()[0])).value == instants[offset]
        shutil.rmtree(directory)


def test_a_write_ahead_log_of_a_database_that_is_gone_is_not_used(tmp_path: Path) -> None:
    copy_with_wal(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / NAME).unlink()
    with Run(tmp_path / "b") as run:
        assert (run.opened.kept.metrics, run.opened.damaged) == ([], "")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE slabs SET image = x'00' WHERE id = (SELECT max(id) FROM slabs)", "checksum of row"),
        ("UPDATE slabs SET checksum = checksum + 1", "checksum of row"),
        ("UPDATE slabs SET image = 'text'", "checksum of row"),
        ("UPDATE metrics SET record = replace(record, 'hosts', 'hasts')", "checksum of row"),
        ("UPDATE logs SET record = '{}'", "checksum of row"),
        ("UPDATE instant SET record = '{}'", "checksum of row"),
        ("DELETE FROM slabs WHERE id = (SELECT max(id) FROM slabs)", "do not fit together"),
        ("DELETE FROM logs WHERE key LIKE '%a'", "rows are missing"),
        ("DELETE FROM instant", "rows are missing"),
        ("INSERT INTO slabs SELECT id + 10000000000, image, checksum FROM slabs", "rows of no metric"),
        ("DROP TABLE logs", "no such table"),
    ],
)
def test_rows_that_are_wrong_or_missing(tmp_path: Path, statement: str, problem: str) -> None:
    path = made(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert problem in damage_of(tmp_path)


def test_a_metric_that_is_missing(tmp_path: Path) -> None:
    path = made(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM slabs WHERE id >> 26 = 2")
        connection.execute("DELETE FROM metrics WHERE number = 2")
    connection.close()
    assert "rows are missing" in damage_of(tmp_path)


def test_rows_of_another_instant(tmp_path: Path) -> None:
    old = made(tmp_path / "old", amount=1)
    new = made(tmp_path / "new", amount=2)
    with sqlite3.connect(new) as connection:
        connection.execute("ATTACH ? AS old", (str(old),))
        connection.execute("INSERT OR REPLACE INTO slabs SELECT * FROM old.slabs WHERE id >> 26 = 2")
    connection.close()
    assert "one instant" in damage_of(tmp_path / "new")


def test_a_metric_of_the_future(tmp_path: Path) -> None:
    """Good checksums, but not what this version understands."""
    database = Database(str(tmp_path))
    database.write(Changes({1: {"name": "x"}}, [], {}, {"time": 1}))
    database.close()
    assert damage_of(tmp_path) == "metric 1 has other fields"


def test_records_of_logs_that_the_caller_refuses(tmp_path: Path) -> None:
    made(tmp_path)

    def refuse(records: object) -> int:
        if records:
            raise ValueError("no such kind of log")
        return 0

    state = open_state(str(tmp_path), refuse)
    assert (state.damaged, state.kept.metrics) == ("no such kind of log", [])
    state.database.close()
    state.lock.close()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    made(tmp_path)
    state = opened(tmp_path)

    def slabs() -> object:
        yield 2, 0, b"x"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        state.database.write(Changes({}, slabs(), {"a": {}}, {"time": 1}))  # type: ignore[arg-type]
    state.database.close()
    state.lock.close()
    assert damage_of(tmp_path) == ""


def test_damage_that_cannot_be_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(b"no")

    def refuse(*names: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StateError, match="is damaged and cannot be moved aside: Operation not permitted"):
        opened(tmp_path)


def test_unknown_damage_is_damage() -> None:
    assert is_damage(Damaged("x"))
    assert is_damage(sqlite3.OperationalError("Could not decode to UTF-8 column"))
    assert not is_damage(OSError("x"))
