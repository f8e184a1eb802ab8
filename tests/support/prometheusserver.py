"""A real Prometheus that scrapes what its configuration says."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from daemons import free_port
from systems import Systems
from waiting import PATIENCE, wait_until


class Prometheus:
    def __init__(self, systems: Systems, config: Path) -> None:
        port = free_port()
        self.system = systems.start(
            "usr/bin/prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={systems.home}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        self.system.wait_for(port)
        wait_until(lambda: "Server is ready" in self.system.log, lambda: self.system.log)
        self.url = f"http://127.0.0.1:{port}/api/v1/query?query="

    def query(self, text: str) -> dict[str, float]:
        """Values by the labels `job` and `word`."""
        with urllib.request.urlopen(self.url + urllib.parse.quote(text), timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return {
            " ".join(r["metric"][key] for key in ("job", "word") if key in r["metric"]): float(r["value"][1])
            for r in found
        }

    def wait_for(self, text: str, expected: dict[str, float]) -> None:
        wait_until(lambda: self.query(text) == expected, lambda: f"{self.query(text)}\n{self.system.log}")
