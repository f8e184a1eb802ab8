"""Random regexes over random lines: which match, what their groups take, and of what type the groups are."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from machines import drawn, examples
from regexes import NUMERIC, ODD_LINES, REGEX, SUBJECT, every_operator, operator_program
from test_programs import compare, explained

PAIRS = st.tuples(st.one_of(REGEX, NUMERIC), st.lists(SUBJECT, max_size=3))
BATCH = 60
BATCHES = 6


@pytest.mark.parametrize("number", range(examples(BATCHES)))
def test_regexes(number: int) -> None:
    pairs = drawn(PAIRS, BATCH, number)
    regexes = list(dict.fromkeys(regex for regex, _ in pairs))
    lines = list(dict.fromkeys(subject.encode() for _, subjects in pairs for subject in subjects))
    programs = {f"p{at:03}.mtail": program(regex, f"p{at:03}") for at, regex in enumerate(regexes)}
    found = compare(programs, lines, "")
    if found:
        name = min(found, key=lambda name: len(programs[name]))
        pytest.fail(explained(name, programs[name], lines, "", found[name]) + f"\nin this batch: {sorted(found)}")


OPERATORS = list(dict.fromkeys(every_operator()))
PART = 250


@pytest.mark.parametrize("at", range(0, len(OPERATORS), PART))
def test_every_operator(at: int) -> None:
    """On lines that Debian's mtail reads as they are: U+FFFD is a bad byte to it, at which it stops reading."""
    regexes = OPERATORS[at : at + PART]
    programs = {f"p{number:03}.mtail": operator_program(regex, f"p{number:03}") for number, regex in enumerate(regexes)}
    found = compare(programs, [line for line in ODD_LINES if b"\r" not in line and b"\xef\xbf\xbd" not in line], "")
    assert found == {}


def program(regex: str, prefix: str) -> str:
    """Counts the lines that match and those that do not, and what the groups take as text and by type."""
    groups = group_count(regex)
    keys = ", ".join(f"k{group}" for group in range(groups + 1))
    values = ", ".join(f"${group + 1}" for group in range(groups + 1))
    text = [f"counter {prefix}m", f"counter {prefix}n", f"counter {prefix}c by {keys}"]
    text += [f"gauge {prefix}t{group} by k" for group in range(1, groups + 1)]
    text += [f"text {prefix}s"]
    text += [f"/{regex}/ {{", f"  {prefix}m++", "} else {", f"  {prefix}n++", "}"]
    text += [f"/({regex})/ {{", f"  {prefix}c[{values}]++", "}"]
    text += [f"/{regex}/ {{", *(f'  {prefix}t{group}["a"] = ${group}' for group in range(1, groups + 1)), "}"]
    text += [f'{prefix}s = subst(/{regex}/, "<>", "ab01é-日a")']
    return "\n".join(text) + "\n"


def group_count(regex: str) -> int:
    return regex.replace("(?", "").count("(")
