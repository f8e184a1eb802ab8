"""Compressed files under a pattern of the daemon: read as text, but for what was counted already."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from compression import PACK, compress, copied, dated, numbered
from hypothesis import given
from hypothesis import strategies as st
from rig import QUICK, Rig, append

from nativemtail.io import archive
from nativemtail.io.archive import Comparison
from nativemtail.io.position import Counted, Position
from nativemtail.io.sources import Settings

SLOW = Settings(linger=30.0, flush=30.0)


def text(name: str, lines: int = 100) -> bytes:
    return b"".join(b"%s line %d\n" % (name.encode(), number) for number in range(lines))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("way", ["whole", "renamed", "in pieces"])
def test_one_that_appears_is_read(suffix: str, way: str, tmp_path: Path, settings: Settings) -> None:
    packed = PACK[suffix](text("new"))
    path = tmp_path / f"batch{suffix}"
    with Rig(tmp_path / "batch*", settings=settings) as rig:
        if way == "whole":
            path.write_bytes(packed)
        elif way == "renamed":
            (tmp_path / "part").write_bytes(packed)
            (tmp_path / "part").rename(path)
        else:
            for at in range(0, len(packed), 1 + len(packed) // 3):
                append(path, packed[at : at + 1 + len(packed) // 3])
                time.sleep(0.05)
        rig.expect(text("new").splitlines())
        rig.stays(text("new").splitlines(), 0.4)
        assert rig.of(path) == rig.lines
    assert rig.tailer.counters.log_bytes_total[str(path)] == len(text("new"))
    assert rig.tailer.counters.log_lines_total[str(path)] == 100


@pytest.mark.slow
def test_what_was_there_is_history(tmp_path: Path, settings: Settings) -> None:
    """What is appended to it later is not."""
    path = tmp_path / "batch.gz"
    path.write_bytes(gzip.compress(text("old")))
    with Rig(tmp_path / "*.gz", settings=replace(settings, sweep=0.5)) as rig:
        rig.stays([], 0.6)
        append(path, gzip.compress(text("new")))
        rig.expect(text("new").splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("rotate", [numbered, dated, copied])
@pytest.mark.parametrize("delay", [False, True], ids=["at once", "delayed"])
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_rotated_copies_are_not_counted_again(
    rotate: Callable[[Path, int, bool], None], delay: bool, pattern: str, tmp_path: Path, settings: Settings
) -> None:
    log = tmp_path / "app.log"
    log.touch()
    expected: list[bytes] = []
    with Rig(tmp_path / pattern, settings=settings) as rig:
        for turn in range(1, 5):
            append(log, text(str(turn)))
            expected += text(str(turn)).splitlines()
            rig.expect(expected)
            rotate(log, turn, delay)
        append(log, b"last\n")
        expected.append(b"last")
        rig.expect(expected)
        rig.stays(expected, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("rotate", [numbered, dated])
@pytest.mark.parametrize("delay", [False, True], ids=["at once", "delayed"])
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_compressed_during_a_gap(
    rotate: Callable[[Path, int, bool], None], delay: bool, pattern: str, tmp_path: Path
) -> None:
    """Generations that were compressed before anybody opened them are read, those of one name in order."""
    log = tmp_path / "app.log"
    log.touch()
    expected = [b"before", *(line for turn in range(1, 5) for line in text(str(turn)).splitlines()), b"last"]
    with Rig(tmp_path / pattern, settings=QUICK) as rig:
        rig.sink.may_scan.clear()
        append(log, b"before\n")
        rig.wait(lambda: rig.sink.entered)
        for turn in range(1, 5):
            time.sleep(0.02)  # that the kernel's clock tells them apart
            append(log, text(str(turn)))
            rotate(log, turn, delay)
        append(log, b"last\n")
        rig.sink.may_scan.set()
        rig.wait(lambda: len(rig.lines) >= len(expected))
        time.sleep(0.6)
        assert sorted(rig.lines) == sorted(expected)
        assert pattern == "app.log*" or rig.lines == expected


@pytest.mark.slow
def test_a_log_rotated_before_the_start(tmp_path: Path, settings: Settings) -> None:
    """Compressing history makes no news of it."""
    log, old = tmp_path / "app.log", tmp_path / "app.log.1"
    old.write_bytes(text("old"))
    os.utime(old, (time.time() - 60, time.time() - 60))
    log.touch()
    with Rig(log, tmp_path / "app.log*.gz", settings=settings) as rig:
        compress(old)
        append(log, b"new\n")
        rig.expect([b"new"])
        rig.stays([b"new"], 0.8)


@pytest.mark.slow
def test_what_a_log_did_not_come_to(tmp_path: Path) -> None:
    """It was truncated unread, and only the compressed copy has its last lines."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(tmp_path / "app.log*", settings=QUICK) as rig:
        append(log, text("read"))
        rig.expect(text("read").splitlines())
        rig.sink.may_scan.clear()
        append(tmp_path / "app.log.other", b"x\n")
        rig.wait(lambda: rig.sink.entered > 1)
        append(log, text("unread"))
        copied(log, 1, False)
        append(log, b"after\n")
        rig.sink.may_scan.set()
        rig.wait(lambda: len(rig.lines) == 202)
        expected = sorted([*text("read").splitlines(), *text("unread").splitlines(), b"x", b"after"])
        time.sleep(0.6)
        assert sorted(rig.lines) == expected


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
def test_damaged(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(archive, "_PATIENCE", 0.3)
    packed = PACK[suffix](text("new", 20_000))
    path = tmp_path / f"batch{suffix}"
    with Rig(tmp_path / "*", settings=QUICK) as rig:
        path.write_bytes(packed[:-6])
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(path)] == 1)
        assert rig.lines == text("new", 20_000).splitlines()[: len(rig.lines)]
    assert [record.getMessage() for record in caplog.records if "end of file" in record.getMessage()] == [
        f"{path}: unexpected end of file"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", [b"", b"damaged\xff" * 20], ids=["cut", "overwritten"])
def test_damage_is_shown_while_the_file_is_there(
    damage: bytes, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_PATIENCE", 0.3)
    packed = PACK[suffix](os.urandom(60_000).hex().encode() + b"\n")
    path = tmp_path / f"batch{suffix}"
    with Rig(tmp_path / "*", settings=QUICK) as rig:
        path.write_bytes(packed[: len(packed) // 2] + damage)
        rig.wait(lambda: str(path) in rig.tailer.problems())
        assert rig.tailer.problems()[str(path)].endswith(": the rest of it is not read")
        path.unlink()
        rig.wait(lambda: str(path) not in rig.tailer.problems())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACK)
def test_a_compressor_that_pauses(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is there so far ends early, but is not damaged: the rest is waited for."""
    monkeypatch.setattr(archive, "_FRESH", 1)
    packed = PACK[suffix](text("new", 3000))
    path = tmp_path / f"batch{suffix}"
    with Rig(tmp_path / "*", settings=QUICK) as rig:
        for at in range(0, len(packed), 1 + len(packed) // 3):
            append(path, packed[at : at + 1 + len(packed) // 3])
            time.sleep(0.6)
        rig.expect(text("new", 3000).splitlines())
    assert rig.tailer.counters.log_errors_total[str(path)] == 0
    assert str(path) not in caplog.text


@pytest.mark.slow
def test_a_name_that_misleads(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "plain.gz"
    with Rig(tmp_path / "*.gz", settings=settings) as rig:
        path.touch()
        time.sleep(0.1)
        append(path, b"one\n")
        rig.expect([b"one"])
        append(path, b"two\n")
        rig.expect([b"one", b"two"])


@pytest.mark.slow
def test_many_with_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nativemtail.io.tailer._raise_file_limit", lambda: 40)
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    with Rig(tmp_path / "*.gz", settings=QUICK) as rig:
        for number in range(200):
            (tmp_path / f"{number}.gz").write_bytes(gzip.compress(b"%d\n" % number))
            most = max(most, len(os.listdir("/proc/self/fd")))
        rig.wait(lambda: len(rig.lines) == 200)
        assert sorted(rig.lines) == sorted(b"%d" % number for number in range(200))
    assert most < before + 200
    assert len(os.listdir("/proc/self/fd")) <= before


def test_stopped(tmp_path: Path) -> None:
    """What is whole is read; a copy that is being made is left."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(tmp_path / "*", settings=SLOW) as rig:
        append(log, text("log"))
        rig.expect(text("log").splitlines())
        (tmp_path / "a.gz").write_bytes(gzip.compress(text("new")))
        (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(text("log"))[:-9])
        rig.wait(lambda: rig.tailer.log_count == 3)
    assert rig.lines == [*text("log").splitlines(), *text("new").splitlines()]


@given(st.binary(max_size=5000), st.lists(st.integers(0, 5000)), st.integers(1, 700), st.binary(min_size=1, max_size=9))
def test_comparison(data: bytes, offsets: list[int], size: int, other: bytes) -> None:
    """The furthest place is found, however the text is cut, and none in another text."""
    data = data.replace(b"\0", b"1")

    def stands(at: int) -> Counted:
        comparison = Comparison(())
        comparison.feed(data[:at])
        return Counted(comparison.position)

    counted = [stands(at) for at in offsets]
    for begin in (b"", b"\1" + other):
        comparison = Comparison(counted)
        whole = begin + data
        for at in range(0, len(whole), size):
            comparison.feed(whole[at : at + size])
        fits = [each.position.offset for each in counted if 0 < each.position.offset <= len(data)]
        if not begin:
            assert (comparison.best.position.offset if comparison.best else 0) == max(fits, default=0)
        elif data[:1] != b"\1":
            assert comparison.best is None


def test_position_is_that_of_the_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for size in (1, 1000, 1024, 1025, 5000):
        path.write_bytes(text("x", 500)[:size])
        comparison = Comparison(())
        comparison.feed(text("x", 500)[:size])
        fd = os.open(path, os.O_RDONLY)
        assert comparison.position == Position.of(fd, size)
        os.close(fd)


@pytest.mark.slow
def test_a_copy_that_was_read_for_its_log(tmp_path: Path) -> None:
    """copytruncate, of lines that were not read yet, and compression the next time."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(tmp_path / "app.log*", settings=QUICK) as rig:
        append(log, text("read"))
        rig.expect(text("read").splitlines())
        rig.sink.may_scan.clear()
        append(tmp_path / "app.log.other", b"x\n")
        rig.wait(lambda: rig.sink.entered > 1)
        append(log, text("late"))
        copied(log, 1, True)
        append(log, b"after\n")
        rig.sink.may_scan.set()
        rig.wait(lambda: len(rig.lines) == 202)
        time.sleep(0.6)
        copied(log, 2, True)
        append(log, b"last\n")
        rig.wait(lambda: len(rig.lines) >= 203)
        rig.stays(rig.lines, 1.0)
        assert sorted(rig.lines) == sorted(
            [*text("read").splitlines(), *text("late").splitlines(), b"x", b"after", b"last"]
        )
