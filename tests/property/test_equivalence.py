"""Results depend neither on prefilter and regex engine, nor on cuts into blocks, plan swaps and other programs."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Sequence

import pytest
from generate import Case, cases, rename
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from machines import LOG, Outcome, Recorder, compiled, drawn, examples, joined
from regexes import INVALID_LINES, ODD_LINES, REGEX, SUBJECT, every_operator, operator_program

from nativemtail.compiler.program import Program
from nativemtail.io.lines import Buffer, LineReader

pytestmark = pytest.mark.slow

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which takes minutes with such programs; `test_programs.explained` does it better."""

MANY = settings(max_examples=examples(60), phases=QUICK, suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=examples(15))

Feed = Callable[[Recorder, Sequence[bytes]], None]


def whole(machine: Recorder, lines: Sequence[bytes]) -> None:
    machine.scan(joined(lines))


def timeless(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """With the times that the wall clock set left out; those that lines set are from 1970 to 2035."""
    for outcome in outcomes.values():
        outcome.metrics = json.loads(
            re.sub(
                r'("Time": )(\d+)',
                lambda m: m[1] + ("0" if is_recent(int(m[2])) else m[2]),
                json.dumps(outcome.metrics),
            )
        )
    return outcomes


def is_recent(stamp: int) -> bool:
    return abs(stamp - time.time_ns()) < 3600 * 10**9


def results(
    programs: dict[str, Program], lines: Sequence[bytes], feed: Feed = whole, **options: bool
) -> dict[str, Outcome]:
    machine = Recorder(programs, **options)
    feed(machine, lines)
    return timeless(machine.outcomes())


def loaded(*batch: Case) -> tuple[dict[str, Program], list[bytes]]:
    """The programs that compile, and the lines of all."""
    good, _ = compiled({f"p{at:03}.mtail": rename(case.program, at) for at, case in enumerate(batch)})
    return good, [line for case in batch for line in case.lines]


NEWEST = cases(newest=True, hostile=True)
BATCHES = st.lists(NEWEST, min_size=1, max_size=2)


@MANY
@given(BATCHES)
def test_the_prefilter_changes_nothing(batch: list[Case]) -> None:
    programs, lines = loaded(*batch)
    lines = lines * 2 + [b""] * 3 + lines
    unfiltered = results(programs, lines, prefiltered=False)
    assert results(programs, lines) == unfiltered
    assert results(programs, lines, teddy=False) == unfiltered


@MANY
@given(BATCHES)
def test_the_regex_engine_changes_nothing(batch: list[Case]) -> None:
    programs, lines = loaded(*batch)
    assert results(programs, lines, prefiltered=False) == results(programs, lines, prefiltered=False, jit=False)


@MANY
@given(st.lists(REGEX, min_size=1, max_size=8), st.lists(SUBJECT, max_size=8), st.data())
def test_regexes_prefiltered_and_in_both_engines(regexes: list[str], subjects: list[str], data: st.DataObject) -> None:
    lines = [
        data.draw(st.sampled_from([subject.encode(), b"\xff" + subject.encode(), subject.encode()[1:]]))
        for subject in subjects
    ]
    texts = {}
    for at, regex in enumerate(regexes):
        groups = regex.replace("(?", "").count("(") + 1
        keys = ", ".join(f"k{group}" for group in range(groups))
        values = ", ".join(f"${group + 1}" for group in range(groups))
        texts[f"p{at:03}.mtail"] = f"counter p{at:03} by {keys}\n/({regex})/ {{\n  p{at:03}[{values}]++\n}}\n"
    programs, _ = compiled(texts)
    plain = results(programs, lines, prefiltered=False)
    assert results(programs, lines) == plain
    assert results(programs, lines, teddy=False) == plain
    assert results(programs, lines, jit=False) == plain


OPERATORS = list(dict.fromkeys(every_operator()))
PART = 250


@pytest.mark.parametrize("at", range(0, len(OPERATORS), PART))
def test_every_operator_in_every_engine(at: int) -> None:
    regexes = OPERATORS[at : at + PART]
    texts = {f"p{number:03}.mtail": operator_program(regex, f"p{number:03}") for number, regex in enumerate(regexes)}
    programs, refused = compiled(texts)
    assert refused == {}
    lines = [*ODD_LINES, *INVALID_LINES, *("é日".encode() * 700, b"a" * 2000)]
    expected = results(programs, lines, prefiltered=False)
    assert results(programs, lines, prefiltered=False, jit=False) == expected
    assert results(programs, lines) == expected
    assert any(outcome.metrics[0].get("LabelValues") for outcome in expected.values())


@MANY
@given(BATCHES, st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_block_sizes_change_nothing(batch: list[Case], sizes: list[int]) -> None:
    programs, lines = loaded(*batch)
    lines = [line.lstrip(b"\0") for line in lines]  # which a reader drops

    def in_reads(machine: Recorder, lines: Sequence[bytes]) -> None:
        number = machine.engine.open(LOG)
        reader = LineReader(lambda block, start, end: machine.engine.scan(number, block, start, end))
        source, buffer, at = io.BytesIO(joined(lines)), Buffer(), 0
        count: int | None = 1
        while count:
            size = sizes[at % len(sizes)]
            count = reader.read(buffer, lambda memory: source.readinto(memory[:size]))  # noqa: B023
            at += 1
        reader.finish()

    assert results(programs, lines, in_reads) == results(programs, lines)


@MANY
@given(BATCHES, st.integers(0, 60))
def test_a_swap_changes_nothing(batch: list[Case], at: int) -> None:
    programs, lines = loaded(*batch)

    def swapping(machine: Recorder, lines: Sequence[bytes]) -> None:
        machine.scan(joined(lines[:at]))
        machine.collect()
        machine.renew()
        machine.scan(joined(lines[at:]))

    assert results(programs, lines, swapping) == results(programs, lines)


@pytest.mark.parametrize("number", range(examples(4)))
def test_other_programs_change_nothing(number: int) -> None:
    programs, lines = loaded(*drawn(NEWEST, 30, number))
    together = results(programs, lines)
    for name, program in programs.items():
        assert results({name: program}, lines)[name] == together[name]


@FEW
@given(BATCHES, st.lists(st.integers(0, 400), min_size=8, max_size=8))
def test_blocks_after_which_the_prefilter_backs_off(batch: list[Case], shares: list[int]) -> None:
    """Blocks of many lines, some of which let the engine back off from the prefilter (run/prefilter.pxi)."""
    programs, lines = loaded(*batch)
    matching = (lines * 400)[:400]
    blocks = [joined(matching[:share] + [b"nothing of interest"] * (400 - share)) for share in shares]

    def in_blocks(machine: Recorder, _lines: Sequence[bytes]) -> None:
        for _ in range(6):
            for block in blocks:
                machine.scan(block)
            machine.collect()

    assert results(programs, lines, in_blocks) == results(programs, lines, in_blocks, prefiltered=False)


LETTERS = {
    "p000.mtail": "counter p000 by k\n/alpha (\\d+)/ {\n  p000[$1]++\n}\n",
    "p001.mtail": "counter p001\n/beta/ {\n  p001++\n}\n/gamma/ {\n  p001 += 10\n}\n",
    "p002.mtail": "counter p002\ngauge p003\n/beta/ {\n  p002++\n} else {\n  p003++\n}\n",
}


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        pytest.param([b"alpha 1 beta gamma" * 3, b"nothing", b"", b"gamma"], 60_000, id="more events than are kept"),
        pytest.param([b"gamma beta alpha 7", b"x" * 5000 + b"beta", b"beta" * 500], 2_000, id="many events on a line"),
        pytest.param([b"alpha 1 beta gamma" * 40_000], 12, id="more events on one line than are kept"),
    ],
)
def test_many_events(lines: list[bytes], count: int) -> None:
    programs, bad = compiled(LETTERS)
    assert not bad
    many = (lines * count)[:count]
    assert results(programs, many) == results(programs, many, prefiltered=False)
    assert results(programs, many, teddy=False) == results(programs, many, prefiltered=False)


def test_the_prefilter_is_in_use() -> None:
    """Else the tests above would prove nothing."""
    programs, _ = compiled(LETTERS)
    assert Recorder(programs).plan.prefiltered
    assert Recorder(programs).plan.teddy
    assert Recorder(programs, teddy=False).plan.prefiltered
    assert not Recorder(programs, teddy=False).plan.teddy
    assert not Recorder(programs, prefiltered=False).plan.prefiltered


STAMPS = ["Jan  2 03:04:05", "Foo 2 03:04:05", "Jan 77 03:04:05", "x"]
RESTS = ["alpha one", "beta two", "gamma", "delta three", ""]
STAMPED = r"""def stamped {
  /^(?P<date>\w+ +\d+ \d+:\d+:\d+) / {
    strptime($date, "Jan _2 15:04:05")
    next
  }
}
counter %s by k
@stamped {
  /%s (\w+)/ {
    %s[$1]++
  }
}
"""


@MANY
@given(st.lists(st.tuples(st.sampled_from(STAMPS), st.sampled_from(RESTS)), max_size=30))
def test_guard_slices_fail_as_the_programs_would(parts: list[tuple[str, str]]) -> None:
    lines = [f"{date} {rest}".encode() for date, rest in parts]
    words = {"p000": "alpha", "p001": "beta", "p002": "delta"}
    texts = {f"{name}.mtail": STAMPED % (name, word, name) for name, word in words.items()}
    texts["p003.mtail"] = "gauge p003\n/^(\\w+) / {\n  int($1)\n  /alpha/ {\n    p003 = 1\n  }\n}\n"
    programs, bad = compiled(texts)
    assert not bad
    found = results(programs, lines)
    assert found == results(programs, lines, prefiltered=False)
    failing = sum(date in ("Foo 2 03:04:05", "Jan 77 03:04:05") for date, _ in parts)
    assert [len(found[f"{name}.mtail"].faults) for name in words] == [failing] * 3
