"""Reloading: what of the data survives, what keeps running, what is tried again."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from loading import BAD, COUNT, TEXT_IN_GAUGE, Rig, limit_plans, named, values

from nativemtail import _core
from nativemtail.compiler.errors import CompileError
from nativemtail.programs.builder import Settings
from nativemtail.programs.directory import MAX_SIZE
from nativemtail.programs.manager import open_programs


def test_unchanged_programs_go_on(rig: Rig) -> None:
    rig.write(a=COUNT).load().feed(b"x")
    before = rig.programs.store.metrics()
    assert rig.programs.reload() is False
    assert rig.programs.store.metrics() == before
    assert rig.feed(b"x").values() == {"a:lines": 2}
    assert rig.status("a").loads == 1


def test_moved_declarations_keep_their_data(rig: Rig) -> None:
    rig.write(a=b"counter n by k\n/(\\w+)/ {\n  n[$1]++\n}\n").load().feed(b"x")
    rig.write(a=b"# moved\n\n  counter n by k\n/(\\w+)/ {\n  n[$1]++\n}\n")
    assert rig.programs.reload() is True
    assert rig.feed(b"x", b"y").values() == {"a:n:x": 2, "a:n:y": 1}
    assert rig.status("a").loads == 2
    assert [metric.source for metric in rig.programs.store.metrics()] == ["a.mtail:3:11"]


def test_expiry_survives(rig: Rig) -> None:
    text = b"counter n by k\n/(\\w+)/ {\n  n[$1]++\n  del n[$1] after 1h\n}\n"
    rig.write(a=text).load().feed(b"x")
    rig.write(a=b"\n" + text)
    rig.programs.reload()
    assert rig.programs.store.gc(time.time_ns() + 2 * 3600 * 10**9) == 1


def test_hidden_metrics_keep_their_data(rig: Rig) -> None:
    text = b"hidden gauge h\ncounter c\n/set/ {\n  h = 5\n}\n/get/ {\n  c = h\n}\n"
    rig.write(a=text).load().feed(b"set")
    rig.write(a=text + b"# changed\n")
    rig.programs.reload()
    assert rig.feed(b"get").values()["a:c"] == 5


def test_hidden_metrics_of_one_name_are_told_apart(rig: Rig) -> None:
    block = b'/%s (\\w+)/ {\n  hidden gauge h by k\n  h[$1]++\n  c["%s"] = h[$1]\n}\n'
    text = b"counter c by k\n" + block % (b"x", b"x") + block % (b"y", b"y")
    rig.write(a=text).load().feed(b"x 1", b"x 1", b"y 1")
    assert rig.values()["a:c:x"] == 2
    assert rig.values()["a:c:y"] == 1
    rig.write(a=text + b"# changed\n")
    rig.programs.reload()
    rig.feed(b"x 1", b"y 1")
    assert rig.values()["a:c:x"] == 3
    assert rig.values()["a:c:y"] == 2


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("histogram h buckets 1, 2", "histogram h buckets 1, 2, 3", None),
        ("histogram h buckets 1, 2", "histogram h buckets 1, 2\n", 1),
    ],
)
def test_changed_buckets_start_afresh(before: str, after: str, expected: int | None, rig: Rig) -> None:
    use = "\n/x/ {\n  h = 1\n}\n"
    rig.write(a=(before + use).encode()).load().feed(b"x")
    rig.write(a=(after + use).encode())
    rig.programs.reload()
    snapshot = rig.programs.store.snapshot()
    [metric] = snapshot.metrics()
    [row] = snapshot.rows(metric)
    assert row.count == (expected or 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("gauge m by k\n/(\\w+)/ {\n  m[$1] = 1\n}\n", "gauge m by j, k\n/(\\w+)/ {\n  m[$1][$1] = 1\n}\n"),
        ("gauge m by k\n/(\\w+)/ {\n  m[$1] = 1\n}\n", "gauge m by k\n/(\\w+)/ {\n  m[$1] = 1.5\n}\n"),
    ],
)
def test_changed_keys_and_types_start_afresh(before: str, after: str, rig: Rig) -> None:
    rig.write(a=before.encode()).load().feed(b"x")
    rig.write(a=after.encode())
    rig.programs.reload()
    assert rig.values() == {}
    assert len(rig.programs.store.metrics()) == 1


BROKEN = {
    "syntax": b"counter lines\n/$/ {\n",
    "undeclared": BAD,
    "pattern": b"counter lines\n/(/ {\n  lines++\n}\n",
    "kind": b"gauge lines\n/$/ {\n  lines = 1\n}\n",
    "a file of 17 MiB": bytes(17 << 20),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_still_broken_is_said_again_only_to_who_asks(
    kind: str, rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    real = rig.programs._compile

    def compile(name: str, text: bytes) -> Any:
        compiled.append(name)
        return real(name, text)

    monkeypatch.setattr(rig.programs, "_compile", compile)
    rig.write(a=COUNT).load()
    rig.write(b=BROKEN[kind])
    for number in range(5):
        rig.write(c=COUNT + b"# %d\n" % number).programs.reload(asked=False)
        assert "c.mtail" in rig.programs.names
    assert rig.status("b").load_errors == 1
    assert [record.levelname for record in caplog.records if "b.mtail" in record.message] == ["ERROR"]
    assert rig.status("b").error
    assert compiled.count("b.mtail") <= 1
    rig.programs.reload()
    assert rig.status("b").load_errors == 2
    rig.write(b=BROKEN[kind] + b"#\n" if len(BROKEN[kind]) < MAX_SIZE else bytes(18 << 20))
    rig.programs.reload(asked=False)
    assert rig.status("b").load_errors == (3 if len(BROKEN[kind]) < MAX_SIZE else 2)  # unread, it is the same
    rig.write(b=COUNT).programs.reload(asked=False)
    assert rig.status("b").error == ""
    before = rig.status("b").load_errors
    rig.write(b=BROKEN[kind]).programs.reload(asked=False)
    assert rig.status("b").load_errors == before + 1
    assert rig.status("b").running


def test_a_plan_that_takes_too_long_is_not_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    build = rig.programs._build

    def refusing(programs: list[tuple[Any, list[_core.Metric]]]) -> _core.Plan:
        if any(program.name == "b.mtail" for program, _ in programs):
            tried.append(1)
            raise CompileError("b.mtail", [(None, "The patterns of this program take too much")])
        return build(programs)

    monkeypatch.setattr(rig.programs, "_build", refusing)
    rig.write(a=COUNT, b=COUNT).programs.load(strict=False)
    for number in range(3):
        rig.write(c=COUNT + b"# %d\n" % number).programs.reload(asked=False)
    assert len(tried) == 1
    assert rig.status("b").load_errors == 1
    assert rig.programs.names == ["a.mtail", "c.mtail"]


@pytest.mark.parametrize("planned", ["too many", "conflicting"])
def test_what_cannot_run_beside_others_is_compiled_and_planned_once(
    planned: str, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it or one of the others changes."""
    compiled: list[str] = []
    plans: list[set[str]] = []
    compile = rig.programs._compile

    def count(name: str, text: bytes) -> Any:
        compiled.append(name)
        return compile(name, text)

    def refused(found: set[str]) -> bool:
        plans.append(found)
        return len(found) > 2 if planned == "too many" else {"a", "d"} <= found

    monkeypatch.setattr(rig.programs, "_compile", count)
    limit_plans(rig, monkeypatch, ValueError("too many patterns"), refused)
    rig.write(**named("a", "b")).load()
    rig.write(d=TEXT_IN_GAUGE.replace(b"lines", b"d")).programs.reload()
    assert "cannot run beside" in rig.status("d").error
    compiled.clear()
    plans.clear()
    for number in range(3):
        assert not rig.programs.reload()
        assert rig.status("d").load_errors == number + 2
    assert plans == []
    rig.write(b=named("b")["b"] + b"# changed\n").programs.reload()
    assert rig.status("b").loads == 2
    assert plans
    assert "d.mtail" not in compiled
    assert len([message for message in caplog.messages if "holds text" in message]) == 1
    (rig.directory / "a.mtail").unlink()
    rig.programs.reload()
    assert rig.programs.names == ["b.mtail", "d.mtail"]
    assert "d.mtail" not in compiled


def test_a_conflict_that_is_over_is_loaded_with_its_warnings(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(a=COUNT).load()
    rig.write(b=TEXT_IN_GAUGE).programs.reload()
    assert "different kind" in rig.status("b").error
    assert not [message for message in caplog.messages if "holds text" in message]
    (rig.directory / "a.mtail").unlink()
    rig.programs.reload()
    assert rig.programs.names == ["b.mtail"]
    assert len([message for message in caplog.messages if "holds text" in message]) == 1


def test_a_changed_kind_is_no_conflict_with_oneself(rig: Rig) -> None:
    rig.write(a=b"counter m\n/x/ {\n  m = 3\n}\n").load().feed(b"x")
    rig.write(a=b"gauge m\n/x/ {\n  m = 3\n}\n")
    rig.programs.reload()
    assert rig.status("a").error == ""
    assert [metric.kind for metric in rig.programs.store.metrics()] == [_core.GAUGE]
    assert rig.values() == {"a:m": 3}


def test_a_dropped_declaration_goes(rig: Rig) -> None:
    rig.write(a=b"counter m\ncounter n\n/x/ {\n  m++\n  n++\n}\n").load().feed(b"x")
    rig.write(a=b"counter n\n/x/ {\n  n++\n}\n")
    rig.programs.reload()
    assert rig.feed(b"x").values() == {"a:n": 2}


def test_a_broken_program_leaves_the_old_one(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig.write(a=COUNT, b=COUNT).load().feed(b"x")
    rig.write(a=BAD)
    for errors in (1, 2):
        assert rig.programs.reload() is False
        assert rig.status("a").load_errors == errors
    assert rig.feed(b"x").values() == {"a:lines": 2, "b:lines": 2}
    assert "not declared" in rig.status("a").error
    rig.write(a=COUNT)
    for _ in range(2):
        assert rig.programs.reload() is False
        assert rig.status("a").error == ""
    assert caplog.text.count("Program a.mtail is again what it was before the error") == 1


def test_a_conflict_leaves_the_old_one(rig: Rig) -> None:
    rig.write(a=COUNT, b=COUNT).load().feed(b"x")
    rig.write(b=b"gauge lines\n/$/ {\n  lines = 9\n}\n")
    rig.programs.reload()
    assert rig.feed(b"x").values() == {"a:lines": 2, "b:lines": 2}
    assert rig.status("b").error == "metric lines has different kind Gauge to existing Counter"


def test_added_and_removed_programs(rig: Rig) -> None:
    rig.write(a=COUNT).load().feed(b"x")
    (rig.directory / "a.mtail").unlink()
    rig.write(b=b"gauge lines\n/$/ {\n  lines = 7\n}\n")
    assert rig.programs.reload() is True
    assert rig.feed(b"x").values() == {"b:lines": 7}
    assert rig.status("a").unloads == 1
    assert not rig.status("a").running
    rig.write(a=COUNT)
    rig.programs.reload()
    assert "different kind" in rig.status("a").error


def test_a_single_file_that_vanishes_runs_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mtail"
    path.write_bytes(COUNT)
    programs = open_programs(Settings(paths=(str(path),)))
    programs.load(strict=True)
    path.unlink()
    assert programs.reload() is False
    programs.engine.scan(programs.engine.open("/log"), b"x\n", 0, 2)
    assert values(programs) == {"a:lines": 1}
    assert any("no such file or directory" in message for message in caplog.messages)


def test_a_directory_that_vanishes_runs_on(rig: Rig) -> None:
    rig.write(a=COUNT).load()
    (rig.directory / "a.mtail").unlink()
    rig.directory.rmdir()
    assert rig.programs.reload() is False
    assert rig.feed(b"x").values() == {"a:lines": 1}


def test_begin_runs_at_each_load_and_old_values_win(rig: Rig) -> None:
    text = b'gauge g by k\nbegin {\n  g["old"] = 1\n  g["new"] = 1\n}\n/(\\w+)/ {\n  g[$1] = 2\n}\n'
    rig.write(a=text.replace(b'  g["new"] = 1\n', b"")).load()
    assert rig.values() == {"a:g:old": 1}
    rig.feed(b"old")
    rig.programs.reload()
    assert rig.values() == {"a:g:old": 2}
    rig.write(a=text)
    rig.programs.reload()
    assert rig.values() == {"a:g:old": 2, "a:g:new": 1}


def test_the_filter_changes_with_the_program(rig: Rig) -> None:
    rig.write(a=b'log_filter "/one"\n' + COUNT).load()
    rig.feed(b"x", source="/one").feed(b"x", source="/two")
    assert rig.values() == {"a:lines": 1}
    rig.write(a=b'log_filter "/two"\n' + BAD)
    rig.programs.reload()
    assert rig.feed(b"x", source="/two").values() == {"a:lines": 1}
    rig.write(a=b'log_filter "/two"\n' + COUNT)
    rig.programs.reload()
    assert rig.feed(b"x", source="/two").values() == {"a:lines": 2}
