"""Adds up what parts have: a table from series and key to a sum, or to the latest write.

Tables that become too large are written to files, sorted by series and key; at the end these are merged.  Series get
numbers as they come; their labels stay in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nativemtail.compiler.divisible import How
from nativemtail.history.runs import Run, merged
from nativemtail.history.worker import Kept

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max
"""The end of a series that was not removed."""

_SERIES_COST = 300
"""Bytes of a series with its labels, roughly."""
_ROWS = 1024 * 1024
"""Rows of all spilled tables that are in memory at once, roughly."""
_LEAST_ROWS = 4096
_GROUP = 64 * 1024
"""Rows of a group of a file, which is decoded as a whole."""


class Cells(NamedTuple):
    """Columns of equal length, in order of series and key, each pair once."""

    series: Ints
    key: Ints
    value: Ints
    time: Ints
    """Empty for sums."""
    part: Ints
    """The same."""

    @property
    def size(self) -> int:
        return sum(column.nbytes for column in self)

    def rows(self, start: int, end: int) -> Cells:
        return Cells(*(column[start:end] for column in self))


NOTHING = Cells(*(np.empty(0, np.int64) for _ in range(5)))


def joined(pieces: Sequence[Cells]) -> Cells:
    return Cells(*(np.concatenate(columns) for columns in zip(*pieces, strict=True))) if pieces else NOTHING


def consolidated(cells: Cells, how: How) -> Cells:
    """In order, each pair of series and key once."""
    if not len(cells.series):
        return cells
    latest = how is How.LATEST
    columns = (cells.part, cells.time, cells.key, cells.series) if latest else (cells.key, cells.series)
    order = np.lexsort(columns)
    series, key = cells.series[order], cells.key[order]
    changes = (np.diff(series) != 0) | (np.diff(key) != 0)
    if latest:  # the last row of each group
        last = order[np.append(changes, True)]
        return Cells(*(column[last] for column in cells))
    first = np.flatnonzero(np.insert(changes, 0, True))
    return cells._replace(series=series[first], key=key[first], value=np.add.reduceat(cells.value[order], first))


class Merger:
    """The table of one metric."""

    def __init__(self, how: How, keys: int) -> None:
        self.how = how
        self._keys = keys
        self._numbers: dict[tuple[object, ...], int] = {}
        self._segments: dict[tuple[str, ...], int] = {}
        self.ends: list[int] = []
        """By series: the step in which it was removed."""
        self.last_key = np.iinfo(np.int64).min
        self.has_negative = False
        """Whether a value that came is negative."""
        self._pieces: list[Cells] = []
        self._size = 0
        self._whole = 0
        self._spilled: list[str] = []

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._size + _SERIES_COST * len(self._numbers)

    @property
    def cell_size(self) -> int:
        return self._size

    def add(self, kept: Kept, part: int) -> None:
        """Add what part number `part` has."""
        numbers = self._number(kept.series)
        counts = kept.series.column("cells").to_numpy()
        key, value = (kept.cells.column(name).to_numpy() for name in ("key", "value"))
        if len(key):
            self.last_key = max(self.last_key, int(key.max()))
            self.has_negative = self.has_negative or bool((value < 0).any())
        none = NOTHING.time
        latest = self.how is How.LATEST
        time = kept.cells.column("time").to_numpy() if latest else none
        parts = np.full(len(key), part, np.int64) if latest else none
        piece = Cells(np.repeat(numbers, counts), key, value, time, parts)
        self._pieces.append(piece)
        self._size += piece.size
        if self._size > 2 * self._whole + (16 << 20):
            self.consolidate()

    def _number(self, series: pa.RecordBatch) -> Ints:
        """The numbers of the series; each time that one is removed and made anew it is another."""
        ends = series.column("end").to_numpy()
        columns = [series.column(at).to_pylist() for at in range(self._keys)]
        labels = list(zip(*columns, strict=True)) if columns else [()] * len(ends)
        numbers = self._numbers
        found = np.empty(len(labels), np.int64)
        for at, (label, end) in enumerate(zip(labels, ends, strict=True)):
            segment = self._segments.get(label, 0) if self._segments else 0
            if end != NEVER:
                self._segments[label] = segment + 1
            number = numbers.setdefault((*label, segment), len(numbers))
            if number == len(self.ends):
                self.ends.append(int(end))
            found[at] = number
        return found

    def consolidate(self) -> None:
        """Add up what is in memory."""
        whole = consolidated(joined(self._pieces), self.how)
        self._pieces = [whole] if len(whole.series) else []
        self._size = self._whole = whole.size

    # --- series in order -------------------------------------------------------------------------------------------

    def labels(self, order: Sequence[int]) -> tuple[list[tuple[str, ...]], Ints]:
        """The labels of all series in the order of the values of keys `order`, and the rank of each number."""
        names = sorted(self._numbers, key=lambda name: (*(name[at] for at in order), name[-1]))
        ranks = np.empty(len(names), np.int64)
        for rank, name in enumerate(names):
            ranks[self._numbers[name]] = rank
        return [name[:-1] for name in names], ranks  # type: ignore[misc]

    def spill(self, directory: str, name: str, order: Sequence[int]) -> None:
        """Write what is in memory to a file of `directory`."""
        self.consolidate()
        if not self._pieces:
            return
        cells = self._pieces.pop()
        _, ranks = self.labels(order)
        path = os.path.join(directory, f"{name}-{len(self._spilled)}.parquet")
        by_rank = np.lexsort((cells.key, ranks[cells.series]))
        table = pa.table({field: column[by_rank] for field, column in cells._asdict().items() if len(column)})
        pq.write_table(table, path, row_group_size=_GROUP, compression="zstd", use_dictionary=False)
        self._spilled.append(path)
        self._size = self._whole = 0

    def sorted(self, ranks: Ints) -> Iterator[Cells]:
        """Cells in order, with ranks as series; none is in two of them."""
        self.consolidate()
        rows = max(_LEAST_ROWS, _ROWS // (len(self._spilled) + 1))
        runs = [_Run(_of_file(path, rows), ranks) for path in self._spilled]
        runs += [_Run(iter([_by_rank(cells, ranks)]), None) for cells in self._pieces]

        def added(pieces: Sequence[Cells]) -> Cells | None:
            cells = consolidated(joined(pieces), self.how)
            return cells if len(cells.series) else None

        yield from merged(runs, added)

    def close(self) -> None:
        for path in self._spilled:
            os.unlink(path)
        self._spilled.clear()


def _by_rank(cells: Cells, ranks: Ints) -> Cells:
    cells = cells._replace(series=ranks[cells.series])
    order = np.lexsort((cells.key, cells.series))
    return Cells(*(column[order] if len(column) else column for column in cells))


def _of_file(path: str, rows: int) -> Iterator[Cells]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows):
            names = batch.schema.names
            yield Cells(*(batch.column(name).to_numpy() if name in names else NOTHING.time for name in Cells._fields))


class _Run(Run[Cells]):
    """Cells in order; `ranks` turns their numbers of series to ranks."""

    def __init__(self, pieces: Iterator[Cells], ranks: Ints | None) -> None:
        super().__init__(pieces)
        self._ranks = ranks
        self._cells = NOTHING

    def __len__(self) -> int:
        return len(self._cells.series)

    @property
    def last(self) -> int:
        return int(self._cells.series[-1])

    def hold(self, piece: Cells) -> None:
        if self._ranks is not None:
            piece = piece._replace(series=self._ranks[piece.series])
        self._cells = joined([self._cells, piece]) if len(self) else piece

    def take(self, bound: int | None) -> Cells:
        """The rows of series before `bound`, or all."""
        count = len(self) if bound is None else int(np.searchsorted(self._cells.series, bound))
        taken, self._cells = self._cells.rows(0, count), self._cells.rows(count, len(self))
        return taken
