"""Saves while the power fails: only what was synchronised is surely on the disk, the rest of it or not."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from kept import Run
from paths import ROOT
from waiting import PATIENCE

SUPPORT = ROOT / "tests" / "support"
LINES = 10
COUNT = f"""
import sys
from pathlib import Path
from kept import Run
from nativemtail import _core_testing as ops
with Run(Path(sys.argv[1])) as run:
    assert run.opened.damaged == "", run.opened.damaged
    done = run.opened.kept.logs.get("log", {{"offset": 0}})["offset"]
    while True:
        for _ in range({LINES}):
            ops._store_add(run.store.metrics()[0], (), 1)
            ops._store_add(run.store.metrics()[1], (f"host{{done % 700}}", "200"), 1)
            done += 1
        run.logs = {{"log": {{"offset": done}}}}
        assert run.saver.save()
        print(done, flush=True)
"""


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that notes what is on the disk."""
    library = tmp_path_factory.mktemp("power") / "power_loss.so"
    command = ["g++", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SUPPORT / "power_loss.cc")]
    subprocess.run([*command, "-ldl"], check=True)
    return library


def run_until_power_fails(directory: Path, disk: Path, preloaded: Path, saves: int) -> int:
    """A process that saves again and again, killed after so many; what it had counted when a save was complete."""
    environment = os.environ | {
        "LD_PRELOAD": str(preloaded),
        "POWER_DIRECTORY": str(directory),
        "POWER_DISK": str(disk),
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-c", COUNT, str(directory)]
    done = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(saves):
            line = process.stdout.readline()
            assert line, process.stderr.read().decode() if process.stderr else ""
            done = int(line)
        process.kill()
        rest = process.stdout.read().split()
        process.wait(PATIENCE)
    return int(rest[-1]) if rest else done


def disk_after(directory: Path, disk: Path, target: Path, chance: random.Random) -> None:
    """What the disk may have: of the names and of each file what was synchronised, or what was written last."""
    now = {path.name: str(path.stat().st_ino) for path in directory.iterdir()}
    names = now
    if chance.random() < 0.5:
        lines = (disk / "names").read_text().splitlines()
        names = {name: inode for inode, name in (line.split(" ", 1) for line in lines)}
    current = {str(path.stat().st_ino): path for path in directory.iterdir()}
    target.mkdir()
    for name, inode in names.items():
        synchronised = disk / inode
        if inode in current and chance.random() < 0.5:
            (target / name).write_bytes(current[inode].read_bytes())
        else:
            (target / name).write_bytes(synchronised.read_bytes() if synchronised.exists() else b"")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_what_was_saved_survives(seed: int, tmp_path: Path, preloaded: Path) -> None:
    chance = random.Random(seed)
    tmp_path = tmp_path.resolve()
    directory = tmp_path / "0"
    for number in range(1, 5):
        disk = tmp_path / f"disk{number}"
        disk.mkdir()
        # From the second time on, what is there is on the disk.
        for path in directory.iterdir() if directory.exists() else ():
            (disk / str(path.stat().st_ino)).write_bytes(path.read_bytes())
        if directory.exists():
            lines = [f"{path.stat().st_ino} {path.name}\n" for path in directory.iterdir()]
            (disk / "names").write_text("".join(lines))
        done = run_until_power_fails(directory, disk, preloaded, chance.randrange(1, 60))
        after = tmp_path / str(number)
        disk_after(directory, disk, after, chance)
        directory = after
        with Run(directory) as run:
            assert run.opened.damaged == ""
            offset = run.opened.kept.logs["log"]["offset"]
            lines_total, hosts, *_ = run.store.metrics()
            view = run.store.snapshot()
            assert [row.value for row in view.rows(lines_total)] == [offset]
            assert sum(int(row.value or 0) for row in view.rows(hosts)) == offset
            assert offset >= done
