"""One page out of the user's metrics and our own, as text."""

from __future__ import annotations

import pytest
from families import RESERVED, own
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from nativemtail import _core_testing
from nativemtail._core import GAUGE, INT, Metric, Store
from nativemtail._render import View
from nativemtail.export import prometheus


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("prefix", ["", "site_"])
def test_the_whole_page_is_valid(openmetrics: bool, prefix: str) -> None:
    store = Store()
    metric = Metric("g", "p.mtail", GAUGE, INT, source="p.mtail:1:7")
    store.add(metric)
    _core_testing._store_set(metric, [], 1, 0)
    view = View(store)
    options = {"prefix": prefix, "openmetrics": openmetrics, "emit_prog_label": False}
    page = b"".join(prometheus.render(view, own(), reserved=RESERVED, **options)).decode()
    families = list((parse_openmetrics if openmetrics else parse_text)(page))
    samples = {s.name: s.value for family in families for s in family.samples if len(s.labels) != 1}
    assert samples[f"{prefix}g"] == 1
    assert samples[f"{prefix}mtail_lines_total"] == 7
    assert samples[f"{prefix}refused_total"] == 2
    assert page.count("# EOF") == openmetrics
    assert all(family.name.startswith(prefix) for family in families)


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
    assert prometheus.is_prefix(prefix) is good
