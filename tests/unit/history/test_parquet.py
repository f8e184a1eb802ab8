"""The Parquet file of a history, read back with pyarrow and DuckDB."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from histories import family, histogram_series, one_series

from nativemtail.compiler.abi import MetricKind
from nativemtail.history import parquet
from nativemtail.history.series import Family

COUNTER = MetricKind.COUNTER
START = 1_700_000_000_000


def families() -> list[Family]:
    series = [one_series("orders", [(START, 1), (START + 500, 2.5)], COUNTER, city=city) for city in ("Bonn", "Köln")]
    series.insert(1, one_series("orders", [], COUNTER, city="Trier"))
    return [
        family("h", histogram_series("h", {"0.5": [(START, 0)], "inf": [(START, 1)]}), MetricKind.HISTOGRAM),
        family("orders", series, COUNTER),
        family("t", [one_series("t", [(-1500, float("nan"))], MetricKind.TIMER)], MetricKind.TIMER),
    ]


def written() -> bytes:
    out = io.BytesIO()
    parquet.write(families(), out)
    return out.getvalue()


def test_pyarrow_reads_every_sample() -> None:
    table = pq.read_table(io.BytesIO(written()))
    assert table.schema.equals(parquet.SCHEMA)
    rows = [tuple(row.values()) for row in table.to_pylist()]
    moment = datetime.datetime.fromtimestamp(START / 1000, datetime.UTC)
    later = moment + datetime.timedelta(milliseconds=500)
    assert rows[:-1] == [
        (0, "h_bucket", [("le", "0.5")], "histogram", moment, 0.0),
        (1, "h_bucket", [("le", "+Inf")], "histogram", moment, 1.0),
        (2, "orders", [("city", "Bonn")], "counter", moment, 1.0),
        (2, "orders", [("city", "Bonn")], "counter", later, 2.5),
        (3, "orders", [("city", "Köln")], "counter", moment, 1.0),
        (3, "orders", [("city", "Köln")], "counter", later, 2.5),
    ]
    assert rows[-1][:4] == (4, "t", [], "timer")
    assert rows[-1][4] == datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000, datetime.UTC)
    assert np.isnan(rows[-1][5])


def test_duckdb_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    path.write_bytes(written())
    asked = (
        "SELECT labels['city'], epoch_ms(time), value FROM read_parquet(?) WHERE name = 'orders' "
        "AND time >= make_timestamp_ms(?) ORDER BY series, time"
    )
    with duckdb.connect() as database:
        rows = database.execute(asked, [str(path), START + 1]).fetchall()
        kinds = database.execute("SELECT DISTINCT kind FROM read_parquet(?) ORDER BY kind", [str(path)]).fetchall()
    assert rows == [("Bonn", START + 500, 2.5), ("Köln", START + 500, 2.5)]
    assert kinds == [("counter",), ("histogram",), ("timer",)]


def test_the_same_samples_give_the_same_bytes() -> None:
    assert written() == written()


@pytest.mark.parametrize("lengths", [[25], [10, 10, 1], [3] * 10, [9, 2, 0, 9, 1, 20]])
def test_row_groups_have_the_same_number_of_rows(monkeypatch: pytest.MonkeyPatch, lengths: list[int]) -> None:
    monkeypatch.setattr(parquet, "ROWS", 10)
    out = io.BytesIO()
    many = [
        one_series("a", [(i, float(i)) for i in range(length)], at=str(place)) for place, length in enumerate(lengths)
    ]
    parquet.write([family("a", many)], out)
    file = pq.ParquetFile(out)
    total = sum(lengths)
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [10] * (total // 10) + [total % 10] * (total % 10 > 0)
    table = file.read().to_pydict()
    places = [place for place, length in enumerate(lengths) for _ in range(length)]
    present = sorted(set(places))
    assert [dict(labels)["at"] for labels in table["labels"]] == [str(place) for place in places]
    assert table["series"] == [present.index(place) for place in places]
    assert table["value"] == [float(i) for length in lengths for i in range(length)]


def test_nothing_is_a_file_without_rows() -> None:
    out = io.BytesIO()
    parquet.write([], out)
    assert pq.read_table(out).num_rows == 0


def test_readers_may_rely_on_the_order() -> None:
    group = pq.ParquetFile(io.BytesIO(written())).metadata.row_group(0)
    names = [group.column(column.column_index).path_in_schema for column in group.sorting_columns]
    assert names == ["series", "time"]
