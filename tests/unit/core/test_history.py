"""Writes by their own time, as the engine keeps them: sums, latest values, ends of series, lines without a time."""

from __future__ import annotations

import random
from array import array
from fractions import Fraction
from itertools import pairwise

import pytest
from engines import compile_all

from nativemtail._core import (
    COUNTER,
    INT,
    Metric,
    end_history,
    forget_history,
    history_memory,
    keep_history,
    take_history,
)
from nativemtail.compiler.divisible import How
from nativemtail.history.blueprint import Running, Times, build, draw
from nativemtail.history.totals import BUCKET, DIGIT_BITS, DIGITS
from nativemtail.programs import zones

SECOND = 1_000_000_000
TIMED = "/^(?P<t>-?\\d+) / {\n  settime($t)\n"


def machine(program: str, *, in_order: bool = False, step: int = 60) -> Running:
    return build(draw(compile_all([program]), zone=zones.load("UTC"), times=Times(step * SECOND), in_order=in_order))


def feed(run: Running, text: bytes) -> None:
    source = run.engine.open("log")
    run.engine.fix_clock(0)
    run.engine.scan(source, text)


def kept(run: Running, number: int = 0) -> dict[tuple[str, ...], list[tuple[int, ...]]]:
    """Keys, values and times by label values; None stands for no end."""
    labels, counts, ends, keys, values, times = take_history(run.metrics[number])
    texts = []
    for offsets, data in labels:
        at = array("q", bytes(offsets))
        texts.append([data[start:end].decode() for start, end in pairwise(at)])
    cells = list(zip(array("q", keys), array("q", values), array("q", times), strict=True))
    found: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    at = 0
    for place, count in enumerate(array("q", counts)):
        end = array("q", ends)[place]
        mark = [("end", end)] if end != 2**63 - 1 else []
        found.setdefault(tuple(column[place] for column in texts), []).extend([*cells[at : at + count], *mark])
        at += count
    assert at == len(cells)
    return found


def test_increments_are_kept_by_the_step_that_ends_after_their_time():
    run = machine(f"counter c by k\n{TIMED}  / (?P<k>\\w+)$/ {{\n    c[$k] += 2\n  }}\n}}\n")
    feed(run, b"0 a\n1 a\n60 a\n61 a\n-1 a\n-60 b\n-61 b\n59 a\n")
    assert kept(run) == {("a",): [(0, 4, 0), (1, 6, 0), (2, 2, 0)], ("b",): [(-1, 4, 0)]}
    forget_history(run.metrics[0])
    assert kept(run) == {}
    feed(run, b"0 a\n")
    assert kept(run) == {("a",): [(0, 2, 0)]}


def test_many_steps_in_any_order():
    run = machine(f"counter c by k\n{TIMED}  / (?P<k>\\w+)$/ {{\n    c[$k]++\n  }}\n}}\n", step=1)
    rng = random.Random(3)
    expected: dict[tuple[str, ...], dict[int, int]] = {}
    lines = []
    for _ in range(20_000):
        time, host = rng.choice([rng.randint(0, 3000), rng.randint(0, 10)]), rng.choice("abc")
        lines.append(b"%d %s\n" % (time, host.encode()))
        mine = expected.setdefault((host,), {})
        mine[time] = mine.get(time, 0) + 1
    feed(run, b"".join(lines))
    found = {host: {key: value for key, value, _ in cells} for host, cells in kept(run).items()}
    assert found == expected
    assert 0 < history_memory(run.metrics[0]) < 3 * 3001 * 24 * 6


def test_sums_of_floats_are_exact():
    run = machine(f"counter c\n{TIMED}  / (?P<x>\\S+)$/ {{\n    c += float($x)\n  }}\n}}\n")
    rng = random.Random(4)
    numbers = [rng.uniform(-1, 1) * 2.0 ** rng.randint(-1000, 1000) for _ in range(500)]
    numbers += [5e-324, -5e-324, 5e-324, 2.0**-1022, 1.7976931348623157e308, -0.0, 0.1] * 3
    feed(run, b"".join(b"5 %r\n".replace(b"%r", repr(number).encode()) for number in numbers))
    total = sum((Fraction(number) for number in numbers), Fraction(0))
    (cells,) = kept(run).values()
    found = sum(
        (Fraction(value) * Fraction(2) ** (DIGIT_BITS * (key - BUCKET - DIGITS) - 1074) for key, value, _ in cells),
        Fraction(0),
    )
    assert found == total


def test_the_latest_write_of_a_step_is_kept_and_of_equal_times_the_last():
    run = machine(f"gauge g\n{TIMED}  / (?P<n>\\d+)$/ {{\n    g = $n\n  }}\n}}\n")
    feed(run, b"30 1\n20 2\n30 3\n90 4\n10 5\n90 6\n80 7\n")
    assert kept(run) == {(): [(1, 3, 30 * SECOND), (2, 6, 90 * SECOND)]}


def test_a_program_in_order_keeps_totals_and_where_series_end():
    run = machine(
        f"counter c by k limit 2\n{TIMED}  / add (?P<k>\\w+)$/ {{\n    c[$k]++\n  }}\n"
        "  / del (?P<k>\\w+)$/ {\n    del c[$k]\n  }\n}\n",
        in_order=True,
    )
    feed(run, b"1 add a\n2 add a\n70 add a\n71 del a\n130 add a\n131 add b\n140 add b\n200 add c\n")
    assert kept(run) == {
        ("a",): [(1, 2, 2 * SECOND), (2, 3, 70 * SECOND), ("end", 2), (3, 1, 130 * SECOND), ("end", 4)],
        ("b",): [(3, 2, 140 * SECOND)],
        ("c",): [(4, 1, 200 * SECOND)],
    }


def test_a_series_ends_when_it_expires():
    run = machine(
        f"gauge g by k\n{TIMED}  / (?P<k>\\w+)$/ {{\n    g[$k] = 1\n    del g[$k] after 2m\n  }}\n}}\n", in_order=True
    )
    feed(run, b"10 a\n50 b\n")
    assert run.expires
    end_history(run.metrics[0], 150 * SECOND)
    run.store.gc(150 * SECOND)
    found = kept(run)
    assert found["a",][-1] == ("end", 3)
    assert found["b",] == [(1, 1, 50 * SECOND)]


def test_lines_without_a_time_are_left_out_counted_and_numbered():
    run = machine(f"counter c\n{TIMED}  c++\n}}\n/^no/ {{\n  c++\n  c++\n}}\n")
    feed(run, b"1 x\nno\n" + b"other\n" * 3 + b"no\n" * 20)
    assert kept(run) == {(): [(1, 1, 0)]}
    assert run.engine.untimed() == {"p0.mtail": (21, [2, *range(6, 15)])}
    assert run.engine.untimed() == {}
    run.engine.fix_clock(90 * SECOND, assumed=True)
    run.engine.scan(run.engine.open("log"), b"no\n")
    assert kept(run) == {(): [(1, 1, 0), (2, 2, 0)]}
    assert run.engine.untimed() == {}


def test_ordinary_runs_know_nothing_of_it():
    run = machine(f"hidden counter h\ncounter c\n{TIMED}  h++\n  c++\n}}\n")
    assert [spec.hidden for spec in run.metrics] == [True, False]
    with pytest.raises(ValueError, match="no history"):
        take_history(run.metrics[0])


@pytest.mark.parametrize("how", [0, 5, -1])
def test_what_is_no_history_is_refused(how):
    metric = Metric("c", "p", COUNTER, INT)
    with pytest.raises(ValueError, match="no such history"):
        keep_history(metric, 1, how)
    with pytest.raises(ValueError, match="no such history"):
        keep_history(metric, 0, How.SUM)
