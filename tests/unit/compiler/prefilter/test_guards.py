"""Which patterns trigger a program, and which part of it still runs on every line."""

from __future__ import annotations

import pytest

from nativemtail.compiler import compile_program, plan
from nativemtail.compiler.prefilter.guards import program_guard
from nativemtail.compiler.program import Program

DATE = r"(?P<date>\w+ \d+ \d+:\d+:\d+)"
STAMPED = f"""def stamped {{
  /^{DATE} / {{
    strptime($date, "Jan _2 15:04:05")
    next
  }}
}}
"""


def compiled(text: str, name: str = "p.mtail") -> Program:
    return compile_program(name, text.encode())


@pytest.mark.parametrize(
    ("text", "patterns", "slice_"),
    [
        pytest.param("counter c\n/error/ {\n  c++\n}\n", ["error"], False, id="one pattern"),
        pytest.param("counter c\nc++\n", None, False, id="no condition"),
        pytest.param("counter c\n/error/ {\n} else {\n  c++\n}\n", None, False, id="else"),
        pytest.param("counter c\n/error/ {\n}\notherwise {\n  c++\n}\n", None, False, id="otherwise"),
        pytest.param("counter c\n/error/ {\n  c++\n}\n/fatal/ {\n  c++\n}\n", ["error", "fatal"], False, id="two"),
        pytest.param("counter c\n/\\d/ {\n  /error/ {\n    c++\n  }\n}\n", ["error"], False, id="the inner says more"),
        pytest.param("counter c\n/error/ && 1 == 1 {\n  c++\n}\n", ["error"], False, id="and"),
        pytest.param("counter c\n/error/ || 1 == 2 {\n  c++\n}\n", None, False, id="or with what no pattern decides"),
        pytest.param("counter c\n1 == 1 {\n  stop\n}\n/error/ {\n  c++\n}\n", ["error"], False, id="stop"),
        pytest.param("counter c by x\n/error/ {\n  del c[\"a\"]\n}\n", ["error"], False, id="del"),
        pytest.param("gauge g\ng = 1.5\n", None, False, id="store"),
        pytest.param("/error/ {\n}\n", [], False, id="nothing to do"),
        pytest.param("counter c\nint(\"x\")\n/error/ {\n  c++\n}\n", ["error"], True, id="a failure before"),
        pytest.param("counter c\n/error/ {\n  c++\n}\nint(\"x\")\n", ["error"], True, id="a failure behind"),
        pytest.param("1 | 2 < 3 {\n}\n", [], True, id="nothing but a failure"),
        pytest.param(STAMPED + "counter c\n@stamped {\n  /error/ {\n    c++\n  }\n}\n", ["error"], True, id="strptime"),
    ],
)  # fmt: skip
def test_guard(text: str, patterns: list[str] | None, slice_: bool) -> None:
    program = compiled(text)
    guard = program_guard(program, plan.costs(program))
    if patterns is None:
        assert guard is None
        return
    assert guard is not None
    assert sorted(program.patterns[number].decode() for number in guard.patterns) == patterns
    assert bool(guard.slice) == slice_


def test_programs_with_the_same_decorator_share_a_guard_slice() -> None:
    texts = [
        STAMPED + f"counter c{word}\n@stamped {{\n  /{word}/ {{\n    c{word}++\n  }}\n}}\n"
        for word in ("error", "fatal")
    ]
    other = STAMPED.replace("Jan _2", "Jan 2") + "counter o\n@stamped {\n  /warning/ {\n    o++\n  }\n}\n"
    programs = [compiled(text, f"{number}.mtail") for number, text in enumerate([*texts, other])]
    tables = plan.build([(program, []) for program in programs])
    assert sorted(each.programs for each in tables.guard_slices) == [[0, 1], [2]]
    assert tables.always == []
