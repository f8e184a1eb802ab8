"""What whole processes do not show: updates of label sets, a scrape of a million series, hostile lines.

    python perf/inside.py       # one JSON object
"""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path

from generate import SERIES, batches

from nativemtail import zones
from nativemtail._core import Engine, Metric, Plan, Store, TimeZone
from nativemtail.compiler import compile_program, plan
from nativemtail.programs import make_metrics

PROGRAMS = Path(__file__).resolve().parent / "programs"
ROUNDS = 5

HOSTILE = {
    r"(a+)+$": b"a",
    r"(a|aa)+$": b"a",
    r"(a*)*b": b"a",
    r"(x+x+)+y": b"x",
    r"(.*a){8}!": b"a",
    r"^(\w+\s?)*$": b"word ",
    r"([a-z]+)*\d": b"abc",
    r"(\S+) .* (\S+) .* (\d+)$": b"q q ",
    r"^(\d+\.?)+,(\d+\.?)+;": b"12.",
    r"\"((?:[^\"\\]|\\.)*)\" (.*?)=(.*?);$": b'"a\\" ',
}
"""Patterns on which backtracking is polynomial or worse, and what a line is made of that provokes it."""
HOSTILE_BYTES = 100_000


def engine_for(text: bytes) -> tuple[Engine, Store, list[Metric]]:
    program = compile_program("p.mtail", text)
    metrics = make_metrics("p.mtail", program.metrics)
    store = Store()
    for metric in metrics:
        store.add(metric)
    engine = Engine(store)
    engine.swap(Plan(plan.build([(program, metrics)]), zone=TimeZone(zones.load("UTC"))))
    return engine, store, metrics


def best(engine: Engine, block: bytes, rounds: int = ROUNDS) -> float:
    """Seconds of the processor for the block: on a busy machine the clock on the wall says little."""
    source = engine.source("log")
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
    engine.scan(engine.source("log"), block)
    return {"label_updates_per_s": block.count(b"\n") / best(engine, block), "label_series": len(metrics[0])}


def scrape() -> dict[str, float]:
    """A million series: bytes each beside those of their labels, seconds for the Prometheus page."""
    engine, store, metrics = engine_for((PROGRAMS / "series" / "series.mtail").read_bytes())
    block = b"".join(islice(batches("series"), SERIES // 4096 + 1))
    engine.scan(engine.source("log"), block)
    count = len(metrics[0])
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        store.snapshot().prometheus()
        times.append(time.thread_time() - start)
    return {"series": count, "bytes_per_series": metrics[0].memory / count - 30, "scrape_s": min(times)}


def hostile() -> dict[str, float]:
    """How much longer twice the line takes, for each pattern."""
    ratios = {}
    for pattern, text in HOSTILE.items():
        engine, _, _ = engine_for(b"counter n\n/" + pattern.encode() + b"/ {\n  n++\n}\n")
        line = text * (HOSTILE_BYTES // len(text)) + b"!"
        engine.scan(engine.source("log"), line)
        ratios[pattern] = best(engine, line + line) / best(engine, line)
    return ratios


if __name__ == "__main__":
    print(json.dumps({**label_updates(), **scrape(), "hostile_ratios": hostile()}, indent=1))
