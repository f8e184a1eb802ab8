"""Values are computed once, texts of integers not turned to numbers, registers used again."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program
from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.program import Instr
from nativemtail.compiler.values import reads


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


def test_what_is_read_has_been_written() -> None:
    text = "gauge g by a, b\n/(\\w+) (\\w+) (\\d+)/ {\n g[$2][$1] = $3\n g[$1][$2] = $3\n g[$1][$3] = $3 + len($1)\n}\n"
    written: set[int] = set()
    for instr in code_of(text):
        if instr.op != "DATUM" or instr.c:
            assert written.issuperset(reads(instr)), instr
        if OPS[instr.op].writes:
            written.add(instr.a)
