"""What instructions do that codegen chooses: powers, comparisons of computed texts (values seen in mtail)."""

from __future__ import annotations

import json
import re

import pytest
from machines import Recorder, compiled

from nativemtail._render import Page


def run(text: str, *lines: bytes) -> Recorder:
    programs, bad = compiled({"p.mtail": text})
    assert not bad
    machine = Recorder(programs)
    machine.scan(b"".join(line + b"\n" for line in lines))
    return machine


def labels(machine: Recorder) -> list[str]:
    exported = json.loads(Page(machine.store.snapshot()).json(grouped=True))
    return [row["Labels"][0] for row in exported["c"][0].get("LabelValues", [])]


@pytest.mark.parametrize(
    ("base", "exponent", "power"),
    [
        ("16.0", ".25", "2"),
        ("4.0", "1.5", "8"),
        ("2.0", "0.5", "1.4142135623730951"),
        ("4.0", "-0.5", "0.5"),
        ("-8.0", "3.0", "-512"),
        ("-8.0", "-1.0", "-0.125"),
        ("2.0", "2000.0", "+Inf"),
        ("-2.0", "2001.0", "-Inf"),
        ("2.0", "-2000.0", "0"),
        ("0.0", "-1.0", "+Inf"),
        ("-8.0", "1.5", "NaN"),
        ("3", "35", "50031545098999704"),
        ("-1", "-1", "-1"),
        ("2", "-1", "0"),
        ("2", "63", "-9223372036854775808"),
        ("10", "15", "1000000000000000"),
        ("101", "9", "1093685272684360832"),
        ("13", "17", "8650415919381339136"),
        ("99", "9", "913517247483640832"),
        ("0.3", "3.0", "0.027"),
        ("0.3", "-3.0", "37.03703703703704"),
        ("1.1", "50.0", "117.39085287969571"),
        ("2.0", "2.5", "5.65685424949238"),
        ("-1.1", "3.0", "-1.3310000000000004"),
        ("1.0", "1e300", "1"),
        ("0.5", "1e300", "0"),
        ("-2.0", "-1e300", "0"),
    ],
)
def test_power(base: str, exponent: str, power: str) -> None:
    group = r"(-?\d*\.?\d*e?\d+)" if "." in base else r"(-?\d+)"
    text = f"counter c by k\nc[{base} ** {exponent}]++\n/^{group} {group}$/ {{\n  c[$1 ** $2]++\n}}\n"
    assert labels(run(text, f"{base} {exponent}".encode())) == [power]


@pytest.mark.parametrize(
    ("condition", "line", "true", "faults"),
    [
        ('tolower($1) == "abc"', b"ABC", True, 0),
        ('tolower($1) == "1e1"', b"10", True, 0),
        ('tolower($1) == "abc"', b"10", False, 1),
        ('tolower($1) == "7"', b"abc", False, 0),
        ('string($1) > "9"', b"10", True, 0),
        ('$1 > "9"', b"10", False, 0),
        ('"9" < tolower($1)', b"10", False, 0),
        ('tolower($1) + "" == "010"', b"10", True, 0),
        ('$1 + "" == "010"', b"10", False, 0),
        ('tolower($1) != "nan"', b"nan", True, 0),
        ("~int($1) == ~10", b"10", True, 0),
        ('t[""] + "10" == "010"', b"x", False, 0),
        ('t[""] == "0x0"', b"x", False, 0),
    ],
)
def test_comparison(condition: str, line: bytes, true: bool, faults: int) -> None:
    declared = 'counter c by k\ntext t by k\nt["x"] = "x"\n'
    machine = run(f'{declared}/(\\S+)/ {{\n  {condition} {{\n    c["yes"]++\n  }}\n}}\n', line)
    assert labels(machine) == ["yes"] * true
    machine.collect()
    assert len(machine.failed_lines["p.mtail"]) == faults


@pytest.mark.parametrize(
    ("right", "found"),
    [
        (r'"b\d"', ["b1 2"]),
        ('""', ["a", "b1 2", "10"]),
        ("10", ["10"]),
        ("(5 + 5)", ["10"]),
        ('("b" + 1)', ["b1 2"]),
        ('("1" + $line)', ["b1 2", "10"]),
        ("$line", ["a", "b1 2", "10"]),
        ("getfilename()", ["a", "b1 2", "10"]),
        ('tolower("b")', ["b1 2"]),
        ('len("b")', ["b1 2"]),
        ('subst("1", "0", "")', ["10"]),
        ('subst(/1/, "x", "0")', []),
    ],
)
def test_a_match_with_what_is_no_pattern(right: str, found: list[str]) -> None:
    text = f"counter c by k\n/(?P<line>.*)/ {{\n  $line =~ {right} {{\n    c[$line]++\n  }}\n}}\n"
    assert labels(run(text, b"a", b"b1 2", b"10")) == found


def test_a_text_to_match_with_has_groups() -> None:
    text = 'counter c by k\n/(.*)/ {\n  $1 =~ "b(\\d) (?P<next>.)" {\n    c[$1 + $next]++\n  }\n}\n'
    assert labels(run(text, b"a", b"b1 2")) == ["12"]


def test_a_decorated_block_knows_named_groups_by_name_alone() -> None:
    text = """counter c by k
def d {
  /^(?P<first>.)/ {
    next
  }
}
/.(.)/ {
  @d {
    c[$1]++
    c[$first]++
  }
}
"""
    assert labels(run(text, b"ab")) == ["b", "a"]


def test_keys_of_del_are_not_folded() -> None:
    assert labels(run('counter c by k\nc["+Inf"]++\ndel c[1. / 0.0]\n', b"")) == []


def test_keys_of_an_assignment_are_evaluated_once() -> None:
    text = 'counter c by k\ngauge n\ngauge m by k\nm["x"] = 5\nc[n++] = m["x"]\nc[/a/] = m["x"]\n'
    machine = run(text, b"", b"")
    assert labels(machine) == ["1", "2"]


def test_keys_of_an_added_text_are_evaluated_twice() -> None:
    text = 'gauge c by k\ncounter n\nc[n++] += "x"\n'
    assert labels(run(text, b"")) == ["1", "2"]
    assert labels(run(text.replace("by k", "by k limit 1"), b"")) == ["1"]


def test_each_use_of_a_decorator_has_hidden_metrics_of_its_own() -> None:
    text = (
        'counter c by k\ndef d {\n/x/ {\nhidden gauge h\nh++\nc["d"] += h\nnext\n}\n}\n'
        '@d {\nc["a"]++\n}\n@d {\nc["b"]++\n}\n'
    )
    exported = json.loads(Page(run(text, b"x", b"x").store.snapshot()).json(grouped=True))
    values = {row["Labels"][0]: row["Value"]["Value"] for row in exported["c"][0]["LabelValues"]}
    assert values == {"d": 1 + 1 + 2 + 2, "a": 2, "b": 2}


@pytest.mark.parametrize(
    "call",
    [
        "len(/a/)", "len(P)", "strtol(/a/, 16)", "strtol($1, /a/)", "subst(\"a\", /b/, $1)", "subst(\"a\", \"b\", P)",
        "subst(P, /b/, $1)",
    ],
)  # fmt: skip
def test_a_pattern_where_a_text_is_wanted_fails_on_each_line(call: str) -> None:
    text = f"const P /p/\ncounter c by k\ntext t\n/(.*)/ {{\n$1 =~ P {{\n}}\nt = {call}\nc[$1]++\n}}\n"
    machine = run(text, b"x", b"y")
    assert machine.outcomes()["p.mtail"].faults == ['"x"', '"y"']
    assert labels(machine) == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("int(/a/)", 'can\'t convert "Pattern" to "Int"'),
        ("float(P)", 'can\'t convert "Pattern" to "Float"'),
        ("string(/a/)", 'can\'t convert "Pattern" to "String"'),
    ],
)
def test_a_pattern_is_not_converted(call: str, error: str) -> None:
    text = f"const P /p/\nhistogram h buckets 1, 2\ntext t\n/(.*)/ {{\n$1 =~ P {{\n}}\nh = 1.5\nt = {call}\n}}\n"
    assert re.match(rf"p.mtail:8:\d+-\d+: .*{error}", compiled({"p.mtail": text})[1]["p.mtail"])
