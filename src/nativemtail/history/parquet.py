"""Parquet: a row for each sample, sorted by series and time, for DuckDB, Polars, Spark or pandas.

| Column | Type | Holds |
|---|---|---|
| series | int64 | the series' number in the file, from 0 |
| name | string | of the samples, such as `seconds_bucket` |
| labels | map of strings | without the name |
| kind | string | counter, gauge, timer or histogram |
| time | timestamp, ms, UTC | |
| value | double | |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from numpy.typing import NDArray

    from nativemtail.history.series import Family, Series

ROWS = 1 << 17
"""Rows of a row group: what is held in memory, and what readers skip by their statistics."""

SCHEMA = pa.schema(
    [
        pa.field("series", pa.int64(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("labels", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
_SORTED = pq.SortingColumn.from_ordering(SCHEMA, [("series", "ascending"), ("time", "ascending")])


def write(families: Iterable[Family], out: BinaryIO) -> None:
    """Write all families.  The same samples give the same bytes, with one version of pyarrow.  Raises OSError."""
    options = {"compression": "zstd", "sorting_columns": _SORTED, "use_dictionary": ["name", "labels", "kind"]}
    with pq.ParquetWriter(out, SCHEMA, **options) as writer:
        rows = _Rows(writer)
        for family in families:
            for series in family.series:
                rows.add(series)
        rows.flush()


class _Rows:
    """Collects the samples of many series into row groups of exactly `ROWS` rows."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._pieces: list[tuple[int, Series, NDArray[np.int64], NDArray[np.float64]]] = []
        self._number = 0
        self._room = ROWS

    def add(self, series: Series) -> None:
        at = 0
        while at < len(series.times):
            end = at + self._room
            times = series.times[at:end]
            self._pieces.append((self._number, series, times, series.values[at:end]))
            self._room -= len(times)
            at += len(times)
            if not self._room:
                self.flush()
        self._number += at > 0

    def flush(self) -> None:
        if not self._pieces:
            return
        numbers, series, times, values = zip(*self._pieces, strict=True)
        heads = pa.table(
            {
                "name": pa.array([one.name for one in series], pa.string()),
                "labels": pa.array([list(one.labels) for one in series], SCHEMA.field("labels").type),
                "kind": pa.array([one.kind.name.lower() for one in series], pa.string()),
            }
        )
        which = np.repeat(np.arange(len(series)), [len(piece) for piece in times])
        columns = [
            pa.array(np.asarray(numbers)[which]),
            *heads.take(pa.array(which)).columns,
            pa.array(np.concatenate(times)).cast(SCHEMA.field("time").type),
            pa.array(np.concatenate(values)),
        ]
        self._writer.write_table(pa.table(columns, SCHEMA), row_group_size=ROWS)
        self._pieces, self._room = [], ROWS
