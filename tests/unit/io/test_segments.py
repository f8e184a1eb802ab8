"""Directories of Zstandard segments, written as KumoMTA does: flushed, finished, deleted, damaged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig
from segmentwriter import SegmentWriter
from waiting import wait_until

from nativemtail.io import segments
from nativemtail.io.patterns import BadSource, LogSpec, parse_logs
from nativemtail.io.sources import Settings

SETTINGS = Settings(poll_interval=0.02, sweep=0.1)


def finished(path: Path, *lines: bytes) -> None:
    writer = SegmentWriter(path)
    writer.write(b"".join(line + b"\n" for line in lines))
    writer.finish()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "kumo"
    directory.mkdir()
    return directory


@pytest.fixture(params=[True, False], ids=["inotify", "polling"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return replace(SETTINGS, inotify=request.param)


def wait_for(rig: Rig, *lines: bytes) -> None:
    wait_until(lambda: rig.sink.order == list(lines), lambda: rig.sink.order[-10:])


def source(directory: Path) -> str:
    return f"zstd://{directory}"


def test_lines_come_as_blocks_are_flushed(directory: Path, settings: Settings) -> None:
    with Rig(source(directory), settings=settings) as rig:
        one = SegmentWriter(directory / "20260302-080000.1")
        one.write(b"a\nb\nhal")
        wait_for(rig, b"a", b"b")
        one.write(b"f\n")
        wait_for(rig, b"a", b"b", b"half")
        two = SegmentWriter(directory / "20260302-080100.1")
        two.write(b"c\n")
        wait_for(rig, b"a", b"b", b"half", b"c")
        one.write(b"late\nunterminated")
        one.finish()
        wait_for(rig, b"a", b"b", b"half", b"c", b"late", b"unterminated")
        two.finish()
        counters = rig.tailer.counters
        assert set(rig.sink.lines) == {source(directory)}
        assert not counters.log_errors_total
    assert counters.log_opens_total[source(directory)] == 2


def test_what_was_there_before_is_not_delivered(directory: Path, settings: Settings) -> None:
    """But a line whose end comes later is, whole."""
    finished(directory / "1", b"old")
    current = SegmentWriter(directory / "2")
    current.write(b"".join(b"old %d\n" % n for n in range(100_000)) + b"be")
    with Rig(source(directory), settings=settings) as rig:
        current.write(b"gun\nnew\n")
        wait_for(rig, b"begun", b"new")
        current.finish()
        finished(directory / "3", b"newer")
        wait_for(rig, b"begun", b"new", b"newer")


def test_a_broken_link_at_the_start_changes_nothing(directory: Path, settings: Settings) -> None:
    (directory / "0").symlink_to("nowhere")
    finished(directory / "1", b"old")
    with Rig(source(directory), settings=settings) as rig:
        finished(directory / "2", b"new")
        wait_for(rig, b"new")
        finished(directory / "nowhere", b"there now")
        wait_for(rig, b"new", b"there now", b"there now")


def test_a_directory_that_comes_later_is_read_in_order(tmp_path: Path, settings: Settings) -> None:
    final, early = tmp_path / "later", tmp_path / "early"
    with Rig(source(final), settings=settings) as rig:
        early.mkdir()
        for number in range(segments.MAX_OPEN + 20):
            finished(early / f"{number:03}", b"%d" % number)
        early.rename(final)
        wait_for(rig, *(b"%d" % number for number in range(segments.MAX_OPEN + 20)))
        final.rename(tmp_path / "gone")
        final.mkdir()
        finished(final / "000", b"again")
        wait_for(rig, *(b"%d" % number for number in range(segments.MAX_OPEN + 20)), b"again")


def test_dotfiles_and_what_is_no_file_are_skipped(directory: Path, settings: Settings) -> None:
    with Rig(source(directory), settings=settings) as rig:
        (directory / "a-directory").mkdir()
        os.mkfifo(directory / "a-pipe")
        finished(directory / ".hidden", b"no")
        finished(directory / "b", b"yes")
        wait_for(rig, b"yes")
        (directory / ".hidden").rename(directory / "c")
        wait_for(rig, b"yes", b"no")


def test_a_deleted_segment_is_read_to_its_end(directory: Path) -> None:
    with Rig(source(directory), settings=SETTINGS) as rig:
        one = SegmentWriter(directory / "1")
        one.write(b"a\n")
        wait_for(rig, b"a")
        one.write(b"b\n")
        one.path.unlink()
        finished(directory / "2", b"c")
        wait_for(rig, b"a", b"b", b"c")


@pytest.mark.parametrize("damage", ["cut", "changed", "no zstd"])
def test_damage_costs_the_rest_of_its_segment(directory: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    good = directory / "good"
    finished(good, b"first", b"second")
    data = bytearray(good.read_bytes())
    good.unlink()
    if damage == "changed":
        data[-1] ^= 1
    broken = b"what is this?" if damage == "no zstd" else bytes(data[:-2] if damage == "cut" else data)
    with Rig(source(directory), settings=SETTINGS) as rig:
        (directory / ".1").write_bytes(broken)
        (directory / ".1").chmod(0o444)
        (directory / ".1").rename(directory / "1")
        finished(directory / "2", b"third")
        wait_for(rig, *([b"third"] if damage == "no zstd" else [b"first", b"second", b"third"]))
        assert rig.tailer.counters.log_errors_total[source(directory)] == 1
    assert f"{directory}/1: " in caplog.text


def test_unfinished_segments_are_bounded(directory: Path) -> None:
    """As after many crashes of the writer: what nobody writes to any more makes room."""
    count = segments.MAX_OPEN + 5
    writers = []
    with Rig(source(directory), settings=SETTINGS) as rig:
        for number in range(count):
            writers.append(SegmentWriter(directory / f"{number:03}"))
            writers[-1].write(b"%03d\n" % number)
        wait_for(rig, *(b"%03d" % number for number in range(segments.MAX_OPEN)))
        for writer in writers:
            os.utime(writer.path, (1, 1))
        wait_for(rig, *(b"%03d" % number for number in range(count)))
        assert rig.tailer.counters.limits_total["open_files"] == 5
    for writer in writers:
        writer.finish()


@pytest.mark.slow
def test_what_cannot_be_opened_is_said_once(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Several, so that each is another one than the last."""
    with Rig(source(directory), settings=SETTINGS) as rig:
        for name in ("1", "2", "3"):
            (directory / name).symlink_to(name)
        rig.wait(lambda: f"{directory}/3: " in caplog.text)
        for number in range(4, 8):
            finished(directory / str(number), b"%d" % number)
            time.sleep(2 * SETTINGS.sweep)
        wait_for(rig, b"4", b"5", b"6", b"7")
        assert rig.tailer.counters.log_errors_total[source(directory)] == 3
    assert [caplog.text.count(f"{directory}/{name}: ") for name in "123"] == [1, 1, 1]


@pytest.fixture
def read(caplog: pytest.LogCaptureFixture) -> Callable[[Path], list[bytes | str]]:
    """Reads until the end; the lines and the problems."""

    def read(directory: Path) -> list[bytes | str]:
        caplog.clear()
        with Rig(source(directory), settings=Settings(ignore=lambda name: name == "x"), until_end=True) as rig:
            rig.wait(lambda: rig.ended)
            assert rig.tailer.counters.log_errors_total[source(directory)] == len(caplog.messages)
        return [*rig.lines, *caplog.messages]

    return read


def test_until_the_end(directory: Path, read: Callable[[Path], list[bytes | str]]) -> None:
    finished(directory / "2", b"second")
    finished(directory / "1", b"first")
    finished(directory / "x", b"ignored")
    (directory / "4").mkdir()
    os.mkfifo(directory / "0-pipe")
    (directory / "0-device").symlink_to("/dev/zero")
    writer = SegmentWriter(directory / "3")
    writer.write(b"third\nfour")
    assert read(directory) == [b"first", b"second", b"third", b"four"]
    writer.path.chmod(0o444)
    assert read(directory)[4:] == [f"{directory}/3: unexpected end of file"]
    writer.finish()
    assert read(directory / "none") == [f"open {directory}/none: no such file or directory"]


def test_more_segments_than_may_be_open_are_read_until_the_end(
    directory: Path, read: Callable[[Path], list[bytes | str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MAX_OPEN", 3)
    lines = [b"%03d" % number for number in range(20)]
    for line in lines:
        finished(directory / line.decode(), line)
    assert read(directory) == lines


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("zstd:///var/log/kumomta", "/var/log/kumomta"),
        ("zstd:///var/log/kumomta/", "/var/log/kumomta"),
        ("ZSTD:///var//log/", "/var/log"),
    ],
)
def test_name(given: str, path: str) -> None:
    assert parse_logs([given]) == [LogSpec("zstd", f"zstd://{path}", path)]


def test_name_without_a_directory() -> None:
    with pytest.raises(BadSource, match="zstd:///var/log/kumomta"):
        parse_logs(["zstd://"])
