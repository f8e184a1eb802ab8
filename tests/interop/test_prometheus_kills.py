"""Prometheus sees no reset of a counter, whatever kills the process that keeps it."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pytest
from daemons import Place, free_port
from prometheusserver import Prometheus
from systems import Systems
from waiting import wait_until

KILLS = 10
CONFIG = """
global:
  scrape_interval: 100ms
  scrape_timeout: 100ms
scrape_configs:
- job_name: logs
  static_configs:
  - targets: ["127.0.0.1:%d"]
"""


class Writer(threading.Thread):
    """Appends to a log, and renames it now and then."""

    def __init__(self, log: Path) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._ends = threading.Event()
        self.lines = 0

    def run(self) -> None:
        rotated = 0
        while not self._ends.wait(0.01):
            with self._log.open("ab") as file:
                for _ in range(50):
                    self.lines += 1
                    file.write(b"a %d\n" % self.lines)
            if self.lines % 5000 == 0:
                rotated += 1
                self._log.rename(f"{self._log}-{20260000 + rotated}")

    def end(self) -> None:
        self._ends.set()
        self.join()


def test_no_reset(place: Place, systems: Systems) -> None:
    chance = random.Random(1)
    log = place.logs / "a.log"
    log.touch()
    port = free_port()
    config = place.root / "prometheus.yml"
    config.write_text(CONFIG % port)

    def start() -> None:
        place.launch(
            *("--progs", str(place.progs), "--logs", str(log), "--address", "127.0.0.1", "--port", str(port)),
            *("--state_dir", str(place.root / "state"), "--state_interval", "300ms"),
        )

    def shown() -> float:
        return prometheus.query("max_over_time(lines_total[1h])")["logs"]

    start()
    prometheus = Prometheus(systems, config)
    prometheus.wait_for("lines_total", {"logs": 0})
    writer = Writer(log)
    writer.start()
    try:
        for _ in range(KILLS):
            wanted = shown() + chance.uniform(0, 2000)
            wait_until(lambda wanted=wanted: shown() > wanted)
            place.daemons[-1].process.send_signal(signal.SIGKILL)
            place.daemons[-1].process.wait()
            start()
    finally:
        writer.end()
    prometheus.wait_for("max_over_time(lines_total[1h])", {"logs": writer.lines})
    assert prometheus.query("resets(lines_total[1h])") == {"logs": 0}
    assert prometheus.query("changes(process_start_time_seconds[1h])")["logs"] >= KILLS
    # Prometheus extrapolates to the ends of the range, or by half the mean interval between samples.
    assert prometheus.query("increase(lines_total[1h])")["logs"] == pytest.approx(writer.lines, rel=0.03)
