"""The reference of histories, by hand: grid instants, changes, gaps, order, exact sums."""

from __future__ import annotations

import math

from gridreference import SECOND, Add, Grid, Observe, Write, at, grid, histograms, scalars

MINUTE = 60 * SECOND


def samples(
    events: list[Add | Write], step: int = MINUTE, last: int = 0, max_gap: int = 5 * MINUTE
) -> list[tuple[int, float]]:
    """Of the only series, with times in minutes."""
    found = scalars(events, Grid(step, max(last, *(event.time for event in events)), max_gap))
    (only,) = found.values()
    return [(time // 60_000, value) for time, value in only]


def test_an_instant_has_the_lines_until_then() -> None:
    assert samples([Add(MINUTE, "a", 1), Add(MINUTE + 1, "a", 1), Add(2 * MINUTE, "a", 1)]) == [(1, 1.0), (2, 3.0)]
    assert samples([Add(-MINUTE - 1, "a", 1), Add(-MINUTE + 1, "a", 1)]) == [(-1, 1.0), (0, 2.0)]


def test_the_order_of_lines_does_not_matter_to_increments() -> None:
    events: list[Add | Write] = [Add(minute * MINUTE, "a", minute) for minute in (3, 1, 2)]
    assert samples(events) == samples(events[::-1]) == [(1, 1.0), (2, 3.0), (3, 6.0)]


def test_the_latest_write_counts_and_of_equal_times_that_of_the_later_place() -> None:
    events: list[Add | Write] = [Write(60, "a", 1, (0, 9)), Write(61, "a", 2, (0, 1)), Write(61, "a", 3, (0, 0))]
    assert samples(events) == [(1, 2.0)]


def test_no_sample_where_nothing_changed_unless_the_gap_is_too_long() -> None:
    up_and_down: list[Add | Write] = [Add(MINUTE, "a", 1), Add(2 * MINUTE, "a", 1), Add(2 * MINUTE, "a", -1)]
    assert samples([*up_and_down, Add(3 * MINUTE, "a", 1)]) == [(1, 1.0), (3, 2.0)]
    assert samples([Add(MINUTE, "a", 1), Add(13 * MINUTE, "a", 1)]) == [(1, 1.0), (6, 1.0), (11, 1.0), (13, 2.0)]
    assert samples([Add(MINUTE, "a", 1), Add(6 * MINUTE, "a", 1)]) == [(1, 1.0), (6, 2.0)]


def test_the_last_sample_is_less_than_a_gap_before_the_end() -> None:
    assert samples([Add(MINUTE, "a", 1)], last=10 * MINUTE) == [(1, 1.0), (6, 1.0)]
    assert samples([Add(MINUTE, "a", 1)], last=10 * MINUTE + 1) == [(1, 1.0), (6, 1.0), (11, 1.0)]


def test_a_step_that_does_not_divide_the_gap_and_one_that_is_longer() -> None:
    assert samples([Add(MINUTE, "a", 1)], 2 * MINUTE, 11 * MINUTE) == [(2, 1.0), (6, 1.0), (10, 1.0)]
    assert samples([Add(MINUTE, "a", 1)], 10 * MINUTE, 31 * MINUTE) == [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)]


def test_sums_are_rounded_once() -> None:
    assert samples([Add(1, "a", 0.1) for _ in range(10)])[0][1] == 1.0 != sum([0.1] * 10)
    assert samples([Add(1, "a", 1e16), Add(1, "a", 1.0), Add(1, "a", 1.0), Add(1, "a", -1e16)])[0][1] == 2.0
    assert samples([Add(1, "a", math.inf), Add(1, "a", 1.0)])[0][1] == math.inf
    assert math.isnan(samples([Add(1, "a", math.inf), Add(1, "a", -math.inf)])[0][1])


def test_a_histogram_has_all_parts_where_its_count_changes() -> None:
    events = [Observe(minute * MINUTE, "h", value, (0.5, 1.0)) for minute, value in ((1, 0.5), (2, 2.0), (3, -1.0))]
    found = histograms(events, grid(events, MINUTE))
    assert {part: [value for _, value in values] for (_, part), values in found.items()} == {
        "0.5": [1, 1, 2],
        "1.0": [1, 1, 2],
        "inf": [1, 2, 3],
        "sum": [0.5, 2.5, 1.5],
        "count": [1, 2, 3],
    }
    assert {tuple(time for time, _ in values) for values in found.values()} == {(60_000, 120_000, 180_000)}


def test_a_query_sees_the_last_sample_within_five_minutes() -> None:
    values = [(60_000, 1.0), (120_000, 2.0)]
    assert [at(values, time) for time in (59_999, 60_000, 119_999, 420_000, 420_001)] == [None, 1.0, 1.0, 2.0, None]
