"""What the text formats share: numbers, times and flattened names (spec metrics-export.md, introduction and §4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nativemtail._core import TEXT
from nativemtail._render import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nativemtail._core import Metric, Row, Snapshot
    from nativemtail._render import View

PIECE = 256 * 1024
"""Piece size of pages rendered in Python, where each series takes time."""

_NUMBER = re.compile(rb"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def exported(snapshot: Snapshot | View, *, text: bool) -> Iterator[Metric]:
    """The metrics to export: no hidden ones, text metrics only if `text`."""
    return (m for m in snapshot.metrics() if not m.hidden and (text or m.kind != TEXT))


def value_text(row: Row) -> str:
    """The value of a series; for a histogram its sum.  Bytes that are not UTF-8 become surrogate escapes."""
    match row.value:
        case None:
            return number(row.sum)
        case int():
            return str(row.value)
        case float():
            return number(row.value)
        case bytes():
            return row.value.decode("utf-8", "surrogateescape")


def time_text(row: Row) -> str:
    """Whole seconds since the epoch, truncated toward zero."""
    seconds = abs(row.time) // 1_000_000_000
    return str(seconds if row.time >= 0 else -seconds)


def is_number(row: Row) -> bool:
    """Whether the value is a number; a text need not be."""
    return not isinstance(row.value, bytes) or _NUMBER.fullmatch(row.value) is not None


def flat_names(metric: Metric, separator: str, clean: Callable[[str], str] = str) -> Callable[[Sequence[str]], str]:
    """A function from label values to one word of name, keys and values, those of `--label` among them.

    Separators inside those become `_`.  `clean` replaces what the format cannot represent, except separators; it is
    called once per word.
    """
    name, keys, constant = metric.name, metric.keys, metric.labels
    if len(set(keys)) < len(keys):
        return lambda labels: clean(
            separator.join((name, *_parts(sorted([*zip(keys, labels, strict=True), *constant]), separator)))
        )
    order = sorted(range(len(keys)), key=keys.__getitem__)
    pairs = sorted([*((key, "%s") for key in keys), *((key, _literal(value, separator)) for key, value in constant)])
    form = separator.join(
        (_literal(name), *(part for key, value in pairs for part in (_literal(key, separator), value)))
    )
    return lambda labels: clean(form % tuple([labels[at].replace(separator, "_") for at in order]))


def _literal(text: str, separator: str = "") -> str:
    """For use in a form of the operator `%`."""
    return (text.replace(separator, "_") if separator else text).replace("%", "%%")


def _parts(pairs: Iterable[tuple[str, str]], separator: str) -> Iterator[str]:
    return (part.replace(separator, "_") for pair in pairs for part in pair)


def encode(text: str) -> bytes:
    """UTF-8; surrogate escapes become their original bytes."""
    return text.encode("utf-8", "surrogateescape")


def joined(parts: Iterable[bytes], size: int = PIECE) -> Iterator[bytes]:
    """The same bytes in pieces of about `size`."""
    held: list[bytes] = []
    length = 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    yield b"".join(held)
