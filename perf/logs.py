"""Many logs of one directory that rotate at once: processor time per log, and how it grows with their number.

    python perf/logs.py [NUMBER...]

All are renamed, as logrotate does it, and get a line; then the same with copies and truncation.  What counts is the
column `ratio`: time per log, divided by that of the smallest number.  It stays near 1 if the cost is linear.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

NUMBERS = (1_000, 5_000, 10_000, 50_000)
PATIENCE = 600.0


class Count:
    """A sink that counts lines, and stops its tailer at the last one."""

    def __init__(self, lines: int) -> None:
        self.left = lines
        self.tailer: Tailer | None = None

    def open(self, name: str) -> int:
        return 0

    has_records = False

    def scan(self, source: int, block: bytearray, start: int, end: int, connection: int = 0) -> int:
        lines = block.count(b"\n", start, end)
        self.left -= lines
        if self.left <= 0 and self.tailer is not None:
            self.tailer.stop()
        return lines

    def finish(self, source: int, connection: int = 0) -> None:
        pass

    def finish_all(self) -> None:
        pass

    def finish_silent(self) -> float | None:
        return None

    def close(self, source: int) -> None:
        pass


def follow(directory: str, lines: int, peer: Connection) -> None:
    """The process that is measured: from the start of the rotation to the last line, and the way out."""
    sink = Count(lines)
    sink.tailer = Tailer(parse_logs([f"{directory}/*.log"]), sink, Settings())
    sink.tailer.open()
    peer.send("ready")
    began = time.process_time()
    sink.tailer.run()
    peer.send((time.process_time() - began, sink.left))


def renamed(log: Path) -> None:
    log.rename(f"{log}.1")
    log.write_bytes(b"new\n")


def copied(log: Path) -> None:
    shutil.copyfile(log, f"{log}.1")
    with log.open("r+b") as file:
        file.truncate(0)
    log.write_bytes(b"new\n")


def measure(number: int, rotate: Callable[[Path], None]) -> tuple[float, int]:
    """Seconds of the processor, and how many lines were not read."""
    with tempfile.TemporaryDirectory() as directory:
        logs = [Path(directory, f"{i}.log") for i in range(number)]
        for log in logs:
            log.write_bytes(b"old\n")
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=follow, args=(directory, number, there))
        process.start()
        there.close()
        try:
            if not here.poll(PATIENCE) or here.recv() != "ready":
                sys.exit("it did not start")
            for log in logs:
                rotate(log)
            if not here.poll(PATIENCE):
                sys.exit(f"{number} logs: not all lines in {PATIENCE:.0f} s")
            seconds, left = here.recv()
            return float(seconds), int(left)
        finally:
            process.terminate()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, default=NUMBERS, metavar="NUMBER")
    numbers = parser.parse_args().numbers
    print("| way | logs | seconds | ms per log | ratio | lines not read |\n|---|---:|---:|---:|---:|---:|")
    for rotate in (renamed, copied):
        first = 0.0
        for number in numbers:
            seconds, left = measure(number, rotate)
            each = 1000 * seconds / number
            first = first or each
            print(f"| {rotate.__name__} | {number:,} | {seconds:.2f} | {each:.3f} | {each / first:.2f} | {left} |")
            sys.stdout.flush()


if __name__ == "__main__":
    os.nice(5)
    main()
