"""Whatever programs declare and count, pages are such that parsers take them; tests/interop has Prometheus itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from declarations import page, site, stores
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail import _core, _render
from nativemtail._core import Store
from nativemtail._render import Page, View
from nativemtail.http.messages import Request

SAMPLE = re.compile(rb'([\w:]+)(\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})? (?:[-+.e\d]+|NaN|[-+]Inf)( \d+)?')
LABEL = re.compile(rb'(\w+)="((?:[^"\\]|\\.)*)"')


def check_text(text: bytes) -> None:
    """Once each: a family's comments, samples, labels of a sample; no name that a histogram has for its samples."""
    families = list(parse_text(text.decode()))
    lines = text.removesuffix(b"\n").split(b"\n")
    types = [line.split(b" ")[2:] for line in lines if line.startswith(b"# TYPE ")]
    assert len(types) == len({name for name, _ in types}) == len(families)
    histograms = {name for name, kind in types if kind == b"histogram"}
    assert {name for name, _ in types}.isdisjoint(
        name + end for name in histograms for end in (b"_bucket", b"_sum", b"_count")
    )
    samples = set()
    for line in lines:
        if not line.startswith((b"# TYPE ", b"# HELP ")):
            found = SAMPLE.fullmatch(line)
            assert found, line
            labels = LABEL.findall(found[2] or b"")
            assert len(labels) == len(dict(labels)), line
            assert (found[1], frozenset(labels)) not in samples, line
            samples.add((found[1], frozenset(labels)))


@settings(max_examples=150)
@given(stores(), st.booleans(), st.booleans())
def test_pages_are_valid(store: Store, emit_prog_label: bool, emit_timestamp: bool) -> None:
    options = {"emit_prog_label": emit_prog_label, "emit_timestamp": emit_timestamp}
    check_text(page(store, openmetrics=False, **options))
    list(parse_openmetrics(page(store, openmetrics=True, **options).decode()))
    response = site(store, **options).answer(Request.parse("/metrics.json", "", 10))
    pairs = json.loads(response.body, object_pairs_hook=list)
    assert response.status == 200
    assert len(pairs) == len({name for name, _ in pairs})


@settings(max_examples=100)
@given(stores())
def test_what_the_page_lacks_is_said(store: Store) -> None:
    page = Page(store.snapshot()).prometheus().decode("utf-8")
    shown = {line.split(" ")[2] for line in page.split("\n") if line.startswith("# TYPE ")}
    said = _render.left_out(store.metrics())
    counted = [metric for metric in store.metrics() if len(metric) and metric.kind != _core.TEXT]
    assert shown == {metric.name.replace("-", "_") for metric in counted if metric not in said}


PROGRAMS = {
    "le.mtail": "histogram hl by le buckets 1, 2\ncounter ok\n/^(?P<k>.*)$/ {\n  hl[$k] = 1\n  ok++\n}\n",
    "sum.mtail": 'histogram h buckets 1, 2\ncounter ok\ngauge n as "h-sum"\n/$/ {\n  h = 1\n  n = 2\n  ok++\n}\n',
    "own.mtail": 'counter l as "mtail_lines_total"\ncounter ok\n/$/ {\n  l++\n  ok++\n}\n',
    "kinds.mtail": 'counter a as "x-y"\ngauge b as "x_y"\ncounter ok\n/$/ {\n  a++\n  b = 1\n  ok++\n}\n',
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "le.mtail",
            'le.mtail:1:11-12: left out of Prometheus\' pages: "le" is not a valid label name for histogram "hl"',
        ),
        (
            "sum.mtail",
            'sum.mtail:3:7: left out of Prometheus\' pages: "h_sum" is a name of the samples of histogram "h"',
        ),
        ("kinds.mtail", 'kinds.mtail:2:7: left out of Prometheus\' pages: "x_y" is the name of counter "x-y"'),
    ],
)
def test_one_shot_says_what_it_leaves_out(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text(PROGRAMS[name])
    (tmp_path / "log").write_text("1\n2\n")
    command = [sys.executable, "-m", "nativemtail", "--one_shot", "--one_shot_format=prometheus", "--progs", name]
    done = subprocess.run([*command, "--logs", "log"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    check_text(done.stdout)
    assert f'ok{{prog="{name}"}} 2'.encode() in done.stdout
    assert said in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


@settings(max_examples=100)
@given(stores(), st.booleans(), st.booleans(), st.sampled_from([1, 100, 400]))
def test_pages_in_pieces_are_the_same(store: Store, emit_prog_label: bool, emit_timestamp: bool, piece: int) -> None:
    for openmetrics in (False, True):
        page, view = Page(store.snapshot()), View(store, whole=0, piece=piece)
        whole = page.prometheus(emit_prog_label=emit_prog_label, emit_timestamp=emit_timestamp, openmetrics=openmetrics)
        pieces = view.prometheus(
            emit_prog_label=emit_prog_label, emit_timestamp=emit_timestamp, openmetrics=openmetrics
        )
        assert b"".join(pieces) == whole
