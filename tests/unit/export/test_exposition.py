"""One page out of the user's metrics and our own."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, UnknownMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail.export import exposition

RESERVED = frozenset(["mtail_lines_total"])


def own() -> list[Any]:
    label = GaugeMetricFamily("room", "Room.", labels=["name"])
    label.add_metric(["/"], 1.5)
    label.add_metric(['a"b'], math.inf)
    two = GaugeMetricFamily("two", "", labels=["a", "b"])
    two.add_metric(["x", "y"], 3)
    buckets = [("0.5", 1.0), ("1.0", 3.0), ("+Inf", 4.0)]
    return [
        UnknownMetricFamily("mtail_lines_total", "lines", value=7),
        CounterMetricFamily("refused_total", "Refused.", value=2),
        label,
        two,
        HistogramMetricFamily("latency", "Seconds.", buckets=buckets, sum_value=6.0),
    ]


def users(*metrics: tuple[str, int]) -> Any:
    """A snapshot with metrics of these names and kinds."""
    known = [
        SimpleNamespace(name=n, kind=k, hidden=n == "hidden", source=f"p.mtail:1:{i}")
        for i, (n, k) in enumerate(metrics)
    ]
    return SimpleNamespace(metrics=lambda: known)


def choose(*metrics: tuple[str, int], **options: Any) -> list[Any]:
    return exposition.choose(own(), users(*metrics), reserved=RESERVED, **options)


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("prefix", ["", "site_"])
def test_the_whole_page_is_valid(openmetrics: bool, prefix: str) -> None:
    user = f"# HELP {prefix}g defined at p.mtail:1:7\n# TYPE {prefix}g gauge\n{prefix}g 1\n".encode()
    page = b"".join(exposition.prometheus([user], choose(("g", 2), prefix=prefix), openmetrics=openmetrics)).decode()
    families = list((parse_openmetrics if openmetrics else parse_text)(page))
    samples = {s.name: s.value for family in families for s in family.samples if len(s.labels) != 1}
    assert samples[f"{prefix}g"] == 1
    assert samples[f"{prefix}mtail_lines_total"] == 7
    assert samples[f"{prefix}refused_total"] == 2
    assert page.count("# EOF") == openmetrics
    assert all(family.name.startswith(prefix) for family in families)


@pytest.mark.parametrize(
    ("metric", "lost"),
    [
        (("room", 1), "room"),
        (("refused-total", 1), "refused"),
        (("latency", 5), "latency"),
        (("latency_count", 1), "latency"),
        (("latency_bucket", 2), "latency"),
        (("hidden", 1), None),
        (("two", 4), None),
        (("other", 1), None),
    ],
)
def test_ours_give_way(metric: tuple[str, int], lost: str | None) -> None:
    assert {family.name for family in own()} - {family.name for family in choose(metric)} == ({lost} if lost else set())


def test_a_histogram_takes_its_sample_names() -> None:
    family = GaugeMetricFamily("h_sum", "", value=1)
    assert exposition.choose([family], users(("h", 5)), reserved=RESERVED) == []


@pytest.mark.parametrize(
    ("metric", "lost"),
    [
        (("refused", 2), {"refused"}),
        (("refused_created", 2), {"refused"}),
        (("mtail_lines", 1), set()),
        (("mtail_lines", 2), set()),
        (("room", 5), {"room"}),
        (("latency_created", 2), {"latency"}),
    ],
)
def test_openmetrics_sets_more_names_aside(metric: tuple[str, int], lost: set[str]) -> None:
    names = {family.name for family in choose(metric, openmetrics=True)}
    assert {family.name for family in own()} - names == lost


def test_what_mtail_has_too_stays() -> None:
    assert len(choose(("mtail_lines_total", 2))) == len(own())


@pytest.mark.parametrize(
    ("names", "prefix", "chosen"),
    [
        (["room"], "", ["room"]),
        (["refused_total", "nothing"], "", ["refused"]),
        (["refused"], "", []),
        (["x_room"], "x_", ["x_room"]),
        (["room"], "x_", []),
        (["latency_count"], "", ["latency"]),
        ([], "", []),
    ],
)
def test_names(names: list[str], prefix: str, chosen: list[str]) -> None:
    assert [family.name for family in choose(prefix=prefix, names=frozenset(names))] == chosen


@pytest.mark.parametrize(
    ("prefix", "good"),
    [
        ("", True),
        ("a", True),
        ("_9:", True),
        (":", True),
        ("9", False),
        ("a-", False),
        ("ä", False),
        ("a\n", False),
        (" ", False),
    ],
)
def test_prefix(prefix: str, good: bool) -> None:
    assert exposition.is_prefix(prefix) is good


@pytest.mark.parametrize("user", [b"{}", b'{"g":{"type":"gauge","value":1}}', b' {"g":{"type":"gauge","value":1}}\n'])
def test_json(user: bytes) -> None:
    page = json.loads(b"".join(exposition.metrics_json([user], choose(prefix="p_"))))
    assert page.pop("g", {"value": 1})["value"] == 1
    assert page == {
        "p_mtail_lines_total": {"help": "lines", "type": "counter", "value": 7},
        "p_refused_total": {"help": "Refused.", "type": "counter", "value": 2},
        "p_room": {"help": "Room.", "type": "gauge", "value": {"name": {"/": 1.5, 'a"b': "+Inf"}}},
        "p_two": {"type": "gauge", "value": [{"a": "x", "b": "y", "@": 3}]},
        "p_latency": {
            "help": "Seconds.",
            "type": "histogram",
            "value": {"avg": 1.5, "bucket": [[0.5, 1], [1.0, 3]], "count": 4, "sum": 6},
        },
    }


def test_json_of_the_users_alone() -> None:
    assert b"".join(exposition.metrics_json([b'{"g":{}}'], [])) == b'{"g":{}}'
    assert b"".join(exposition.metrics_json([b"{}"], [])) == b"{}"
