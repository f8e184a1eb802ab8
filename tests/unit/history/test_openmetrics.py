"""The OpenMetrics text of a history, read back by the strict parser of the client library."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

import numpy as np
import pytest
from gridreference import SECOND, Observe, grid, histograms
from histories import family, histogram_series, one_series
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nativemtail.compiler.abi import MetricKind
from nativemtail.history import openmetrics
from nativemtail.history.series import Family, Series

COUNTER, GAUGE, TIMER, HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.TIMER, MetricKind.HISTOGRAM


def text(*families: Family, warnings: Iterable[str] = ()) -> str:
    out, said = io.BytesIO(), []
    openmetrics.write(families, out, said.append)
    assert said == list(warnings)
    return out.getvalue().decode()


def read(page: str) -> dict[str, list[tuple[dict[str, str], float, float]]]:
    """By the client library's strict parser: labels, value and time of each sample by the sample's name."""
    found: dict[str, list[tuple[dict[str, str], float, float]]] = {}
    for metric in text_string_to_metric_families(page):
        for sample in metric.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value, float(sample.timestamp)))
    return found


def test_a_counter_that_ends_in_total_and_one_that_does_not() -> None:
    page = text(
        family("orders", [one_series("orders", [(60_000, 1), (120_000, 3)], COUNTER, city="Köln", prog="a")], COUNTER),
        family("seen_total", [one_series("seen_total", [(60_000, 2)], COUNTER)], COUNTER),
    )
    assert page == (
        "# HELP orders about orders\n# TYPE orders unknown\n"
        'orders{city="Köln",prog="a"} 1 60\norders{city="Köln",prog="a"} 3 120\n'
        "# HELP seen about seen_total\n# TYPE seen counter\nseen_total 2 60\n# EOF\n"
    )
    assert set(read(page)) == {"orders", "seen_total"}


def test_no_family_gives_a_complete_page() -> None:
    assert text() == "# EOF\n"
    assert text(family("empty", [one_series("empty", [])])) == "# EOF\n"


@pytest.mark.parametrize(("kind", "word"), [(GAUGE, "gauge"), (TIMER, "gauge")])
def test_kinds(kind: MetricKind, word: str) -> None:
    assert f"# TYPE a {word}\n" in text(family("a", [one_series("a", [(0, 1)], kind)], kind))


def test_a_counter_that_falls_below_zero_is_none() -> None:
    page = text(family("a_total", [one_series("a_total", [(0, -1)], COUNTER)], COUNTER))
    assert "# TYPE a_total unknown\na_total -1 0\n" in page


def test_names_that_openmetrics_reserves() -> None:
    page = text(
        family("a", [one_series("a", [(0, 1)])]),
        family("a_total", [one_series("a_total", [(0, 2)], COUNTER)], COUNTER),
        family("b", histogram_series("b", {"inf": [(0, 1)]}), HISTOGRAM),
        family("b_created", [one_series("b_created", [(0, 3)])]),
        warnings=["b_created is left out: OpenMetrics reserves its name for another metric"],
    )
    assert "# TYPE a_total unknown\na_total 2 0\n" in page
    assert set(read(page)) == {"a", "a_total", "b_bucket"}


def test_unit_and_escapes() -> None:
    odd = 'a"b\\c\nd\te\x00f\rg\u2028h'
    series = one_series("took_seconds", [(0, 1)], path=odd)
    page = text(family("took_seconds", [series], text='of "x"\\\n', unit="seconds"))
    head = '# HELP took_seconds of \\"x\\"\\\\\\n\n# TYPE took_seconds gauge\n# UNIT took_seconds seconds\n'
    assert page.startswith(head + 'took_seconds{path="a\\"b\\\\c\\nd')
    assert read(page)["took_seconds"] == [({"path": odd}, 1.0, 0.0)]
    assert "# UNIT" not in text(family("took", [one_series("took", [(0, 1)])], unit="seconds"))


VALUES = [0.0, 1.5, -3.0, 1e15, 2.0**53, 1e300, 5e-324, 0.1, math.inf, -math.inf, 123456789.123]


def test_values_are_exact() -> None:
    for values in ([value] for value in VALUES):
        page = text(family("a", [one_series("a", [(0, value) for value in values])]))
        assert [sample[1] for sample in read(page)["a"]] == values
    page = text(family("a", [one_series("a", [(i * 1000, value) for i, value in enumerate(VALUES)])]))
    assert [sample[1] for sample in read(page)["a"]] == VALUES
    assert "a NaN 0\n" in text(family("a", [one_series("a", [(0, math.nan)])]))
    assert "a +Inf 0\n" in text(family("a", [one_series("a", [(0, math.inf)])]))


def test_milliseconds_survive_the_multiplication_of_prometheus() -> None:
    random = np.random.default_rng(7)
    times = np.sort(random.integers(-2_000_000_000_000, 4_000_000_000_000, 20_000))
    texts = openmetrics.time_texts(times)
    assert [int(float(str(seconds)) * 1000) for seconds in texts] == times.tolist()
    assert any(int(time / 1000 * 1000) != time for time in times.tolist())
    assert openmetrics.time_texts(np.array([-1000, 0, 1_700_000_000_000])) == [-1, 0, 1_700_000_000]


def test_a_long_series_is_written_in_pieces() -> None:
    samples = [(i * 1000, float(i)) for i in range(2 * openmetrics.PIECE + 3)]
    lines = text(family("a", [one_series("a", samples)])).splitlines()[2:-1]
    assert lines == [f"a {i} {i}" for i in range(len(samples))]


def observed(*values: float, bounds: tuple[float, ...] = (0.5, 1.5)) -> list[Series]:
    events = [Observe(i * 60 * SECOND, 0, value, bounds) for i, value in enumerate(values)]
    parts = {part: samples for (_, part), samples in histograms(events, grid(events, 60 * SECOND)).items()}
    return histogram_series("h", parts, prog="a")


def test_a_histogram_is_written_instant_by_instant() -> None:
    page = text(family("h", observed(0.25, 2.0), HISTOGRAM))
    assert [line.rpartition("} ")[2] for line in page.splitlines() if line.startswith("h_")] == [
        *("1 0", "1 0", "1 0", "0.25 0", "1 0"),
        *("1 60", "1 60", "2 60", "2.25 60", "2 60"),
    ]


def test_the_client_library_reads_a_histogram() -> None:
    """Of one instant: where one follows, it takes the second bucket for a duplicate."""
    found = read(text(family("h", observed(2.0), HISTOGRAM)))
    assert [(labels["le"], value) for labels, value, _ in found["h_bucket"]] == [("0.5", 0), ("1.5", 0), ("+Inf", 1)]
    assert found["h_sum"] == [({"prog": "a"}, 2.0, 0.0)]


@pytest.mark.slow
def test_many_instants_of_a_histogram_are_all_there() -> None:
    lines = text(family("h", observed(*([0.25] * 3000)), HISTOGRAM)).splitlines()
    counts = [line.removeprefix('h_count{prog="a"} ') for line in lines if line.startswith("h_count")]
    assert counts == [f"{i + 1} {i * 60}" for i in range(3000)]
    assert len(lines) == 3 + 5 * 3000


@pytest.mark.parametrize("series", [observed(0.5, bounds=(-1.0, 1.5)), observed(-0.5)])
def test_no_sum_where_observations_may_be_negative(series: list[Series]) -> None:
    page = text(family("h", series, HISTOGRAM))
    assert set(read(page)) == {"h_bucket"}
