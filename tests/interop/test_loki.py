"""What a library that pushes to Loki sends is counted: winston-loki, in protobuf, its default, and in JSON."""

from __future__ import annotations

import os
import subprocess

import pytest
from daemons import Place, free_port
from systems import Root
from waiting import PATIENCE

SENDER = """
const winston = require("winston")
const Loki = require("winston-loki")
const [port, json] = process.argv.slice(1)

const transport = new Loki({
  host: `http://127.0.0.1:${port}`,
  json: json === "json",
  labels: { app: "shop" },
  batching: false,
  format: winston.format.printf(({ message }) => message),
  onConnectionError: error => { console.error(error); process.exit(1) },
})
const logger = winston.createLogger({ transports: [transport] })
for (let number = 0; number < 50; number++) {
  logger.info({ message: `line ${number}`, labels: { level: number % 2 ? "odd" : "even" } })
}
logger.info("sch\u00f6n 51")
transport.flush().then(() => console.log(transport.batcher.contentType))
"""


@pytest.mark.parametrize("form", ["x-protobuf", "json"])
def test_winston(place: Place, root: Root, form: str) -> None:
    port = free_port()
    source = f"http://127.0.0.1:{port}/loki/api/v1/push"
    daemon = place.start(logs=[source])
    environment = os.environ | {"NODE_PATH": str(root.node / "node_modules")}
    sender = ["node", "-e", SENDER, str(port), form]
    done = subprocess.run(sender, check=False, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"application/{form}\n", "")
    daemon.wait_for("lines_total", 51)
    found = daemon.metrics()
    assert found["words_total{word=line}"] == 50
    assert found[f"mtail_log_lines_total{{logfile={source}}}"] == 51
    assert found[f"mtail_log_errors_total{{logfile={source}}}"] == 0
