"""Loading programs, and what is known of them while they run."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loading import BAD, COUNT, Rig, limit_plans, named

from nativemtail import _core
from nativemtail.compiler import ast
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.includes import Text
from nativemtail.programs import manager
from nativemtail.programs.builder import Settings
from nativemtail.programs.directory import MAX_SIZE, list_programs, read_program
from nativemtail.programs.faultlog import FaultLog
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.manager import open_programs
from nativemtail.programs.metrics import Naming

# --- what is loaded ------------------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    for name in ("b.mtail", "a.mtail", "B.mtail", ".hidden.mtail", "c.mtail.bak", "readme", "ä.mtail"):
        (tmp_path / name).touch()
    (tmp_path / "directory.mtail").mkdir()
    assert [name for name, _ in list_programs(str(tmp_path))] == ["B.mtail", "a.mtail", "b.mtail", "ä.mtail"]
    assert list_programs(str(tmp_path / "a.mtail")) == [("a.mtail", str(tmp_path / "a.mtail"))]
    assert list_programs(str(tmp_path / "readme")) == []
    assert list_programs(str(tmp_path / ".hidden.mtail")) == []


def test_every_program_sees_every_line(rig: Rig) -> None:
    rig.write(a=COUNT, b=COUNT).load().feed(b"x", b"y")
    assert rig.values() == {"a:lines": 2, "b:lines": 2}
    assert rig.programs.names == ["a.mtail", "b.mtail"]
    assert rig.status("a").loads == 1
    assert rig.status("a").running


def test_strict_stops_at_the_first_failure(rig: Rig) -> None:
    rig.write(a=COUNT, b=BAD, c=BAD)
    with pytest.raises(
        LoadError, match=r"\Acompile failed for b\.mtail:\nb\.mtail:3:3-7: Identifier `other' not declared"
    ):
        rig.load()
    assert "c.mtail" not in rig.programs.status
    assert rig.values() == {}


def test_what_the_engine_refuses_stops_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns can be too large for the machine though they compile; what ran before runs on."""
    build = rig.programs._build

    def refusing(programs: list[tuple[Any, list[_core.Metric]]]) -> _core.Plan:
        if any(metric.name == "big" for _, metrics in programs for metric in metrics):
            raise ValueError("pattern too large for this machine: /x/")
        return build(programs)

    monkeypatch.setattr(rig.programs, "_build", refusing)
    big = COUNT.replace(b"lines", b"big")
    rig.write(a=COUNT, b=big).programs.load(strict=False)
    assert rig.programs.names == ["a.mtail"]
    assert rig.status("b").error == "compile failed for b.mtail:\nb.mtail: pattern too large for this machine: /x/"
    rig.write(a=big).programs.reload()
    assert rig.programs.names == ["a.mtail"]
    assert rig.feed(b"x").values() == {"a:lines": 1}
    assert rig.status("a").load_errors == 1
    with pytest.raises(LoadError, match="too large"):
        rig.programs.load(strict=True)


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
    error: Exception, expected: str, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number:02}" for number in range(20)]
    limit_plans(rig, monkeypatch, error, lambda found: not found.isdisjoint({"p03", "p04", "p17"}))
    rig.write(**named(*names)).programs.load(strict=False)
    assert rig.programs.names == [f"{name}.mtail" for name in names if name not in ("p03", "p04", "p17")]
    for name in ("p03", "p04", "p17"):
        assert expected.replace("a:", f"{name}.mtail:") in rig.status(name).error
        assert "beside" not in rig.status(name).error
        assert rig.status(name).load_errors == 1


def test_programs_that_are_too_much_together_lose_their_last(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_plans(rig, monkeypatch, ValueError("too many patterns"), lambda found: len(found) > 5)
    rig.write(**named("c", "d", "e")).load()
    rig.write(**named("a", "b", "f", "g")).programs.reload()
    assert rig.programs.names == ["a.mtail", "b.mtail", "c.mtail", "d.mtail", "e.mtail"]
    for name in ("f", "g"):
        assert "too many patterns\n" in rig.status(name).error
        assert "cannot run beside the programs that are loaded" in rig.status(name).error
    rig.write(c=named("c")["c"] + b"#").programs.reload()
    assert rig.status("c").loads == 2


def test_the_program_that_a_plan_names_is_left_out_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    error = CompileError("b.mtail", [(ast.Position("b.mtail", 2, 1, 3), "this takes too long")])
    plans: list[set[str]] = []

    def refused(found: set[str]) -> bool:
        plans.append(found)
        return "b" in found

    limit_plans(rig, monkeypatch, error, refused)
    rig.write(**named("a", "b", "c")).programs.load(strict=False)
    assert rig.programs.names == ["a.mtail", "c.mtail"]
    assert rig.status("b").error == "compile failed for b.mtail:\nb.mtail:2:1-3: this takes too long"
    assert plans == [{"a", "b", "c"}, {"a", "c"}, {"a", "c"}]


def test_an_old_program_that_stays_keeps_out_what_conflicts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new `a` makes room for `b`, but cannot be planned: then the old one runs on, and `b` is what does not fit."""
    rig.write(a=COUNT).load()
    limit_plans(rig, monkeypatch, ValueError("too large"), lambda found: "big" in found)
    rig.write(a=COUNT.replace(b"lines", b"big"), b=b"gauge lines\n/$/ {\n  lines = 7\n}\n").programs.reload()
    assert rig.feed(b"x").values() == {"a:lines": 1}
    assert "different kind" in rig.status("b").error
    assert "too large" in rig.status("a").error


def test_a_daemon_runs_the_good_ones(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(a=COUNT, b=BAD, c=COUNT)
    rig.programs.load(strict=False)
    rig.feed(b"x")
    assert rig.values() == {"a:lines": 1, "c:lines": 1}
    assert "Identifier `other' not declared" in rig.status("b").error
    assert rig.status("b").load_errors == 1
    assert not rig.status("b").running
    assert any(message.startswith("compile failed for b.mtail:") for message in caplog.messages)


def test_unreadable(rig: Rig) -> None:
    (rig.directory / "a.mtail").symlink_to("a.mtail")
    with pytest.raises(LoadError, match=r'Failed to read program ".*a\.mtail": open .*a\.mtail: too many levels'):
        rig.load()
    assert rig.status("a").load_errors == 1


def test_what_is_no_file(rig: Rig) -> None:
    os.mkfifo(rig.directory / "a.mtail")
    with pytest.raises(LoadError, match="not a regular file"):
        rig.load()
    (rig.directory / "a.mtail").unlink()
    (rig.directory / "a.mtail").symlink_to("nowhere")
    with pytest.raises(LoadError, match="no such file or directory"):
        rig.load()


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_program_stops_no_other(kind: str, rig: Rig) -> None:
    make, expected = BAD_FILES[kind]
    make(rig.directory / "a.mtail")
    rig.write(b=COUNT).programs.load(strict=False)
    before = os.listdir("/proc/self/fd")
    rig.write(c=COUNT).programs.reload()
    assert rig.feed(b"x").values() == {"b:lines": 1, "c:lines": 1}
    assert re.search(expected, rig.status("a").error)
    assert rig.status("a").load_errors == 2
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(LoadError, match=expected):
        Rig(rig.directory).load()


def test_a_program_as_long_as_one_may_be_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mtail").write_bytes(b"#" * MAX_SIZE)
    assert read_program(str(tmp_path / "a.mtail")) == b"#" * MAX_SIZE


@pytest.mark.parametrize("name", [b"b\xffad.mtail", b"\xe2\x82.mtail", b"\xed\xa0\x80<&\n.mtail"])
def test_names_that_are_not_utf8(name: bytes, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    path = os.fsencode(rig.directory) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(COUNT)
    rig.load().feed(b"x")
    [shown] = rig.programs.names
    assert shown == "".join(chr(byte) if byte < 128 else "\ufffd" for byte in name)
    assert list(rig.values().values()) == [1]
    assert rig.programs.dump(shown)
    shown.encode()
    Path(os.fsdecode(path)).write_bytes(BAD)
    assert rig.programs.reload() is False
    rig.programs.status[shown].error.encode()


def test_names_that_look_the_same_are_two(rig: Rig) -> None:
    for name in (b"b\xfe.mtail", b"b\xff.mtail", "b\ufffd.mtail".encode()):
        Path(os.fsdecode(os.fsencode(rig.directory) + b"/" + name)).write_bytes(COUNT)
    rig.load()
    assert rig.feed(b"x").values() == {"b\ufffd:lines": 1, "b\ufffd~:lines": 1, "b\ufffd~~:lines": 1}
    assert rig.programs.reload() is False


@pytest.mark.parametrize("error", [IndexError("list index out of range"), RecursionError("too deep"), MemoryError()])
@pytest.mark.parametrize("stage", ["parser.parse", "codegen.generate"])
def test_a_defect_of_ours_stops_no_other(
    stage: str, error: Exception, rig: Rig, monkeypatch: pytest.MonkeyPatch
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
    rig.write(a=COUNT, b=COUNT).programs.load(strict=False)
    assert rig.feed(b"x").values() == {"b:lines": 1}
    text = f"{type(error).__name__}: {error}" if str(error) else "MemoryError"
    expected = f"compile failed for a.mtail:\na.mtail:3:2-7: Internal compiler error, aborting compilation: {text}"
    assert rig.status("a").error == expected
    assert rig.status("a").load_errors == 1
    with pytest.raises(LoadError, match="Internal compiler error"):
        Rig(rig.directory).load()


def test_a_program_whose_patterns_take_too_much_stops_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nativemtail.compiler.budget.BYTES", 10_000)
    rig.write(a=b"counter c\n/x/ {\n  c++\n}\n/\\pL+/ {\n  c++\n}\n", b=COUNT).programs.load(strict=False)
    assert rig.feed(b"x").values() == {"b:lines": 1}
    expected = r"^compile failed for a.mtail:\na.mtail:\d:1: The patterns of this program take too much: 2 of them took"
    assert re.match(expected, rig.status("a").error)
    assert rig.status("a").load_errors == 1


def test_what_is_only_told_stops_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def failing(_: object) -> None:
        raise TypeError("a defect")

    rig.programs._about_to_run = failing
    rig.write(a=COUNT).load()
    assert rig.feed(b"x").values() == {"a:lines": 1}
    assert "cannot determine" in caplog.text


def test_memory_that_is_short_while_a_program_is_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    read = manager.read_text

    def reading(path: str, include_path: tuple[str, ...]) -> Text:
        if path.endswith("a.mtail"):
            raise MemoryError
        return read(path, include_path)

    monkeypatch.setattr(manager, "read_text", reading)
    rig.write(a=COUNT, b=COUNT).programs.load(strict=False)
    assert rig.feed(b"x").values() == {"b:lines": 1}
    assert rig.status("a").error == (
        "compile failed for a.mtail:\na.mtail: Internal compiler error, aborting compilation: MemoryError"
    )


def test_missing_directory(tmp_path: Path) -> None:
    programs = open_programs(Settings(paths=(str(tmp_path / "none"),)))
    with pytest.raises(LoadError, match=r"-progs: stat .*none: no such file or directory"):
        programs.load(strict=True)


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
def test_kinds(a: str, b: str, message: str | None, rig: Rig) -> None:
    def program(declaration: str) -> bytes:
        name = declaration.replace("hidden ", "").split()[1]
        key = "[$0]" if " by " in declaration else ""
        value = '"x"' if "text" in declaration else "1"
        return f"{declaration}\n/x/ {{\n  {name}{key} = {value}\n}}\n".encode()

    rig.write(a=program(a), b=program(b))
    if message is None:
        rig.load()
        return
    with pytest.raises(LoadError) as caught:
        rig.load()
    assert str(caught.value) == message
    rig.programs.load(strict=False)
    assert rig.status("b").load_errors == 2
    assert [metric.program for metric in rig.programs.store.metrics()] == ["a.mtail"]


def test_equal_declarations_are_one_metric(rig: Rig) -> None:
    rig.write(a=b"/a/ {\n counter c by k\n c[$0]++\n}\n/b/ {\n counter c by k limit 7\n c[$0]++\n}\n").load()
    rig.feed(b"a", b"b")
    assert rig.values() == {"a:c:a": 1, "a:c:b": 1}
    [metric] = rig.programs.store.metrics()
    assert (metric.limit, metric.source) == (7, "a.mtail:6:10")


def test_other_keys_are_another_metric(rig: Rig) -> None:
    rig.write(a=b"/a/ {\n counter c by k\n c[$0]++\n}\n/b/ {\n counter c by l\n c[$0]++\n}\n").load()
    rig.feed(b"a", b"b")
    assert len(rig.programs.store.metrics()) == 2
    assert rig.values() == {"a:c:a": 1, "a:c:b": 1}


# --- run-time errors -----------------------------------------------------------------------------------------

FAULTY = b"counter n\n/(\\w+)/ {\n  n = int($1)\n}\n"


def test_faults_are_logged_and_limited(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(rig.programs.engine, logged=True, limit=3, period=3600)
    rig.feed(b"one", *[b"more"] * 9)
    faults.collect()
    assert len(caplog.messages) == 3
    text = caplog.messages[0]
    assert text.startswith('a.mtail: Runtime error: strconv.ParseInt: parsing "one": invalid syntax\n')
    assert "originating in a.mtail at line 3\n" in text
    assert text.endswith('Full input text from "/log" was "one"')
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    faults.summarise()
    assert caplog.messages[3:] == ["a.mtail: 7 further runtime errors"]
    assert rig.programs.engine.program_faults() == {"a.mtail": 10}
    assert 'was "more"' in str(rig.programs.engine.last_faults()["a.mtail"])


def test_a_new_period_logs_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(rig.programs.engine, logged=True, limit=1, period=0)
    for _ in range(3):
        rig.feed(b"one", b"two")
        faults.collect()
    assert sum("Runtime error" in message for message in caplog.messages) == 3
    assert sum("1 further" in message for message in caplog.messages) == 2


def test_silent_faults_are_counted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(a=FAULTY).load()
    caplog.clear()
    faults = FaultLog(rig.programs.engine, logged=False, limit=1, period=3600)
    rig.feed(*[b"one"] * 250)
    faults.collect()
    faults.summarise()
    assert caplog.messages == []
    assert rig.programs.engine.program_faults() == {"a.mtail": 250}


@pytest.mark.parametrize("ran", [False, True], ids=["never ran", "ran before"])
@pytest.mark.parametrize("other", [False, True], ids=["alone", "beside another"])
def test_a_broken_program_that_is_deleted_has_failed_no_longer(ran: bool, other: bool, rig: Rig) -> None:
    rig.write(ok=COUNT)
    if ran:
        rig.write(a=COUNT)
    rig.load()
    rig.write(a=BAD)
    rig.programs.reload()
    assert rig.status("a").error
    (rig.directory / "a.mtail").unlink()
    if not other:
        (rig.directory / "ok.mtail").unlink()
    rig.programs.reload()
    assert not rig.status("a").error
    assert not rig.status("a").running


def test_nothing_to_load_is_an_error_where_it_has_to_load(rig: Rig) -> None:
    with pytest.raises(LoadError, match=r"no program in .*: their names end in \.mtail"):
        rig.load()


@pytest.mark.parametrize(
    ("names", "logs", "fits"),
    [
        ('"/var/log/auth.log"', ["/var/log/auth.log"], True),
        ('"*.log"', ["/a.txt", "/var/log/auth.log"], True),
        ('"-"', ["-"], True),
        ('"auth.log"', ["/var/log/auth.log"], False),
        ('"*", !"auth*"', ["/var/log/auth.log"], False),
        ('!"*.gz"', ["/a.gz"], False),
        ('"/anything"', [], True),
    ],
)
def test_a_filter_that_fits_no_log(
    names: str, logs: list[str], fits: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mtail").write_bytes(b"log_filter %s\n" % names.encode() + COUNT)
    made = open_programs(Settings(paths=(str(tmp_path),)))
    made.load(strict=True)
    for _ in range(2):
        made.check_filters(logs)
        made.reload()
    doubt = "log_filter fits none of the logs"
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == ([] if fits else [f"a.mtail: {doubt}"])
    assert made.problems(logs) == ({} if fits else {"a.mtail": doubt})


def test_a_changed_filter_is_checked_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = tmp_path / "a.mtail"
    made = open_programs(Settings(paths=(str(tmp_path),)))
    for name in (b"/one", b"/two"):
        program.write_bytes(b'log_filter "%s"\n' % name + COUNT)
        made.load(strict=True)
        made.check_filters(["/log"])
    assert caplog.text.count("fits none of the logs") == 2


def test_static_labels_and_the_prefix_are_of_all_metrics(tmp_path: Path) -> None:
    text = b'counter a by k\nhidden gauge dc by dc\n/x/ {\n  a["v"]++\n  dc["v"] = 1\n}\n'
    (tmp_path / "a.mtail").write_bytes(text)
    naming = Naming("shop_", (("dc", "north"),))
    made = open_programs(Settings(paths=(str(tmp_path),), naming=naming))
    made.load(strict=True)
    [metric] = [metric for metric in made.store.metrics() if not metric.hidden]
    assert (metric.name, metric.labels) == ("shop_a", (("dc", "north"),))


def test_a_key_that_a_static_label_has_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mtail").write_bytes(b'counter a by dc\n/x/ {\n  a["v"]++\n}\n')
    made = open_programs(Settings(paths=(str(tmp_path),), naming=Naming("", (("dc", "north"),))))
    with pytest.raises(LoadError, match=r"a\.mtail:1:9: the key `dc' of a is a label of --label, too"):
        made.load(strict=True)
