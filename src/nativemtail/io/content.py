"""The kind of a log by its first bytes: text in another encoding, or compressed."""

from __future__ import annotations

from typing import NamedTuple

COMPRESSED = (".gz", ".zst", ".xz", ".bz2")
"""Suffixes that compressors add."""
START = 16
"""Number of leading bytes that are examined."""


class Content(NamedTuple):
    """`encoding` is empty for what is compressed; `mark` is the length of the byte order mark."""

    name: str
    encoding: str = ""
    mark: int = 0


_UTF8 = Content("UTF-8", "utf-8", 3)
UNMARKED_UTF16 = Content("UTF-16 without a byte order mark", "ascii")
"""Not decoded, because it may be something else: its lines are delivered unchanged."""
GZIP, ZSTANDARD, XZ, BZIP2 = Content("gzip"), Content("Zstandard"), Content("xz"), Content("bzip2")

_MAGIC: dict[bytes, Content] = {
    b"\xef\xbb\xbf": _UTF8,
    b"\xff\xfe": Content("UTF-16, little-endian", "utf-16-le", 2),
    b"\xfe\xff": Content("UTF-16, big-endian", "utf-16-be", 2),
    b"\xff\xfe\0\0": Content("UTF-32, little-endian", "utf-32-le", 4),
    b"\0\0\xfe\xff": Content("UTF-32, big-endian", "utf-32-be", 4),
    b"\x1f\x8b": GZIP,
    b"\x28\xb5\x2f\xfd": ZSTANDARD,
    **{bytes((kind,)) + b"\x2a\x4d\x18": ZSTANDARD for kind in range(0x50, 0x60)},
    b"\xfd7zXZ\0": XZ,
    **{b"BZh%d" % size + block: BZIP2 for size in range(1, 10) for block in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")},
    b"\x04\x22\x4d\x18": Content("lz4"),
    b"\x02\x21\x4c\x18": Content("lz4"),
    b"LZIP\1": Content("lzip"),
    b"]\0\0": Content("lzma"),
    b"\x89LZO\0\r\n\x1a\n": Content("lzop"),
    b"\x1f\x9d": Content("compress"),
    b"\xff\6\0\0sNaPpY": Content("Snappy"),
    b"7z\xbc\xaf\x27\x1c": Content("7-Zip"),
    b"PK\3\4": Content("ZIP"),
}
_LONGEST_FIRST = sorted(_MAGIC, key=len, reverse=True)


def recognise(start: bytes) -> Content | None:
    """The kind of log that begins with `start`; None for plain text."""
    return next((_MAGIC[magic] for magic in _LONGEST_FIRST if start.startswith(magic)), None)


def is_unmarked_utf16(start: bytes) -> bool:
    """Whether nearly every second byte of `start` is zero, and none of the others."""
    halves = start[:START:2], start[1:START:2]
    return len(start) >= START and any(
        0 not in one and 4 * other.count(0) >= 3 * len(other) for one, other in (halves, halves[::-1])
    )


def is_undecided(start: bytes) -> bool:
    """Whether more bytes could still change what `recognise` returns."""
    return any(len(start) < len(magic) and magic.startswith(start) for magic in _MAGIC)
