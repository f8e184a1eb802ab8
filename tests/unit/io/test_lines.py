"""Blocks of whole lines, however the bytes arrive."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.io.lines import MAX_LINE_LENGTH, READ_SIZE, Buffer, LineReader


class Sink:
    """Stands for an engine: takes the lines of every block."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.blocks = 0

    def scan(self, block: bytearray, start: int, end: int) -> int:
        assert 0 <= start < end <= len(block)
        lines = bytes(block[start:end]).split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.lines += lines
        self.blocks += 1
        return len(lines)


def run(chunks: list[bytes], limit: int = MAX_LINE_LENGTH) -> tuple[Sink, LineReader]:
    """Read `chunks`, each as if it were all that is there, to the end."""
    sink = Sink()
    reader = LineReader(sink.scan, limit)
    buffer = Buffer()
    for chunk in chunks:
        source = io.BytesIO(chunk)
        while reader.read(buffer, source.readinto):
            pass
    reader.finish()
    return sink, reader


def cut(data: bytes, limit: int) -> tuple[list[bytes], int]:
    lines = [line.lstrip(b"\0") for line in data.split(b"\n")]
    if not lines[-1]:
        lines.pop()
    return [line[:limit] for line in lines], sum(len(line) > limit for line in lines)


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"\n"], [b""]),
        ([b"a\n"], [b"a"]),
        ([b"a"], [b"a"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a", b"\n"], [b"a"]),
        ([b"a", b"b", b"c\nd", b"\n\n"], [b"abc", b"d", b""]),
        ([b"a\r\nb\r", b"\n"], [b"a\r", b"b\r"]),
    ],
)
def test_joined(chunks: list[bytes], lines: list[bytes]) -> None:
    sink, reader = run(chunks)
    assert sink.lines == lines
    assert reader.lines == len(lines)
    assert reader.bytes_read == sum(map(len, chunks))
    assert reader.pending == 0


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"x", b"\n")), max_size=12), st.integers(1, 20))
def test_any_split_gives_the_same_lines(chunks: list[bytes], limit: int) -> None:
    sink, reader = run(chunks, limit)
    assert (sink.lines, reader.cut_lines) == cut(b"".join(chunks), limit)


@given(st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"a\n", b"0123456789"]), max_size=30), st.integers(1, 12))
def test_limits(chunks: list[bytes], limit: int) -> None:
    data = b"".join(chunks)
    for pieces in (chunks, [data]):
        sink, reader = run(pieces, limit)
        assert (sink.lines, reader.cut_lines) == cut(data, limit)


def test_few_blocks_for_many_lines() -> None:
    data = b"0123456789\n" * 100_000
    sink, reader = run([data])
    assert reader.lines == 100_000
    assert sink.blocks <= len(data) // READ_SIZE + 1


def test_long_line_is_cut_and_memory_bounded() -> None:
    class Endless(io.RawIOBase):
        left = 100 * 1024 * 1024

        def readinto(self, target: memoryview) -> int:  # type: ignore[override]
            count = min(len(target), self.left)
            target[:count] = b"x" * count
            self.left -= count
            return count

    sink = Sink()
    reader = LineReader(sink.scan)
    buffer = Buffer()
    source = Endless()
    while reader.read(buffer, source.readinto):
        assert reader.pending <= MAX_LINE_LENGTH
    after = io.BytesIO(b"\nnext\n")
    reader.read(buffer, after.readinto)
    assert [len(line) for line in sink.lines] == [MAX_LINE_LENGTH, 4]
    assert reader.cut_lines == 1
    assert len(buffer.data) <= MAX_LINE_LENGTH + READ_SIZE


def test_memory_for_long_lines_is_made_once_and_only_for_them() -> None:
    reader = LineReader(Sink().scan)
    buffer = Buffer(MAX_LINE_LENGTH + READ_SIZE)
    usual = buffer.data
    reader.read(buffer, io.BytesIO(b"x" * 1000).readinto)
    reader.read(buffer, io.BytesIO(b"x\n").readinto)
    assert buffer.data is usual
    assert len(usual) < MAX_LINE_LENGTH
    sizes = set()
    for _ in range(10):
        reader.read(buffer, io.BytesIO(b"x" * 100_000).readinto)
        sizes.add(len(buffer.data))
    assert sizes == {len(usual), MAX_LINE_LENGTH + READ_SIZE}


def test_finish_separates() -> None:
    sink = Sink()
    reader = LineReader(sink.scan)
    buffer = Buffer()
    for datagram in (b"one", b"two\nthree", b"", b"four\n"):
        reader.read(buffer, io.BytesIO(datagram).readinto)
        reader.finish()
    assert sink.lines == [b"one", b"two", b"three", b"four"]


def test_nothing_now() -> None:
    reader = LineReader(Sink().scan)
    assert reader.read(Buffer(), lambda target: None) is None
    assert reader.bytes_read == 0


def test_sources_share_a_buffer() -> None:
    sink = Sink()
    buffer = Buffer()
    first, second = LineReader(sink.scan), LineReader(sink.scan)
    first.read(buffer, io.BytesIO(b"a").readinto)
    second.read(buffer, io.BytesIO(b"x\ny").readinto)
    first.read(buffer, io.BytesIO(b"b\n").readinto)
    second.finish()
    assert sink.lines == [b"x", b"ab", b"y"]


@pytest.mark.parametrize(
    ("data", "nuls", "lines"), [(b"\0", 1, []), (b"\0\0", 2, []), (b"\0\0\xfe", 2, [b"\xfe"]), (b"B", 0, [b"B"])]
)
def test_nuls_of_a_file_too_short_to_tell_are_counted(data: bytes, nuls: int, lines: list[bytes]) -> None:
    sink = Sink()
    reader = LineReader(sink.scan)
    reader.begin()
    reader.read(Buffer(), io.BytesIO(data).readinto)
    reader.finish()
    assert (reader.nuls, sink.lines) == (nuls, lines)
