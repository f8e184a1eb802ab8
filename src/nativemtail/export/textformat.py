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
"""Of a page that is made here, where each label set takes its time."""

_NUMBER = re.compile(rb"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def exported(snapshot: Snapshot | View, *, text: bool) -> Iterator[Metric]:
    """The metrics that an output may show: none that is hidden, text metrics only if `text`."""
    return (m for m in snapshot.metrics() if not m.hidden and (text or m.kind != TEXT))


def value_text(row: Row) -> str:
    """The value of a label set; a histogram's is its sum.  Bytes that are not UTF-8 come as surrogate escapes."""
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
    """Whether the value is one; that of a text need not be."""
    return not isinstance(row.value, bytes) or _NUMBER.fullmatch(row.value) is not None


def flat_names(
    name: str, keys: Sequence[str], separator: str, clean: Callable[[str], str] = str
) -> Callable[[Sequence[str]], str]:
    """What makes one word of name, keys and label values; the separator inside keys and values becomes `_`.

    `clean` takes out what the format cannot carry, but no separator: it is called once for each word.
    """
    if len(set(keys)) < len(keys):
        return lambda labels: clean(separator.join((name, *_parts(sorted(zip(keys, labels, strict=True)), separator))))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    pairs = ((keys[at].replace(separator, "_").replace("%", "%%"), "%s") for at in order)
    form = separator.join((name.replace("%", "%%"), *(part for pair in pairs for part in pair)))
    return lambda labels: clean(form % tuple([labels[at].replace(separator, "_") for at in order]))


def _parts(pairs: Iterable[tuple[str, str]], separator: str) -> Iterator[str]:
    return (part.replace(separator, "_") for pair in pairs for part in pair)


def encode(text: str) -> bytes:
    """UTF-8; surrogate escapes become the bytes that they stand for."""
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
