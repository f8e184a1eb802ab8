"""`nativemtail state`: what it shows, and what it forgets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import kept as runs
import pytest
from kept import RECORD, Unfinished

from nativemtail.app import kept
from nativemtail.io.position import Position
from nativemtail.io.saved import Place, SavedLog, SavedSegment, key_of, tail_record
from nativemtail.state.lock import StateError

START = Position(0, 0, 0, 0, 0)


def place(path: str, offset: int) -> Place:
    return Place(path, 1, 2, 3, Position(offset, 0, 0, 0, 0), offset)


@pytest.fixture
def state(tmp_path: Path) -> str:
    logs = [
        SavedLog("/l/a.log", place("/l/a.log", 70), (place("/l/a.log.1", 1234),)),
        SavedLog("/l/gone"),
        SavedLog("/l/\udcff\n", place("/l/\udcff\n", 5)),
        SavedSegment("zstd:///z", "s1", 7, 90),
        SavedSegment("zstd:///z", "s2", 8, 91, is_done=True),
    ]
    with runs.Run(tmp_path) as run:
        runs.count(run.store, 1, series=500)
        run.logs = dict([tail_record(1, ["/l/*"]), *((key_of(log), log.to_dict()) for log in logs)])
        assert run.saver.save()
    return str(tmp_path)


def test_what_is_shown(state: str) -> None:
    when, *lines = kept.show(state).splitlines()
    assert re.fullmatch(r"saved \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ s ago, by nativemtail \S+", when)
    assert lines == [
        "",
        "offset  file         log",
        "  1234  /l/a.log.1   /l/a.log",
        "    70  /l/a.log",
        "     -  -            /l/gone",
        r'     5  "/l/\xff\n"',
        "    90  s1           zstd:///z",
        "",
        "series  program  metric",
        "     1  a.mtail  lines",
        "   500  a.mtail  hosts",
        "     2  a.mtail  state hidden",
        "     1  b.mtail  texts",
        "     1  b.mtail  times",
    ]


def test_before_the_first_save(tmp_path: Path) -> None:
    with runs.Run(tmp_path):
        assert kept.show(str(tmp_path)).splitlines()[0] == "nothing is saved yet"


def test_a_log_is_forgotten_by_its_path(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert kept.forget(state, ["l/a.log", "/l/\udcff\n"], []) == (
        "forgot 0 metrics with 0 label sets, and 2 positions\n"
    )
    page = kept.show(state)
    assert "a.log" not in page
    assert "/l/gone" in page
    assert "500  a.mtail" in page


def test_unfinished_records_are_forgotten_with_their_log(tmp_path: Path) -> None:
    with Unfinished(tmp_path) as run:
        run.unfinished = [RECORD, {**RECORD, "log": "/l/b.log"}]
        logs = SavedLog("/l/a.log"), SavedLog("/l/b.log")
        run.logs = dict([tail_record(1, ["/l/*"]), *((key_of(log), log.to_dict()) for log in logs)])
        assert run.saver.save()
    kept.forget(str(tmp_path), ["/l/b.log"], [])
    with Unfinished(tmp_path) as run:
        assert run.unfinished == [RECORD]


def test_segments_are_forgotten_by_their_source(state: str) -> None:
    assert kept.forget(state, ["zstd:///z"], []).endswith("and 2 positions\n")
    assert "zstd" not in kept.show(state)


def test_a_program_is_forgotten(state: str) -> None:
    assert kept.forget(state, [], ["b.mtail"]) == "forgot 2 metrics with 2 label sets, and 0 positions\n"
    page = kept.show(state)
    assert "b.mtail" not in page
    assert "500  a.mtail" in page
    assert "a.log" in page


@pytest.mark.parametrize(
    ("logs", "programs", "problem"),
    [
        (["/l/b.log"], [], 'there is nothing of a log "/l/b.log" in '),
        (["/l/a.log", "/l/b.log"], [], 'there is nothing of a log "/l/b.log" in '),
        (["/l/a.log"], ["a"], 'there is nothing of a program "a" in '),
    ],
)
def test_what_is_not_there_is_said_and_nothing_forgotten(
    logs: list[str], programs: list[str], problem: str, state: str
) -> None:
    before = kept.show(state).splitlines()[1:]
    with pytest.raises(StateError, match=problem + re.escape(state)):
        kept.forget(state, logs, programs)
    assert kept.show(state).splitlines()[1:] == before


def test_positions_that_are_wrong_are_said(tmp_path: Path) -> None:
    with runs.Run(tmp_path) as run:
        run.logs = {"x": {"kind": "unknown"}}
        assert run.saver.save()
    with pytest.raises(StateError, match=f"the state in {tmp_path} cannot be read: "):
        kept.show(str(tmp_path))


def test_a_directory_in_use_is_shown_but_not_changed(state: str) -> None:
    with runs.Run(Path(state)):
        assert "a.log" in kept.show(state)
        with pytest.raises(StateError, match=f"in use by process {os.getpid()}"):
            kept.forget(state, [], ["b.mtail"])
