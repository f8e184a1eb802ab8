"""Compressed logs: whole, joined, damaged, and hostile ones."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any as Buffer

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.io.compressed import Corrupt, Decoder, decoder
from nativemtail.io.content import BZIP2, GZIP, XZ, ZSTANDARD, Content

TEXT = b"".join(b"%d a line of a log, with number %d\n" % (i, i * i) for i in range(20_000))
NOISE = random.Random(1).randbytes(300_000)

Compress = Callable[[bytes], bytes]
COMPRESSORS: dict[str, Compress] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
CONTENTS = {".gz": GZIP, ".zst": ZSTANDARD, ".xz": XZ, ".bz2": BZIP2}
STREAMS = [".xz", ".bz2"]


@cache
def compressed(suffix: str, text: bytes) -> bytes:
    return COMPRESSORS[suffix](text)


class Raw(io.RawIOBase):
    """A file without a buffer."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Buffer) -> int:
        return self._data.readinto(target)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._data.seek(offset, whence)


def decode(suffix: str, data: bytes, size: int = 4096) -> tuple[bytes, str]:
    """What came out, and the error behind it."""
    source = decoder(CONTENTS[suffix], Raw(data))
    output, error = decode_from(source, size)
    if not error:
        assert source.position == len(data)
    return output, error


def decode_from(source: Decoder, size: int) -> tuple[bytes, str]:
    target = bytearray(size)
    output = bytearray()
    try:
        while count := source.readinto(memoryview(target)):
            output += target[:count]
    except Corrupt as error:
        with pytest.raises(Corrupt):
            source.readinto(memoryview(target))
        return bytes(output), str(error)
    assert source.readinto(memoryview(target)) == 0
    return bytes(output), ""


@pytest.fixture(params=COMPRESSORS)
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [b"", b"x", TEXT, NOISE, bytes(1_000_000)], ids=["empty", "x", "text", "noise", "zeros"]
)
@pytest.mark.parametrize("size", [1024, 262144])
def test_whole(suffix: str, text: bytes, size: int) -> None:
    assert decode(suffix, compressed(suffix, text), size) == (text, "")


def test_joined(suffix: str) -> None:
    parts = [TEXT, b"", b"more\n"]
    assert decode(suffix, b"".join(compressed(suffix, part) for part in parts)) == (b"".join(parts), "")


def test_a_file_without_a_byte_is_empty(suffix: str) -> None:
    assert decode(suffix, b"") == (b"", "")


@pytest.mark.parametrize("data", [b"x", b"plain text\n", b"\0\0\0\0\0\0"])
def test_other_data(suffix: str, data: bytes) -> None:
    output, error = decode(suffix, data)
    assert output == b""
    assert error


def test_truncated(suffix: str) -> None:
    whole = compressed(suffix, NOISE)
    for length in (1, 3, 5, 9, 20, 70_000, len(whole) - 9, len(whole) - 1):
        output, error = decode(suffix, whole[:length])
        assert error == "unexpected end of file"
        assert NOISE.startswith(output)
        # bzip2 has one block of up to 900 kB, which comes out when all of it is there.
        assert len(output) >= (0 if suffix == ".bz2" else length - 140_000)


def test_wrong_checksum_loses_nothing(suffix: str) -> None:
    whole = bytearray(compressed(suffix, TEXT))
    whole[{".gz": -5, ".bz2": -3}.get(suffix, -1)] ^= 1
    output, error = decode(suffix, bytes(whole))
    # The libraries of xz and bzip2 check in the call that gives the last byte, and give nothing then.
    assert output == (TEXT if suffix not in STREAMS else TEXT[:-1])
    assert error


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 100, 4096, 300_000])
def test_what_xz_gives_in_front_of_the_damage(size: int) -> None:
    """As much as when it is fed byte by byte; the last one was made of the damage itself."""
    packed = bytearray(compressed(".xz", TEXT))
    packed[len(packed) * 9 // 10] ^= 0x55
    stream = lzma.LZMADecompressor()
    expected = bytearray()
    with contextlib.suppress(lzma.LZMAError):
        for byte in packed:
            expected += stream.decompress(bytes((byte,)))
        raise AssertionError("the damage went unseen")
    assert len(expected) > 100_000
    output, error = decode(".xz", bytes(packed), size)
    assert output == expected[:-1]
    assert error


@pytest.mark.slow
@pytest.mark.parametrize("size", [1000, 4096, 300_000])
def test_what_bzip2_gives_in_front_of_the_damage(size: int) -> None:
    """All whole blocks."""
    packed = bytearray(compressed(".bz2", NOISE * 4))
    packed[len(packed) * 9 // 10] ^= 0x55
    output, error = decode(".bz2", bytes(packed), size)
    assert output[:890_000] == (NOISE * 4)[:890_000]
    assert error


class Shrinking(Raw):
    """A file that is cut short when it is read once more from its beginning."""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._data.truncate(100_000)
        return super().seek(offset, whence)


@pytest.mark.parametrize("suffix", STREAMS)
@pytest.mark.parametrize("damage", [150_000, 200_000, 290_000])
def test_a_damaged_file_that_is_cut_short_meanwhile(suffix: str, damage: int) -> None:
    packed = bytearray(compressed(suffix, NOISE))
    packed[damage] ^= 0xFF
    source = decoder(CONTENTS[suffix], Shrinking(bytes(packed)))
    assert decode_from(source, 4096)[1]


@pytest.mark.parametrize("suffix", STREAMS)
def test_padding_between_streams(suffix: str) -> None:
    packed = compressed(suffix, TEXT)
    padding = bytes(100_000)
    assert decode(suffix, packed + padding + packed + padding) == (TEXT + TEXT, "")


def test_xz_dictionary_is_limited() -> None:
    """Of a file that asks for a gigabyte and a half."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 16}]
    packed = bytearray(lzma.compress(TEXT, filters=filters))
    at = packed.index(b"\x21\x01", 12) + 2
    packed[at] = 40
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    assert "limit" in decode(".xz", bytes(packed))[1]


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(Corrupt, match=r"compressed \(lz4\), which cannot be read"):
        decoder(Content("lz4"), Raw(b""))


def test_damage_in_the_middle_keeps_what_is_before_it(suffix: str) -> None:
    first = compressed(suffix, TEXT)
    second = bytearray(compressed(suffix, TEXT))
    second[len(second) // 2 : len(second) // 2 + 50] = bytes(50)
    output, error = decode(suffix, first + second)
    assert error
    assert len(output) > len(TEXT) - (suffix == ".bz2")
    assert (TEXT + TEXT).startswith(output[: len(TEXT) + 1000])


def test_garbage_behind(suffix: str) -> None:
    output, error = decode(suffix, compressed(suffix, TEXT) + b"garbage")
    assert output == TEXT
    assert error


def test_gzip_padding() -> None:
    assert decode(".gz", gzip.compress(TEXT) + bytes(100_000)) == (TEXT, "")


def test_zstd_skippable_frames() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (100_000).to_bytes(4, "little") + bytes(100_000)
    frame = compressed(".zst", TEXT)
    assert decode(".zst", skippable + frame + skippable) == (TEXT, "")


def test_zstd_without_size_and_checksum() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False, level=1).compress(TEXT * 10)
    assert decode(".zst", frame) == (TEXT * 10, "")


def test_zstd_window_is_limited() -> None:
    # A frame header that asks for a window of 2 GiB.
    assert decode(".zst", b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00")[1]


@pytest.mark.slow
def test_a_bomb_comes_in_small_pieces(suffix: str) -> None:
    """No step holds more than was asked for and a block, whatever comes out."""
    bomb = compressed(suffix, bytes(1 << 24)) * 16
    source = decoder(CONTENTS[suffix], Raw(bomb))
    target = memoryview(bytearray(1 << 18))
    total = 0
    while count := source.readinto(target):
        assert count <= len(target)
        total += count
    assert total == 1 << 28


MAGIC = [b"", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0\0", b"BZh9"]


@given(st.binary(max_size=60), st.sampled_from(MAGIC))
def test_any_bytes_end(data: bytes, magic: bytes) -> None:
    for suffix in COMPRESSORS:
        decode(suffix, magic + data)


@pytest.mark.slow
@given(st.data())
def test_any_flipped_byte_ends(data: st.DataObject) -> None:
    for suffix in COMPRESSORS:
        packed = bytearray(compressed(suffix, TEXT[:3000]))
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        decode(suffix, bytes(packed))
