"""Random programs over random lines, with everything that may happen meanwhile, in the hope of a crash.

Worth most under the sanitizers (`make sanitize`).  Each test is one seed; NATIVEMTAIL_FUZZ_SEEDS says how many.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import threading
import time
from collections.abc import Callable
from random import Random

import mutate
import pytest
from engines import Loaded, make_plan, metrics_of

from nativemtail._core import Engine, Snapshot, Store
from nativemtail._render import Page
from nativemtail.compiler import CompileError, compile_program
from nativemtail.programs.loaded import Loaded as LoadedProgram
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.metrics import check_kinds, make_metrics

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("NATIVEMTAIL_FUZZ_SEEDS", "60"))
BLOCKS = 12


@pytest.mark.parametrize("seed", range(SEEDS))
def test_anything_goes(seed: int) -> None:
    random = Random(seed)
    session = Session(random)
    readers = [threading.Thread(target=session.disturb, args=(Random(seed + n),)) for n in (1_000_000, 2_000_000)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(BLOCKS):
            random.choice([session.swap, *[session.scan] * 4])()
    finally:
        session.done.set()
        for reader in readers:
            reader.join()
    assert session.errors == []
    assert session.engine.lines_total() == session.lines
    session.finish()


class Session:
    """An engine, programs that come and go, and what the other threads do."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.store = Store()
        if random.random() < 0.2:
            self.store.limit = random.choice((1, 5_000, 50_000))
        self.engine = Engine(self.store)
        self.running: Loaded = []
        self.lines = 0
        self.done = threading.Event()
        self.errors: list[str] = []
        self.swap()

    # --- the thread that scans -------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """One to four programs that fit each other."""
        loaded: Loaded = []
        others: list[LoadedProgram] = []
        wanted = self.random.choice((1, 1, 2, 4))
        while len(loaded) < wanted:
            try:
                program = compile_program(f"p{len(loaded)}.mtail", mutate.program(self.random).encode())
                mine = LoadedProgram(b"", program, make_metrics(program.name, program.metrics))
                check_kinds(mine, others)
            except (CompileError, LoadError):
                continue
            others.append(mine)
            loaded.append((program, mine.metrics))
        return loaded

    def swap(self) -> None:
        loaded = self.load()
        plan = make_plan(loaded, prefiltered=self.random.random() < 0.8, jit=self.random.random() < 0.8)
        for number, (program, _) in enumerate(loaded):
            if len(program.begin) > 1:
                self.engine.begin(plan, number)
        old, new = metrics_of(self.running), metrics_of(loaded)
        by_name = {metric.name: metric for metric in old}
        pairs = []
        for metric in new:
            was = by_name.get(metric.name)
            if was and (was.type, was.keys, was.buckets) == (metric.type, metric.keys, metric.buckets):
                pairs.append((metric, by_name.pop(metric.name)))
        self.store.replace(old, new, pairs)
        self.engine.swap(plan)
        self.running = loaded

    def scan(self) -> None:
        lines = [mutate.line(self.random) for _ in range(self.random.choice((1, 5, 50, 400)))]
        block = self.random.choice([b"\n", b"\n", b"\r\n"]).join(lines) + self.random.choice([b"\n", b"", b"\r"])
        source = self.engine.open(self.random.choice(["log", "/var/log/syslog", "é", "<init>", ""]))
        start = self.random.choice((0, 0, len(block) // 3))
        end = self.random.choice((-1, -1, len(block), start + (len(block) - start) // 2))
        with contextlib.suppress(ValueError):  # the source was forgotten by another thread
            # A copy, so that a sanitizer notices reads past its end.
            self.lines += self.engine.scan(source, bytearray(block), start, end)

    def finish(self) -> None:
        """Nothing is left of what all this took."""
        read_all(self.store.snapshot(), self.random)
        self.store.replace(metrics_of(self.running), ())
        self.engine.swap(make_plan([]))
        self.running = []
        gc.collect()
        assert self.store.memory == 0

    # --- the others ------------------------------------------------------------------------------------------

    def disturb(self, random: Random) -> None:
        acts: list[Callable[[Random], None]] = [self.read, self.collect, self.sources, self.faults]
        while not self.done.is_set():
            try:
                random.choice(acts)(random)
            except Exception as error:
                self.errors.append(repr(error))
                return
            time.sleep(random.random() * 0.002)

    def read(self, random: Random) -> None:
        snapshot = self.store.snapshot()
        if random.random() < 0.3:
            time.sleep(0.002)
        read_all(snapshot, random)

    def collect(self, random: Random) -> None:
        self.store.gc(random.choice((time.time_ns(), 2**63 - 1, 0)))

    def sources(self, random: Random) -> None:
        number = self.engine.open(random.choice(["log", "é", *map(str, range(20))]))
        if random.random() < 0.5:
            with contextlib.suppress(ValueError):  # somebody was quicker
                self.engine.close(number)

    def faults(self, random: Random) -> None:
        kept, _ = self.engine.faults()
        for fault in (*kept, *self.engine.last_faults().values()):
            assert fault.program
            str(fault)
        self.engine.program_lines()
        self.engine.program_faults()


def read_all(snapshot: Snapshot, random: Random) -> None:
    """Write the snapshot out in one of the ways there are."""
    page = Page(snapshot)
    form = random.randrange(5)
    if form == 0:
        json.loads(page.json(random.random() < 0.5))
    elif form == 1:
        for metric in snapshot.metrics():
            assert all(len(row.labels) == len(metric.keys) for row in snapshot.rows(metric))
    else:
        with contextlib.suppress(ValueError):  # the spec has cases in which there is no page
            if form == 2:
                json.loads(page.metrics_json())
            else:
                page.prometheus(openmetrics=form == 3, emit_timestamp=random.random() < 0.5, prefix="é_")
