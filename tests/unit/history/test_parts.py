"""Logs in their order, and how they are divided."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from nativemtail.history import parts
from nativemtail.history.reader import Changed, read
from nativemtail.io.lines import Buffer


def write(path: Path, text: bytes, changed: int = 1_700_000_000) -> str:
    path.write_bytes(text)
    os.utime(path, (changed, changed))
    return str(path)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("app.log", "app.log"),
        ("app.log.1", "app.log"),
        ("app.log.12.gz", "app.log"),
        ("app.log-20260102.zst", "app.log"),
        ("app.log.2026-01-02", "app.log"),
        ("syslog", "syslog"),
        ("v2.log", "v2.log"),
    ],
)
def test_family(name, family):
    assert parts.family(f"/logs/{name}") == f"/logs/{family}"


def test_generations_come_oldest_first(tmp_path):
    names = ["b.log", "a.log", "a.log.1", "a.log.2.gz", "a.log.10.gz", "b.log-20260102", "b.log-20260101"]
    paths = [write(tmp_path / name, b"", 1_700_000_000 - 1000 * at) for at, name in enumerate(names)]
    expected = ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log", "b.log-20260101", "b.log-20260102", "b.log"]
    for order in (paths, paths[::-1], paths + paths):
        assert [os.path.basename(path) for path in parts.in_order(order)] == expected


def test_parts_begin_behind_newlines_and_cover_the_log(tmp_path):
    text = b"".join(b"x" * (at * 7 % 50) + b"\n" for at in range(500)) + b"the last"
    log = parts.examine(write(tmp_path / "a.log", text))
    for size in (1, 13, 1000, len(text), 10 * len(text)):
        divided = parts.divide([log], size)
        assert b"".join(text[part.start : part.end] for part in divided) == text
        assert all(text[part.end - 1 : part.end] == b"\n" for part in divided[:-1])
        assert all(part.end > part.start for part in divided)
        assert [part.number for part in divided] == list(range(len(divided)))
        assert len(divided) > 1 or size >= len(text)


def test_what_is_not_plain_text_is_one_part(tmp_path):
    for name, text in [("a.gz", gzip.compress(b"a\n" * 100, mtime=0)), ("b", "a\n".encode("utf-16") * 100)]:
        log = parts.examine(write(tmp_path / name, text))
        assert [(part.start, part.end) for part in parts.divide([log], 10)] == [(0, len(text))]
    log = parts.examine(write(tmp_path / "c", b"a\n" * 100))
    assert len(parts.divide([log], 10, whole=True)) == 1


def test_the_time_of_a_gzip_file_is_the_one_stored_in_it(tmp_path):
    assert parts.examine(write(tmp_path / "a.gz", gzip.compress(b"", mtime=123), 456)).changed == 123_000_000_000
    assert parts.examine(write(tmp_path / "b.gz", gzip.compress(b"", mtime=0), 456)).changed == 456_000_000_000
    assert parts.examine(write(tmp_path / "c", b"", 456)).changed == 456_000_000_000


def lines_of(part: parts.Part) -> list[bytes]:
    found: list[bytes] = []

    def emit(block: bytearray, start: int, end: int) -> int:
        mine = bytes(block[start:end]).removesuffix(b"\n").split(b"\n")
        found.extend(mine)
        return len(mine)

    read(part, emit, Buffer(), 1024, lambda content: None)
    return found


def test_parts_together_have_each_line_once(tmp_path):
    lines = [b"line %d " % at + b"y" * (at * 31 % 3000) for at in range(300)]
    log = parts.examine(write(tmp_path / "a.log", b"\n".join(lines)))
    for size in (1, 500, 5000):
        found = [line for part in parts.divide([log], size) for line in lines_of(part)]
        assert found == [line[:1024] for line in lines]


def test_a_log_that_became_shorter_is_noticed(tmp_path):
    path = write(tmp_path / "a.log", b"a\n" * 1000)
    (part,) = parts.divide([parts.examine(path)], 10_000)
    os.truncate(path, 100)
    with pytest.raises(Changed, match="has changed meanwhile"):
        lines_of(part)


def test_workers_get_several_parts_each():
    assert parts.part_size_for(1 << 30, 1, 64 << 20) == 64 << 20
    assert parts.part_size_for(1 << 30, 2, 64 << 20) == 64 << 20
    assert parts.part_size_for(64 << 20, 2, 64 << 20) == 8 << 20
    assert parts.part_size_for(1 << 20, 8, 64 << 20) == 1 << 20
