"""Which of the process's own metrics are on a page beside the user's, and under which names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from families import RESERVED, own
from prometheus_client.core import GaugeMetricFamily

from nativemtail.export.own import shown


def users(*metrics: tuple[str, int]) -> Any:
    """A snapshot with metrics of these names and kinds."""
    known = [
        SimpleNamespace(name=n, kind=k, hidden=n == "hidden", source=f"p.mtail:1:{i}")
        for i, (n, k) in enumerate(metrics)
    ]
    return SimpleNamespace(metrics=lambda: known)


def choose(*metrics: tuple[str, int], **options: Any) -> list[Any]:
    return shown(own(), users(*metrics), reserved=RESERVED, **options)


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
    assert shown([family], users(("h", 5)), reserved=RESERVED) == []


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
