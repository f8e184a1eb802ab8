"""Engines in several threads run one plan: all that changes is each engine's own (`make tsan` runs this, too)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from engines import Loaded, compile_all, make_plan, metrics_of
from threads import run_in_threads

from nativemtail._core import Engine, Plan, Store

PROGRAMS = (
    # Captures by the one-pass matcher, a memo of the time, many label sets (looked up ahead), a guard, an error.
    """counter requests by host, path
histogram sizes by host buckets 10, 100, 1000
counter seconds by host
/^(?P<date>\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d) / {
  strptime($date, "2006-01-02 15:04:05")
  / (?P<host>\\w+) GET (?P<path>\\S+) (?P<size>\\S+)$/ {
    requests[$host, $path]++
    seconds[$host] += timestamp() % 60
    sizes[$host] = $size
  }
}
""",
    # By PCRE2 and by RE2; matches of other texts than the line; texts that are made.
    """counter words by host, word
gauge last by host
text shown by host
/ (?P<host>\\w+) (?:(?P<word>\\w)\\w*,)*(?P<rest>[a-f]+|é)+ / {
  words[$host, tolower($word) + subst(/[aeiou]+/, "", $rest)]++
  $rest =~ /^(?P<head>\\w)(?P<tail>.*)$/ {
    last[$host] = len($tail)
    shown[$host] = $head + "/" + $tail
  }
}
""",
    # Runs on each line, fails on some, and when it is loaded.
    """counter lines by file
counter bad by file
begin {
  bad["start"] += 1 / bad["none"]
}
lines[getfilename()]++
/ERROR (?P<code>\\S+)/ {
  bad[getfilename()] += strtol($code, 16)
}
""",
)
BLOCKS = 12
LINES = 500


def log(name: str) -> list[bytes]:
    """Blocks of a log, which no other name has."""
    dice = random.Random(name)
    return [b"".join(line_of(dice, name).encode() + b"\n" for _ in range(LINES)) for _ in range(BLOCKS)]


def line_of(dice: random.Random, name: str) -> str:
    stamp = f"2026-03-{dice.randint(1, 9):02} 10:{dice.randint(0, 3):02}:{dice.randint(0, 61):02}"
    host = f"{name}{dice.randint(0, 3)}"
    kind = dice.randrange(10)
    if kind < 6:
        return f"{stamp} {host} GET /{dice.randint(0, 900)} {dice.choice(('7', '55', '4096', '-'))}"
    if kind < 8:
        return (
            f"{stamp} {host} "
            + "aé,"[: dice.randint(1, 3)]
            + "Bc," * dice.randint(0, 3)
            + dice.choice(("face", "é", "x"))
            + " end"
        )
    return f"{stamp} {host} ERROR {dice.choice(('1f', 'zz', '7' * 30))}"


class Shared:
    """Two engines on one plan, and logs that differ."""

    def __init__(self, **options: bool) -> None:
        self.loaded: Loaded = compile_all(PROGRAMS)
        self.store = Store()
        self.store.replace((), metrics_of(self.loaded))
        self.plan: Plan = make_plan(self.loaded, **options)
        self.engines = {name: Engine(self.store) for name in ("alpha", "beta")}

    def feed(self, name: str) -> None:
        engine = self.engines[name]
        engine.begin(self.plan, 2)
        engine.swap(self.plan)
        source = engine.open(name)
        for block in log(name):
            engine.scan(source, block)

    def results(self) -> dict[str, Any]:
        """All that one sees afterwards, but for the wall clock."""
        found: dict[str, Any] = {}
        snapshot = self.store.snapshot()
        for metric in snapshot.metrics():
            rows = {row.labels: (row.value, row.count, row.sum, row.buckets) for row in snapshot.rows(metric)}
            found[metric.name] = rows
        for name, engine in self.engines.items():
            kept, more = engine.faults()
            found[name] = [str(fault) for fault in kept], more, engine.program_lines(), engine.program_faults()
            profile = engine.profile()
            found[f"{name} tried"] = {text: (cost.runs, cost.matches) for text, cost in profile.patterns.items()}
        return found


def one_after_the_other(works: list[Callable[[], None]]) -> None:
    for work in works:
        work()


def at_once(works: list[Callable[[], None]]) -> None:
    together = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        together.wait()
        work()

    run_in_threads([partial(run, work) for work in works])


def results(way: Callable[[list[Callable[[], None]]], None], **options: bool) -> dict[str, Any]:
    shared = Shared(**options)
    way([lambda name=name: shared.feed(name) for name in shared.engines])  # type: ignore[misc]
    return shared.results()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"prefiltered": False}, {"jit": False}], ids=["plain", "unfiltered", "re2"])
def test_two_engines_run_one_plan_at_once(options: dict[str, bool]) -> None:
    expected = results(one_after_the_other, **options)
    assert sum(number for number, *_ in expected["lines"].values()) == 2 * BLOCKS * LINES
    assert len(expected["requests"]) > 4096
    for name in ("alpha", "beta"):
        assert expected[name][1]["p2.mtail"] > 0
    assert results(at_once, **options) == expected


def test_what_one_engine_ran_is_no_part_of_the_plan() -> None:
    """Neither its counts nor its errors are another engine's."""
    shared = Shared()
    shared.feed("alpha")
    beta = shared.engines["beta"]
    beta.swap(shared.plan)
    assert beta.faults() == ([], {})
    assert beta.last_faults() == {}
    assert beta.program_times() == {}
    assert set(beta.program_lines().values()) == {0}
    assert {cost.runs for cost in beta.profile().patterns.values()} == {0}
    assert shared.engines["alpha"].program_faults()["p2.mtail"] > 100


def test_engines_of_one_plan_need_one_store() -> None:
    loaded = compile_all(PROGRAMS)
    plan, metrics = make_plan(loaded), metrics_of(loaded)
    store, other = Store(), Store()
    engine = Engine(other)
    engine.begin(plan, 2)  # before its metrics are in a store
    with pytest.raises(ValueError, match=r"p0.mtail:requests \['host', 'path'\] .* is not in the engine's store"):
        engine.swap(plan)
    store.replace((), metrics)
    for refused in (engine.swap, lambda plan: engine.exchange(plan, (), ()), lambda plan: engine.begin(plan, 2)):
        with pytest.raises(ValueError, match="of the plan is not in the engine's store"):
            refused(plan)
    assert other.metrics() == []
    with pytest.raises(ValueError, match="no plan"):
        engine.scan(engine.open("log"), b"line\n")
    Engine(store).swap(plan)
