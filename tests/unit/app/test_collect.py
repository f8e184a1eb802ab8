"""What pages show of programs when the engine is busy, or one of them cannot be explained."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nativemtail._core import Metric
from nativemtail.app import collect
from nativemtail.app.collect import ProgramStates
from nativemtail.http.messages import Request
from nativemtail.http.site import Site
from nativemtail.options import Options
from nativemtail.programs.manager import Programs, open_programs
from nativemtail.telemetry.explain import Reasons
from nativemtail.telemetry.selfmetrics import SelfMetrics

COUNT = "counter lines\n/x/ {\n  lines++\n}\n"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    for name in "abc":
        (tmp_path / f"{name}.mtail").write_text(COUNT)
    found = open_programs(Options(progs=str(tmp_path), cache_dir="none"))
    found.load(strict=True)
    return found


@pytest.mark.parametrize("broken", ["a.mtail", "b.mtail", "c.mtail"])
def test_one_program_that_cannot_be_explained(
    programs: Programs, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = collect.reasons

    def reasons(pairs: Sequence[tuple[Any, Any]]) -> list[Reasons]:
        if broken in [program.name for program, _ in pairs]:
            raise KeyError("a defect")
        return real(pairs)

    monkeypatch.setattr(collect, "reasons", reasons)
    shown = ProgramStates(programs, log_faults=False)
    for _ in range(3):
        costs = {cost.name: cost for cost in shown.costs().programs}
    assert list(costs) == ["a.mtail", "b.mtail", "c.mtail"]
    assert [name for name, cost in costs.items() if cost.patterns] == [name for name in costs if name != broken]
    assert costs[broken].why == "cannot be explained: KeyError: 'a defect'"
    assert caplog.text.count(f"cannot explain what {broken} costs") == 1


class Busy:
    """An engine that is between two blocks, and stays there until the end of the `with`."""

    def __init__(self, programs: Programs) -> None:
        self._engine = programs.engine
        self._there, self._release = threading.Event(), threading.Event()
        plan = programs._build([(loaded.program, loaded.metrics) for loaded in programs._running.values()])
        self._thread = threading.Thread(target=lambda: self._engine.exchange(plan, (), (), self._pairs()))

    def _pairs(self) -> Iterator[tuple[Metric, Metric]]:
        self._there.set()
        self._release.wait(60)
        yield from ()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._there.wait(10)

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._thread.join()


@pytest.mark.parametrize("target", ["/", "/progz?prog=a.mtail", "/progz", "/profile", "/metrics", "/json"])
def test_no_page_waits_for_a_busy_engine(tmp_path: Path, target: str) -> None:
    (tmp_path / "a.mtail").write_text("counter a\n/x(.)/ {\n  a = strtol($1, 10)\n}\n")
    programs = open_programs(Options(progs=str(tmp_path), cache_dir="none"))
    programs.load(strict=True)
    programs.engine.scan(programs.engine.open("/log"), b"xy\n", 0, 3)
    own = SelfMetrics(programs=ProgramStates(programs, log_faults=False))
    site = Site(store=programs.store, own=own, host_name="vm", addresses=list)
    with ThreadPoolExecutor(1) as pool, Busy(programs):
        scan = threading.Thread(target=lambda: programs.engine.scan(0, b"xz\n", 0, 3), daemon=True)
        scan.start()  # a block waits for its turn, too
        response = pool.submit(site.answer, Request.parse(target, "", 10)).result(30)
        assert scan.is_alive()
    assert response.status == 200
    if target in ("/", "/progz?prog=a.mtail"):
        assert b"strconv.ParseInt" in response.body


def test_profile_while_the_engine_is_busy(programs: Programs) -> None:
    """The blocks that are through are shown, without waiting for the one that runs."""
    shown = ProgramStates(programs, log_faults=False)
    engine = programs.engine
    source = engine.open("/log")
    engine.scan(source, b"x\n", 0, 2)
    assert shown.costs().lines == 1
    # Each \\w+ takes its time, so that this block takes long.
    block = b"x" * 1000 + b"\n"
    block *= 30_000
    thread = threading.Thread(target=lambda: [engine.scan(source, block, 0, len(block)) for _ in range(5)])
    thread.start()
    while thread.is_alive():
        assert (shown.costs().lines - 1) % 30_000 == 0
    assert shown.costs().lines == 150_001
