"""Values are computed once, texts of integers not turned to numbers, registers used again."""

from __future__ import annotations

import pytest
from paths import ROOT

from nativemtail.compiler import CompileError, compile_program
from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.optimize.flow import reads, successors
from nativemtail.compiler.program import Instr


def code_of(text: str) -> list[Instr]:
    return compile_program("p.mtail", text.encode()).code


def count(text: str, op: str) -> int:
    return sum(instr.op == op for instr in code_of(text))


def test_captures_and_keys_are_shared_between_statements() -> None:
    code = code_of("counter a by x, y\ncounter b by x, y\n/(\\w+) (\\w+)/ {\n a[$1][$2]++\n b[$1][$2]++\n}\n")
    assert [instr.op for instr in code] == ["MATCH", "CAPSM", "CAPSM", "DATUM", "INC", "DATUM", "INC", "END"]
    first, second = (instr for instr in code if instr.op == "DATUM")
    assert (first.b, first.e, second.e) == (second.b, 0, 1)


def test_an_integer_that_is_only_a_key_stays_text() -> None:
    text = "counter a by x\n/(\\d+)/ {\n a[$1]++\n}\n"
    assert [instr.op for instr in code_of(text)] == ["MATCH", "CAPIS", "DATUM", "INC", "END"]


def test_an_integer_that_is_a_number_too_is_parsed_once() -> None:
    text = "counter a by x\ngauge g\n/(\\d+)/ {\n a[$1]++\n g = $1\n}\n"
    assert count(text, "CAPIM") == count(text, "I2S") == 1
    assert count(text, "CAPIS") == 0


@pytest.mark.parametrize(
    ("text", "captures"),
    [
        ("counter a by x\n/(\\w+)/ {\n /b/ {\n  a[$1]++\n }\n a[$1]++\n}\n", 2),  # the first may not have run
        ("counter a by x\n/(\\w+)/ {\n a[$1]++\n /b/ {\n  a[$1]++\n }\n}\n", 1),
        ("counter a by x\n/(\\w+)/ {\n a[$1]++\n /b/ {\n }\n a[$1]++\n}\n", 1),
        ("counter a by x\n/b/ {\n} else {\n /(\\w+)/ {\n  a[$1]++\n }\n}\n/(\\w+)/ {\n a[$1]++\n}\n", 2),
    ],
)
def test_only_what_is_known_on_all_ways_is_shared(text: str, captures: int) -> None:
    assert count(text, "CAPSM") == captures


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
