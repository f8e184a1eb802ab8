"""Looking at a state, and taking parts out of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from kept import Run, count, shown

from nativemtail.state.contents import Contents, forget, look
from nativemtail.state.database import NAME
from nativemtail.state.lock import StateError


def saved(directory: Path) -> None:
    with Run(directory) as run:
        count(run.store, 1, series=500)
        run.logs = {"a": {"offset": 1}, "b": {"offset": 2}}
        assert run.saver.save()


def test_everything_is_shown_in_order(tmp_path: Path) -> None:
    saved(tmp_path)
    contents = look(str(tmp_path))
    assert [(m["name"], m["count"]) for m in contents.metrics.values()] == [
        ("lines", 1),
        ("hosts", 500),
        *[("state", 1)] * 2,
        ("texts", 1),
        ("times", 1),
    ]
    assert contents.logs == {"a": {"offset": 1}, "b": {"offset": 2}}
    assert contents.about["time"] > 0


def test_nothing_is_there_before_the_first_save(tmp_path: Path) -> None:
    with Run(tmp_path):
        assert look(str(tmp_path)) == Contents({}, {}, {})


def test_a_run_is_not_disturbed_and_may_save_meanwhile(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        stop = threading.Event()
        seen: list[int] = []

        def watch() -> None:
            while not stop.is_set():
                contents = look(str(tmp_path))
                numbers = [record["count"] for record in contents.metrics.values()]
                assert not numbers or numbers[1] == contents.logs["a"]["series"]
                seen.append(len(numbers))

        watching = threading.Thread(target=watch)
        watching.start()
        for amount in range(1, 10):
            count(run.store, 1, series=20 * amount)
            run.logs = {"a": {"series": 20 * amount}}
            assert run.saver.save()
        stop.set()
        watching.join()
        assert seen
        assert run.counts.damaged == 0


def test_only_what_is_chosen_stays(tmp_path: Path) -> None:
    saved(tmp_path)
    with Run(tmp_path) as run:
        rows = {row[0][0]: row for row in shown(run.store)}
    age = look(str(tmp_path)).about

    def without_b(contents: Contents) -> Contents:
        metrics = {n: record for n, record in contents.metrics.items() if record["program"] != "b.mtail"}
        return contents._replace(metrics=metrics, logs={"b": contents.logs["b"]})

    after = forget(str(tmp_path), without_b)
    assert look(str(tmp_path))[:2] == after[:2]
    with Run(tmp_path) as run:
        assert run.opened.damaged == ""
        assert shown(run.store)[:2] == [rows["lines"], rows["hosts"]]
        assert [metric.name for metric in run.store.metrics()] == ["lines", "hosts", "state", "state"]
        assert run.opened.kept.logs == {"b": {"offset": 2}}
        assert run.opened.kept.time == age["time"]
        count(run.store, 1)
        assert run.saver.save()


def test_nothing_is_written_if_the_choice_fails(tmp_path: Path) -> None:
    saved(tmp_path)
    before = look(str(tmp_path))

    def refuse(contents: Contents) -> Contents:
        raise StateError("no")

    with pytest.raises(StateError, match="no"):
        forget(str(tmp_path), refuse)
    assert look(str(tmp_path)) == before


def test_a_directory_in_use_is_not_changed(tmp_path: Path) -> None:
    with Run(tmp_path), pytest.raises(StateError, match=f"in use by process {os.getpid()}"):
        forget(str(tmp_path), lambda contents: contents)


def test_a_directory_without_a_state_stays_as_it_is(tmp_path: Path) -> None:
    for task in (look, lambda directory: forget(directory, lambda contents: contents)):
        with pytest.raises(StateError, match=f"there is no {NAME} in {tmp_path}"):
            task(str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 1000])
def test_damage_is_said_and_not_mended(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    for task in (look, lambda directory: forget(directory, lambda contents: contents)):
        with pytest.raises(StateError, match=f"the state in {tmp_path} cannot be read: "):
            task(str(tmp_path))
    assert (tmp_path / NAME).read_bytes() == content
