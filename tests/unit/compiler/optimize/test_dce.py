"""What the optimiser leaves of small programs."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program
from nativemtail.compiler.optimize.dce import without_dead_code
from nativemtail.compiler.program import Instr


def ops(text: str) -> list[str]:
    return [instr.op for instr in compile_program("p", text.encode()).code]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "END"),
        ("counter c\nc++\n", "DATUM INC END"),
        ("counter c\n/x/ {\n  c++\n}\n", "MATCH DATUM INC END"),
        ("counter c\n/x/ {\n  c++\n}\notherwise {\n  c += 2\n}\n",
         "MATCH SETM DATUM INC SETM JMATCHED SETM DATUM LDI INCBY SETM END"),
        ("/x/ {\n}\n", "END"),
        ("/x(.)/ {\n  len($1)\n}\n", "END"),
        ("/x(\\d+)/ {\n  len($1)\n}\n", "MATCH CAPIM END"),
        ("counter c\nstop\nc++\n", "END"),
        ("gauge g\n/(\\d+)/ {\n  g = $1\n}\n", "MATCH DATUM CAPIM SETI END"),
        ("gauge g\n/(\\d+)/ {\n} else {\n  g = $1\n}\n", "MATCH JMP DATUM CAPI SETI END"),
        ("1 | 2 < 3 {\n}\n", "FAIL"),
    ],
)  # fmt: skip
def test_code(text: str, code: str) -> None:
    assert ops(text) == code.split()


def test_patterns_that_fail_take_their_code_along() -> None:
    program = compile_program("p", b"counter c\n/x/ {\n  c++\n}\n/y/ {\n  c += 2\n}\n")
    assert [instr.op for instr in without_dead_code(program.code, {0})] == ["MATCH", "DATUM", "LDI", "INCBY", "END"]
    assert [instr.op for instr in without_dead_code(program.code, {0, 1})] == ["END"]


def test_jumps_still_end_where_they_did() -> None:
    code = [
        Instr("LDI", 0),
        Instr("JF", 0, d=4),
        Instr("LDI", 1),  # nobody reads it
        Instr("SETTIME", 0),
        Instr("DATUM", 2),
        Instr("END"),
    ]
    left = without_dead_code(code)
    assert [(instr.op, instr.d) for instr in left] == [("LDI", 0), ("JF", 3), ("SETTIME", 0), ("DATUM", 0), ("END", 0)]
