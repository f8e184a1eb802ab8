"""A daemon that keeps its state and is killed again and again, while logs are written at full speed and rotated."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

import mixedrotation
from daemons import Daemon, Place
from waiting import PATIENCE

PROGRAM = b"""counter lines_total by log
counter misplaced_total by log
gauge misplaced by log, previous
hidden gauge last by log
/^(?P<log>\\w+) (?P<number>\\d+) / {
  $number != last[$log] + 1 {
    misplaced_total[$log]++
    misplaced[$log][last[$log]] = $number
  }
  last[$log] = $number
  lines_total[$log]++
}
"""
LOGS = {"a": ("rename", "gzip"), "b": ("copytruncate",), "c": ("rename", "gzip", "delete")}
"""How each log is rotated."""
_SAMPLE = re.compile(rb'^(lines_total|misplaced_total)\{log="(\w+)"[^}]*\} (\S+)', re.M)
_AGE = re.compile(rb"^state_age_seconds (\S+)", re.M)


class Wrong(AssertionError):
    """Lines were lost, doubled or out of order, or a scrape saw a counter go backwards."""


@dataclass
class Writer:
    process: subprocess.Popen[bytes]
    total: int | None = None
    wanted: int | None = None
    """It waits until so many lines are counted and saved."""
    counted_at: float | None = None

    def look(self) -> None:
        """Take what it has said."""
        while self.total is None and select.select([self._output], [], [], 0)[0]:
            what, _, number = self._output.readline().decode().partition(" ")
            if what == "sync":
                self.wanted, self.counted_at = int(number), None
            elif what == "total":
                self.total = int(number)
            else:
                raise Wrong(f"a writer ended with {self.process.wait()}")

    def saw(self, lines: int, began: float, age: float | None) -> None:
        """A scrape that began then has shown so many lines, and how old the saved instant is."""
        if self.wanted is None or lines < self.wanted:
            return
        if self.counted_at is None:
            self.counted_at = time.monotonic()
        elif age is not None and began - age > self.counted_at:
            self.wanted = None
            self.say("go on")

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    @property
    def _output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


@dataclass
class Trial:
    """`run` kills the daemon so many times, and raises `Wrong` if not every line was counted once."""

    place: Place
    seed: int
    logs: Mapping[str, Sequence[str]] = field(default_factory=LOGS.copy)
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    """By what the daemon was doing."""
    answers: Counter[int] = field(default_factory=Counter)
    """Scrapes, by status; 0 if it was not listening."""
    counted: dict[str, int] = field(default_factory=dict)
    """The most that was seen."""
    longest_wait: float = 0.0
    """Seconds from a start to the first answer with metrics."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._writers: dict[str, Writer] = {}
        (self.place.progs / "count.mtail").write_bytes(PROGRAM)

    @property
    def lines(self) -> int:
        return sum(writer.total or 0 for writer in self._writers.values())

    def run(self, kills: int) -> None:
        for name in self.logs:
            (self.place.logs / f"{name}.log").write_bytes(b"written before the first start\n")
        daemon = self._start()
        self._wait_for_answer(daemon)
        try:
            for name, ways in self.logs.items():
                self._begin_writing(name, ways)
            for _ in range(kills):
                self._live(daemon)
                self._kill(daemon)
                self._pause(self._chance.choice([0, 0, 0.1, 0.5]))
                daemon = self._start()
            self._finish(daemon)
        finally:
            for writer in self._writers.values():
                writer.process.kill()
                writer.process.communicate()

    def _begin_writing(self, name: str, ways: Sequence[str]) -> None:
        path = self.place.logs / f"{name}.log"
        command = [sys.executable, "-S", mixedrotation.__file__, name, str(path), f"{self.seed} {name}", *ways]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._writers[name] = Writer(process)

    def _start(self) -> Daemon:
        self._started = time.monotonic()
        self._has_answered = False
        address = str(self.place.root / "http")
        daemon = self.place.launch(
            *("--progs", str(self.place.progs), "--logs", self.place.glob, "--unix_socket", address),
            *("--state_dir", str(self.place.root / "state")),
            *("--state_interval", self._chance.choice(["20ms", "100ms", "500ms", "5s"])),
            prefix=self.prefix,
            environment=self.environment,
        )
        daemon.address = address
        return daemon

    def _live(self, daemon: Daemon) -> None:
        """Scrape until it is time to kill it: a while after the start, or after the first answer."""
        end = time.monotonic() + self._chance.uniform(0, 1)
        is_early = self._chance.random() < 0.4
        while time.monotonic() < end or not (is_early or self._has_answered):
            had_answered = self._has_answered
            self._scrape(daemon)
            if self._has_answered and not had_answered:
                end = max(end, time.monotonic() + self._chance.uniform(0, 1))
            if time.monotonic() - self._started > PATIENCE:
                raise Wrong(f"no answer: {daemon.log[-3000:]}")

    def _kill(self, daemon: Daemon) -> None:
        if daemon.process.poll() is not None:
            raise Wrong(f"it ended by itself: {daemon.log[-3000:]}")
        doing = "running" if self._has_answered else "catching up" if self._is_listening(daemon) else "starting"
        self.kills[doing] += 1
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        for writer in self._writers.values():
            writer.counted_at = None  # the next process has to count again what was not saved
        if os.path.exists(daemon.address):
            os.unlink(daemon.address)

    def _is_listening(self, daemon: Daemon) -> bool:
        return self._ask(daemon)[0] == 503

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for writer in self._writers.values():
                writer.look()
            time.sleep(0.01)

    def _finish(self, daemon: Daemon) -> None:
        """All lines are counted once, and shown by the next process too."""
        for writer in self._writers.values():
            writer.say("stop")
        end = time.monotonic() + PATIENCE
        while any(writer.total is None or self.counted.get(name) != writer.total for name, writer in self._items()):
            self._scrape(daemon)
            if time.monotonic() > end:
                raise Wrong(f"counted {self.counted} of {[writer.total for writer in self._writers.values()]}")
        if daemon.stop() != 0:
            raise Wrong(f"the exit status is not 0: {daemon.log[-3000:]}")
        daemon = self._start()
        self._wait_for_answer(daemon)
        if daemon.stop() != 0 or any(self.counted[name] != writer.total for name, writer in self._items()):
            raise Wrong(f"after a stop {self.counted}")

    def _items(self) -> list[tuple[str, Writer]]:
        return list(self._writers.items())

    def _wait_for_answer(self, daemon: Daemon) -> None:
        while not self._has_answered:
            self._scrape(daemon)
            if time.monotonic() - self._started > PATIENCE:
                raise Wrong(f"no answer: {daemon.log[-3000:]}")

    def _scrape(self, daemon: Daemon) -> None:
        """Nothing may have decreased, and no line may have come out of order."""
        for writer in self._writers.values():
            writer.look()
        began = time.monotonic()
        status, body = self._ask(daemon)
        self.answers[status] += 1
        if status != 200:
            time.sleep(0.01)
            return
        if not self._has_answered:
            self._has_answered = True
            self.longest_wait = max(self.longest_wait, began - self._started)
        found: dict[str, dict[str, int]] = {"lines_total": {}, "misplaced_total": {}}
        for family, log, value in _SAMPLE.findall(body):
            found[family.decode()][log.decode()] = int(float(value))
        lines = found["lines_total"]
        if found["misplaced_total"]:
            where = re.findall(rb"^misplaced{.*", body, re.M)
            raise Wrong(f"after {self.kills.total()} kills lines are misplaced: {found} {where}\n{daemon.log[-3000:]}")
        for name, before in self.counted.items():
            if lines.get(name, 0) < before:
                raise Wrong(f"after {self.kills.total()} kills {name} fell from {before} to {lines.get(name)}")
        self.counted = lines
        age = _AGE.search(body)
        for name, writer in self._items():
            writer.saw(lines.get(name, 0), began, float(age[1]) if age is not None else None)

    def _ask(self, daemon: Daemon) -> tuple[int, bytes]:
        try:
            return daemon.ask("/metrics")
        except (OSError, EOFError):
            if daemon.process.poll() is not None:
                raise Wrong(f"it ended by itself: {daemon.log[-3000:]}") from None
            return 0, b""
