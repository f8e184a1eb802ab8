"""What `nativemtail explain` says, and what the engine measures for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nativemtail import _core_testing
from nativemtail._core import Engine, Plan, Store, TimeZone
from nativemtail.app.commands import group
from nativemtail.compiler import compile_program, plan
from nativemtail.programs import zones
from nativemtail.programs.metrics import make_metrics
from nativemtail.telemetry.explain import explain

COUNT = "counter n\n/{}/ {{\n  n++\n}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            COUNT.format("zebra (\\d+)"),
            ["one of its prefilters", "prefilter 'zebra '", "engine scan, else PCRE2; captures 0"],
        ),
        (
            COUNT.format("zebra"),
            ["prefilter: 1 literals, found by the multi-literal matcher (without AVX2, by Hyperscan)"],
        ),
        (COUNT.format("q[0-9]z"), ["prefilter: 0 literals and 1 regular expressions, found by Hyperscan"]),
        (COUNT.format("zebra"), ["found by its prefilter, and lets lines through to the program: not tried by itself"]),
        (COUNT.format("^\\S+ \\S+$"), ["runs on every line: line 3", "no literal: tried on", "hint: put fixed"]),
        (COUNT.format("$"), ["runs on every line", "matches every line: not tried at all"]),
        (COUNT.format("(a*)*foo"), ["prefilter 'foo'", "engine RE2", "hint: a repeated part can match nothing"]),
        (COUNT.format("x.*y.*z=q"), ["RE2 on long lines", "hint: repeats can share text"]),
        (
            "counter n\n/foobar/ {\n} else {\n  n++\n}\n",
            ["line 4 changes", "found by its prefilter: not tried by itself"],
        ),
        (
            "counter n\n/foo\\d/ {\n} else {\n  n++\n}\n",
            ["runs on every line: line 4", "tried on lines that pass its prefilter"],
        ),
        (
            "counter n\njson request.method, status int optional {\n  n++\n}\n",
            ["\n  json request.method, status int optional\n", "engine reader of fields; captures 2"],
        ),
        ("counter n\n/ xyz: (\\S+)/ {\n  $1 =~ /^q/ {\n    n++\n  }\n}\n", ["a text of the program's own"]),
        ("/foobar/ {\n}\n", ["never runs: it can change nothing"]),
        (
            'counter n\n/^(\\w+ +\\d+) / {\n  strptime($1, "Jan _2")\n  /zebra/ {\n    n++\n  }\n}\n',
            ["or the time at the start of the line is wrong", "tried on every line that the program runs on"],
        ),
    ],
)
def test_reasons(text: str, expected: list[str]) -> None:
    page = explain([(compile_program("p.mtail", text.encode()), [])])
    for words in expected:
        assert words in page


def test_a_field_pattern_has_no_hint_for_regular_expressions() -> None:
    page = explain([(compile_program("p.mtail", b"counter n\nlogfmt level, msg {\n  n++\n}\n"), [])])
    assert "  logfmt level, msg\n" in page
    assert "hint" not in page


def test_what_was_measured() -> None:
    program = compile_program("p.mtail", COUNT.format("zebra( \\\\d)+$").replace("\\\\", "\\").encode())
    metrics = make_metrics("p.mtail", program.metrics)
    store = Store()
    store.add(metrics[0])
    engine = Engine(store)
    assert engine.profile().lines == 0
    engine.swap(Plan(plan.build([(program, metrics)]), zone=TimeZone(zones.load("UTC"))))
    digits = b" 7" * 1000  # so that a match takes much longer than reading the clock
    engine.scan(engine.open("log"), (b"zebra%b\n" % digits * 3 + b"zebra x\n" + b"other\n" * 6) * 1000)
    measured = engine.profile()
    [cost] = measured.programs.values()
    [pattern] = measured.patterns.values()
    assert (measured.lines, cost.lines, cost.runs) == (10_000, 10_000, 3_000)
    assert (pattern.runs, pattern.matches) == (4_000, 3_000)
    assert 0 < pattern.seconds < 1
    assert 0 < cost.seconds < 1
    assert 0 < measured.prefilter_seconds < measured.seconds
    assert cost.samples > 5
    assert pattern.samples > 10
    assert cost.seconds + measured.prefilter_seconds + measured.rest_seconds == pytest.approx(measured.seconds)
    page = explain([(program, metrics)], measured)
    assert "matched 3,000 of 4,000 (75.0 %) lines tried" in page
    assert "10,000 lines in" in page


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([], 0.0),
        ([200], 200e-6),
        ([200] * 4, 200e-6),
        ([200] * 20 + [50_000_000], 200e-6),
        ([50_000_000] + [200] * 5, 200e-6),
        ([100, 300] * 50, 199e-6),
    ],
)
def test_one_long_sample_does_not_matter(times: list[int], seconds: float) -> None:
    assert _core_testing._estimate(times, 1000) == pytest.approx(seconds, rel=0.01)


PROGRAMS = [
    COUNT.format("zebra (\\d+)"),
    "counter n by word\n/^(?P<word>\\S+) \\S+$/ {\n  n[$word]++\n}\n",
    "counter n\n/zebra \\d/ {\n  n++\n  /7$/ {\n    n++\n  }\n}\n",
]


@pytest.mark.parametrize("texts", [PROGRAMS[:1], PROGRAMS[1:2], PROGRAMS])
@pytest.mark.parametrize("lines", [1, 100, 3000])
def test_shares_add_up(tmp_path: Path, texts: list[str], lines: int) -> None:
    for number, text in enumerate(texts):
        (tmp_path / f"p{number}.mtail").write_text(text)
    (tmp_path / "log").write_text("zebra 7\nzebra x\nother\n" * lines)
    answer = CliRunner().invoke(group, ["explain", str(tmp_path), "--log", str(tmp_path / "log")])
    assert answer.exit_code == 0, answer.output
    shares = {"whole": [], "pattern": []}  # type: dict[str, list[int]]
    for line in answer.output.splitlines():
        kind = "pattern" if line.startswith("    ") else "whole"
        shares[kind] += map(int, re.findall(r"\d (?:s|ms|µs) \((\d+) %\)", line))
    assert sum(shares["whole"]) == pytest.approx(100, abs=len(texts) + 2)
    assert sum(shares["pattern"]) <= 100 + len(shares["pattern"])


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
