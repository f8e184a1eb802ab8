"""The reader of one file: to its end, as it grows, and from where another one stopped."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import compression
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rig import Recorder, append

from nativemtail.io.compressed import Corrupt
from nativemtail.io.file import FileReader, open_file
from nativemtail.io.position import TAIL, Position
from nativemtail.io.sources import Context, Settings

LIMIT = 1024
PACK = {"": bytes, **compression.PACK}


class Opened:
    """A reader of a file, and what it delivered; it continues where the reader of `after` had counted to."""

    def __init__(self, path: Path, after: Opened | None, until_end: bool) -> None:
        self.sink = Recorder()
        context = Context(self.sink, Settings(max_line_length=LIMIT))
        self.reader: FileReader = open_file(context, context.hold(str(path)), str(path), until_end=until_end)
        if after is not None:
            self.reader.resume(after.reader.counted_to, in_cut_line=after.reader.is_in_cut_line)

    @property
    def lines(self) -> list[bytes]:
        return self.sink.order

    def read(self, turns: int = 1_000_000) -> None:
        """Give it turns until there is nothing to read."""
        while turns and self.reader.turn():
            turns -= 1


@contextmanager
def opened(path: Path, after: Opened | None = None, *, until_end: bool = True) -> Iterator[Opened]:
    found = Opened(path, after, until_end)
    with closing(found.reader):
        yield found


def test_until_the_end_and_as_it_grows(tmp_path: Path) -> None:
    """They differ in what the end of the file is: the end of the last line, or where more may be written."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo")
    with opened(path) as once, opened(path, until_end=False) as growing:
        for each in (once, growing):
            each.read()
            assert each.reader.eof
        assert once.lines == [b"one", b"two"]
        assert growing.lines == [b"one"]
        append(path, b" and more\n")
        growing.read()
        assert growing.lines == [b"one", b"two and more"]


@pytest.mark.parametrize("kind", PACK)
def test_fingerprints_are_of_the_text_as_it_was_read(kind: str, tmp_path: Path) -> None:
    text = b"".join(b"line %d\n" % number for number in range(1000))
    path = tmp_path / "log"
    path.write_bytes(PACK[kind](text + b"incomplete"))
    with opened(path, until_end=False) as log:
        log.read()
        path.write_bytes(b"")
        found = log.reader.counted_to
    beginnings = tuple(zlib.crc32(text[:size]) for size in (64, 128, 256, 512))
    assert found == Position(len(text), TAIL, zlib.crc32(text[-TAIL:]), TAIL, zlib.crc32(text[:TAIL]), beginnings)
    assert log.reader.is_compressed == (kind != "")


def test_where_it_stands_is_known_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nhalf")
    with opened(path, until_end=False) as log:
        log.read()

        def fail(*_: object) -> bytes:
            raise AssertionError("the file was read")

        with monkeypatch.context() as patch:
            for name in ("pread", "preadv", "read", "fstat", "stat"):
                patch.setattr(os, name, fail)
            assert log.reader.counted_to.offset == 8


def texts() -> st.SearchStrategy[bytes]:
    """Short and long lines, lines longer than the limit, NULs before lines; the last may be incomplete."""
    pieces = st.sampled_from(
        [b"a", b"bc\n", b"\n", b"line of a log\n", b"x" * 700, b"y" * LIMIT, b"\n" + b"\0" * 5, b"\xc3\xa9"]
    )
    return st.lists(pieces, max_size=40).map(b"".join)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts(), kind=st.sampled_from([*PACK]), encoding=st.sampled_from(ENCODINGS), turns=st.integers(0, 30))
@example(text=b"y" * 3000 + b"\nnext\n", kind="", encoding="utf-8", turns=2)
@example(text=b"y" * 3000 + b"\nnext\n", kind=".gz", encoding="utf-16", turns=3)
@example(text=b"one\n\xc3\xa9", kind=".gz", encoding="utf-16", turns=1)
def test_resumed_at_any_place(text: bytes, kind: str, encoding: str, turns: int, tmp_path: Path) -> None:
    """Each line is delivered once, whenever another reader continues."""
    if encoding != "utf-8":
        text = text.decode("utf-8", "replace").encode(encoding)
    path = tmp_path / "log"
    path.write_bytes(PACK[kind](text))
    with opened(path) as whole:
        whole.read()
    with opened(path, until_end=False) as first:
        first.read(turns)
    with opened(path, first) as second:
        second.read()
    assert first.lines + second.lines == whole.lines


@pytest.mark.slow
@given(text=texts(), sizes=st.lists(st.integers(1, 900), min_size=1, max_size=8))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fingerprint_of_the_last_line_end(text: bytes, sizes: list[int], tmp_path: Path) -> None:
    """In whatever pieces a log grows, what was counted ends where the incomplete line begins."""
    text = text.replace(b"\0", b"")
    path = tmp_path / "log"
    path.write_bytes(b"")
    with opened(path, until_end=False) as log:
        at = 0
        for turn in range(60):
            size = sizes[turn % len(sizes)]
            append(path, text[at : at + size])
            at = min(len(text), at + size)
            log.read()
            found = log.reader.counted_to
            assert log.reader.is_in_cut_line or found.offset == text.rfind(b"\n", 0, at) + 1
            fd = os.open(path, os.O_RDONLY)
            assert Position.of(fd, found.offset) == found
            os.close(fd)


def test_what_is_given_up_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    text = b"whole\n" + b"x" * 900 + b"\n" + b"y" * 900 + b"\n"
    path.write_bytes(text.ljust(3000, b"\n"))
    with opened(path) as log:
        log.read(1)
        assert log.reader.give_up() == 3000 - LIMIT
        assert log.reader.counted_to == Position.of(log.reader.fd, 907)
    with opened(path, log) as again:
        again.read()
    assert log.lines == [b"whole", b"x" * 900]
    assert log.lines + again.lines == text.splitlines() + [b""] * (3000 - len(text))


def test_text_that_ends_before_the_offset(tmp_path: Path) -> None:
    """The file has changed since: that does not loop."""
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"short\n"))
    with opened(path) as log:
        log.reader.go_to(1000)
        log.read()
        assert log.reader.eof
        assert log.lines == []


@pytest.mark.parametrize("kind", compression.PACK)
def test_text_before_the_damage_is_delivered(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(PACK[kind](b"line\n" * 50_000 + b"incomplete")[:-5])
    with opened(path) as log:
        with pytest.raises(Corrupt):
            log.read()
        assert log.reader.offset == sum(len(line) for line in log.lines) + log.lines.count(b"line")


def test_a_hole_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    os.truncate(path, 1 << 34)
    append(path, b"two\n")
    reads: list[int] = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *arguments: reads.append(preadv(*arguments)) or reads[-1])
    with opened(path) as log:
        log.read()
    assert log.lines == [b"one", b"two"]
    assert sum(reads) < 10_000_000
