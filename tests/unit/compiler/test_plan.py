"""The tables of several programs: what they share, what triggers them, how their code is packed."""

from __future__ import annotations

import pytest

from nativemtail.compiler import Program, compile_program, plan
from nativemtail.compiler.abi import INSTR, PatternFlag
from nativemtail.compiler.opcodes import OPS
from nativemtail.compiler.tables import PatternSpec, Tables

COUNT = "counter c\n/{}/ {{\n  c++\n}}\n"


def programs(*texts: str) -> list[Program]:
    return [compile_program(f"p{number}", text.encode()) for number, text in enumerate(texts)]


def built(*texts: str) -> Tables:
    return plan.build([(program, [None] * len(program.metrics)) for program in programs(*texts)])


def pattern(tables: Tables, text: bytes) -> PatternSpec:
    [spec] = [spec for spec in tables.patterns if spec.text == text]
    return spec


def test_no_programs() -> None:
    assert plan.build([]) == Tables([], [], [], [], [], None, [])


def test_programs_share_patterns_and_what_is_looked_for() -> None:
    tables = built(COUNT.format("zebra"), COUNT.format("zebra"), COUNT.format("gnus"))
    assert [spec.text for spec in tables.patterns] == [b"zebra", b"gnus"]
    assert [spec.patterns for spec in tables.programs] == [[0], [0], [1]]
    assert [spec.triggers for spec in tables.programs] == [{0}, {0}, {1}]
    assert {spec.literal: spec.patterns for spec in tables.literals} == {b"zebra": [0], b"gnus": [1]}
    assert all(spec.prefiltered for spec in tables.patterns)
    assert tables.always == []
    assert tables.teddy is not None


def test_the_groups_that_any_program_reads_are_kept() -> None:
    keyed = "counter c by k\n/{}/ {{\n  c[{}]++\n}}\n"
    tables = built(COUNT.format("a(.)(.)z"), keyed.format("a(.)(.)z", "$1"), COUNT.format("b(.)z"))
    assert pattern(tables, b"a(.)(.)z").captures == 1
    assert pattern(tables, b"b(.)z").captures == -1
    assert b"(?:" in pattern(tables, b"a(.)(.)z").re2_form, "the second group is not captured"


def test_a_program_that_changes_metrics_without_a_pattern_runs_on_every_line() -> None:
    tables = built(COUNT.format("zebra"), "counter c\nc++\n")
    assert tables.always == [1]
    assert [spec.triggers for spec in tables.programs] == [{0}, None]


def test_patterns_of_programs_that_run_always_are_looked_for_too() -> None:
    tables = built("counter c\nc++\n/zebra/ {\n  c++\n}\n")
    assert [spec.literal for spec in tables.literals] == [b"zebra"]
    assert pattern(tables, b"zebra").prefiltered


@pytest.mark.parametrize(("inner", "looked_for"), [(plan.FEW, 1), (plan.FEW + 1, plan.FEW + 2)])
def test_a_few_patterns_are_tried_instead_of_looked_for(inner: int, looked_for: int) -> None:
    """Those nested in the trigger: none of them can be a trigger itself, since the outer one changes a metric."""
    nested = "".join(f"  /zebra{number}x/ {{\n    c++\n  }}\n" for number in range(inner))
    tables = built(f"counter c\n/gnus/ {{\n  c++\n{nested}}}\n")
    assert len(tables.literals) == looked_for
    assert pattern(tables, b"gnus").prefiltered
    assert pattern(tables, b"zebra0x").prefiltered == (looked_for > 1)


def test_a_guard_slice_that_is_shared() -> None:
    stamp = 'def s {\n  /^(\\w+ \\d+) / {\n    strptime($1, "Jan 2")\n    next\n  }\n}\n'
    stamped = stamp.replace("{", "{{").replace("}", "}}") + "counter c\n@s {{\n  /{}/ {{\n    c++\n  }}\n}}\n"
    tables = built(stamped.format("zebra"), stamped.format("gnus"))
    [part] = tables.guard_slices
    assert part.programs == [0, 1]
    assert part.code.layouts[0][0] == b"Jan 2"
    assert part.runs is not None, "a plain scan finds the time"
    assert [(least, most) for _, least, most in part.runs] == [(1, 0xFFFFFFFF), (1, 1), (1, 0xFFFFFFFF)]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("zebra", PatternFlag.PCRE2 | PatternFlag.LINEAR | PatternFlag.LITERAL),
        ("^zebra (.*) x", PatternFlag.PCRE2 | PatternFlag.LINEAR),
        ("(.*)a(.*)a(.*)a", PatternFlag.PCRE2),
        ("(a|)*zebra", PatternFlag(0)),
        ("^", PatternFlag.PCRE2 | PatternFlag.LINEAR | PatternFlag.ALWAYS),
        ("\\B", PatternFlag.PCRE2 | PatternFlag.LINEAR | PatternFlag.STEPPED),
    ],
)
def test_flags(text: str, flags: PatternFlag) -> None:
    assert PatternFlag(pattern(built(COUNT.format(text)), text.encode()).flags) == flags


def test_only_patterns_whose_matches_are_replaced_have_an_automaton() -> None:
    tables = built('text t\n/zebra (.*)/ {\n  t = subst(/g[nu]+s/, "x", $1)\n}\n')
    assert pattern(tables, b"g[nu]+s").automaton is not None
    assert pattern(tables, b"zebra (.*)").automaton is None


def test_instructions_name_patterns_by_their_shared_number() -> None:
    tables = built(COUNT.format("zebra"), COUNT.format("gnus"))
    matches = [next(INSTR.struct.iter_unpack(spec.code)) for spec in tables.programs]
    assert [(op, d) for op, _a, _b, _c, d, _e in matches] == [(OPS["MATCH"].number, 0), (OPS["MATCH"].number, 1)]
    assert [len(spec.lines) // 4 for spec in tables.programs] == [
        len(spec.code) // INSTR.size for spec in tables.programs
    ]


def test_matches_of_other_texts_have_room_for_the_groups_that_any_program_reads() -> None:
    other = "text t\n/zebra (.*)/ {\n  $1 =~ /g(.)(.)/ {\n    t = $1\n  }\n}\n"
    more = "counter c by k\n/g(.)(.)/ {\n  c[$2]++\n}\n"
    [alone] = built(other).programs
    shared = built(other, more).programs[0]
    assert sorted(alone.slot_pairs) == [0, 2]
    assert sorted(shared.slot_pairs) == [0, 3]


def test_metrics_are_passed_on() -> None:
    [program] = programs(COUNT.format("zebra"))
    metric = object()
    [spec] = plan.build([(program, [metric])]).programs
    assert spec.metrics == [metric]


def test_costs_are_those_of_patterns_with_a_prefilter() -> None:
    [program] = programs("counter c\n/zebra/ {\n  c++\n}\n/.*/ {\n  c++\n}\n")
    found = plan.costs(program)
    assert list(found) == [program.patterns.index(b"zebra")]
    assert 0 < found[0] < 0.01


def test_tables_are_not_changed() -> None:
    tables = built(COUNT.format("zebra"))
    with pytest.raises(AttributeError):
        tables.patterns = []  # type: ignore[misc]
    with pytest.raises(AttributeError):
        tables.programs[0].triggers = None  # type: ignore[misc]
