"""The text formats that a snapshot is written in, byte for byte; and all forms against mtail's own output."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from stores import one, stored

from nativemtail import _core_testing, _render
from nativemtail._core import (
    BUCKETS,
    COUNTER,
    FLOAT,
    GAUGE,
    HISTOGRAM,
    INT,
    STRING,
    TEXT,
    TIMER,
    Metric,
    Store,
)
from nativemtail._render import Page, View

NAN, INF = float("nan"), float("inf")


def page(store: Store, **options: Any) -> str:
    return Page(store.snapshot()).prometheus(**options).decode()


def samples(store: Store, **options: Any) -> list[str]:
    return [line for line in page(store, **options).splitlines() if not line.startswith("#")]


# --- Prometheus text (spec metrics-export.md §1) ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "type_", "value", "word", "text"),
    [
        (COUNTER, INT, 0, "counter", "0"),
        (COUNTER, INT, 999999, "counter", "999999"),
        (COUNTER, INT, 1000000, "counter", "1e+06"),
        (COUNTER, INT, 123456789, "counter", "1.23456789e+08"),
        (COUNTER, INT, -7, "counter", "-7"),
        (COUNTER, INT, 2**53 + 1, "counter", "9.007199254740992e+15"),
        (GAUGE, INT, 2**63 - 1, "gauge", "9.223372036854776e+18"),
        (GAUGE, FLOAT, 0.1, "gauge", "0.1"),
        (GAUGE, FLOAT, 1e-7, "gauge", "1e-07"),
        (GAUGE, FLOAT, 1e21, "gauge", "1e+21"),
        (GAUGE, FLOAT, -0.0, "gauge", "0"),
        (GAUGE, FLOAT, NAN, "gauge", "NaN"),
        (GAUGE, FLOAT, INF, "gauge", "+Inf"),
        (GAUGE, FLOAT, -INF, "gauge", "-Inf"),
        (TIMER, FLOAT, 2.5, "gauge", "2.5"),
        (GAUGE, STRING, b"17", "gauge", "0"),
    ],
)
def test_values(kind: int, type_: int, value: Any, word: str, text: str) -> None:
    assert page(one(kind, type_, value)) == (
        f'# HELP m defined at p.mtail:1:9\n# TYPE m {word}\nm{{prog="p.mtail"}} {text}\n'
    )
    assert samples(one(kind, type_, value), emit_prog_label=False) == [f"m {text}"]


def test_text_hidden_and_empty_are_left_out() -> None:
    metrics = [
        Metric("t", "p", TEXT, STRING),
        Metric("h", "p", COUNTER, INT, hidden=True),
        Metric("g", "p", GAUGE, INT),
        Metric("k", "p", COUNTER, INT, ("a",)),
    ]
    _core_testing._store_set(metrics[0], (), b"x")
    store = stored(*metrics)
    assert page(store) == ""


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (b'a"b\\c\nd', r"a\"b\\c\nd"),
        (b"tab\there\r\x00\x7f", "tab\there\r\x00\x7f"),
        ("ä€😀\u2028".encode(), "ä€😀\u2028"),
        (b"a\xffb\xe2\x82", "a�b��"),
        (b"", ""),
        (b'"' * 1000, r"\"" * 1000),
        (b"x" * 100_000, "x" * 100_000),
    ],
)
def test_label_values(label: bytes, text: str) -> None:
    metric = Metric("m", 'p"\n\\.mtail', COUNTER, INT, ("z", "a"))
    _core_testing._store_add(metric, (label, "k"))
    assert page(stored(metric)).split("\n", 2)[2] == f'm{{a="k",prog="p\\"\\n\\\\.mtail",z="{text}"}} 1\n'


def test_help_comes_from_the_first_metric_with_data() -> None:
    metrics = [Metric("m", f"{p}.mtail", GAUGE, INT, ("x",), source=f"{p}\\\n.mtail:1:7") for p in "abc"]
    for metric in metrics[1:]:
        _core_testing._store_set(metric, ("v",), 1)
    assert page(stored(*metrics)) == (
        '# HELP m defined at b\\\\\\n.mtail:1:7\n# TYPE m gauge\nm{prog="b.mtail",x="v"} 1\nm{prog="c.mtail",x="v"} 1\n'
    )


def test_help_is_the_first_text_of_a_declaration() -> None:
    metrics = [
        Metric("m", p, GAUGE, INT, ("x",), source=p, help=text) for p, text in zip("abc", ["", "A\\", "C"], strict=True)
    ]
    for metric in metrics:
        _core_testing._store_set(metric, ("v",), 1)
    store = stored(*metrics)
    assert page(store).startswith("# HELP m A\\\\\n# TYPE m gauge\n")
    assert json.loads(Page(store.snapshot()).metrics_json())["m"]["help"] == "A\\"


def test_static_labels() -> None:
    labels = (("dc", 'x"y'), ("z", ""))
    metrics = [
        Metric("m", "p", GAUGE, INT, ("a", "y"), source="p", labels=labels),
        Metric("h", "p", HISTOGRAM, BUCKETS, source="p", buckets=(1, 2), labels=labels),
    ]
    for value in ("1", "2"):
        _core_testing._store_set(metrics[0], (value, "v"), 1)
    store = stored(*metrics)
    assert samples(store) == [
        'h_bucket{dc="x\\"y",prog="p",z="",le="1"} 0',
        'h_bucket{dc="x\\"y",prog="p",z="",le="2"} 0',
        'h_bucket{dc="x\\"y",prog="p",z="",le="+Inf"} 0',
        'h_sum{dc="x\\"y",prog="p",z=""} 0',
        'h_count{dc="x\\"y",prog="p",z=""} 0',
        'm{a="1",dc="x\\"y",prog="p",y="v",z=""} 1',
        'm{a="2",dc="x\\"y",prog="p",y="v",z=""} 1',
    ]
    assert samples(store, emit_prog_label=False)[-1] == 'm{a="2",dc="x\\"y",y="v",z=""} 1'
    found = json.loads(Page(store.snapshot()).metrics_json())["m"]["value"][0]
    assert found == {"a": "1", "dc": 'x"y', "prog": "p", "y": "v", "z": "", "@": 1}
    pieces = View(store, whole=0, piece=1).prometheus()
    assert b"".join(pieces).decode() == page(store)


def test_only_openmetrics_has_units() -> None:
    metrics = [
        Metric("wait_seconds", "p", GAUGE, INT, source="s", unit="seconds"),
        Metric("sent_bytes_total", "p", COUNTER, INT, source="s", unit="bytes"),
        Metric("lost-bytes_total", "p", COUNTER, INT, source="s", unit="bytes"),
    ]
    _core_testing._store_set(metrics[0], (), 1)
    _core_testing._store_set(metrics[2], (), -1)
    store = stored(*metrics)
    assert "UNIT" not in page(store)
    text = openmetrics(store)
    assert re.findall("# UNIT .*", text) == ["# UNIT sent_bytes bytes", "# UNIT wait_seconds seconds"]
    assert {family.name: family.unit for family in parse_openmetrics(text + "# EOF\n")} == {
        "lost_bytes_total": "",
        "sent_bytes": "bytes",
        "wait_seconds": "seconds",
    }


def test_order() -> None:
    """Families by name; in one of them first those with fewer labels, then by values in the order of label names."""
    metrics = [
        Metric("b", "p", COUNTER, INT, ("z", "a")),
        Metric("b", "a", COUNTER, INT, ("q",)),
        Metric("a-b", "p", COUNTER, INT),
        Metric("B", "p", COUNTER, INT),
    ]
    for labels in [("1", "2"), ("2", "1"), ("1", "1"), ("0", "10"), ("", "\x00"), ("", "")]:
        _core_testing._store_add(metrics[0], labels)
    _core_testing._store_add(metrics[1], ("x",))
    assert samples(stored(*metrics)) == [
        'B{prog="p"} 0',
        'a_b{prog="p"} 0',
        'b{prog="a",q="x"} 1',
        'b{a="",prog="p",z=""} 1',
        'b{a="\x00",prog="p",z=""} 1',
        'b{a="1",prog="p",z="1"} 1',
        'b{a="1",prog="p",z="2"} 1',
        'b{a="10",prog="p",z="0"} 1',
        'b{a="2",prog="p",z="1"} 1',
    ]


# Values that share long beginnings, so that every round of the sort has something to do.
_PARTS = st.lists(st.sampled_from([b"", b"\x00", b"a", b"aaaaaaaa", b"aaaaaaab", b"host-", b"\xc3\xa4"]), max_size=4)
_VALUES = st.one_of(_PARTS.map(b"".join), st.binary(max_size=12))


@given(st.lists(st.tuples(_VALUES, _VALUES), max_size=200), st.booleans())
@settings(max_examples=60)
def test_samples_are_sorted_bytewise(labels: list[tuple[bytes, bytes]], two: bool) -> None:
    metrics = [Metric("m", p, COUNTER, INT, ("z", "a")) for p in ("p", "b")[: 1 + two]]
    store = stored(*metrics)
    for i, pair in enumerate(labels):
        _core_testing._store_add(metrics[i % len(metrics)], pair)
    rows = [
        (row.labels[1].encode(), metric.program.encode(), row.labels[0].encode(), row.value)
        for metric in metrics
        for row in store.snapshot().rows(metric)
    ]
    parsed = [s for family in parse_text(page(store)) for s in family.samples]
    assert [
        (s.labels["a"].encode(), s.labels["prog"].encode(), s.labels["z"].encode(), s.value) for s in parsed
    ] == sorted(rows)


def test_a_thousand_samples_are_sorted() -> None:
    metric = Metric("m", "p", COUNTER, INT, ("a",))
    for i in range(3000):
        _core_testing._store_add(metric, (b"prefix-%d" % (i * 7919 % 3000),), i)
    lines = samples(stored(metric), emit_prog_label=False)
    assert lines == sorted(lines, key=lambda line: line.split('"')[1])
    assert len(lines) == 3000


def test_histograms() -> None:
    plain = Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(0, 1, 2.5, 1e6), source="s")
    keyed = Metric("k", "p", HISTOGRAM, BUCKETS, ("z",), buckets=(0.1, 2), source="s")
    for value in (-1, 0.5, 2, 1e7):
        _core_testing._store_set(plain, (), float(value), 1500)
        _core_testing._store_set(keyed, ("v",), float(value), 2_500_000_000)
    assert page(stored(plain, keyed), emit_prog_label=False, emit_timestamp=True) == (
        "# HELP h defined at s\n# TYPE h histogram\n"
        'h_bucket{le="1"} 2 0\nh_bucket{le="2.5"} 3 0\nh_bucket{le="1e+06"} 3 0\nh_bucket{le="+Inf"} 4 0\n'
        "h_sum 1.00000015e+07 0\nh_count 4 0\n"
        "# HELP k defined at s\n# TYPE k histogram\n"
        'k_bucket{z="v",le="0.1"} 1 2500\nk_bucket{z="v",le="2"} 3 2500\nk_bucket{z="v",le="+Inf"} 4 2500\n'
        'k_sum{z="v"} 1.00000015e+07 2500\nk_count{z="v"} 4 2500\n'
    )


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (999_999, "0"),
        (1_000_000, "1"),
        (1_520_879_607_789_999_999, "1520879607789"),
        (-1, "0"),
        (-(2**63), "0"),
    ],
)
def test_timestamps(nanos: int, text: str) -> None:
    assert samples(one(GAUGE, INT, 1, nanos), emit_prog_label=False, emit_timestamp=True) == [f"m 1 {text}"]


@pytest.mark.parametrize(
    ("name", "kind", "keys", "reason"),
    [
        ("a b", COUNTER, ("k",), '"a b" is not a valid metric name: export it under another name with as "…"'),
        ("1a", COUNTER, ("k",), '"1a" is not a valid metric name'),
        ("ä", COUNTER, ("k",), '"ä" is not a valid metric name'),
        ("", COUNTER, ("k",), '"" is not a valid metric name'),
        ("a\n", COUNTER, ("k",), '"a\\n" is not a valid metric name'),
        ("bar", COUNTER, ("x-y",), '"x-y" is not a valid label name for metric "bar": rename the key'),
        ("bar", COUNTER, ("__x",), '"__x" is not a valid label name for metric "bar"'),
        ("bar", COUNTER, ("x\n",), '"x\\n" is not a valid label name for metric "bar"'),
        ("bar", COUNTER, ("prog",), 'duplicate label names in metric "bar": prog'),
        ("bar", HISTOGRAM, ("k", "le"), '"le" is not a valid label name for histogram "bar", whose buckets'),
        ("good", GAUGE, ("k",), '"good" is the name of counter "good" (p:1:9): export it under another'),
        ("h_count", COUNTER, ("k",), '"h_count" is a name of the samples of histogram "h" (p:2:9): export it'),
        ("h-bucket", HISTOGRAM, ("k",), '"h_bucket" is a name of the samples of histogram "h" (p:2:9)'),
        ("own", GAUGE, (), '"own" is a name of nativemtail\'s own metrics: export it under another name'),
        ("own_part", HISTOGRAM, ("k",), '"own_part" is a name of nativemtail\'s own metrics'),
    ],
)
@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_prometheus_cannot_have(
    name: str, kind: int, keys: tuple[str, ...], reason: str, openmetrics: bool
) -> None:
    reserved = frozenset({"own", "own_part_sum"})
    wrong = Metric(name, "p", kind, BUCKETS if kind == HISTOGRAM else INT, keys, buckets=(1, 2) * (kind == HISTOGRAM))
    good = Metric("good", "p", COUNTER, INT, source="p:1:9")
    histogram = Metric("h", "p", HISTOGRAM, BUCKETS, source="p:2:9", buckets=(1, 2))
    alone = page(stored(good, histogram), openmetrics=openmetrics)
    (_core_testing._store_set if kind != COUNTER else _core_testing._store_add)(wrong, ["v"] * len(keys), 1)
    good = Metric("good", "p", COUNTER, INT, source="p:1:9")
    histogram = Metric("h", "p", HISTOGRAM, BUCKETS, source="p:2:9", buckets=(1, 2))
    store = stored(good, histogram, wrong)
    assert page(store, openmetrics=openmetrics, reserved=reserved) == alone
    found = _render.left_out(store.metrics(), reserved=reserved)
    assert list(found) == [wrong]
    assert found[wrong].startswith(reason)


def test_hidden_and_text_metrics_are_in_nobodys_way() -> None:
    metrics = [
        Metric("x", "p", TEXT, STRING),
        Metric("x", "p", GAUGE, INT, hidden=True),
        Metric("x", "p", COUNTER, INT),
        Metric("a b", "p", TEXT, STRING),
    ]
    assert _render.left_out(metrics) == {}


def test_repeated_keys_and_le() -> None:
    metric = Metric("m", "p", COUNTER, INT, ("a", "le", "a"))
    _core_testing._store_add(metric, ("1", "x", "2"))
    assert samples(stored(metric)) == ['m{a="2",le="x",prog="p"} 1']
    metric = Metric("m", "p", COUNTER, INT, ("a", "prog"))
    _core_testing._store_add(metric, ("1", "x"))
    assert samples(stored(metric), emit_prog_label=False) == ['m{a="1",prog="x"} 1']


def test_duplicates_are_left_out() -> None:
    metrics = [Metric("c", "p.mtail", COUNTER, type_, ("x",), source="p:1") for type_ in (INT, FLOAT)]
    for place, metric in enumerate(metrics):
        _core_testing._store_set(metric, ('o"ne',), place + 1)
        _core_testing._store_set(metric, (f"only {place}",), 7)
    store = stored(*metrics)
    labels = 'c{prog="p.mtail",x="'
    assert samples(store) == [f'{labels}o\\"ne"}} 1', f'{labels}only 0"}} 7', f'{labels}only 1"}} 7']
    page = Page(store.snapshot())
    assert [entry["x"] for entry in json.loads(page.metrics_json())["c"]["value"]] == ['o"ne', "only 0", "only 1"]
    [warning] = page.warnings
    assert warning.startswith('p:1: label sets of "c" that another metric of this name has too: export it under')


def test_many_duplicates_are_left_out() -> None:
    """More than an insertion sort takes, of three metrics; long values that agree in more than 8 bytes."""
    metrics = [Metric("c", f"p{i}", COUNTER, INT, ("x",)) for i in range(3)]
    for i, metric in enumerate(metrics):
        for k in range(i, 300 + i):
            _core_testing._store_set(metric, (f"a long value {k:04}",), i)
    shown = samples(stored(*metrics), emit_prog_label=False)
    assert shown == [f'c{{x="a long value {k:04}"}} {max(0, k - 299)}' for k in range(302)]


def test_duplicates_fail_a_strict_page() -> None:
    metrics = [Metric("c", "p.mtail", COUNTER, type_, ("x",)) for type_ in (INT, FLOAT)]
    for metric in metrics:
        _core_testing._store_set(metric, ('o"ne',), 1)
    with pytest.raises(ValueError, match="was collected before") as failure:
        page(stored(*metrics), strict=True)
    assert str(failure.value) == (
        'collected metric "c" { label:<name:"prog" value:"p.mtail" > label:<name:"x" value:"o\\"ne" > '
        "counter:<value:1 > } was collected before with the same name and label values"
    )


def test_equal_values_under_other_names_are_no_duplicates() -> None:
    metrics = [Metric("c", "p", COUNTER, INT, (key,)) for key in "xyx"]
    for metric, value in zip(metrics, "aab", strict=True):
        _core_testing._store_add(metric, (value,))
    assert samples(stored(*metrics), emit_prog_label=False) == ['c{x="a"} 1', 'c{y="a"} 1', 'c{x="b"} 1']
    hidden_between = [Metric("d", "p", COUNTER, INT, (key,)) for key in "xyx"]
    for metric in hidden_between:
        _core_testing._store_add(metric, ("a",))
    assert samples(stored(*hidden_between), emit_prog_label=False) == ['d{x="a"} 1', 'd{y="a"} 1']


def test_one_shot_wants_the_same_label_names() -> None:
    metrics = [
        Metric("c", f"{p}.mtail", COUNTER, INT, keys, source=f"{p}.mtail:1:9")
        for p, keys in (("a", ("x",)), ("b", ("x", "y")))
    ]
    for metric in metrics:
        _core_testing._store_add(metric, ["v"] * len(metric.keys))
    store = stored(*metrics)
    assert samples(store) == ['c{prog="a.mtail",x="v"} 1', 'c{prog="b.mtail",x="v",y="v"} 1']
    with pytest.raises(
        ValueError,
        match=re.escape(
            "descriptors reported by collector have inconsistent label names or help strings for the same "
            'fully-qualified name, offender is Desc{fqName: "c", help: "defined at a.mtail:1:9", constLabels: {}, '
            "variableLabels: ["
        ),
    ):
        page(store, strict=True)


def test_names_that_differ_in_hyphens() -> None:
    metrics = [Metric(name, "p", COUNTER, INT, source=f"p:{i}") for i, name in enumerate(("a-b", "a_b"))]
    store = stored(*metrics)
    assert samples(store) == ['a_b{prog="p"} 0']
    with pytest.raises(ValueError, match=r'inconsistent label names or help strings .* help: "defined at p:1"'):
        page(store, strict=True)


def test_prefix_and_choice() -> None:
    metrics = [
        Metric("a-b", "p", COUNTER, INT),
        Metric("1", "p", COUNTER, INT),
        Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(1, 2)),
    ]
    store = stored(*metrics)
    assert samples(store, prefix="x_", names=frozenset({"a_b", "1"})) == ['x_1{prog="p"} 0', 'x_a_b{prog="p"} 0']
    assert len(samples(store, names=frozenset({"h_bucket"}))) == 5
    assert samples(store, names=frozenset()) == []
    assert list(json.loads(Page(store.snapshot()).metrics_json(prefix="y", names=frozenset({"h"})))) == ["yh"]


# --- OpenMetrics 1.0 --------------------------------------------------------------------------------------------


def openmetrics(store: Store, **options: Any) -> str:
    return page(store, openmetrics=True, **options)


def test_openmetrics() -> None:
    metrics = [
        Metric("hits", "p", COUNTER, INT, ("a",), source='p"\\:1'),
        Metric("misses_total", "p", COUNTER, FLOAT, source="s"),
        Metric("level", "p", GAUGE, INT, source="s"),
        Metric("h", "p", HISTOGRAM, BUCKETS, source="s", buckets=(1, 2.5)),
    ]
    _core_testing._store_add(metrics[0], ('x"',), 1_000_000, 1_520_879_607_789_000_000)
    _core_testing._store_set(metrics[1], (), 0.5, -1_500_000_000)
    _core_testing._store_set(metrics[2], (), -3)
    _core_testing._store_set(metrics[3], (), 2.0)
    text = openmetrics(stored(*metrics), emit_prog_label=False, emit_timestamp=True)
    assert text == (
        '# HELP h defined at s\n# TYPE h histogram\nh_bucket{le="1"} 0 0.000\nh_bucket{le="2.5"} 1 0.000\n'
        'h_bucket{le="+Inf"} 1 0.000\nh_sum 2.0 0.000\nh_count 1 0.000\n'
        '# HELP hits defined at p\\"\\\\:1\n# TYPE hits unknown\nhits{a="x\\""} 1e+06 1520879607.789\n'
        "# HELP level defined at s\n# TYPE level gauge\nlevel -3.0 0.000\n"
        "# HELP misses defined at s\n# TYPE misses counter\nmisses_total 0.5 -1.500\n"
    )
    families = {f.name: f for f in parse_openmetrics(text + "# EOF\n")}
    assert {name: family.type for name, family in families.items()} == {
        "h": "histogram",
        "hits": "unknown",
        "level": "gauge",
        "misses": "counter",
    }


def test_series_are_those_of_the_text_format() -> None:
    """Whoever scrapes finds what mtail gives, whichever format was agreed on."""
    metrics = [
        *(Metric(name, "p", COUNTER, INT) for name in ("hits", "misses_total", "_total", "x_created", "x_total")),
        Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(-1, 0, 1e-7, 1, 2.5, 10, 1e6, 1e21)),
        Metric("level", "p", GAUGE, FLOAT),
    ]
    store = stored(*metrics)
    text = [line.split(" ")[0] for line in samples(store)]
    found = {family.name: family for family in parse_openmetrics(openmetrics(store) + "# EOF\n")}
    assert [line.split(" ")[0] for line in openmetrics(store).splitlines() if line[0] != "#"] == text
    assert {name for name, family in found.items() if family.type == "counter"} == {"misses"}


@pytest.mark.parametrize("value", [-1.0, NAN])
def test_counters_that_are_none_in_openmetrics(value: float) -> None:
    text = openmetrics(one(COUNTER, FLOAT, value), emit_prog_label=False)
    assert text.splitlines()[1:] == ["# TYPE m unknown", f"m {value}".replace("nan", "NaN")]
    assert [f.type for f in parse_openmetrics(text + "# EOF\n")] == ["unknown"]


@pytest.mark.parametrize("values", [[NAN], [1.0, NAN], [-5.0], [1.0, 100.0]])
@pytest.mark.parametrize("buckets", [(1, 2), (0, 1), (-1, 1)])
def test_any_histogram_is_valid_openmetrics(values: list[float], buckets: tuple[float, ...]) -> None:
    metric = Metric("m", "p", HISTOGRAM, BUCKETS, buckets=buckets)
    for value in values:
        _core_testing._store_set(metric, (), value)
    [family] = parse_openmetrics(openmetrics(stored(metric)) + "# EOF\n")
    top = next(s.value for s in family.samples if s.labels.get("le") == "+Inf")
    assert top == len(values)


def test_openmetrics_names_that_clash() -> None:
    metrics = [
        Metric("c", "p", COUNTER, INT),
        Metric("c_total", "p", COUNTER, INT),
        Metric("h", "p", HISTOGRAM, BUCKETS, buckets=(1, 2)),
        Metric("h_created", "p", COUNTER, INT),
    ]
    page = Page(stored(*metrics).snapshot())
    text = page.prometheus(openmetrics=True).decode()
    assert sorted(f.name for f in parse_openmetrics(text + "# EOF\n")) == ["c", "c_total", "h"]
    assert page.warnings == ['"h_created" is left out: OpenMetrics reserves its name for another']
    assert len(page.prometheus().splitlines()) == 2 * 4 + 1 + 1 + 5 + 1
    assert page.warnings == []


# --- against mtail ----------------------------------------------------------------------------------------------

PROGRAM = r"""counter hits by host, code
gauge load by host
counter total
counter weird as "we-ird"
histogram size by host buckets 0, 1, 1000000, 1e7
histogram plain buckets 0.5, 2
text last
text seen by host
timer took by host limit 3
hidden gauge secret
/^(?P<host>\S+) (?P<code>\S+) (?P<n>\d+) (?P<f>\d+\.\d+)$/ {
  hits[$host][$code]++
  load[$host] = $f
  total += $n
  weird++
  size[$host] = $n
  plain = $f
  last = $code
  seen[$host] = $host
  took[$host] = $f
  secret = $n
  $code == "x" {
    del load[$host] after 3h
  }
}
"""
LOG = """\
b x 1 0.25
a y<>&" 123456789 1.5
a\\b x 0 2.0
ä 500 1000000 0.0000001
b x 7 100000000.5
"""


def build_like_mtail() -> Store:
    """The store after PROGRAM on LOG, by hand."""

    def declare(name: str, kind: int, type_: int, column: str, *keys: str, **options: Any) -> Metric:
        return Metric(name, "p.mtail", kind, type_, keys, f"p.mtail:{column}", **options)

    hits = declare("hits", COUNTER, INT, "1:9-12", "host", "code")
    load = declare("load", GAUGE, FLOAT, "2:7-10", "host")
    total = declare("total", COUNTER, INT, "3:9-13")
    weird = declare("we-ird", COUNTER, INT, "4:9-13")
    size = declare("size", HISTOGRAM, BUCKETS, "5:11-14", "host", buckets=(0, 1, 1e6, 1e7))
    plain = declare("plain", HISTOGRAM, BUCKETS, "6:11-15", buckets=(0.5, 2))
    last = declare("last", TEXT, STRING, "7:6-9")
    seen = declare("seen", TEXT, STRING, "8:6-9", "host")
    took = declare("took", TIMER, FLOAT, "9:7-10", "host", limit=30)
    secret = declare("secret", GAUGE, INT, "10:14-19", hidden=True)
    for line in LOG.splitlines():
        host, code, n, f = line.split()
        _core_testing._store_add(hits, (host, code))
        _core_testing._store_set(load, (host,), float(f))
        _core_testing._store_add(total, (), int(n))
        _core_testing._store_add(weird)
        _core_testing._store_set(size, (host,), float(n))
        _core_testing._store_set(plain, (), float(f))
        _core_testing._store_set(last, (), code.encode())
        _core_testing._store_set(seen, (host,), host.encode())
        _core_testing._store_set(took, (host,), float(f))
        _core_testing._store_set(secret, (), int(n))
        if code == "x":
            _core_testing._store_expire(load, (host,), 3 * 3600 * 10**9)
    return stored(hits, load, total, weird, size, plain, last, seen, took, secret)


@pytest.fixture(scope="module")
def mtail() -> Any:
    assert shutil.which("mtail"), "the package mtail is not installed (packages.txt)"

    def run(form: str, *flags: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "p.mtail").write_text(PROGRAM.replace("limit 3", "limit 30"))
            Path(folder, "log").write_text(LOG)
            done = subprocess.run(
                [
                    "mtail",
                    "-one_shot",
                    f"-one_shot_format={form}",
                    "-progs",
                    "p.mtail",
                    "-logs",
                    "log",
                    "-logtostderr",
                    "-unix_socket",
                    f"{folder}/socket{os.getpid()}",
                    *flags,
                ],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("prog", [True, False])
def test_prometheus_like_mtail(mtail: Any, prog: bool) -> None:
    theirs = mtail("prometheus", f"-emit_prog_label={str(prog).lower()}")
    ours = page(build_like_mtail(), emit_prog_label=prog)
    # rc50 counts what is at or below the lowest edge in no bucket (spec runtime.md §5.1).
    odd = re.compile(r'^(size_bucket\{host="a\\\\b".*|plain_bucket.*)$', re.MULTILINE)
    assert odd.sub("", theirs) == odd.sub("", ours)


def test_json_like_mtail(mtail: Any) -> None:
    def comparable(text: str) -> str:
        return re.sub(r'"(Time|0.5|1)": \d+', r'"\1": 0', text)

    assert comparable(mtail("json")) == comparable(Page(build_like_mtail().snapshot()).json(True).decode())


def test_all_floats_come_back() -> None:
    values = [math.ldexp(1 + i / 7, e) for e in range(-1074, 1023, 97) for i in range(7)]
    metric = Metric("m", "p", GAUGE, FLOAT, ("i",))
    for i, value in enumerate(values):
        _core_testing._store_set(metric, (b"%05d" % i,), value)
    assert [float(line.rsplit(" ", 1)[1]) for line in samples(stored(metric))] == values
