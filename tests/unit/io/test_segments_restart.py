"""Zstandard segments over restarts: each complete line of each segment counts once."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from lives import Lives
from segmentwriter import SegmentWriter

from nativemtail.io.sources import Settings

SETTINGS = Settings(poll_interval=0.02, sweep=0.1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "kumo"
    directory.mkdir()
    return directory


def source(directory: Path) -> str:
    return f"zstd://{directory}"


def test_nothing_is_lost_and_nothing_doubled(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    one.write(b"before\n")
    with Lives(source(directory), settings=SETTINGS) as process:
        one.write(b"a\nb\n")
        process.read([b"a", b"b"])
        process.save()
        one.write(b"c\nhal")
        process.read([b"a", b"b", b"c"])
        process.restart()  # c was counted, but not saved
        process.read([b"a", b"b", b"c"])
        process.save()
        process.kill()
        one.write(b"f\n")
        one.finish()
        two = SegmentWriter(directory / "2")
        two.write(b"d\n")
        process.start()
        process.read([b"a", b"b", b"c", b"half", b"d"])
        process.save()
        process.restart()
        process.read([b"a", b"b", b"c", b"half", b"d"])
        two.write(b"e\n")
        process.read([b"a", b"b", b"c", b"half", b"d", b"e"])


def test_history_stays_skipped(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    one.write(b"before\n")
    zero = SegmentWriter(directory / "0")
    zero.write(b"before that\n")
    zero.finish()
    with Lives(source(directory), settings=SETTINGS) as process:
        process.kill()
        one.write(b"a\n")
        process.start()
        process.read([b"a"])


def test_pages_wait_for_what_was_written_meanwhile(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    with Lives(source(directory), settings=SETTINGS) as process:
        process.kill()
        one.write(b"a\n")
        two = SegmentWriter(directory / "2")
        two.write(b"b\n")
        process.start()
        assert process.tailer.catching_up == one.path.stat().st_size + two.path.stat().st_size
        process.run(lambda: not process.tailer.catching_up)
        assert process.lines == [b"a", b"b"]


def test_long_line_that_was_cut(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    with Lives(source(directory), settings=replace(SETTINGS, max_line_length=100)) as process:
        one.write(b"x" * 150)
        process.run(lambda: process.lines)
        process.save()
        process.kill()
        one.write(b"x" * 50 + b"\na\n")
        process.start()
        process.read([b"x" * 100, b"a"])


def test_stop_in_a_line(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    with Lives(source(directory), settings=SETTINGS) as process:
        one.write(b"a\nhal")
        process.stop()
        assert process.lines == [b"a"]
        one.write(b"f\n")
        process.start()
        process.read([b"a", b"half"])


def test_to_the_end_several_times(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    one.write(b"a\nhal")
    with Lives(source(directory), settings=SETTINGS, until_end=True) as process:
        for _ in range(2):
            process.run(lambda: process.tailer._inputs[0].ended)
            assert process.lines == [b"a"]
            process.save()
            process.restart()
        process.kill()
        one.write(b"f\n")
        process.start()
        process.run(lambda: process.tailer._inputs[0].ended)
        assert process.lines == [b"a", b"half"]


def test_only_what_changed_is_saved(directory: Path) -> None:
    for name in "12":
        writer = SegmentWriter(directory / name)
        writer.write(b"before\n")
        writer.finish()
    three = SegmentWriter(directory / "3")
    with Lives(source(directory), settings=SETTINGS) as process:
        process.run(lambda: len(process.kept) == 4 or process.save())
        while process.save():
            process.step()
        three.write(b"a\n")
        process.read([b"a"])
        assert [record["name"] for record in process.save().values()] == ["3"]
        os.unlink(directory / "1")
        process.run(lambda: None in process.save().values())
        assert sorted(record.get("name", "") for record in process.kept.values()) == ["", "2", "3"]


def test_segment_that_is_gone(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = SegmentWriter(directory / "1"), SegmentWriter(directory / "2")
    with Lives(source(directory), settings=SETTINGS) as process:
        one.write(b"a\n")
        process.read([b"a"])
        process.save()
        process.kill()
        one.path.unlink()
        two.write(b"b\n")
        with caplog.at_level(logging.WARNING):
            process.start()
        process.read([b"a", b"b"])
        assert process.tailer.counters.lost_logs_total == 1
        assert "1: the segment that was read before the restart is gone" in caplog.text
        process.save()
        process.restart()
        assert not process.tailer.counters.lost_logs_total


def test_directory_that_is_mounted_later(directory: Path) -> None:
    one = SegmentWriter(directory / "1")
    one.write(b"before\n")
    one.finish()
    two = SegmentWriter(directory / "2")
    with Lives(source(directory), settings=SETTINGS) as process:
        two.write(b"a\n")
        process.read([b"a"])
        process.save()
        process.kill()
        elsewhere = directory.with_name("elsewhere")
        directory.rename(elsewhere)
        directory.mkdir()
        for _ in range(2):
            process.start()
            process.step()
            process.save()
            process.kill()
        process.start()
        directory.rmdir()
        elsewhere.rename(directory)
        two.write(b"b\n")
        process.read([b"a", b"b"])
