"""The body of a remote write 1.0: a protobuf message `WriteRequest`, compressed with Snappy's block format.

    message WriteRequest { repeated TimeSeries timeseries = 1; }
    message TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
    message Label        { string name = 1; string value = 2; }
    message Sample       { double value = 1; int64 timestamp = 2; }

Labels are sorted by name, `__name__` among them; an empty value is the same as no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from nativemtail.history.series import Series

_SERIES, _LABEL, _SAMPLE = b"\x0a", b"\x0a", b"\x12"
"""Tags of length-delimited fields."""
_VALUE, _TIME = 0x09, 0x10
_MOST_BYTES = 10
"""Of a varint; a negative number has as many."""


def labels(series: Series) -> bytes:
    """The labels as fields of a `TimeSeries`."""
    pairs = sorted(((b"__name__", series.name.encode()), *((k.encode(), v.encode()) for k, v in series.labels)))
    parts = (_field(b"\x0a", name) + _field(b"\x12", value) for name, value in pairs if value)
    return b"".join(_field(_LABEL, part) for part in parts)


def samples(times: NDArray[np.int64], values: NDArray[np.float64]) -> bytes:
    """The samples as fields of a `TimeSeries`."""
    if not len(times):
        return b""
    lengths = _lengths(times)
    edges = np.flatnonzero(np.diff(lengths)) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(times)]
    return b"".join(
        _equally_long(times[at:end], values[at:end], int(lengths[at])) for at, end in zip(starts, ends, strict=True)
    )


def request(series: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A `WriteRequest` of series, each as its labels and samples."""
    return b"".join(_field(_SERIES, names + values) for names, values in series)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _lengths(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each time has as a varint."""
    unsigned = times.view(np.uint64)
    lengths = np.ones(len(times), np.int64)
    for size in range(1, _MOST_BYTES):
        lengths += unsigned >= np.uint64(1 << 7 * size)
    return lengths


def _equally_long(times: NDArray[np.int64], values: NDArray[np.float64], length: int) -> bytes:
    """Samples whose times have `length` bytes, as the rows of a table of bytes."""
    rows = np.empty((len(times), 12 + length), np.uint8)
    rows[:, 0] = _SAMPLE[0]
    rows[:, 1] = 10 + length
    rows[:, 2] = _VALUE
    rows[:, 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
    rows[:, 11] = _TIME
    unsigned = times.view(np.uint64)
    for place in range(length):
        rows[:, 12 + place] = (unsigned >> np.uint64(7 * place)) & np.uint64(0x7F)
    rows[:, 12 : 11 + length] |= 0x80
    return rows.tobytes()
