"""Numbers, times and flattened names."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail._render import number
from nativemtail.export.textformat import encode, flat_names, time_text, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001234, "1.234e-05"),
        (1e-07, "1e-07"),
        (99999.0, "99999"),
        (123456.0, "123456"),
        (999999.5, "999999.5"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (123456789.5, "1.234567895e+08"),
        (-1e21, "-1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False))
def test_number_keeps_the_value(value: float) -> None:
    text = number(value)
    assert float(text) == value
    assert len(text) <= 24


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0"), (1_999_999_999, "1"), (1795295856_123456789, "1795295856"), (-1, "0"), (-1_500_000_000, "-1")],
)
def test_time_is_truncated_toward_zero(nanoseconds: int, text: str) -> None:
    assert time_text(SimpleNamespace(time=nanoseconds)) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "total", "text"),
    [
        (5, 0.0, b"5"),
        (-(2**63), 0.0, b"-9223372036854775808"),
        (2.0, 0.0, b"2"),
        (b"a\xffb", 0.0, b"a\xffb"),
        (None, 1e6, b"1e+06"),
    ],
)
def test_value_text(value: int | float | bytes | None, total: float, text: bytes) -> None:
    assert encode(value_text(SimpleNamespace(value=value, sum=total))) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "labels", "separator", "flat"),
    [
        ((), (), ".", "n.m"),
        (("a",), ("x",), ".", "n.m.a.x"),
        (("z", "a"), ("2.25", "x y"), ".", "n.m.a.x y.z.2_25"),
        (("k.k",), ("..",), ".", "n.m.k_k.__"),
        (("k-k",), ("a-b.c",), "-", "n.m-k_k-a_b.c"),
        (("%s", "a%"), ("%d", "%"), ".", "n.m.%s.%d.a%.%"),
        (("a", "b", "a"), ("y", "1", "x"), ".", "n.m.a.x.a.y.b.1"),
    ],
)
def test_flat_name(keys: tuple[str, ...], labels: tuple[str, ...], separator: str, flat: str) -> None:
    metric = SimpleNamespace(name="n.m", keys=keys, labels=())
    assert flat_names(metric, separator)(labels) == flat  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "labels", "flat"),
    [
        ((), (), "n.m.dc.north_1.zone.a"),
        (("x",), ("1",), "n.m.dc.north_1.x.1.zone.a"),
        (("x", "x"), ("2", "1"), "n.m.dc.north_1.x.1.x.2.zone.a"),
    ],
)
def test_flat_name_with_the_labels_of_all_metrics(keys: tuple[str, ...], labels: tuple[str, ...], flat: str) -> None:
    metric = SimpleNamespace(name="n.m", keys=keys, labels=(("zone", "a"), ("dc", "north.1")))
    assert flat_names(metric, ".")(labels) == flat  # type: ignore[arg-type]
