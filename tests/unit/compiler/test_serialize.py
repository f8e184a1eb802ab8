"""What is stored of a compilation is all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import BEYOND, CASES, EXAMPLES

from nativemtail.compiler import CompileError, Program, compile_program, plan, serialize
from nativemtail.compiler.abi import FieldFormat


def compiled(paths: list[Path]) -> list[Program]:
    programs = []
    for path in paths:
        try:
            programs.append(compile_program(path.name, path.read_bytes()))
        except CompileError:
            continue
    return programs


@pytest.mark.slow
def test_all_programs_and_their_tables_come_back_the_same() -> None:
    programs = compiled(sorted(path for place in (CASES, BEYOND, EXAMPLES) for path in place.rglob("*.mtail")))
    assert len(programs) > 200
    unnamed = [(program, [object() for _ in program.metrics]) for program in programs]
    tables = plan.build(unnamed)
    assert any(spec.automaton for spec in tables.patterns)
    assert tables.guard_slices
    assert {FieldFormat(spec.fields.format) for spec in tables.patterns if spec.fields} == set(FieldFormat)
    known = serialize.load(serialize.dump(programs, tables, b"database"))
    assert [known.program(serialize.key_of(program)) for program in programs] == programs
    again = known.plan([serialize.key_of(program) for program in programs], [metrics for _, metrics in unnamed])
    assert again == tables
    assert known.database == b"database"


def test_tables_are_for_these_programs_in_this_order() -> None:
    one, two = (compile_program(f"{name}.mtail", b"counter c\n/x/ {\n  c++\n}\n") for name in ("one", "two"))
    known = serialize.load(serialize.dump([one, two], plan.build([(one, [0]), (two, [0])]), b""))
    keys = [serialize.key_of(one), serialize.key_of(two)]
    assert known.plan(keys, [[0], [0]])
    assert known.plan(keys[::-1], [[0], [0]]) is None
    assert known.plan(keys[:1], [[0]]) is None
    assert known.program(("one.mtail", b"counter c")) is None
    assert known.program(("other.mtail", one.source)) is None


@pytest.mark.parametrize("data", [b"", b"x", b"\xe9\x00\x00\x00\x00", b"i\x01\x00\x00\x00"])
def test_garbage_is_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, EOFError, TypeError)):
        serialize.load(data)
