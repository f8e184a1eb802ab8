"""What is remembered of the ends of a log's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lives import Lives
from rig import append

from nativemtail.io import table as table_module
from nativemtail.io.followed import Followed
from nativemtail.io.position import Position
from nativemtail.io.table import Table


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Lives]:
    log = tmp_path / "app.log"
    log.touch()
    with Lives(log) as process:
        append(log, b"a line\n")
        process.read([b"a line"])
        yield process


def table_of(process: Lives) -> Table:
    return process.tailer._discovery._table


def reader_of(process: Lives) -> Followed:
    (reader,) = table_of(process).readers.values()
    return reader


def test_ends_are_in_the_order_of_rotation(process: Lives) -> None:
    """Not of closing: a file that is renamed is closed later than one that is truncated."""
    table, reader = table_of(process), reader_of(process)
    reader.turn_of_rotation = table.next_turn()
    table.note_past("app.log", Position(1))
    table.note_past("app.log", Position(2))
    table.note_end("app.log", reader)
    assert table.ends("app.log") == [reader.position, Position(1), Position(2)]
    reader.turn_of_rotation = 0  # it was never rotated: this is its end
    table.note_end("app.log", reader)
    assert table.ends("app.log")[-1] == reader.position


def test_end_that_was_known_before_a_restart_is_older_than_all_others(process: Lives) -> None:
    table, reader = table_of(process), reader_of(process)
    reader.turn_of_rotation = -1
    for offset in range(20):
        table.note_past("app.log", Position(offset))
    table.note_end("app.log", reader)
    assert reader.position not in table.ends("app.log")


def test_file_that_was_deleted_at_its_path_will_not_be_found(process: Lives) -> None:
    table, reader = table_of(process), reader_of(process)
    os.unlink(reader.path)
    table.note_end(reader.path, reader)
    assert not table.ends(reader.path)
    assert list(table.past(reader.path)) == [reader.position]  # a backup may still restore it


def test_file_that_was_renamed_and_deleted_may_be_found_compressed(process: Lives) -> None:
    table, reader = table_of(process), reader_of(process)
    os.rename(reader.path, f"{reader.path}.1")
    os.unlink(f"{reader.path}.1")
    table.note_end(reader.path, reader)
    assert table.ends(reader.path) == [reader.position]


def test_logs_that_are_gone_are_forgotten_one_day(process: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would add up, such as one log per job."""
    monkeypatch.setattr(table_module, "REMEMBERED", 16)
    table, present = table_of(process), process.kept.keys()
    for number in range(5):
        table.note_past(f"/gone/{number}.log", Position(7, 7, number))
        process.save()
    assert process.kept.keys() == present | {"/gone/3.log", "/gone/4.log"}
