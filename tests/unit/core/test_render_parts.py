"""Pages made of many small snapshots: byte for byte what one snapshot gives, and bounded whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail import _core_testing
from nativemtail._core import BUCKETS, COUNTER, FLOAT, GAUGE, HISTOGRAM, INT, STRING, TEXT, Metric, Store
from nativemtail._render import Page, View

TEXT_FORM: dict[str, Any] = {"openmetrics": False}
OPENMETRICS: dict[str, Any] = {"openmetrics": True}


def pieces(store: Store, piece: int = 2000) -> View:
    """A view that is never of one instant."""
    return View(store, whole=0, piece=piece)


def large_store(rows: int = 3000, deleted: bool = False) -> Store:
    source = random.Random(7)
    store = Store()
    words = ["", "a", "b" * 300, "b" * 300 + "c", "\xe9", "a\0", "a\0b", 'a"b\\', "new\nline", "label-000000"]

    def value() -> str:
        return source.choice(words) + (source.choice(["", str(source.randrange(rows))]))

    for program in ("a.mtail", "b.mtail"):
        hits = Metric("hits", program, COUNTER, INT, keys=("x", "y"), source=program + ":1:9")
        took = Metric(
            "took", program, HISTOGRAM, BUCKETS, keys=("y",), buckets=(0.0, 1.0, 5.0), source=program + ":2:9"
        )
        load = Metric("load", program, GAUGE, FLOAT, keys=("z", "a", "m") if program == "a.mtail" else ("z",))
        said = Metric("said", program, TEXT, STRING, keys=("who",))
        for metric in (hits, took, load, said, Metric("none", program, COUNTER, INT, keys=("x",))):
            store.add(metric)
        for number in range(rows):
            labels = {m: [value() for _ in m.keys] for m in (hits, took, load, said)}
            _core_testing._store_set(hits, labels[hits], number - 3, number)
            _core_testing._store_set(took, labels[took], number % 7, number)
            _core_testing._store_set(load, labels[load], number / 3, number)
            _core_testing._store_set(said, labels[said], b"text %d" % number, number)
            if deleted and number % 3 == 0:
                _core_testing._store_del(hits, labels[hits])
        store.add(Metric("total", program, COUNTER, INT))
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [TEXT_FORM, OPENMETRICS, {"emit_timestamp": True}, {"prefix": "p_"}, {"names": {"took"}}]
)
@pytest.mark.parametrize("deleted", [False, True])
def test_text_is_that_of_one_snapshot(options: dict[str, Any], deleted: bool) -> None:
    store = large_store(deleted=deleted)
    parts = list(pieces(store).prometheus(**options))
    assert b"".join(parts) == Page(store.snapshot()).prometheus(**options)
    assert len(parts) > 10
    assert max(map(len, parts)) < 20_000


@pytest.mark.slow
def test_json_metrics_are_those_of_one_snapshot() -> None:
    store = large_store()
    parts = list(pieces(store).metrics_json())
    assert b"".join(parts) == Page(store.snapshot()).metrics_json()
    assert len(parts) > 10


def test_json_is_that_of_one_snapshot() -> None:
    store = large_store()
    parts = list(pieces(store).json())
    assert b"".join(parts) == Page(store.snapshot()).json(False)
    assert len(parts) > 100


def test_rows_are_those_of_one_snapshot() -> None:
    store = large_store(100)
    for metric in store.metrics():
        got = [(row.labels, row.value, row.time, row.buckets) for row in pieces(store).rows(metric)]
        assert got == [(r.labels, r.value, r.time, r.buckets) for r in store.snapshot().rows(metric)]


@pytest.mark.parametrize("form", ["prometheus", "metrics_json", "json"])
def test_a_small_store_is_one_piece_of_one_instant(form: str) -> None:
    store = large_store(20)
    view = View(store)
    _core_testing._store_set(store.metrics()[0], ("later", "later"), 1)
    [text] = getattr(view, form)()
    assert b"later" not in text


@pytest.mark.parametrize("form", ["prometheus", "metrics_json", "json"])
def test_nothing_at_all(form: str) -> None:
    store = Store()
    whole = Page(store.snapshot()).json(False) if form == "json" else getattr(Page(store.snapshot()), form)()
    store.add(Metric("hidden", "p", COUNTER, INT, hidden=True))
    assert b"".join(getattr(pieces(store), form)()) == whole


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.text(max_size=12), min_size=2, max_size=2)), max_size=200),
    st.integers(1, 500),
)
def test_any_labels_in_any_pieces(rows: list[tuple[int, list[str]]], piece: int) -> None:
    store = Store()
    metrics = [Metric("m", f"p{i}", COUNTER, INT, keys=("a", "b")) for i in range(3)]
    for metric in metrics:
        store.add(metric)
    for number, labels in rows:
        _core_testing._store_set(metrics[number], [label.encode("utf-8", "replace") for label in labels], 1)
    for view, whole in ((pieces(store, piece), Page(store.snapshot())),):
        assert b"".join(view.prometheus()) == whole.prometheus()
        assert b"".join(view.metrics_json(emit_prog_label=True)) == whole.metrics_json()


def twins(rows: int) -> Store:
    store = Store()
    for name in ("x-y", "x_y"):
        metric = Metric(name, "p", COUNTER, INT, keys=("k",), source="p:1:1")
        store.add(metric)
        for number in range(rows):
            _core_testing._store_set(metric, (f"{name}{number:06}" if number != rows // 2 else "twin",), 1)
    return store


@pytest.mark.parametrize("form", ["prometheus", "metrics_json"])
def test_twins_are_left_out_as_on_a_small_page(form: str) -> None:
    store = twins(5000)
    whole, view = Page(store.snapshot()), pieces(store)
    assert b"".join(getattr(view, form)()) == getattr(whole, form)()
    assert view.warnings == whole.warnings
    assert len(whole.warnings) == 1


def changing(store: Store, page: Iterator[bytes], change: Any) -> bytes:
    parts = []
    for number, part in enumerate(page):
        parts.append(part)
        change(number)
    return b"".join(parts)


def samples(text: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in parse_text(text.decode()):
        for sample in family.samples:
            key = sample.name + sample.labels["k"]
            assert key not in found
            found[key] = sample.value
    return found


def one_metric(rows: int) -> tuple[Store, Metric]:
    store, metric = Store(), Metric("m", "p", GAUGE, INT, keys=("k",), source="p:1:1")
    store.add(metric)
    for number in range(rows):
        _core_testing._store_set(metric, (f"{number * 7919 % rows:06}",), number * 7919 % rows)
    return store, metric


def test_label_sets_come_and_go_meanwhile() -> None:
    store, metric = one_metric(5000)

    def change(number: int) -> None:
        for k in range(number * 40, number * 40 + 40):
            _core_testing._store_del(metric, (f"{k % 5000:06}",))
            _core_testing._store_set(metric, (f"new{k:06}",), 1)

    found = samples(changing(store, pieces(store).prometheus(), change))
    assert all(value == int(key[1:]) for key, value in found.items() if "new" not in key)
    assert len(found) > 1000


def test_a_label_set_that_moves_is_shown_once() -> None:
    store, metric = one_metric(3000)

    def change(number: int) -> None:
        for k in range(3000):  # each leaves its slot and takes another
            _core_testing._store_del(metric, (f"{k:06}",))
        for k in reversed(range(3000)):
            _core_testing._store_set(metric, (f"{k:06}",), k)

    text = changing(store, pieces(store).prometheus(), change)
    found = samples(text)
    lines = [line for line in text.splitlines() if not line.startswith(b"#")]
    assert lines == sorted(lines)
    assert all(value == int(key[1:]) for key, value in found.items())


def test_programs_are_loaded_anew_meanwhile() -> None:
    store, metric = one_metric(5000)
    new = Metric("m", "p", GAUGE, INT, keys=("k",), source="p:2:1")

    def change(number: int) -> None:
        if number == 3:
            store.replace([metric], [new], [(new, metric)])

    assert len(samples(changing(store, pieces(store).prometheus(), change))) == 5000


def test_a_metric_goes_away_meanwhile() -> None:
    store, metric = one_metric(5000)
    page = pieces(store).json()
    head = next(page)
    store.remove(metric)
    assert len(json.loads(head + b"".join(page))) == 1


@pytest.mark.slow
def test_nothing_is_kept_for_a_reader_that_waits() -> None:
    store, metric = one_metric(5000)
    page = pieces(store).prometheus()
    next(page)
    before = store.memory
    for _ in range(20):
        for k in range(5000):
            _core_testing._store_del(metric, (f"{k:06}",))
        for k in range(5000):
            _core_testing._store_set(metric, (f"{k:06}",), k)
    assert store.memory < before + 100_000
    page.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["histogram", "text"])
def test_no_half_of_a_line(kind: str) -> None:
    """A writer changes every value all the time; each label set on the page is one that it had."""
    store = Store()
    if kind == "histogram":
        metric = Metric("m", "p", HISTOGRAM, BUCKETS, keys=("k",), buckets=(0.0, 1.0, 2.0))
    else:
        metric = Metric("m", "p", TEXT, STRING, keys=("k",))
    store.add(metric)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for k in range(500):
                value: Any = number % 2 if kind == "histogram" else b"%d-" % number * 20
                _core_testing._store_set(metric, (f"{k:03}",), value)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            for entry in json.loads(b"".join(pieces(store, 3000).json())):
                for values in entry.get("LabelValues", []):
                    value = values["Value"]
                    if kind == "histogram":
                        assert value["Count"] == sum(value["Buckets"].values())
                    else:
                        assert len(set(value["Value"].split("-")[:-1])) == 1
    finally:
        stop.set()
        writer.join()


ROOM = """
import re, sys, tracemalloc
from nativemtail._core import BUCKETS, COUNTER, HISTOGRAM, INT, Metric, Store
from nativemtail._core_testing import _store_fill
from nativemtail._render import View

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

store, number = Store(), int(sys.argv[2])
if sys.argv[1] == "counter":
    metric = Metric("c", "p", COUNTER, INT, keys=("k",))
else:
    metric = Metric("h", "p", HISTOGRAM, BUCKETS, keys=("k",), buckets=tuple(range(10)))
store.add(metric)
_store_fill([metric], number, number)
for page in (View(store).prometheus, View(store).metrics_json, View(store).json):
    open("/proc/self/clear_refs", "w").write("5")
    before, size = resident("VmRSS"), 0
    for piece in page():
        size += len(piece)
    print(size, resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers keep freed memory")
@pytest.mark.parametrize(("kind", "number"), [("counter", 1_000_000), ("histogram", 200_000), ("counter", 60_000)])
def test_a_page_takes_little_room(kind: str, number: int) -> None:
    """More for a page of a hundred megabytes than for a small one only by what notes the places: 2 bytes each."""
    command = [sys.executable, "-c", ROOM, kind, str(number)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found = [tuple(map(float, line.split())) for line in answer.stdout.splitlines()]
    assert len(found) == 3
    for size, grown in found:
        assert size > 1_000_000
        assert grown < 32
