"""The pages over the real store: each whole, valid, and with both kinds of metrics."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail import _core
from nativemtail._render import View
from nativemtail.http.messages import Request, Response
from nativemtail.http.site import Site
from nativemtail.telemetry.selfmetrics import SelfMetrics


def metrics() -> list[_core.Metric]:
    return [
        _core.Metric("hits-total", "a.mtail", _core.COUNTER, _core.INT, source="a.mtail:1:9"),
        _core.Metric("plain", "a.mtail", _core.COUNTER, _core.FLOAT, source="a.mtail:2:9"),
        _core.Metric("took", "a.mtail", _core.HISTOGRAM, _core.BUCKETS, source="a.mtail:3:9", buckets=(0.0, 1.0, 2.0)),
        _core.Metric("by", "a.mtail", _core.COUNTER, _core.INT, keys=("x",), source="a.mtail:4:9"),
        _core.Metric("memory_usage", "b.mtail", _core.COUNTER, _core.INT, source="b.mtail:1:9"),
        _core.Metric("secret", "b.mtail", _core.COUNTER, _core.INT, hidden=True),
    ]


def ask(target: str, accept: str = "", *extra: _core.Metric) -> Response:
    store = _core.Store()
    for metric in (*metrics(), *extra):
        store.add(metric)
    site = Site(view=partial(View, store), own=SelfMetrics(), host_name="vm", addresses=list)
    return site.answer(Request.parse(target, accept, 10))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
@pytest.mark.parametrize("prefix", ["", "site_"])
def test_text(accept: str, prefix: str) -> None:
    response = ask(f"/metrics?prefix={prefix}", accept)
    assert response.status == 200
    families = list((parse_openmetrics if accept else parse_text)(response.body.decode()))
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples[f"{prefix}hits_total"].value == 0
    assert samples[f"{prefix}hits_total"].labels == {"prog": "a.mtail"}
    assert samples[f"{prefix}took_count"].value == 0
    assert f"{prefix}process_open_fds" in samples
    assert f"{prefix}mtail_build_info" in samples
    assert len(families) == len({family.name for family in families})
    assert not any("secret" in name for name in samples)


@pytest.mark.parametrize("name", ["x_hits_total", "x_took_count", "x_memory_usage", "x_python_info"])
def test_names(name: str) -> None:
    page = ask(f"/metrics?prefix=x_&name[]={name}").body.decode()
    assert page.count("# TYPE ") == 1
    assert re.search(rf"^{name}[ {{]", page, re.MULTILINE)


def test_json() -> None:
    page = json.loads(ask("/metrics.json?prefix=x_").body)
    assert page["x_hits_total"] == {
        "help": "defined at a.mtail:1:9",
        "type": "counter",
        "value": {"prog": {"a.mtail": 0}},
    }
    assert page["x_by"]["value"] is None
    assert page["x_memory_usage"]["type"] == "counter"
    assert page["x_process_open_fds"]["type"] == "gauge"


@pytest.mark.parametrize("page", ["/metrics", "/metrics.json"])
def test_collision(page: str) -> None:
    extra = _core.Metric("mtail_build-info", "c.mtail", _core.GAUGE, _core.INT, source="c.mtail:1:7")
    response = ask(page, "", extra)
    assert response.status == 200
    assert b"goversion" in response.body
    assert b"c.mtail" not in response.body


def test_other_pages() -> None:
    assert json.loads(ask("/json").body)[0]["Name"] == "hits-total"
    assert b"hits-total{prog=a.mtail,instance=vm} 0\n" in ask("/varz").body
    assert b"a.mtail.hits-total 0 0\n" in ask("/graphite").body
    assert b"a.mtail.took.bin_inf 0 0\na.mtail.took.count 0 0\na.mtail.took 0 0\n" in ask("/graphite").body
