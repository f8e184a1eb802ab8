"""How fast histories are: one core against one-shot, two workers against one; the memory of many series.

    .venv/bin/python perf/history.py [--megabytes 200]

Figures are ratios, taken in turn, the best of three; on a machine with fewer than two free cores they mean little.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generate import batches

PERF = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "nativemtail"]
TRIES = 3
STEP = "60s"


def write_logs(folder: Path, megabytes: int) -> int:
    """A plain log of each kind; bytes in all."""
    size = 0
    for kind in ("syslog", "apache"):
        path = folder / f"{kind}.log"
        with path.open("wb") as file:
            for batch in batches(kind):
                file.write(batch)
                if file.tell() >= megabytes << 19:
                    break
        size += path.stat().st_size
    return size


def programs() -> list[str]:
    """The programs of both kinds, as flags."""
    paths = [path for kind in ("syslog", "apache") for path in sorted((PERF / "programs" / kind).glob("*.mtail"))]
    return [flag for path in paths for flag in ("-progs", str(path))]


def timed(command: list[str]) -> float:
    """Seconds of wall-clock time, the best of some."""
    best = float("inf")
    for _ in range(TRIES):
        start = time.monotonic()
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        best = min(best, time.monotonic() - start)
    return best


def report(megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_logs(folder, megabytes)
        common = [*programs(), "-logs", str(folder / "*.log")]
        shot = timed([*COMMAND, "-one_shot", "-cache_dir", "none", *common])
        flags = [*common, "-step", STEP, "-output", str(folder / "out.parquet"), "-quiet"]
        one, two = (timed([*COMMAND, "backfill", *flags, "-workers", str(count)]) for count in (1, 2))
        print(f"{size / 1e6:.0f} MB of syslog and Apache logs, {len(os.sched_getaffinity(0))} cores")
        print(f"one-shot           {shot:6.2f} s  {size / shot / 1e6:7.0f} MB/s")
        print(f"history, 1 worker  {one:6.2f} s  {size / one / 1e6:7.0f} MB/s  {shot / one:.2f} of one-shot's rate")
        print(f"history, 2 workers {two:6.2f} s  {size / two / 1e6:7.0f} MB/s  {one / two:.2f} x one worker")
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"largest process    {used / 1024:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    report(parser.parse_args().megabytes)
