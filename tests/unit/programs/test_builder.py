"""Programs and plans, compiled or from the cache: the same either way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from paths import EXAMPLES

from nativemtail import compiler
from nativemtail._render import Page
from nativemtail.app.config import program_settings
from nativemtail.compiler import plan
from nativemtail.options import Options
from nativemtail.programs import cache
from nativemtail.programs.manager import Programs, open_programs

ONE = b"counter a by k\n/(\\w+)=/ {\n  a[$1]++\n}\n"
TWO = b"counter b\n/world/ {\n  b++\n}\n"
LOG = b"hello=\nworld=\n"


class Compilations:
    """Names of the programs that were compiled, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real = compiler.compile_program

        def compile_program(name: str, *rest: Any) -> compiler.Program:
            self.names.append(name)
            return real(name, *rest)

        monkeypatch.setattr(compiler, "compile_program", compile_program)

    def take(self) -> list[str]:
        names, self.names = self.names, []
        return names


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Compilations:
    return Compilations(monkeypatch)


@pytest.fixture
def progs(tmp_path: Path) -> Path:
    directory = tmp_path / "progs"
    directory.mkdir()
    (directory / "one.mtail").write_bytes(ONE)
    (directory / "two.mtail").write_bytes(TWO)
    return directory


def start(progs: Path, tmp_path: Path, **flags: Any) -> Programs:
    programs = open_programs(
        program_settings(Options(progs=[str(progs)], **{"cache_dir": str(tmp_path / "cache"), **flags}))
    )
    programs.load(strict=True)
    return programs


def counts(programs: Programs, log: bytes = LOG, name: str = "log") -> bytes:
    programs.engine.scan(programs.engine.open(name), log)
    return Page(programs.store.snapshot()).prometheus()


def test_a_second_start_compiles_nothing_and_counts_the_same(
    progs: Path, tmp_path: Path, compilations: Compilations
) -> None:
    first = counts(start(progs, tmp_path))
    assert compilations.take() == ["one.mtail", "two.mtail"]
    second = start(progs, tmp_path)
    assert compilations.take() == []
    assert counts(second) == first
    assert b'a{k="hello",prog="one.mtail"} 1' in first
    assert second.dump("one.mtail") == start(progs, tmp_path, cache_dir="none").dump("one.mtail")


EVERY = b"""counter words by word
counter cells by cell
counter sold by sku
every /\\w+/ {
  words[$0]++
}
csv separator ";" 1 as cell {
  cells[$cell]++
}
every json items[].sku {
  sold[$sku]++
}
"""


def examples() -> list[tuple[str, bytes, bytes]]:
    paths = sorted(EXAMPLES.glob("*.mtail"))
    read = [(path.stem, path.read_bytes(), (EXAMPLES / "logs" / f"{path.stem}.log").read_bytes()) for path in paths]
    return [*read, ("every", EVERY, b'a b;c\n{"items": [{"sku": "x"}]}\n')]


@pytest.mark.parametrize(("name", "text", "log"), examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_kind_of_program_is_kept(
    name: str, text: bytes, log: bytes, tmp_path: Path, compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / f"{name}.mtail"
    program.write_bytes(text)
    expected = counts(start(program, tmp_path), log, f"/logs/{name}.log")
    assert b'prog="' in expected
    compilations.take()

    def build(_: Any) -> Any:
        raise AssertionError("planned anew")

    monkeypatch.setattr(plan, "build", build)
    assert counts(start(program, tmp_path), log, f"/logs/{name}.log") == expected
    assert not compilations.take()


def test_only_what_has_changed_is_compiled(progs: Path, tmp_path: Path, compilations: Compilations) -> None:
    start(progs, tmp_path)
    compilations.take()
    (progs / "two.mtail").write_bytes(TWO.replace(b"world", b"hello"))
    assert b'b{prog="two.mtail"} 1' in counts(start(progs, tmp_path))
    assert compilations.take() == ["two.mtail"]
    (progs / "three.mtail").write_bytes(TWO)
    (progs / "one.mtail").unlink()
    assert b"a{" not in counts(start(progs, tmp_path))
    assert compilations.take() == ["three.mtail"]
    start(progs, tmp_path)
    assert compilations.take() == []


def test_a_reload_is_kept_too(progs: Path, tmp_path: Path, compilations: Compilations) -> None:
    programs = start(progs, tmp_path)
    (progs / "two.mtail").write_bytes(TWO + b"\n")
    assert programs.reload()
    compilations.take()
    start(progs, tmp_path)
    assert compilations.take() == []


@pytest.mark.parametrize("flags", [{"max_regexp_length": 1000}, {"max_recursion_depth": 50}])
def test_other_limits_compile_anew(
    flags: dict[str, int], progs: Path, tmp_path: Path, compilations: Compilations
) -> None:
    start(progs, tmp_path)
    compilations.take()
    start(progs, tmp_path, **flags)
    assert compilations.take() == ["one.mtail", "two.mtail"]


def test_trees_are_shown_though_the_programs_are_known(progs: Path, tmp_path: Path, compilations: Compilations) -> None:
    start(progs, tmp_path)
    compilations.take()
    start(progs, tmp_path, dump_ast=True)
    assert compilations.take() == ["one.mtail", "two.mtail"]


def test_none_keeps_nothing(
    progs: Path, tmp_path: Path, compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "other"))
    start(progs, tmp_path, cache_dir="none")
    assert not (tmp_path / "other").exists()
    start(progs, tmp_path, cache_dir="")
    assert (tmp_path / "other").exists()


def test_notes_and_errors_are_told_at_every_start(
    progs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nativemtail", "nativemtail.programs.manager"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    (progs / "one.mtail").write_bytes(ONE.replace(b"=", b"(?P<unused>=)"))
    (progs / "wrong.mtail").write_bytes(b"counter")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            programs = open_programs(program_settings(Options(progs=[str(progs)], cache_dir=str(tmp_path / "cache"))))
            programs.load(strict=False)
        assert "capture group reference `unused'" in caplog.text
        assert "compile failed for wrong.mtail" in caplog.text
        assert programs.names == ["one.mtail", "two.mtail"]


@pytest.mark.parametrize("wrong", [1, 2, 5])
def test_only_plans_that_run_are_kept(
    wrong: int, progs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: Compilations
) -> None:
    """To find out which programs cannot be planned, many plans are made and dropped."""
    kept = []
    real_put, real_plan = cache.Cache.put, plan.build

    def put(self: cache.Cache, place: str, question: str, body: bytes) -> None:
        kept.append(body)
        real_put(self, place, question, body)

    def build(programs: Any) -> Any:
        if any(program.name.startswith("wrong") for program, _ in programs):
            raise ValueError("too large")
        return real_plan(programs)

    monkeypatch.setattr(cache.Cache, "put", put)
    monkeypatch.setattr(plan, "build", build)
    for number in range(wrong):
        (progs / f"wrong{number}.mtail").write_bytes(ONE)
        (progs / f"right{number}.mtail").write_bytes(ONE)
    programs = open_programs(program_settings(Options(progs=[str(progs)], cache_dir=str(tmp_path / "cache"))))
    programs.load(strict=False)
    assert len(programs.names) == 2 + wrong
    assert len(kept) == 1
    for number in range(wrong):
        (progs / f"wrong{number}.mtail").unlink()
    (progs / "right0.mtail").write_bytes(ONE + b"# changed\n")
    programs.reload()
    assert len(kept) == 2
    compilations.take()
    start(progs, tmp_path)
    assert not compilations.take()
    assert len(kept) == 2


def test_a_database_of_another_machine_is_compiled_anew(
    progs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = counts(start(progs, tmp_path))
    real = compiler.serialize.dump
    for damage in (b"", b"no database" * 100):
        monkeypatch.setattr(compiler.serialize, "dump", lambda programs, tables, _, d=damage: real(programs, tables, d))
        (progs / "two.mtail").write_bytes(TWO + b"\n" * (1 + len(damage)))
        start(progs, tmp_path)
        assert counts(start(progs, tmp_path)) == expected


@pytest.mark.parametrize("stage", ["load", "_program", "_tables", "dump"])
def test_a_defect_of_the_cache_s_costs_no_more_than_time(
    stage: str, progs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = counts(start(progs, tmp_path))

    def failing(*_: Any) -> Any:
        raise RecursionError("too deep")

    with monkeypatch.context() as patch:
        patch.setattr(compiler.serialize, stage, failing)
        (progs / "two.mtail").write_bytes(TWO + (b"\n" if stage == "dump" else b""))
        assert counts(start(progs, tmp_path)) == expected
    assert counts(start(progs, tmp_path)) == expected
