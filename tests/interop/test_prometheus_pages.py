"""Prometheus takes every page, whatever the programs declare and count."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from daemons import free_port
from declarations import page, stores
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from systems import Systems
from waiting import PATIENCE, wait_until

PAGES = 150


def generated(count: int) -> dict[str, bytes]:
    """Pages by their paths."""
    pages: dict[str, bytes] = {}

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stores(), st.booleans(), st.booleans(), st.booleans())
    def collect(store: Any, openmetrics: bool, emit_prog_label: bool, emit_timestamp: bool) -> None:
        kind = "openmetrics" if openmetrics else "text"
        pages[f"/{kind}/{len(pages)}"] = page(
            store, openmetrics=openmetrics, emit_prog_label=emit_prog_label, emit_timestamp=emit_timestamp
        )

    collect()
    return pages


def serve(pages: dict[str, bytes]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            kind = (
                "application/openmetrics-text; version=1.0.0"
                if "openmetrics" in self.path
                else "text/plain; version=0.0.4"
            )
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages[self.path])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def pages() -> dict[str, bytes]:
    return generated(PAGES)


def test_prometheus_scrapes_every_page(pages: dict[str, bytes], systems: Systems) -> None:
    # One that it must refuse shows that refusals are seen.
    served = {**pages, "/text/bad": b'# TYPE h histogram\nh_bucket{le="a",le="1"} 1\n'}
    server = serve(served)
    config = systems.home / "prometheus.yml"
    jobs = [
        {
            "job_name": path,
            "scrape_interval": "2s",
            "metrics_path": path,
            "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}],
        }
        for path in served
    ]
    config.write_text(json.dumps({"scrape_configs": jobs}))
    port = free_port()
    prometheus = systems.start(
        "usr/bin/prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={systems.home}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    prometheus.wait_for(port)
    wait_until(lambda: "Server is ready" in prometheus.log, lambda: prometheus.log)
    targets: list[Any] = []

    def all_scraped() -> bool:
        nonlocal targets
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=PATIENCE) as answer:
            targets = json.load(answer)["data"]["activeTargets"]
        return len(targets) == len(served) and all(target["health"] != "unknown" for target in targets)

    wait_until(all_scraped, lambda: prometheus.log, 4 * PATIENCE)
    server.shutdown()
    server.server_close()
    refused = {target["labels"]["job"]: target["lastError"] for target in targets if target["health"] != "up"}
    assert refused.pop("/text/bad")
    assert refused == {}, [served[path] for path in refused]


def test_promtool_parses_every_text_page(pages: dict[str, bytes], systems: Systems) -> None:
    began = time.monotonic()
    for path, text in pages.items():
        if path.startswith("/text") and time.monotonic() - began < PATIENCE:
            checked = systems.run("usr/bin/promtool", "check", "metrics", stdin=text)
            assert checked.returncode in (0, 3), (checked.stderr, text)  # 3: names that its style guide dislikes
