"""Loading, reloading, and what of the data survives."""

from __future__ import annotations

import importlib
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nativemtail import _core
from nativemtail.compiler import ast
from nativemtail.compiler.errors import CompileError
from nativemtail.io import doubts
from nativemtail.io.patterns import parse_logs
from nativemtail.options import Options
from nativemtail.programs import manager
from nativemtail.programs.manager import (
    MAX_SIZE,
    FaultLog,
    LoadError,
    Programs,
    Status,
    list_programs,
    open_programs,
    read_program,
)

COUNT = b"counter lines\n/$/ {\n  lines++\n}\n"
BAD = b"counter lines\n/$/ {\n  other++\n}\n"


class House:
    """A directory of programs and what runs of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = open_programs(Options(progs=str(directory)))

    def write(self, **programs: bytes) -> House:
        for name, text in programs.items():
            (self.directory / f"{name}.mtail").write_bytes(text)
        return self

    def load(self) -> House:
        self.programs.load(strict=True)
        return self

    def feed(self, *lines: bytes, source: str = "/log") -> House:
        block = b"".join(line + b"\n" for line in lines)
        self.programs.engine.scan(self.programs.engine.open(source), block, 0, len(block))
        return self

    def values(self) -> dict[str, object]:
        """Values by `program:name`, and the labels if there are any."""
        return values(self.programs)

    def status(self, name: str) -> Status:
        return self.programs.status[f"{name}.mtail"]


def values(programs: Programs) -> dict[str, object]:
    snapshot = programs.store.snapshot()
    return {
        ":".join([metric.program.removesuffix(".mtail"), metric.name, *row.labels]): row.value
        for metric in snapshot.metrics()
        for row in snapshot.rows(metric)
    }


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# --- what is loaded ------------------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    for name in ("b.mtail", "a.mtail", "B.mtail", ".hidden.mtail", "c.mtail.bak", "readme", "ä.mtail"):
        (tmp_path / name).touch()
    (tmp_path / "directory.mtail").mkdir()
    assert [name for name, _ in list_programs(str(tmp_path))] == ["B.mtail", "a.mtail", "b.mtail", "ä.mtail"]
    assert list_programs(str(tmp_path / "a.mtail")) == [("a.mtail", str(tmp_path / "a.mtail"))]
    assert list_programs(str(tmp_path / "readme")) == []
    assert list_programs(str(tmp_path / ".hidden.mtail")) == []


def test_every_program_sees_every_line(house: House) -> None:
    house.write(a=COUNT, b=COUNT).load().feed(b"x", b"y")
    assert house.values() == {"a:lines": 2, "b:lines": 2}
    assert house.programs.names == ["a.mtail", "b.mtail"]
    assert house.status("a").loads == 1
    assert house.status("a").running


def test_strict_stops_at_the_first_failure(house: House) -> None:
    house.write(a=COUNT, b=BAD, c=BAD)
    with pytest.raises(
        LoadError, match=r"\Acompile failed for b\.mtail:\nb\.mtail:3:3-7: Identifier `other' not declared"
    ):
        house.load()
    assert "c.mtail" not in house.programs.status
    assert house.values() == {}


def test_what_the_engine_refuses_stops_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns can be too large for the machine though they compile; what ran before runs on."""
    build = house.programs._build

    def refusing(programs: list[tuple[Any, list[_core.Metric]]]) -> _core.Plan:
        if any(metric.name == "big" for _, metrics in programs for metric in metrics):
            raise ValueError("pattern too large for this machine: /x/")
        return build(programs)

    monkeypatch.setattr(house.programs, "_build", refusing)
    big = COUNT.replace(b"lines", b"big")
    house.write(a=COUNT, b=big).programs.load(strict=False)
    assert house.programs.names == ["a.mtail"]
    assert house.status("b").error == "compile failed for b.mtail:\nb.mtail: pattern too large for this machine: /x/"
    house.write(a=big).programs.reload()
    assert house.programs.names == ["a.mtail"]
    assert house.feed(b"x").values() == {"a:lines": 1}
    assert house.status("a").load_errors == 1
    with pytest.raises(LoadError, match="too large"):
        house.programs.load(strict=True)


Planned = list[tuple[Any, list[_core.Metric]]]


def limit_plans(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception, refused: Callable[[set[str]], bool]
) -> None:
    """Have `error` for plans of programs whose texts' first words are `refused`."""
    build = house.programs._build

    def building(programs: Planned) -> _core.Plan:
        if refused({metric.name for _, metrics in programs for metric in metrics}):
            raise error
        return build(programs)

    monkeypatch.setattr(house.programs, "_build", building)


def named(*names: str) -> dict[str, bytes]:
    """Programs, each with one counter of its own name."""
    return {name: COUNT.replace(b"lines", name.encode()) for name in names}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("too many patterns"), "a: too many patterns"),
        (MemoryError(), "Internal compiler error, aborting compilation: MemoryError"),
        (ZeroDivisionError("x"), "Internal compiler error, aborting compilation: ZeroDivisionError: x"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), "Internal compiler error, aborting compilation: Unicode"),
    ],
)
def test_what_cannot_be_planned_stops_no_other(
    error: Exception, expected: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number:02}" for number in range(20)]
    limit_plans(house, monkeypatch, error, lambda found: not found.isdisjoint({"p03", "p04", "p17"}))
    house.write(**named(*names)).programs.load(strict=False)
    assert house.programs.names == [f"{name}.mtail" for name in names if name not in ("p03", "p04", "p17")]
    for name in ("p03", "p04", "p17"):
        assert expected.replace("a:", f"{name}.mtail:") in house.status(name).error
        assert "beside" not in house.status(name).error
        assert house.status(name).load_errors == 1


def test_programs_that_are_too_much_together_lose_their_last(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_plans(house, monkeypatch, ValueError("too many patterns"), lambda found: len(found) > 5)
    house.write(**named("c", "d", "e")).load()
    house.write(**named("a", "b", "f", "g")).programs.reload()
    assert house.programs.names == ["a.mtail", "b.mtail", "c.mtail", "d.mtail", "e.mtail"]
    for name in ("f", "g"):
        assert "too many patterns\n" in house.status(name).error
        assert "cannot run beside the programs that are loaded" in house.status(name).error
    house.write(c=named("c")["c"] + b"#").programs.reload()
    assert house.status("c").loads == 2


def test_the_program_that_a_plan_names_is_left_out_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    error = CompileError("b.mtail", [(ast.Position("b.mtail", 2, 1, 3), "this takes too long")])
    plans: list[set[str]] = []

    def refused(found: set[str]) -> bool:
        plans.append(found)
        return "b" in found

    limit_plans(house, monkeypatch, error, refused)
    house.write(**named("a", "b", "c")).programs.load(strict=False)
    assert house.programs.names == ["a.mtail", "c.mtail"]
    assert house.status("b").error == "compile failed for b.mtail:\nb.mtail:2:1-3: this takes too long"
    assert plans == [{"a", "b", "c"}, {"a", "c"}, {"a", "c"}]


def test_an_old_program_that_stays_keeps_out_what_conflicts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new `a` makes room for `b`, but cannot be planned: then the old one runs on, and `b` is what does not fit."""
    house.write(a=COUNT).load()
    limit_plans(house, monkeypatch, ValueError("too large"), lambda found: "big" in found)
    house.write(a=COUNT.replace(b"lines", b"big"), b=b"gauge lines\n/$/ {\n  lines = 7\n}\n").programs.reload()
    assert house.feed(b"x").values() == {"a:lines": 1}
    assert "different kind" in house.status("b").error
    assert "too large" in house.status("a").error


def test_a_daemon_runs_the_good_ones(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(a=COUNT, b=BAD, c=COUNT)
    house.programs.load(strict=False)
    house.feed(b"x")
    assert house.values() == {"a:lines": 1, "c:lines": 1}
    assert "Identifier `other' not declared" in house.status("b").error
    assert house.status("b").load_errors == 1
    assert not house.status("b").running
    assert any(message.startswith("compile failed for b.mtail:") for message in caplog.messages)


def test_unreadable(house: House) -> None:
    (house.directory / "a.mtail").symlink_to("a.mtail")
    with pytest.raises(LoadError, match=r'Failed to read program ".*a\.mtail": open .*a\.mtail: too many levels'):
        house.load()
    assert house.status("a").load_errors == 1


def test_what_is_no_file(house: House) -> None:
    os.mkfifo(house.directory / "a.mtail")
    with pytest.raises(LoadError, match="not a regular file"):
        house.load()
    (house.directory / "a.mtail").unlink()
    (house.directory / "a.mtail").symlink_to("nowhere")
    with pytest.raises(LoadError, match="no such file or directory"):
        house.load()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 << 30)


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "directory": (lambda path: path.symlink_to("/"), "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "terminal": (lambda path: path.symlink_to("/dev/ptmx"), "not a regular file"),
    "pipe": (os.mkfifo, "not a regular file"),
    "sparse": (_sparse, "larger than 16 MiB"),
    "long": (lambda path: path.write_bytes(b"#" * (MAX_SIZE + 1)), "larger than 16 MiB"),
    "no size": (lambda path: path.symlink_to("/proc/self/pagemap"), "larger than 16 MiB"),
    "no end": (lambda path: path.symlink_to("/proc/kmsg"), "kmsg|a.mtail"),
    "no read": (lambda path: path.symlink_to("/proc/self/mem"), "input/output error"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_program_stops_no_other(kind: str, house: House) -> None:
    make, expected = BAD_FILES[kind]
    make(house.directory / "a.mtail")
    house.write(b=COUNT).programs.load(strict=False)
    before = os.listdir("/proc/self/fd")
    house.write(c=COUNT).programs.reload()
    assert house.feed(b"x").values() == {"b:lines": 1, "c:lines": 1}
    assert re.search(expected, house.status("a").error)
    assert house.status("a").load_errors == 2
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(LoadError, match=expected):
        House(house.directory).load()


def test_a_program_as_long_as_one_may_be_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mtail").write_bytes(b"#" * MAX_SIZE)
    assert read_program(str(tmp_path / "a.mtail")) == b"#" * MAX_SIZE


@pytest.mark.parametrize("name", [b"b\xffad.mtail", b"\xe2\x82.mtail", b"\xed\xa0\x80<&\n.mtail"])
def test_names_that_are_not_utf8(name: bytes, house: House, caplog: pytest.LogCaptureFixture) -> None:
    path = os.fsencode(house.directory) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(COUNT)
    house.load().feed(b"x")
    [shown] = house.programs.names
    assert shown == "".join(chr(byte) if byte < 128 else "\ufffd" for byte in name)
    assert list(house.values().values()) == [1]
    assert house.programs.dump(shown)
    shown.encode()
    Path(os.fsdecode(path)).write_bytes(BAD)
    assert house.programs.reload() is False
    house.programs.status[shown].error.encode()


def test_names_that_look_the_same_are_two(house: House) -> None:
    for name in (b"b\xfe.mtail", b"b\xff.mtail", "b\ufffd.mtail".encode()):
        Path(os.fsdecode(os.fsencode(house.directory) + b"/" + name)).write_bytes(COUNT)
    house.load()
    assert house.feed(b"x").values() == {"b\ufffd:lines": 1, "b\ufffd~:lines": 1, "b\ufffd~~:lines": 1}
    assert house.programs.reload() is False


@pytest.mark.parametrize("error", [IndexError("list index out of range"), RecursionError("too deep"), MemoryError()])
@pytest.mark.parametrize("stage", ["parser.parse", "codegen.generate"])
def test_a_defect_of_ours_stops_no_other(
    stage: str, error: Exception, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = stage.split(".")
    compile_stage = getattr(importlib.import_module(f"nativemtail.compiler.{module}"), name)

    def failing(program: str, *rest: Any) -> Any:
        if program == "a.mtail":
            node = ast.Node(ast.Position(program, 3, 2, 7))
            assert node
            raise error
        return compile_stage(program, *rest)

    monkeypatch.setattr(f"nativemtail.compiler.{stage}", failing)
    house.write(a=COUNT, b=COUNT).programs.load(strict=False)
    assert house.feed(b"x").values() == {"b:lines": 1}
    text = f"{type(error).__name__}: {error}" if str(error) else "MemoryError"
    expected = f"compile failed for a.mtail:\na.mtail:3:2-7: Internal compiler error, aborting compilation: {text}"
    assert house.status("a").error == expected
    assert house.status("a").load_errors == 1
    with pytest.raises(LoadError, match="Internal compiler error"):
        House(house.directory).load()


def test_a_program_whose_patterns_take_too_much_stops_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nativemtail.compiler.budget.BYTES", 10_000)
    house.write(a=b"counter c\n/x/ {\n  c++\n}\n/\\pL+/ {\n  c++\n}\n", b=COUNT).programs.load(strict=False)
    assert house.feed(b"x").values() == {"b:lines": 1}
    expected = r"^compile failed for a.mtail:\na.mtail:\d:1: The patterns of this program take too much: 2 of them took"
    assert re.match(expected, house.status("a").error)
    assert house.status("a").load_errors == 1


def test_what_is_only_told_stops_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def failing(_: object) -> None:
        raise TypeError("a defect")

    house.programs._about_to_run = failing
    house.write(a=COUNT).load()
    assert house.feed(b"x").values() == {"a:lines": 1}
    assert "could not be found out" in caplog.text


def test_memory_that_is_short_while_a_program_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read = manager.read_program

    def reading(path: str) -> bytes:
        if path.endswith("a.mtail"):
            raise MemoryError
        return read(path)

    monkeypatch.setattr(manager, "read_program", reading)
    house.write(a=COUNT, b=COUNT).programs.load(strict=False)
    assert house.feed(b"x").values() == {"b:lines": 1}
    assert house.status("a").error == (
        "compile failed for a.mtail:\na.mtail: Internal compiler error, aborting compilation: MemoryError"
    )


def test_missing_directory(tmp_path: Path) -> None:
    programs = open_programs(Options(progs=str(tmp_path / "none")))
    with pytest.raises(LoadError, match=r"-progs: stat .*none: no such file or directory"):
        programs.load(strict=True)


def test_unknown_zone() -> None:
    with pytest.raises(LoadError, match='Couldn\'t parse timezone "Foo/Bar": unknown time zone Foo/Bar'):
        open_programs(Options(override_timezone="Foo/Bar"))


# --- names and kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("counter c", "gauge c", "metric c has different kind Gauge to existing Counter"),
        ('counter x as "c"', "timer c", "metric c has different kind Timer to existing Counter"),
        ("counter c", "counter c", None),
        ("counter c", "counter c by k", None),
        ("hidden counter c", "gauge c", None),
        ("counter c", "hidden gauge c", None),
        ("hidden gauge c", "hidden text c", None),
    ],
)
def test_kinds(a: str, b: str, message: str | None, house: House) -> None:
    def program(declaration: str) -> bytes:
        name = declaration.replace("hidden ", "").split()[1]
        key = "[$0]" if " by " in declaration else ""
        value = '"x"' if "text" in declaration else "1"
        return f"{declaration}\n/x/ {{\n  {name}{key} = {value}\n}}\n".encode()

    house.write(a=program(a), b=program(b))
    if message is None:
        house.load()
        return
    with pytest.raises(LoadError) as caught:
        house.load()
    assert str(caught.value) == message
    house.programs.load(strict=False)
    assert house.status("b").load_errors == 2
    assert [metric.program for metric in house.programs.store.metrics()] == ["a.mtail"]


def test_equal_declarations_are_one_metric(house: House) -> None:
    house.write(a=b"/a/ {\n counter c by k\n c[$0]++\n}\n/b/ {\n counter c by k limit 7\n c[$0]++\n}\n").load()
    house.feed(b"a", b"b")
    assert house.values() == {"a:c:a": 1, "a:c:b": 1}
    [metric] = house.programs.store.metrics()
    assert (metric.limit, metric.source) == (7, "a.mtail:6:10")


def test_other_keys_are_another_metric(house: House) -> None:
    house.write(a=b"/a/ {\n counter c by k\n c[$0]++\n}\n/b/ {\n counter c by l\n c[$0]++\n}\n").load()
    house.feed(b"a", b"b")
    assert len(house.programs.store.metrics()) == 2
    assert house.values() == {"a:c:a": 1, "a:c:b": 1}


# --- reloading -----------------------------------------------------------------------------------------------


def test_unchanged_programs_go_on(house: House) -> None:
    house.write(a=COUNT).load().feed(b"x")
    before = house.programs.store.metrics()
    assert house.programs.reload() is False
    assert house.programs.store.metrics() == before
    assert house.feed(b"x").values() == {"a:lines": 2}
    assert house.status("a").loads == 1


def test_moved_declarations_keep_their_data(house: House) -> None:
    house.write(a=b"counter n by k\n/(\\w+)/ {\n  n[$1]++\n}\n").load().feed(b"x")
    house.write(a=b"# moved\n\n  counter n by k\n/(\\w+)/ {\n  n[$1]++\n}\n")
    assert house.programs.reload() is True
    assert house.feed(b"x", b"y").values() == {"a:n:x": 2, "a:n:y": 1}
    assert house.status("a").loads == 2
    assert [metric.source for metric in house.programs.store.metrics()] == ["a.mtail:3:11"]


def test_expiry_survives(house: House) -> None:
    text = b"counter n by k\n/(\\w+)/ {\n  n[$1]++\n  del n[$1] after 1h\n}\n"
    house.write(a=text).load().feed(b"x")
    house.write(a=b"\n" + text)
    house.programs.reload()
    assert house.programs.store.gc(time.time_ns() + 2 * 3600 * 10**9) == 1


def test_hidden_metrics_keep_their_data(house: House) -> None:
    text = b"hidden gauge h\ncounter c\n/set/ {\n  h = 5\n}\n/get/ {\n  c = h\n}\n"
    house.write(a=text).load().feed(b"set")
    house.write(a=text + b"# changed\n")
    house.programs.reload()
    assert house.feed(b"get").values()["a:c"] == 5


def test_hidden_metrics_of_one_name_are_told_apart(house: House) -> None:
    block = b'/%s (\\w+)/ {\n  hidden gauge h by k\n  h[$1]++\n  c["%s"] = h[$1]\n}\n'
    text = b"counter c by k\n" + block % (b"x", b"x") + block % (b"y", b"y")
    house.write(a=text).load().feed(b"x 1", b"x 1", b"y 1")
    assert house.values()["a:c:x"] == 2
    assert house.values()["a:c:y"] == 1
    house.write(a=text + b"# changed\n")
    house.programs.reload()
    house.feed(b"x 1", b"y 1")
    assert house.values()["a:c:x"] == 3
    assert house.values()["a:c:y"] == 2


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("histogram h buckets 1, 2", "histogram h buckets 1, 2, 3", None),
        ("histogram h buckets 1, 2", "histogram h buckets 1, 2\n", 1),
    ],
)
def test_changed_buckets_start_afresh(before: str, after: str, expected: int | None, house: House) -> None:
    use = "\n/x/ {\n  h = 1\n}\n"
    house.write(a=(before + use).encode()).load().feed(b"x")
    house.write(a=(after + use).encode())
    house.programs.reload()
    snapshot = house.programs.store.snapshot()
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
def test_changed_keys_and_types_start_afresh(before: str, after: str, house: House) -> None:
    house.write(a=before.encode()).load().feed(b"x")
    house.write(a=after.encode())
    house.programs.reload()
    assert house.values() == {}
    assert len(house.programs.store.metrics()) == 1


def test_a_changed_kind_is_no_conflict_with_oneself(house: House) -> None:
    house.write(a=b"counter m\n/x/ {\n  m = 3\n}\n").load().feed(b"x")
    house.write(a=b"gauge m\n/x/ {\n  m = 3\n}\n")
    house.programs.reload()
    assert house.status("a").error == ""
    assert [metric.kind for metric in house.programs.store.metrics()] == [_core.GAUGE]
    assert house.values() == {"a:m": 3}


def test_a_dropped_declaration_goes(house: House) -> None:
    house.write(a=b"counter m\ncounter n\n/x/ {\n  m++\n  n++\n}\n").load().feed(b"x")
    house.write(a=b"counter n\n/x/ {\n  n++\n}\n")
    house.programs.reload()
    assert house.feed(b"x").values() == {"a:n": 2}


def test_a_broken_program_leaves_the_old_one(house: House) -> None:
    house.write(a=COUNT, b=COUNT).load().feed(b"x")
    house.write(a=BAD)
    for errors in (1, 2):
        assert house.programs.reload() is False
        assert house.status("a").load_errors == errors
    assert house.feed(b"x").values() == {"a:lines": 2, "b:lines": 2}
    assert "not declared" in house.status("a").error
    house.write(a=COUNT)
    assert house.programs.reload() is False
    assert house.status("a").error == ""


def test_a_conflict_leaves_the_old_one(house: House) -> None:
    house.write(a=COUNT, b=COUNT).load().feed(b"x")
    house.write(b=b"gauge lines\n/$/ {\n  lines = 9\n}\n")
    house.programs.reload()
    assert house.feed(b"x").values() == {"a:lines": 2, "b:lines": 2}
    assert house.status("b").error == "metric lines has different kind Gauge to existing Counter"


def test_added_and_removed_programs(house: House) -> None:
    house.write(a=COUNT).load().feed(b"x")
    (house.directory / "a.mtail").unlink()
    house.write(b=b"gauge lines\n/$/ {\n  lines = 7\n}\n")
    assert house.programs.reload() is True
    assert house.feed(b"x").values() == {"b:lines": 7}
    assert house.status("a").unloads == 1
    assert not house.status("a").running
    house.write(a=COUNT)
    house.programs.reload()
    assert "different kind" in house.status("a").error


def test_a_single_file_that_vanishes_runs_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mtail"
    path.write_bytes(COUNT)
    programs = open_programs(Options(progs=str(path)))
    programs.load(strict=True)
    path.unlink()
    assert programs.reload() is False
    programs.engine.scan(programs.engine.open("/log"), b"x\n", 0, 2)
    assert values(programs) == {"a:lines": 1}
    assert any("no such file or directory" in message for message in caplog.messages)


def test_a_directory_that_vanishes_runs_on(house: House) -> None:
    house.write(a=COUNT).load()
    (house.directory / "a.mtail").unlink()
    house.directory.rmdir()
    assert house.programs.reload() is False
    assert house.feed(b"x").values() == {"a:lines": 1}


def test_begin_runs_at_each_load_and_old_values_win(house: House) -> None:
    text = b'gauge g by k\nbegin {\n  g["old"] = 1\n  g["new"] = 1\n}\n/(\\w+)/ {\n  g[$1] = 2\n}\n'
    house.write(a=text.replace(b'  g["new"] = 1\n', b"")).load()
    assert house.values() == {"a:g:old": 1}
    house.feed(b"old")
    house.programs.reload()
    assert house.values() == {"a:g:old": 2}
    house.write(a=text)
    house.programs.reload()
    assert house.values() == {"a:g:old": 2, "a:g:new": 1}


def test_the_filter_changes_with_the_program(house: House) -> None:
    house.write(a=b'log_filter "/one"\n' + COUNT).load()
    house.feed(b"x", source="/one").feed(b"x", source="/two")
    assert house.values() == {"a:lines": 1}
    house.write(a=b'log_filter "/two"\n' + BAD)
    house.programs.reload()
    assert house.feed(b"x", source="/two").values() == {"a:lines": 1}
    house.write(a=b'log_filter "/two"\n' + COUNT)
    house.programs.reload()
    assert house.feed(b"x", source="/two").values() == {"a:lines": 2}


# --- run-time errors -----------------------------------------------------------------------------------------

FAULTY = b"counter n\n/(\\w+)/ {\n  n = int($1)\n}\n"


def test_faults_are_logged_and_limited(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(house.programs, logged=True, limit=3, period=3600)
    house.feed(b"one", *[b"more"] * 9)
    faults.collect()
    assert len(caplog.messages) == 3
    text = caplog.messages[0]
    assert text.startswith('a.mtail: Runtime error: strconv.ParseInt: parsing "one": invalid syntax\n')
    assert "originating in a.mtail at line 3\n" in text
    assert text.endswith('Full input text from "/log" was "one"')
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    faults.summarise()
    assert caplog.messages[3:] == ["a.mtail: 7 further runtime errors"]
    assert house.status("a").runtime_errors == 10
    assert 'was "more"' in house.status("a").last_runtime_error


def test_a_new_period_logs_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(house.programs, logged=True, limit=1, period=0)
    for _ in range(3):
        house.feed(b"one", b"two")
        faults.collect()
    assert sum("Runtime error" in message for message in caplog.messages) == 3
    assert sum("1 further" in message for message in caplog.messages) == 2


def test_silent_faults_are_counted(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(house.programs, logged=False, limit=1, period=3600)
    house.feed(*[b"one"] * 250)
    faults.collect()
    faults.summarise()
    assert caplog.messages == []
    assert house.status("a").runtime_errors == 250


@pytest.mark.parametrize("ran", [False, True], ids=["never ran", "ran before"])
@pytest.mark.parametrize("other", [False, True], ids=["alone", "beside another"])
def test_a_broken_program_that_is_deleted_has_failed_no_longer(ran: bool, other: bool, house: House) -> None:
    house.write(ok=COUNT)
    if ran:
        house.write(a=COUNT)
    house.load()
    house.write(a=BAD)
    house.programs.reload()
    assert house.status("a").error
    (house.directory / "a.mtail").unlink()
    if not other:
        (house.directory / "ok.mtail").unlink()
    house.programs.reload()
    assert not house.status("a").error
    assert not house.status("a").running


def test_nothing_to_load_is_an_error_where_it_has_to_load(house: House) -> None:
    with pytest.raises(LoadError, match=r"no program in .*: their names end in \.mtail"):
        house.load()


@pytest.mark.parametrize(
    ("name", "logs", "fits"),
    [
        ("/var/log/auth.log", ["/var/log/auth.log"], True),
        ("/var/log/auth.log", ["/var/*/*.log", "["], True),
        ("tcp://:514", ["/x", "tcp://:514"], True),
        ("-", ["-"], True),
        ("auth.log", ["/var/log/auth.log"], False),
        ("/var/log/*", ["/var/log/auth.log"], False),
        ("/var/log/auth.log", ["/var/log/mail.log", "/var/*.log"], False),
        ("/anything", [], True),
    ],
)
def test_a_filter_that_fits_no_log(
    name: str, logs: list[str], fits: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mtail").write_bytes(b'log_filter "%s"\n' % name.encode() + COUNT)
    specs = parse_logs(logs)
    made = open_programs(Options(progs=str(tmp_path)), lambda name: doubts.of_filter(name, specs))
    made.load(strict=True)
    made.reload()
    doubt = f'log_filter "{name}" fits no log of --logs: it is compared with the whole name, as /var/log/x.log'
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ([] if fits else [f"a.mtail: {doubt}"])
    assert made.problems() == ({} if fits else {"a.mtail": doubt})


@pytest.mark.parametrize("text", [COUNT, BAD], ids=["runs", "fails"])
def test_what_is_known_of_programs_that_are_gone_is_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    """Each deployment may have a new name."""
    monkeypatch.setattr(manager, "GONE_KEPT", 2)
    house.write(stays=COUNT).load()
    for number in range(6):
        name = f"p{number}"
        house.write(**{name: text}).programs.reload()
        house.feed(b"x")
        (house.directory / f"{name}.mtail").unlink()
    house.programs.reload()
    house.programs.reload()
    assert sorted(house.programs.status) == ["p4.mtail", "p5.mtail", "stays.mtail"]
    assert house.programs.engine.program_lines()["stays.mtail"] == 6
    assert not {"p0.mtail", "p3.mtail"} & set(house.programs.engine.program_lines())
