"""Who reads the engine's and the store's counts holds no lock that lines wait for: `make tsan` looks for races here."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from engines import Machine
from threads import run_in_threads

from nativemtail._core import Metric
from nativemtail._render import Page, View

PROGRAM = """counter lines_total
counter words by word limit 50
histogram sizes by word buckets 1, 10
text last
counter bad by word
counter many by number
/^(?P<word>\\w+) (?P<size>\\S+)$/ {
  words[$word]++
  sizes[$word] = 5
  last = $word
  many[$size]++
  del words[$word] after 1s
  $word == "w7" {
    bad[$word] += strtol($size, 10)
  }
}
/$/ {
  lines_total++
}
"""
BLOCK = "".join(f"w{number % 90} x{number}\n" for number in range(900)).encode()
SECONDS = 2.0


def blocks() -> Iterator[bytes]:
    """Lines with more and more label sets."""
    for block in itertools.count():
        yield "".join(f"w{number % 90} x{block % 40}.{number}\n" for number in range(300)).encode()


def together(works: list[Callable[[], object]], seconds: float = SECONDS) -> None:
    """Each again and again in a thread of its own; raises what one of them raises."""
    end = time.monotonic() + seconds
    has_failed = threading.Event()

    def repeat(work: Callable[[], object]) -> None:
        try:
            while time.monotonic() < end and not has_failed.is_set():
                work()
        except BaseException:
            has_failed.set()
            raise

    run_in_threads([partial(repeat, work) for work in works])


@pytest.mark.slow
def test_counts_are_read_while_lines_flow() -> None:
    machine = Machine(PROGRAM, "counter n\n/w1 / {\n  n++\n}\n")
    engine, store = machine.engine, machine.store
    store.limit = 1 << 16
    fed = 0
    seen = [0]

    def feed() -> None:
        nonlocal fed
        fed += machine.feed(BLOCK)

    def read_engine() -> None:
        total = engine.lines_total()
        assert total >= seen[0]
        seen[0] = total
        engine.program_lines()
        engine.program_faults()
        engine.program_times()
        engine.faults()
        engine.last_faults()
        engine.profile()

    def read_store() -> None:
        assert store.memory >= 0
        assert store.refused >= 0
        assert store.over_limit >= 0
        assert all(len(metric) >= 0 and metric.memory >= 0 for metric in store.metrics())

    together([feed, read_engine, read_store])
    assert engine.lines_total() == fed == engine.program_lines()["p0.mtail"]
    assert engine.program_faults()["p0.mtail"] > 0


@pytest.mark.slow
def test_pages_are_written_while_lines_flow() -> None:
    machine = Machine(PROGRAM)
    store = machine.store
    totals = [0.0]
    lines = blocks()
    machine.feed(next(lines))  # or a page may come before the first metric with keys

    def feed() -> None:
        machine.feed(next(lines))

    def scrape() -> None:
        shown = Page(store.snapshot())
        page = shown.prometheus().decode()
        [line] = [line for line in page.splitlines() if line.startswith("lines_total{")]
        total = float(line.rpartition(" ")[2])
        assert total >= totals[0]
        totals[0] = total
        assert b"".join(View(store, whole=0, piece=500).prometheus()).startswith(b"# HELP bad ")
        assert shown.json(False)
        assert shown.metrics_json()

    together([feed, scrape, scrape_plainly(store), lambda: store.gc(time.time_ns() + 5_000_000_000)])


def scrape_plainly(store: object) -> Callable[[], object]:
    return lambda: Page(store.snapshot()).prometheus(openmetrics=True)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_programs_change_while_lines_flow() -> None:
    machine = Machine(PROGRAM)
    fed = 0

    def feed() -> None:
        nonlocal fed
        fed += machine.feed(BLOCK)

    def swap() -> None:
        machine.swap(PROGRAM, "counter n\n/w1 / {\n  n++\n}\n")
        time.sleep(0.02)

    def read() -> None:
        machine.engine.program_lines()
        machine.engine.program_times()
        machine.engine.lines_total()
        Page(machine.store.snapshot()).prometheus()

    together([feed, swap, read])
    assert machine.engine.program_lines()["p0.mtail"] == fed


@pytest.mark.slow
def test_metrics_come_and_go_while_pages_are_written() -> None:
    machine = Machine("counter lines_total\n/$/ {\n  lines_total++\n}\n")
    store = machine.store

    def exchange() -> None:
        metric = Metric("m", "q.mtail", 1, 0, ("k",))
        store.add(metric)
        store.remove(metric)

    together([exchange, lambda: Page(store.snapshot()).prometheus(), lambda: machine.feed(BLOCK)])
    assert [metric.name for metric in store.metrics()] == ["lines_total"]
