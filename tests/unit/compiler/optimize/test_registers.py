"""Registers are used again, and nothing is read that was not written."""

from __future__ import annotations

import pytest
from paths import ROOT

from nativemtail.compiler import CompileError, compile_program
from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.optimize.flow import reads, successors
from nativemtail.compiler.optimize.registers import allocated
from nativemtail.compiler.program import Instr


def test_a_register_is_free_after_the_last_use_of_its_value() -> None:
    code = [Instr("LDI", 0), Instr("I2F", 1, 0), Instr("LDI", 2), Instr("I2F", 3, 2), Instr("ADDF", 4, 1, 3)]
    packed, count = allocated(code)
    assert count == 3
    assert unwritten([*packed, Instr("END")]) == []
    assert packed[4].b == packed[1].a
    assert packed[4].c == packed[3].a


def test_keys_stay_side_by_side_and_in_order() -> None:
    code = [Instr("LDS", 7), Instr("LDS", 9), Instr("LDS", 8), Instr("DATUM", 10, 7, 3)]
    packed, count = allocated(code)
    base = packed[3].b
    assert [instr.a for instr in packed[:3]] == [base, base + 2, base + 1]
    assert packed[3].c == 3
    assert count >= 3


def test_the_first_code_stays_as_it_is() -> None:
    code = [Instr("LDI", 5), Instr("I2F", 6, 5)]
    allocated(code)
    assert code == [Instr("LDI", 5), Instr("I2F", 6, 5)]


def test_no_code() -> None:
    assert allocated([]) == ([], 0)


def test_registers_are_used_again_after_their_last_use() -> None:
    program = compile_program("p.mtail", b"gauge g by k\n" + b'g["x"] = 1 + g["y"] * 2\n' * 200)
    assert program.registers < 10


def unwritten(code: list[Instr]) -> list[Instr]:
    """Instructions that may read a register that was not written since the beginning of the line."""
    written: dict[int, set[int] | None] = {0: set()}
    found = []
    for at, instr in enumerate(code):
        known = written.get(at)
        if known is None:
            continue
        if not known.issuperset(reads(instr)):
            found.append(instr)
        after = known | {instr.a} if OPS[instr.op].writes else known
        for to in successors(code, at):
            before = written.get(to)
            written[to] = set(after) if before is None else before & after
    return found


PROGRAMS = sorted([*ROOT.glob("examples/*.mtail"), *ROOT.glob("tests/conformance/cases/**/*.mtail")])


@pytest.mark.slow
def test_what_is_read_has_been_written() -> None:
    compiled = 0
    for path in PROGRAMS:
        try:
            program = compile_program(path.name, path.read_bytes())
        except CompileError:
            continue
        compiled += 1
        assert not unwritten(program.code), path
        assert not unwritten(program.begin), path
    assert compiled > 200
