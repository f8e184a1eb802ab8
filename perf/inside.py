"""What whole processes do not show: updates of label sets, a scrape of a million series, hostile lines.

python perf/inside.py       # one JSON object
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from itertools import islice
from pathlib import Path

from generate import SERIES, batches

from nativemtail._core import Engine, Metric, Plan, Store, TimeZone
from nativemtail._render import Page
from nativemtail.compiler import compile_program, plan
from nativemtail.programs import zones
from nativemtail.programs.metrics import make_metrics

PROGRAMS = Path(__file__).resolve().parent / "programs"
TESTS = PROGRAMS.parent.parent / "tests"
sys.path.append(str(TESTS / "support"))
ROUNDS = 5

HOSTILE_BYTES = 100_000
HOSTILE_LINES = 10


def engine_for(text: bytes, *, prefiltered: bool = True) -> tuple[Engine, Store, list[Metric]]:
    program = compile_program("p.mtail", text)
    metrics = make_metrics("p.mtail", program.metrics)
    store = Store()
    for metric in metrics:
        store.add(metric)
    engine = Engine(store)
    engine.swap(Plan(plan.build([(program, metrics)]), zone=TimeZone(zones.load("UTC")), prefiltered=prefiltered))
    return engine, store, metrics


def best(engine: Engine, block: bytes, rounds: int = ROUNDS) -> float:
    """Seconds of the processor for the block: on a busy machine the clock on the wall says little."""
    source = engine.open("log")
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        engine.scan(source, block)
        times.append(time.thread_time() - start)
    return min(times)


def label_updates() -> dict[str, float]:
    """Updates a second with five labels and 100,000 series that are there, in random order."""
    engine, _, metrics = engine_for((PROGRAMS / "labels" / "labels.mtail").read_bytes())
    block = b"".join(islice(batches("labels"), 250))
    engine.scan(engine.open("log"), block)
    return {"label_updates_per_s": block.count(b"\n") / best(engine, block), "label_series": len(metrics[0])}


def scrape() -> dict[str, float]:
    """A million series: bytes each beside those of their labels, seconds for the Prometheus page."""
    engine, store, metrics = engine_for((PROGRAMS / "series" / "series.mtail").read_bytes())
    block = b"".join(islice(batches("series"), SERIES // 4096 + 1))
    engine.scan(engine.open("log"), block)
    count = len(metrics[0])
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        Page(store.snapshot()).prometheus()
        times.append(time.thread_time() - start)
    return {"series": count, "bytes_per_series": metrics[0].memory / count - 30, "scrape_s": min(times)}


def hostile() -> dict[str, float]:
    """How much longer lines of twice the length take, for each pattern of the tests that makes backtracking slow."""
    ratios: dict[str, float] = {}
    for pattern, text, end in patterns_of_the_tests():
        program = "counter n\n/" + pattern.replace("/", "\\/") + "/ {\n  n++\n}\n"
        engine, _, _ = engine_for(program.encode(), prefiltered=False)
        short, long = (
            (text * (size // len(text)) + end + b"\n") * HOSTILE_LINES for size in (HOSTILE_BYTES, 2 * HOSTILE_BYTES)
        )
        engine.scan(engine.open("log"), short)
        times = [(best(engine, short, 1), best(engine, long, 1)) for _ in range(2 * ROUNDS)]
        quickest = [min(took) for took in zip(*times, strict=True)]
        ratios[pattern] = max(ratios.get(pattern, 0.0), quickest[1] / quickest[0])
    return ratios


def patterns_of_the_tests() -> list[tuple[str, bytes, bytes]]:
    """Pattern, what a hostile line repeats, and how it ends."""
    found = runpy.run_path(str(TESTS / "system" / "test_hostile.py"))["PUMPED"]
    assert isinstance(found, list)
    return found


if __name__ == "__main__":
    print(json.dumps({**label_updates(), **scrape(), "hostile_ratios": hostile()}, indent=1))
