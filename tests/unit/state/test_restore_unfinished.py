"""Records of several lines that are unfinished at the instant of a save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kept import RECORD, Unfinished, count, opened

from nativemtail.state.database import Changes, Database, Record
from nativemtail.state.restore import unfinished_of


def kept(directory: Path) -> list[Record]:
    with Unfinished(directory) as run:
        return run.unfinished


def test_they_are_kept_with_the_instant(tmp_path: Path) -> None:
    with Unfinished(tmp_path) as run:
        run.unfinished = [RECORD, {**RECORD, "lines": 3}]
        assert run.saver.save()
    assert kept(tmp_path) == [RECORD, {**RECORD, "lines": 3}]


def test_a_change_of_them_alone_is_saved(tmp_path: Path) -> None:
    with Unfinished(tmp_path) as run:
        assert run.saver.save()
        for wanted in ([RECORD], []):
            run.unfinished = wanted
            before = run.counts.saves
            assert run.saver.save()
            assert run.saver.save()
            assert run.counts.saves == before + 1
    assert kept(tmp_path) == []


def test_a_save_that_failed_is_repeated_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "no space left")

    with Unfinished(tmp_path) as run:
        assert run.saver.save()
        run.unfinished = [RECORD]
        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", full)
            assert not run.saver.save()
        assert run.saver.save()
    assert kept(tmp_path) == [RECORD]


@pytest.mark.parametrize(
    "change",
    [
        {"log": None},
        {"lines": True},
        {"parts": -1},
        {"read_at": 1 << 63},
        {"stream": 1},
        {"text": "\u0100"},
        {"quoted": 0},
        {"more": 1},
    ],
)
def test_what_cannot_be_one_is_damage(tmp_path: Path, change: Record) -> None:
    with Unfinished(tmp_path) as run:
        count(run.store, 1)
        assert run.saver.save()
    database = Database(str(tmp_path))
    database.read_metrics(), database.read_logs()
    database.write(Changes({}, (), {}, {"time": 1, "unfinished": [{**RECORD, **change}]}))
    database.close()
    state = opened(tmp_path)
    assert state.damaged == "a record of several lines is wrong"
    assert state.kept.unfinished == []
    state.database.close()
    state.lock.close()


def test_an_instant_without_them() -> None:
    assert unfinished_of({"time": 1}) == []
