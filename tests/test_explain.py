"""What `nativemtail explain` says, and what the engine measures for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nativemtail import zones
from nativemtail._core import Engine, Plan, Store, TimeZone
from nativemtail.commands import group
from nativemtail.compiler import compile_program, plan
from nativemtail.explain import explain
from nativemtail.programs import make_metrics

COUNT = "counter n\n/{}/ {{\n  n++\n}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COUNT.format("zebra (\\d+)"), ["one of its gates", "gate 'zebra '", "engine scan, else PCRE2; captures 0"]),
        (COUNT.format("zebra"), ["gates: 1 literals, found by a vector scan (without AVX2, by Hyperscan)"]),
        (COUNT.format("q[0-9]z"), ["gates: 0 literals and 1 regular expressions, found by Hyperscan"]),
        (COUNT.format("zebra"), ["found by its gate, and lets lines through to the program: not tried by itself"]),
        (COUNT.format("^\\S+ \\S+$"), ["runs on every line: line 3", "no literal: tried on", "hint: put fixed"]),
        (COUNT.format("$"), ["runs on every line", "matches every line: not tried at all"]),
        (COUNT.format("(a*)*foo"), ["gate 'foo'", "engine RE2", "hint: a repeated part can match nothing"]),
        (COUNT.format("x.*y.*z=q"), ["RE2 on long lines", "hint: repeats can share text"]),
        ("counter n\n/foobar/ {\n} else {\n  n++\n}\n", ["line 4 changes", "found by its gate: not tried by itself"]),
        ("counter n\n/foo\\d/ {\n} else {\n  n++\n}\n", ["runs on every line: line 4", "tried where its gate opens"]),
        ("counter n\n/ xyz: (\\S+)/ {\n  $1 =~ /^q/ {\n    n++\n  }\n}\n", ["a text of the program's own"]),
        ("/foobar/ {\n}\n", ["never runs: it can change nothing"]),
        (
            "counter n\n/^(\\w+ +\\d+) / {\n  strptime($1, \"Jan _2\")\n  /zebra/ {\n    n++\n  }\n}\n",
            ["or the time at the start of the line is wrong", "tried on every line that the program runs on"],
        ),
    ],
)
def test_reasons(text: str, expected: list[str]) -> None:
    page = explain([(compile_program("p.mtail", text.encode()), [])])
    for words in expected:
        assert words in page


def test_what_was_measured() -> None:
    program = compile_program("p.mtail", COUNT.format("zebra (\\\\d+)").replace("\\\\", "\\").encode())
    metrics = make_metrics("p.mtail", program.metrics)
    store = Store()
    store.add(metrics[0])
    engine = Engine(store)
    assert engine.profile().lines == 0
    engine.swap(Plan(plan.build([(program, metrics)]), zone=TimeZone(zones.load("UTC"))))
    engine.scan(engine.source("log"), (b"zebra 7\n" * 3 + b"zebra x\n" + b"other\n" * 6) * 1000)
    measured = engine.profile()
    [cost] = measured.programs.values()
    [pattern] = measured.patterns.values()
    assert (measured.lines, cost.lines, cost.runs) == (10_000, 10_000, 3_000)
    assert (pattern.runs, pattern.matches) == (4_000, 3_000)
    assert 0 < pattern.seconds < 1
    assert 0 < cost.seconds < 1
    assert 0 < measured.gate_seconds < measured.seconds
    page = explain([(program, metrics)], measured)
    assert "matched 3,000 of 4,000 (75.0 %) lines tried" in page
    assert "10,000 lines in" in page


def test_command(tmp_path: Path) -> None:
    (tmp_path / "p.mtail").write_text(COUNT.format("zebra"))
    log = tmp_path / "log"
    log.write_text("a zebra\nnone\n")
    answer = CliRunner().invoke(group, ["explain", str(tmp_path), "--log", str(log)])
    assert answer.exit_code == 0, answer.output
    assert "ran on 1 of 2 (50.0 %) lines" in answer.output
    assert "matched 1 of 1 (100.0 %) lines" in answer.output
    assert CliRunner().invoke(group, ["explain", str(log)]).exit_code == 1
    (tmp_path / "q.mtail").write_text("counter n\nfoo\n")
    answer = CliRunner().invoke(group, ["explain", str(tmp_path)])
    assert answer.exit_code == 1
    assert "q.mtail:2" in answer.output
    (tmp_path / "q.mtail").unlink()
    (tmp_path / "q.mtail").symlink_to("/")
    answer = CliRunner().invoke(group, ["explain", str(tmp_path)])
    assert answer.exit_code == 1
    assert answer.output.endswith("q.mtail: not a regular file\n")
