"""Worker processes: one that dies, a part that fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from engines import compile_all

from nativemtail.history import parts, pool
from nativemtail.history.blueprint import Blueprint, Times, draw
from nativemtail.programs import zones

PROGRAM = "counter c\n/^(?P<t>\\d+)/ {\n  settime($t)\n  c++\n}\n"


@pytest.fixture
def plan() -> Blueprint:
    return draw(compile_all([PROGRAM]), zone=zones.load("UTC"), times=Times(60 * 10**9))


def divided(folder: Path, size: int = 1000) -> list[parts.Part]:
    path = folder / "a.log"
    path.write_text("".join(f"{at}\n" for at in range(20_000)))
    return parts.divide([parts.examine(str(path))], size)


def children() -> set[int]:
    """The worker processes, which are children of the fork server."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"multiprocessing.forkserver" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_part_of_a_worker_that_dies_is_run_again(plan, tmp_path):
    mine = divided(tmp_path)
    before = children()
    results = pool.run(plan, mine, 2)
    found = [next(results)]
    servers = {int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in children() - before}
    victims = [pid for pid in children() - before if pid not in servers]
    os.kill(victims[0], signal.SIGKILL)
    found += results
    assert sorted(result.part for result in found) == [part.number for part in mine]
    assert sum(result.lines for result in found) == 20_000


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_part_that_fails_twice_stops_the_run_with_its_name(workers, plan, tmp_path):
    mine = divided(tmp_path)
    os.truncate(tmp_path / "a.log", 50_000)
    with pytest.raises(pool.PartFailed, match=r"a\.log, bytes \d+ to \d+: .*a\.log has changed meanwhile"):
        list(pool.run(plan, mine, workers))
