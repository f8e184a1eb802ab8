"""Logs that are no plain text: holes, byte order marks, other encodings, compressed ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig, append

from nativemtail.io.content import Content, is_unmarked_utf16
from nativemtail.io.lines import Buffer, LineReader
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
ENCODINGS = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
PACKED = {
    "gzip": gzip.compress(b"x\n" * 1000),
    "Zstandard": zstandard.compress(b"x\n" * 1000),
    "xz": lzma.compress(b"x\n" * 1000),
    "bzip2": bz2.compress(b"x\n" * 1000),
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(100),
    "ZIP": b"PK\3\4\x14" + b"\n" * 100,
}


class Reading:
    """A reader, fed with chunks, and what it delivered."""

    def __init__(self, *chunks: bytes, limit: int = 1 << 20, begin: bool = True) -> None:
        self.lines: list[bytes] = []
        self.told: list[Content] = []
        self.reader = LineReader(self._scan, limit, lambda content: content and self.told.append(content))
        self._buffer = Buffer()
        if begin:
            self.reader.begin()
        self.feed(*chunks)

    def feed(self, *chunks: bytes) -> Reading:
        for chunk in chunks:
            source = io.BytesIO(chunk)
            while self.reader.read(self._buffer, source.readinto):
                pass
        return self

    def end(self) -> list[bytes]:
        self.reader.finish()
        assert self.reader.lines == len(self.lines)
        return self.lines

    def _scan(self, block: bytearray, start: int, end: int) -> int:
        lines = bytes(block[start:end]).split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.lines += lines
        return len(lines)


@pytest.mark.parametrize(
    ("chunks", "lines", "nuls"),
    [
        ([bytes(300) + b"id=n0\nid=n1\n"], [b"id=n0", b"id=n1"], 300),
        ([b"id=n0\n", bytes(64), b"id=n1\nid=n2\n"], [b"id=n0", b"id=n1", b"id=n2"], 64),
        ([b"a\n\0", b"\0", b"\0b\n"], [b"a", b"b"], 3),
        ([b"a\n\0\0\nb\n"], [b"a", b"", b"b"], 2),
        ([b"a\0b\0\nc\n"], [b"a\0b\0", b"c"], 0),
        ([b"a\0", b"\0b\n"], [b"a\0\0b"], 0),
        ([b"a\n\0\0"], [b"a"], 2),
        ([bytes(1 << 22), b"a\n"], [b"a"], 1 << 22),
    ],
)
def test_nuls_in_front_of_lines(chunks: list[bytes], lines: list[bytes], nuls: int) -> None:
    reading = Reading(*chunks, begin=False)
    assert reading.end() == lines
    assert reading.reader.nuls == nuls
    assert reading.reader.new_counts() == (0, nuls)
    assert reading.reader.new_counts() == (0, 0)


def test_nuls_behind_a_line_that_was_cut() -> None:
    reading = Reading(b"a" * 30 + bytes(30), b"\0\n\0b\n", limit=20)
    assert reading.end() == [b"a" * 20, b"b"]
    assert reading.reader.nuls == 1


PIECES = st.lists(
    st.sampled_from([b"\0", b"\0\0\0", b"\n", b"a", b"bc\0", b"\xff", b"\xfe", b"\xef\xbb\xbf"]), max_size=20
)


@given(PIECES, st.integers(1, 12))
def test_any_split_drops_the_same_nuls(pieces: list[bytes], limit: int) -> None:
    text = b"".join(pieces)
    lines = [line.lstrip(b"\0") for line in text.split(b"\n")]
    if not lines[-1]:
        lines.pop()
    assert Reading(*pieces, limit=limit, begin=False).end() == [line[:limit] for line in lines]


@given(PIECES)
def test_any_split_is_recognised_alike(pieces: list[bytes]) -> None:
    whole = Reading(b"".join(pieces))
    split = Reading(*(bytes((byte,)) for byte in b"".join(pieces)))
    assert split.end() == whole.end()
    assert split.told == whole.told


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_encodings(encoding: str, size: int) -> None:
    text = "id=n0\r\nid=\u00fc\u20ac\U0001f600\n\u010a\n"
    data = ("\ufeff" + text).encode(encoding)
    reading = Reading(*(data[at : at + size] for at in range(0, len(data), size)))
    assert b"\n".join(reading.end()) + b"\n" == text.encode()
    assert [content.encoding for content in reading.told] == [encoding]


def test_a_byte_order_mark_alone_is_nothing() -> None:
    for encoding in [*ENCODINGS, "utf-8"]:
        reading = Reading("\ufeff".encode(encoding))
        assert reading.end() == []
        assert reading.feed("a\n".encode(encoding)).end() == [b"a"]


def test_marks_that_are_none() -> None:
    assert Reading(b"\xef\xbb", b"x\n").end() == [b"\xef\xbbx"]
    assert Reading(b"a\xff\xfe\n").end() == [b"a\xff\xfe"]
    assert Reading(b"BZ", b"h9\n").end() == [b"BZh9"]
    assert Reading(b"]").end() == [b"]"]
    assert Reading(b"a\n", b"\xef\xbb\xbfb\n").end() == [b"a", b"\xef\xbb\xbfb"]


def test_what_is_no_utf_16_behind_its_mark() -> None:
    """A lone surrogate, half a character at the end."""
    assert Reading(b"\xff\xfe\x00\xd8a\0\n\0b").end() == ["\ufffda".encode()]


def test_long_lines_of_utf_16_are_cut() -> None:
    text = "\u20ac" * 100_000 + "\nb\n"
    reading = Reading(("\ufeff" + text).encode("utf-16-le"), limit=1024)
    assert reading.end() == [("\u20ac" * 342).encode()[:1024], b"b"]
    assert reading.reader.cut_lines == 1


@pytest.mark.parametrize("offset", [2, 3, 9, 10])
def test_utf_16_from_the_middle_on(offset: int) -> None:
    data = "\ufeffxyz\nabc\n".encode("utf-16-le")
    reading = Reading(begin=False)
    reading.reader.begin(data[:16], offset)
    lines = reading.feed(data[offset:]).end()
    assert lines == data[offset + offset % 2 :].decode("utf-16-le").encode().split(b"\n")[:-1]


@pytest.mark.parametrize("name", PACKED)
def test_compressed_text_is_refused(name: str) -> None:
    for size in (1, 5, 1000):
        data = PACKED[name]
        reading = Reading(*(data[at : at + size] for at in range(0, len(data), size)))
        assert reading.reader.is_refused
        assert reading.end() == []
        assert [content.name for content in reading.told] == [name]


# --- followed ------------------------------------------------------------------------------------------------


def nuls(rig: Rig) -> int:
    return rig.tailer.counters.nuls_total.total()


def test_a_writer_that_does_not_append(tmp_path: Path) -> None:
    """copytruncate, and holes of power cuts."""
    log = tmp_path / "a.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig, log.open("wb", buffering=0) as writer:
        writer.write(b"one\n")
        rig.expect([b"one"])
        os.ftruncate(writer.fileno(), 0)
        writer.write(b"two\n")
        rig.expect([b"one", b"two"])
        writer.write(bytes(100) + b"three\n" + bytes(7))
        writer.write(b"four\n")
        rig.expect([b"one", b"two", b"three", b"four"])
    assert nuls(rig) >= 107


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark(encoding: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nativemtail")
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        for number in range(2):
            with (tmp_path / "a.log").open("wb", buffering=0) as writer:
                writer.write("\ufeffon".encode(encoding))
                writer.write("e\n".encode(encoding))
                rig.expect([b"one", b"two"] * number + [b"one"])
                writer.write("two\n".encode(encoding))
                rig.expect([b"one", b"two"] * (number + 1))
            (tmp_path / "a.log").rename(tmp_path / f"a.{number}")
    said = [record.message for record in caplog.records if "byte order mark" in record.message]
    assert len(said) == (encoding != "utf-8")


def test_a_utf_16_file_that_was_there(tmp_path: Path) -> None:
    """It is followed from its end on, where no mark is."""
    log = tmp_path / "a.log"
    log.write_bytes("\ufeffold\n".encode("utf-16-le"))
    with Rig(log, settings=QUICK) as rig:
        append(log, "new\n".encode("utf-16-le"))
        rig.expect([b"new"])


def test_a_file_that_is_written_anew_in_another_encoding(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes("\ufeffold\n".encode("utf-16-le"))
    with Rig(log, settings=QUICK) as rig:
        append(log, "new\n".encode("utf-16-le"))
        rig.expect([b"new"])
        log.write_bytes(b"plain\n")
        rig.expect([b"new", b"plain"])
        log.write_bytes("\ufeffb\n".encode("utf-16-be"))
        rig.expect([b"new", b"plain", b"b"])


@pytest.mark.parametrize("name", ["lz4", "ZIP"])
def test_a_compressed_file_appears(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "a.log"
    with Rig(tmp_path / "*", settings=QUICK) as rig:
        log.write_bytes(PACKED[name])
        plain = tmp_path / "b.log"
        plain.write_bytes(b"x\n")
        rig.expect([b"x"])
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)])
        append(log, PACKED[name])
        rig.stays([b"x"])
        rig.wait(lambda: not rig.tailer.behind())
    said = [record for record in caplog.records if " is compressed " in record.message]
    assert [(record.levelname, f"{log} is compressed ({name}) and not read" in record.message) for record in said] == [
        ("WARNING", True)
    ]


@pytest.mark.slow
def test_a_compressed_copy_is_not_counted_again(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with Rig(tmp_path / "a.log*", settings=QUICK) as rig:
        append(log, b"one\n")
        rig.expect([b"one"])
        log.rename(tmp_path / "a.log.1")
        log.touch()
        append(log, b"two\n")
        rig.expect([b"one", b"two"])
        (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(b"one\n"))
        (tmp_path / "a.log.1").unlink()
        rig.stays([b"one", b"two"], 1.5)


def test_a_compressed_file_that_was_there_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(PACKED["lz4"])
    with Rig(log, settings=QUICK) as rig:
        rig.stays([])
        assert not caplog.records
        append(log, PACKED["lz4"])
        rig.wait(lambda: [record.levelname for record in caplog.records] == ["WARNING"])
        rig.stays([])


UNMARKED = {
    "little-endian": "2026-11-30 one\n".encode("utf-16-le"),
    "big-endian": "2026-11-30 one\n".encode("utf-16-be"),
    "a word that is not ASCII": "at 2026 \u0436\u0436 one\n".encode("utf-16-le"),
}


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("kind", UNMARKED)
def test_utf16_without_a_mark(kind: str, was_there: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "a.log"
    data = UNMARKED[kind]
    if was_there:
        log.write_bytes(data)
    with Rig(log, settings=QUICK) as rig:
        append(log, data)
        rig.wait(lambda: "UTF-16" in rig.tailer.problems().get(str(log), ""))
        append(log, data)
        rig.wait(lambda: not rig.tailer.behind())
        [(text, level)] = [(record.message, record.levelname) for record in caplog.records if "UTF" in record.message]
        assert level == "WARNING"
        assert text.startswith(f"{log} looks like UTF-16 without a byte order mark")
        assert "UTF-8" in text
        log.unlink()
        log.write_bytes(b"plain text, and more of it\n")
        rig.wait(lambda: b"plain text, and more of it" in rig.lines)
        assert not rig.tailer.problems()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a\0b\0c\0",  # too short to tell
        bytes(64),
        bytes(8) + b"a line behind a hole\n",
        b"a\0\0\0b\0\0\0c\0\0\0d\0\0\0",
        b"name\0value\0name\0value\0",
        "\u0436".encode("utf-16-le") * 8,
    ],
)
def test_no_utf16(data: bytes) -> None:
    assert not is_unmarked_utf16(data)


@pytest.mark.parametrize("name", ["lz4", "ZIP"])
def test_pages_show_what_is_compressed(name: str, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with Rig(log, settings=QUICK) as rig:
        log.write_bytes(PACKED[name])
        rig.wait(lambda: f"compressed ({name})" in rig.tailer.problems().get(str(log), ""))
        log.write_bytes(b"")
        log.write_bytes(b"plain text, and more of it\n")
        rig.wait(lambda: b"plain text, and more of it" in rig.lines)
        assert not rig.tailer.problems()


def test_pipes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each writer begins anew."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with Rig(path, settings=QUICK) as rig:
        for data, lines in [
            ("\ufeffone\n".encode("utf-16-le"), [b"one"]),
            (b"two\n", [b"one", b"two"]),
            (PACKED["xz"], [b"one", b"two"]),
            (b"\xef\xbb\xbfthree\n", [b"one", b"two", b"three"]),
        ]:
            path.write_bytes(data)
            rig.expect(lines)
            closes = rig.tailer.counters.log_closes_total
            rig.wait(lambda closes=closes, lines=lines: closes.total() >= len(set(lines)))
            rig.stays(lines, 0.05)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_streams(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Rig(f"unix://{path}", settings=QUICK) as rig:
        for data in (PACKED["gzip"], "\ufeffone\n".encode("utf-16-le"), b"two\n"):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                peer.sendall(data)
            rig.wait(lambda: not rig.tailer._loop._queue)
        rig.wait(lambda: len(rig.lines) == 2)
    assert sorted(rig.lines) == [b"one", b"two"]
