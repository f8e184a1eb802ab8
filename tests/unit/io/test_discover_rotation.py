"""What is renamed, deleted and replaced (row `rotate-rest`): everything is read once, in order."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rig import QUICK, Rig, append, busy, is_held
from waiting import PATIENCE, wait_until

from nativemtail.io.sources import Settings


@pytest.mark.slow
def test_rename_rotation(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n2")
        log.rename(log.with_suffix(".log.1"))
        log.write_bytes(b"3\n")
        rig.wait(lambda: len(rig.lines) == 3)
        assert sorted(rig.lines) == [b"1", b"2", b"3"]
        counters = rig.tailer.counters
        rig.wait(lambda: counters.log_closes_total[str(log)] == 1)
        assert counters.log_opens_total[str(log)] == 2
        assert counters.log_rotations_total[str(log)] == 1
    assert list(rig.sink.lines) == [str(log)]


def test_rotated_file_is_read_on(log: Path, settings: Settings) -> None:
    log.touch()
    patient = replace(settings, linger=PATIENCE, flush=PATIENCE)
    with Rig(log, settings=patient) as rig, log.open("ab", buffering=0) as writer:
        writer.write(b"1\n")
        log.rename(log.with_suffix(".old"))
        writer.write(b"2\n")
        log.write_bytes(b"3\n")
        writer.write(b"4\npart")
        time.sleep(0.05)
        writer.write(b"5\n")
        rig.wait(lambda: len(rig.lines) == 4 + 1)
        assert sorted(rig.lines) == [b"1", b"2", b"3", b"4", b"part5"]


def test_rotation_keeps_order(log: Path) -> None:
    log.touch()
    rig = Rig(log)
    rig.sink.delay = 0.01
    with rig:
        append(log, b"".join(b"%07d\n" % i for i in range(200_000)))
        log.rename(log.with_suffix(".1"))
        log.write_bytes(b"last\n")
        rig.wait(lambda: len(rig.lines) == 200_001)
        assert rig.lines[-1] == b"last"
        assert rig.lines == sorted(rig.lines)


@pytest.mark.slow
def test_rotated_file_that_matches_too(log: Path, settings: Settings) -> None:
    """It is not read again, and goes on under its new name once nobody can mean the old one."""
    log.touch()
    second = log.with_suffix(".log.1")
    with Rig(f"{log}*", settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        log.rename(second)
        log.write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        late: list[bytes] = []

        def goes_on_under_its_new_name() -> bool:
            time.sleep(settings.linger + 0.2)
            late.append(b"late %d" % len(late))
            append(second, late[-1] + b"\n")
            rig.expect([b"1", b"2", *late])
            return rig.of(second) == late[-1:]

        wait_until(goes_on_under_its_new_name)


def test_rotation_cascade(log: Path, settings: Settings) -> None:
    log.touch()
    names = [log, *(log.with_suffix(f".log.{i}") for i in range(1, 5))]
    with Rig(f"{log}*", settings=settings) as rig:
        for turn in range(4):
            append(log, b"%d\n" % turn)
            for older, newer in zip(names[-1:0:-1], names[-2::-1], strict=True):
                if newer.exists():
                    newer.rename(older)
            log.touch()
            time.sleep(0.08)
        append(log, b"end\n")
        rig.expect([b"0", b"1", b"2", b"3", b"end"])
        assert rig.of(log) == rig.lines
        assert rig.tailer.log_count == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["app.log.1", "app.log-20260101", "app.log.gz"])
def test_copy_is_not_counted_again(log: Path, name: str, settings: Settings) -> None:
    log.write_bytes(b"old\n")
    with Rig(f"{log}*", settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        shutil.copy(log, log.parent / name)
        rig.wait_for_offset(log.parent / name, len(b"old\n1\n"))
        rig.wait_settled()
        append(log.parent / name, b"own\n")
        rig.expect([b"1", b"own"])


@pytest.mark.slow
def test_moved_away_and_back(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        log.rename(log.with_suffix(".away"))
        rig.wait(lambda: rig.tailer.counters.log_closes_total[str(log)] == 1)
        append(log.with_suffix(".away"), b"2\n")
        log.with_suffix(".away").rename(log)
        append(log, b"3\n")
        rig.expect([b"1", b"2", b"3"])


def test_other_file_of_the_same_length_in_its_place(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"aaa\n")
        rig.expect([b"aaa"])
        other = log.with_suffix(".new")
        other.write_bytes(b"bbb\n")
        other.rename(log)
        rig.expect([b"aaa", b"bbb"])


def test_delete_and_recreate(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\nrest")
        rig.expect([b"1"])
        log.unlink()
        rig.expect([b"1", b"rest"])
        log.write_bytes(b"2\n")
        rig.expect([b"1", b"rest", b"2"])


@pytest.mark.parametrize("pattern", ["app.log", "app*"])
@pytest.mark.parametrize("way", ["delete", "replace", "symlink", "behind-link"])
def test_generations_that_came_and_went_during_a_block(way: str, pattern: str, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = folder / "app.log"
    real = tmp_path / "elsewhere" if way == "behind-link" else log
    real.touch()
    if way == "behind-link":
        log.symlink_to(real)
    with Rig(folder / pattern, settings=QUICK) as rig:
        with busy(rig, log):
            for number in range(20):
                fresh = tmp_path / f"fresh{number}"
                fresh.write_bytes(b"%d\nx" % number)
                if way == "symlink":
                    (tmp_path / "link").symlink_to(fresh)
                    os.rename(tmp_path / "link", log)
                    rig.wait(lambda: is_held(log))
                    (tmp_path / f"fresh{number - 1}").unlink(missing_ok=True)
                elif way == "replace":
                    os.rename(fresh, real)
                else:
                    real.unlink()
                    real.write_bytes(fresh.read_bytes())
                rig.wait(lambda: is_held(log))
        lines = [line for number in range(20) for line in (b"%d" % number, b"x")]
        append(log, b"\n")
        rig.wait(lambda: len(rig.lines) >= 2 + len(lines))
        assert sorted(rig.lines) == sorted([b"first", b"busy", *lines])
        assert [line for line in rig.lines if line.isdigit()] == lines[::2]
        assert rig.of(log) == rig.lines


def test_a_pipe_that_appears_is_no_file_to_hold(tmp_path: Path) -> None:
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        os.mkfifo(tmp_path / "pipe.log")
        (tmp_path / "pipe.log").write_bytes(b"a\n")
        rig.expect([b"a"])


def test_ignored_and_other_names_are_not_held(tmp_path: Path) -> None:
    settings = replace(QUICK, ignore=re.compile("old").search)
    with Rig(tmp_path / "*.log", settings=settings) as rig:
        descriptors = len(os.listdir("/proc/self/fd"))
        for number in range(300):
            (tmp_path / f"{number}.old.log").write_bytes(b"x\n")
            (tmp_path / f"{number}.txt").write_bytes(b"x\n")
        (tmp_path / "a.log").write_bytes(b"a\n")
        rig.expect([b"a"])
        rig.wait(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 1)


def test_two_files_swap_their_names_twice(tmp_path: Path) -> None:
    """Each was read after the other: they must not wait for each other for ever."""
    log, other = tmp_path / "app.log", tmp_path / "other"
    log.touch()
    other.write_bytes(b"other\n")
    with Rig(log, settings=QUICK) as rig:
        with busy(rig, log):
            append(log, b"a\n" * 300_000)
        for _ in range(3):
            os.rename(log, tmp_path / "aside")
            os.rename(other, log)
            time.sleep(0.001)
            os.rename(log, other)
            os.rename(tmp_path / "aside", log)
            time.sleep(0.001)
        append(log, b"end\n")
        rig.wait(lambda: {b"end", b"other"} <= set(rig.lines))
    assert sorted(set(rig.lines)) == [b"a", b"busy", b"end", b"first", b"other"]


@pytest.mark.slow
def test_gone_for_good(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\nrest")
        log.unlink()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[str(log)] == 1)
        assert rig.tailer.log_count == 0
        assert rig.lines == [b"1", b"rest"]
        rig.wait(lambda: not rig.sink.opened)


def test_hard_link_rotation(log: Path) -> None:
    log.touch()
    copy = log.with_suffix(".log.1")
    with Rig(f"{log}*", settings=QUICK) as rig:
        copy.hardlink_to(log)
        time.sleep(0.05)
        append(log, b"1\n")
        rig.expect([b"1"])
        other = log.parent / "fresh"
        other.write_bytes(b"2\n")
        other.rename(log)
        rig.expect([b"1", b"2"])
        rig.wait(lambda: rig.tailer.log_count == 2)
        assert rig.of(copy) == []


@pytest.mark.slow
def test_nothing_is_kept_of_a_file_that_was_rotated_twice(log: Path) -> None:
    log.touch()
    first = log.with_suffix(".log.1")
    with Rig(f"{log}*") as rig:
        append(log, b"1\n")
        log.rename(first)
        log.write_bytes(b"2\n")
        rig.wait(lambda: len(rig.lines) == 2)
        first.unlink()
        first.write_bytes(b"3\n")
        rig.wait(lambda: len(rig.lines) == 3)
        assert rig.tailer._discovery is not None
        rotated = rig.tailer._discovery._table.rotated
        rig.wait(lambda: not rotated)
