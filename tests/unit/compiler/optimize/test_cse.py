"""Values are computed once, and texts of integers are not turned to numbers."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program
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
