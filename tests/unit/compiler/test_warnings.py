"""What is said of programs that compile and are hardly meant so, and that nothing is said of others."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

from nativemtail.compiler import CompileError, compile_program, layouthints, warnings


def found(text: str | bytes) -> list[str]:
    """Each warning with the number of its line and, behind a slash, its remedy."""
    told = compile_program("p", text.encode() if isinstance(text, str) else text).warnings
    return [re.sub(r"^p:(\d+):[\d-]+", r"\1", each).replace("\n\t", " / ") for each in told]


def test_the_place_of_a_warning() -> None:
    text = b"histogram h buckets 1, 2\n/(\\d+)ms/ {\n  h = 1 + $1 / 1000\n}\n"
    assert compile_program("a.mtail", text).warnings == [f"a.mtail:3:11-19: $1 / 1000 {LOST}\n\tDivide by 1000.0."]


def store(declaration: str, pattern: str, value: str, operator: str = "=") -> list[str]:
    """The warnings of a store into the metric of a declaration."""
    name = declaration.removeprefix("hidden ").split()[1]
    target = f"{name}[$k]" if " by " in declaration else name
    return found(f"{declaration}\n/^(?P<k>\\w+) {pattern}$/ {{\n  {target} {operator} {value}\n}}\n")


CONVERT = "Write float({}), or int() if it is whole."
DECLARE = "Declare it as `text', or store a number."


@pytest.mark.parametrize(
    ("declaration", "pattern", "operator", "value", "remedy"),
    [
        ("gauge g by k", r"(?P<v>\S+)", "=", "$v", CONVERT),
        ("counter c by k", r"(\d+|-)", "+=", "$2", CONVERT),
        ("timer t", r"(\d)", "=", "$2", CONVERT),
        ("gauge g", "x", "=", '"up"', DECLARE),
        ("gauge g", r"(\w+)", "=", "tolower($2) + $k", DECLARE),
        ("gauge g", r"(\d+)", "=", "$2", None),
        ("gauge g", r"(\S+)", "=", "float($2)", None),
        ("hidden gauge g", r"(\S+)", "=", "$2", None),
        ("text t", r"(\S+)", "=", "$2", None),
    ],
)
def test_text_in_a_number(declaration: str, pattern: str, operator: str, value: str, remedy: str | None) -> None:
    kind, name = declaration.removeprefix("hidden ").split()[:2]
    told = f"3: {kind} `{name}' holds text and is exported as 0: {value} is a String."
    expected = [f"{told} / {remedy.format(value)}"] if remedy else []
    assert store(declaration, pattern, value, operator) == expected


def test_a_metric_is_told_of_once() -> None:
    text = 'gauge g\n/(\\S+)/ {\n  g = $1\n  g = "x"\n  g == "y" {\n    g += $1\n  }\n}\n'
    assert [line.split(":")[0] for line in found(text)] == ["3"]


LOST = "divides Ints, so the fraction is lost before the result becomes a Float."


@pytest.mark.parametrize(
    ("declaration", "value", "expected"),
    [
        ("histogram h buckets 1, 2", "$ms / 1000", [f"3: $ms / 1000 {LOST} / Divide by 1000.0."]),
        ("histogram h by k buckets 1, 2", "2 * ($ms / $n)", [f"3: $ms / $n {LOST} / Divide by float($n)."]),
        ("gauge g", "$ms / 1000 + 0.5", [f"3: $ms / 1000 {LOST} / Divide by 1000.0."]),
        ("gauge g", "float($ms / len($k))", [f"3: $ms / len($k) {LOST} / Divide by float(len($k))."]),
        ("gauge g", "1.5 * $ms / $n", []),
        ("gauge g", "$ms / $n", []),
        ("gauge g", "$ms / 1000.0", []),
        ("gauge g", "($ms / 60) % 60 * 1.0", []),
        ("histogram h buckets 1, 2", "float($ms) / 1000", []),
        ("histogram h buckets 1, 2", "len(string($ms / 1000))", []),
    ],
)
def test_fractions_that_are_lost(declaration: str, value: str, expected: list[str]) -> None:
    assert store(declaration, r"(?P<ms>\d+) (?P<n>\d+)", value) == expected


def test_a_condition_with_lost_fractions() -> None:
    text = "counter c\n/(\\d+) of (\\d+)/ {\n  $1 / $2 > 0.9 {\n    c++\n  }\n}\n"
    assert found(text) == [f"3: $1 / $2 {LOST} / Divide by float($2)."]


def took(layout: str, declaration: str, value: str) -> list[str]:
    return found(
        f"hidden gauge began by id\n{declaration}\n/^(?P<t>\\S+) begin (?P<id>\\S+)$/ {{\n"
        f'  strptime($t, "{layout}")\n  began[$id] = timestamp()\n}}\n'
        f'/^(?P<t>\\S+) end (?P<id>\\S+)$/ {{\n  strptime($t, "{layout}")\n  took = {value}\n}}\n'
    )


SECONDS = "2006-01-02T15:04:05Z07:00"
MILLISECONDS = "2006-01-02T15:04:05.000Z07:00"


@pytest.mark.parametrize(
    ("layout", "declaration", "value", "warned"),
    [
        (MILLISECONDS, "histogram took buckets 1, 2", "timestamp() - began[$id]", True),
        (MILLISECONDS, "gauge took", "(timestamp() - began[$id]) * 1000", True),
        ("15:04:05,999", "timer took", "timestamp() - began[$id]", True),
        (SECONDS, "histogram took buckets 0.5, 1", "timestamp() - began[$id]", True),
        (SECONDS, "histogram took buckets 1, 2", "timestamp() - began[$id]", False),
        (MILLISECONDS, "gauge took", "began[$id]", False),
    ],
)
def test_differences_below_a_second(layout: str, declaration: str, value: str, warned: bool) -> None:
    told = "9: timestamp() - began[$id] is in whole seconds: timestamp() has no fractions, whatever strptime() reads."
    remedy = "Count seconds, or take a duration that the log itself has."
    assert took(layout, declaration, value) == ([f"{told} / {remedy}"] if warned else [])


REFERENCE = "a layout is the time Mon Jan 2 15:04:05 MST 2006 as the log would write it."


NUMBER = "2: strptime() reads nothing: $t is a number, and it needs a String. / "
MORE = "Let the group match more than digits, as (\\S+) does."


@pytest.mark.parametrize(
    ("pattern", "stamp", "layout", "expected"),
    [
        (r"(?P<t>\d{14})", "$t", "20060102150405", NUMBER + "Write string($t)."),
        (r"(?P<t>\d+)", "$t", "02012006", NUMBER + MORE),
        (r"(?P<t>\d+\.\d+)", "$t", "150405.000", NUMBER + MORE),
        (r"(?P<t>\d+)", "string($t)", "20060102150405", None),
        (r"(?P<t>\S+)", "$t", "2006-01-02T15:04:05Z07:00", None),
        (r"(?P<t>\S+)", "$t", "15:04 %", None),
    ],
)
def test_stamps_that_are_numbers(pattern: str, stamp: str, layout: str, expected: str | None) -> None:
    assert found(f'/^{pattern}$/ {{\n  strptime({stamp}, "{layout}")\n}}\n') == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("layout", "meant"),
    [
        ("%Y-%m-%dT%H:%M:%S", "2006-01-02T15:04:05"),
        ("%d/%b/%Y:%T %z", "02/Jan/2006:15:04:05 -0700"),
        ("YYYY-MM-DD", "2006-01-02 15:04:05"),
        ("", "2006-01-02 15:04:05"),
    ],
)
def test_layouts_that_read_no_time(layout: str, meant: str) -> None:
    told = f'2: The layout "{layout}" reads no time: {REFERENCE} / Write "{meant}".'
    assert found(f'/(.+)/ {{\n  strptime($1, "{layout}")\n}}\n') == [told]


FIRST_USE = "An Int is wanted and a Float is given: let the metric's first use be a Float, as 0.0."


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("settime($s)", "settime() takes a number. / Write int() or float()."),
        ("g = 1.5", f"unexpected int type float64. / {FIRST_USE}"),
        ("x = 1", "unexpected float type int64. / A Float is wanted: write 1.0 for 1, or float()."),
        ("g = len(/a/)", "a pattern has no value. / Write a text, or match with =~."),
        ("h++", "a histogram can only be assigned to. / Do not read it, add to it or count it up."),
    ],
)  # fmt: skip
def test_statements_that_can_only_fail(statement: str, expected: str) -> None:
    use = "/(?P<f>\\d+\\.\\d) (?P<s>\\w+)/ {\n  g = 1\n  x = 0.5\n  h = 1\n"
    text = f"gauge g\ngauge x\nhistogram h buckets 1, 2\n{use}  {statement}\n}}\n"
    assert found(text) == [f"8: Every line that gets here fails: {expected}"]


def test_too_many_are_counted() -> None:
    told = found("gauge g\n/(\\S+)/ {\n  g = 1\n" + "  g = 1.5\n" * 60 + "}\n")
    assert len(told) == warnings.MAX_WARNINGS + 1
    assert told[-1] == "and 10 more warnings"


@pytest.mark.parametrize(
    ("layout", "meant"),
    [
        ("2006-01-02T15:04:05Z", "2006-01-02T15:04:05Z07:00"),
        ("2026-11-30 12:00:00", "2006-01-02 15:04:05"),
        ("30/Nov/2026:12:00:00 +0100", "02/Jan/2006:15:04:05 -0700"),
        ("2026-11-30T12:00:00.123+01:00", "2006-01-02T15:04:05.000-07:00"),
        ("Nov 30 12:00:00", "Jan _2 15:04:05"),
        ("%Y-%m-%d %H:%M:%S,%f", "2006-01-02 15:04:05,000000"),
        ("%Y-%Q", None),
        ("2006_01_02", None),
        ("2006-01-02", None),
        ("", None),
    ],
)
def test_the_layout_that_is_meant(layout: str, meant: str | None) -> None:
    assert layouthints.suggestion(layout) == meant


@pytest.mark.parametrize(
    ("layout", "has"),
    [("2006_01_02", True), ("15:04_2006", True), ("Jan _2 15:04", False), ("2006 __2", False), ("", False)],
)
def test_underscores_in_layouts(layout: str, has: bool) -> None:
    assert layouthints.has_underscore(layout) == has


@pytest.mark.slow
def test_nothing_is_said_of_programs_that_do_what_they_should() -> None:
    files = [path for folder in ("examples", "perf") for path in ROOT.glob(f"{folder}/**/*.mtail")]
    assert len(files) > 20
    assert {path.name: found(path.read_bytes()) for path in files if found(path.read_bytes())} == {}


ON_PURPOSE = {
    "bi_pattern_argument",
    "infer_alt_int_dash",
    "infer_alt_literals_merge",
    "infer_concat_class_repeat",
    "infer_only_e",
    "infer_two_dots",
    "infer_word",
    "time_int_capture_fails",
    "types_bool_into_text_fails",
    "types_compare_metric_string",
    "types_counter_add_string",
    "types_float_add_int_fails",
    "types_float_then_int_literal_fails",
    "types_gauge_string",
    "types_gauge_string_prom",
    "types_int_plus_string_concat",
}
"""Conformance cases that show what the warnings are about."""


@pytest.mark.slow
def test_of_the_conformance_cases_only_those_are_told_that_show_it() -> None:
    cases = ROOT / "tests" / "conformance" / "cases"
    told = set()
    for path in cases.glob("**/*.mtail"):
        try:
            if found(path.read_bytes()):
                told.add(path.relative_to(cases).parts[0])
        except CompileError:
            pass
    assert told == ON_PURPOSE
