"""Random programs over random lines: nativemtail and Debian's mtail must agree on what compiles and on what comes out.

Known differences are in differences.py, each with its row of spec README.md or the mark of the document that has it;
generate.py says what is not generated because of them.  NATIVEMTAIL_EXAMPLES=n tries n times as many programs.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from differences import difference, excused_verdict, has_nonfinite, samples_difference
from generate import cases, rename
from machines import Mtail, MtailFailed, Recorder, compiled, drawn, examples, joined
from minimise import minimised, program_minimised

from nativemtail._render import Page

BATCH = 25
BATCHES = 8
ZONES = ["", "Europe/Berlin", "America/New_York"]
DATE = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|\w{3}\s+\d+ \d\d:\d\d:\d\d|\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d"
    rb"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
)


@pytest.mark.parametrize("number", range(examples(BATCHES)))
def test_programs(number: int) -> None:
    batch = drawn(cases(), BATCH, number)
    programs = {f"p{at:03}.mtail": rename(case.program, at) for at, case in enumerate(batch)}
    lines = distinct_dates(list(dict.fromkeys(line for case in batch for line in case.lines)))
    zone = ZONES[number % len(ZONES)]
    found = compare(programs, lines, zone)
    if found:
        name = min(found, key=lambda name: len(programs[name]))
        pytest.fail(explained(name, programs[name], lines, zone, found[name]) + f"\nin this batch: {sorted(found)}")


def distinct_dates(lines: Sequence[bytes]) -> list[bytes]:
    """Lines without those that repeat a date: what cannot be parsed fails once in Debian's mtail (strptime-memo)."""
    seen: set[bytes] = set()
    kept = []
    for line in lines:
        dates = DATE.findall(line)
        if seen.isdisjoint(dates) and len(set(dates)) == len(dates):
            seen.update(dates)
            kept.append(line)
    return kept


def compare(programs: dict[str, str], lines: Sequence[bytes], zone: str) -> dict[str, str]:
    """What differs, by program."""
    good, bad = compiled(programs)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        mtail = Mtail(Path(folder), programs)
        verdicts = mtail.verdicts()
        for name, text in programs.items():
            if bool(verdicts[name]) != (name in bad) and not excused_verdict(text, verdicts[name]):
                found[name] = f"mtail: {verdicts[name] or 'compiles'}\nnativemtail: {bad.get(name) or 'compiles'}"
        both = {name: program for name, program in good.items() if not verdicts[name]}
        log = joined(lines)
        machine = Recorder(both, zone=zone)
        machine.scan(log, str(mtail.log))
        ours = machine.outcomes()
        finite = [name for name in both if not has_nonfinite(ours[name])]
        theirs = mtail.outcomes(log, finite, zone=zone)
        for name in finite:
            found[name] = difference(ours[name], theirs[name])
        for name in both.keys() - finite:
            alone = Recorder({name: both[name]}, zone=zone)
            alone.scan(log, str(mtail.log))
            found[name] = samples_difference(
                Page(alone.store.snapshot()).prometheus(), mtail.samples(log, name, zone=zone)
            )
    return {name: text for name, text in found.items() if text}


def explained(name: str, program: str, lines: list[bytes], zone: str, together: str) -> str:
    """The difference with as little program and log as it needs."""

    def differs(program: str, lines: Sequence[bytes]) -> str:
        try:
            return compare({name: program}, lines, zone).get(name, "")
        except MtailFailed as error:
            return str(error)

    kind = sort_of(differs(program, lines))
    if not kind:
        return f"{program}\nonly together with the other programs:\n{together}"

    def still(program: str, lines: Sequence[bytes]) -> bool:
        return sort_of(differs(program, lines)) == kind

    lines = minimised(lines, lambda fewer: still(program, fewer))
    program = program_minimised(program, lambda shorter: still(shorter, lines))
    return f"{program}\n{lines}\n{differs(program, lines)}"


def sort_of(difference: str) -> str:
    """Differences of another sort are not what is being minimised."""
    first = difference.split("\n", maxsplit=1)[0]
    return re.sub(r"p\d{3}\.mtail:[0-9:-]+|`[^']*'|\d+|\"(?:[^\"\\]|\\.)*\"|\[.*\]", "", first)
