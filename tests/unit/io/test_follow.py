"""Files: growth, rotation, truncation, discovery, as the rows `new-file`, `rotate-rest`, `truncate-rest` have it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, append

from nativemtail.io import copy_search, watch
from nativemtail.io.copy_search import CopySearch, PreservedText
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
POLLING = replace(QUICK, inotify=False)


@pytest.fixture(params=[QUICK, POLLING], ids=["inotify", "polling"])
def settings(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.param
    return chosen


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def test_from_the_end_at_start(log: Path, settings: Settings) -> None:
    log.write_bytes(b"old\nhalf")
    with Rig(log, settings=settings) as rig:
        append(log, b" line\nnew\n")
        rig.expect([b" line", b"new"])
    assert rig.tailer.counters.log_lines_total == {str(log): 2}
    assert rig.tailer.counters.log_bytes_total == {str(log): 10}


def test_new_file_from_its_beginning(log: Path, settings: Settings) -> None:
    with Rig(log.parent / "*.log", settings=settings) as rig:
        log.write_bytes(b"a\nb\n")
        rig.expect([b"a", b"b"])
        assert rig.tailer.log_count == 1


def test_partial_lines_are_joined(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        for piece in (b"a", b"b", b"c\nd", b"\n\n"):
            append(log, piece)
            time.sleep(0.03)
        rig.expect([b"abc", b"d", b""])


def test_partial_line_at_the_end(log: Path) -> None:
    log.touch()
    with Rig(log) as rig:
        append(log, b"a\nrest")
        rig.expect([b"a"])
    assert rig.lines == [b"a", b"rest"]


def test_lines_written_just_before_the_stop(log: Path) -> None:
    log.touch()
    with Rig(log) as rig:
        append(log, b"1\n2\n3")
        rig.tailer.stop()
    assert rig.lines == [b"1", b"2", b"3"]


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
    with Rig(log, settings=settings) as rig, log.open("ab", buffering=0) as writer:
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
        time.sleep(settings.linger + 0.6)
        append(second, b"3\n")
        rig.expect([b"1", b"2", b"3"])
        assert rig.of(log) == [b"1", b"2"]
        assert rig.of(second) == [b"3"]


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


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20260101", "app.log.gz"])
def test_copy_is_not_counted_again(log: Path, name: str, settings: Settings) -> None:
    log.write_bytes(b"old\n")
    with Rig(f"{log}*", settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        shutil.copy(log, log.parent / name)
        time.sleep(0.1 if settings.inotify else 0.9)
        append(log.parent / name, b"own\n")
        rig.expect([b"1", b"own"])


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


@contextlib.contextmanager
def busy(rig: Rig, log: Path) -> Iterator[None]:
    """The sink does not come back from its first block as long as this lasts."""
    before = list(rig.lines)
    append(log, b"first\n")
    rig.expect([*before, b"first"])
    rig.sink.may_scan.clear()
    entered = rig.sink.entered
    append(log, b"busy\n")
    rig.wait(lambda: rig.sink.entered > entered)
    yield
    time.sleep(0.05)
    rig.sink.may_scan.set()


def is_held(path: Path) -> bool:
    """Whether this process has the file open: the watcher has seen it, however late."""
    wanted = os.stat(path)
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(fd)), wanted):
                return True
    return False


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


def test_gone_for_good(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\nrest")
        log.unlink()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[str(log)] == 1)
        assert rig.tailer.log_count == 0
        assert rig.lines == [b"1", b"rest"]
        rig.wait(lambda: not rig.sink.opened)


def test_truncation(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"one\npartA")
        rig.expect([b"one"])
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[str(log)] == 9)
        os.truncate(log, 0)
        rig.expect([b"one", b"partA"])
        append(log, b"c\n")
        rig.expect([b"one", b"partA", b"c"])
        assert rig.tailer.counters.file_truncates_total == {str(log): 1}


def test_rewritten_to_the_same_length_and_more(log: Path) -> None:
    """Nobody looks between truncation and rewriting: the bytes in front of the offset tell."""
    log.touch()
    with Rig(log, settings=replace(POLLING, poll_interval=0.3)) as rig:
        append(log, b"aaa\n")
        rig.expect([b"aaa"])
        log.write_bytes(b"bbb\nccc\n")
        rig.expect([b"aaa", b"bbb", b"ccc"])
        assert rig.tailer.counters.file_truncates_total == {str(log): 1}


def test_copytruncate_loses_nothing_that_the_copy_has(log: Path) -> None:
    log.touch()
    with Rig(log, settings=replace(POLLING, poll_interval=0.3)) as rig:
        append(log, b"1\npar")
        rig.expect([b"1"])
        append(log, b"tial\n2\n")
        shutil.copy(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
        append(log, b"3\n4\n5\n6\n7\n8\n9\n")
        rig.expect([b"1", b"partial", *(b"%d" % i for i in range(2, 10))])


@pytest.mark.parametrize("pattern", ["*.log", "*.log*"])
def test_truncated_before_anything_was_read(pattern: str, tmp_path: Path) -> None:
    """Only the copies tell; one that was made before the start is of no concern."""
    log, other = tmp_path / "app.log", tmp_path / "other.log"
    log.touch()
    other.touch()
    Path(f"{log}.1").write_bytes(b"before the start\n")
    time.sleep(0.05)
    with Rig(tmp_path / pattern, settings=QUICK) as rig:
        with busy(rig, other):
            for turn in range(3):
                append(log, b"%d\n" % turn * (50 - turn))
                for number in (3, 2, 1):
                    if os.path.exists(f"{log}.{number}"):
                        os.rename(f"{log}.{number}", f"{log}.{number + 1}")
                time.sleep(0.02)
                shutil.copy(log, f"{log}.1")
                os.truncate(log, 0)
            append(log, b"end\n")
        rig.expect([b"first", b"busy", *[b"0"] * 50, *[b"1"] * 49, *[b"2"] * 48, b"end"])
        rig.stays(rig.lines)


@pytest.mark.parametrize("made", [0, 100])
def test_copy_in_the_making_has_the_name_of_a_finished_one(made: int, log: Path) -> None:
    """That the older one was closed says nothing of it, and what the log still holds is not read from it."""
    log.touch()
    first, second = Path(f"{log}.1"), Path(f"{log}.2")
    with Rig(f"{log}*") as rig:
        with busy(rig, log):
            append(log, b"1\n" * 100)
            shutil.copy(log, first)
            os.truncate(log, 0)
            append(log, b"2\n" * 101)
            first.rename(second)
            copy = first.open("wb", buffering=0)
            copy.write(log.read_bytes()[:made])
        rig.expect([b"first", b"busy", *[b"1"] * 100, *[b"2"] * 101])
        with copy:
            copy.write(log.read_bytes()[made:])
        os.truncate(log, 0)
        append(log, b"end\n")
        rig.expect([b"first", b"busy", *[b"1"] * 100, *[b"2"] * 101, b"end"])
        rig.stays(rig.lines)


@pytest.mark.parametrize("moment", ["_open_siblings", "find"])
def test_truncated_while_copies_are_looked_for(moment: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.touch()
    turns = iter([2, 3])
    look = getattr(CopySearch, moment)

    def rotated(self: CopySearch) -> object:
        found: Any = look(self)
        for turn in () if (found[0] if isinstance(found, tuple) else found) else turns:
            shutil.copy(log, f"{log}-2026000{turn}")
            os.truncate(log, 0)
            append(log, b"%d\n" % turn * (50 - turn))
            break
        return found

    with Rig(log, settings=QUICK) as rig:
        append(log, b"0\n" * 50)
        rig.expect([b"0"] * 50)
        with busy(rig, log):
            monkeypatch.setattr(CopySearch, moment, rotated)
            shutil.copy(log, f"{log}-20260001")
            os.truncate(log, 0)
            append(log, b"1\n" * 49)
        rig.expect([*[b"0"] * 50, b"first", b"busy", *[b"1"] * 49, *[b"2"] * 48, *[b"3"] * 47])
        rig.stays(rig.lines)


def test_copy_that_is_made_while_another_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading that one may take long."""
    log.touch()
    monkeypatch.setattr(copy_search, "_CLOCK_SLACK", 50_000_000)
    read = PreservedText.read_into
    turns = iter([b"2\n"])

    def slow(self: PreservedText, target: memoryview) -> int:
        count = read(self, target)
        for text in turns:
            shutil.copy(log, f"{log}-20260002")
            os.truncate(log, 0)
            append(log, text)
            time.sleep(0.3)
        return count

    monkeypatch.setattr(PreservedText, "read_into", slow)
    with Rig(log, settings=QUICK) as rig:
        with busy(rig, log):
            append(log, b"in the copy\n")
            shutil.copy(log, f"{log}-20260001")
            os.truncate(log, 0)
            append(log, b"1\n")
        rig.expect([b"first", b"busy", b"in the copy", b"1", b"2"])


@pytest.mark.parametrize("moment", ["listed", "missed"])
def test_copies_that_are_renamed_while_they_are_looked_for(
    moment: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next rotation shifts them: they are not where the directory's listing had them, or not in it at all."""
    log.touch()
    first, second = Path(f"{log}.1"), Path(f"{log}.2")
    look = CopySearch._new_siblings

    def renamed(self: CopySearch) -> tuple[list[tuple[str, os.stat_result]], str | None]:
        found, last = look(self)
        if found and first.exists():
            os.rename(first, second)
            return found if moment == "listed" else [], last
        return found, last

    monkeypatch.setattr(CopySearch, "_new_siblings", renamed)
    with Rig(log, settings=QUICK) as rig:
        with busy(rig, log):
            append(log, b"in the copy\n" * 50)
            shutil.copy(log, first)
            os.truncate(log, 0)
            append(log, b"after\n" * 2)
        rig.expect([b"first", b"busy", *[b"in the copy"] * 50, b"after", b"after"])


def test_truncated_twice_unseen(log: Path) -> None:
    log.touch()
    with Rig(log, settings=replace(POLLING, poll_interval=0.4)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        append(log, b"2\n")
        shutil.copy(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
        append(log, b"3\n4\n5\n6\n")
        log.with_suffix(".log.1").rename(log.with_suffix(".log.2"))
        shutil.copy(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
        append(log, b"7\n")
        rig.expect([b"%d" % i for i in range(1, 8)])


def test_writer_that_does_not_append(log: Path) -> None:
    """After truncation it goes on where it was: the hole is not a line of NULs."""
    log.touch()
    with Rig(log, settings=QUICK) as rig, log.open("r+b", buffering=0) as writer:
        writer.write(b"x" * 10_000 + b"\n")
        rig.wait(lambda: len(rig.lines) == 1)
        os.truncate(log, 0)
        time.sleep(0.05)
        writer.write(b"next\n")
        rig.expect([b"x" * 10_000, b"next"])


def test_a_large_hole_is_not_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its NULs count as if they had been read."""
    blocks: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        blocks.append(offset)
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    hole = 16 << 30
    log.touch()
    with Rig(log, settings=QUICK) as rig, log.open("r+b", buffering=0) as writer:
        writer.write(b"first\n")
        rig.expect([b"first"])
        writer.seek(hole)
        writer.write(b"next\n")
        rig.expect([b"first", b"next"])
        os.truncate(log, 2 * hole)
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[str(log)] == 2 * hole)
        append(log, b"last\n")
        rig.expect([b"first", b"next", b"last"])
    assert len(blocks) < 100
    assert rig.tailer.counters.nuls_total[str(log)] == 2 * hole - len("first\nnext\n")


def test_a_hole_in_a_line_belongs_to_it(log: Path) -> None:
    log.touch()
    with Rig(log, settings=replace(QUICK, max_line_length=1 << 20)) as rig, log.open("r+b", buffering=0) as writer:
        writer.write(b"begun")
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[str(log)] == 5)
        writer.seek(1 << 30)
        writer.write(b"end\nnext\n")
        rig.wait(lambda: rig.lines[-1:] == [b"next"])
    assert rig.lines == [b"begun" + bytes((1 << 20) - 5), b"next"]
    assert rig.tailer.counters.lines_cut_total[str(log)] == 1


def test_symlink_swap(log: Path, settings: Settings) -> None:
    first, second = log.with_suffix(".1"), log.with_suffix(".2")
    first.write_bytes(b"old\n")
    second.write_bytes(b"new\n")
    log.symlink_to(first)
    with Rig(log, settings=settings) as rig:
        append(first, b"1\n")
        rig.expect([b"1"])
        swap = log.with_suffix(".swap")
        swap.symlink_to(second)
        swap.rename(log)
        rig.expect([b"1", b"new"])
        append(second, b"2\n")
        rig.expect([b"1", b"new", b"2"])
        assert rig.of(log) == rig.lines


@pytest.mark.parametrize("targets", [("app.log",), ("a", "b", "a")], ids=["itself", "others"])
def test_links_in_a_circle(log: Path, targets: tuple[str, ...], settings: Settings) -> None:
    """They lead nowhere, until they do."""
    for link, target in zip((log, log.with_name("a"), log.with_name("b")), targets, strict=False):
        link.symlink_to(target)
    with Rig(log.with_name("*.log"), settings=replace(settings, sweep=0.05)) as rig:
        time.sleep(0.2)
        log.unlink()
        log.write_bytes(b"1\n")
        rig.expect([b"1"])


def test_rotation_behind_links(tmp_path: Path) -> None:
    """As Kubernetes lays them out: the pattern sees links, the rotation happens where they lead."""
    pods, containers = tmp_path / "pods" / "p", tmp_path / "containers"
    pods.mkdir(parents=True)
    containers.mkdir()
    real, link = pods / "0.log", containers / "c.log"
    middle = tmp_path / "middle"
    middle.symlink_to(real)
    link.symlink_to(middle)
    with Rig(containers / "*.log", settings=replace(QUICK, sweep=60.0)) as rig:
        real.write_bytes(b"1\n")
        rig.expect([b"1"])
        real.rename(pods / "0.log.2026")
        time.sleep(0.05)
        real.write_bytes(b"2\n")
        rig.expect([b"1", b"2"], patience=1.0)
        middle.unlink()
        real.rename(pods / "other")
        time.sleep(0.05)
        middle.symlink_to(pods / "third")
        time.sleep(0.05)
        (pods / "third").write_bytes(b"3\n")
        rig.expect([b"1", b"2", b"3"], patience=1.0)


def test_copy_in_the_same_place(log: Path) -> None:
    """A script that copies over the same file each time: neither the copy nor what it kept counts twice."""
    log.touch()
    copy = log.with_suffix(".log.1")
    with Rig(f"{log}*", settings=QUICK) as rig:
        for turn in range(4):
            append(log, b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            shutil.copyfile(log, copy)
            os.truncate(log, 0)
            time.sleep(0.5)
        os.truncate(copy, 0)
        append(copy, b"its own\n")
        rig.expect([b"0", b"1", b"2", b"3", b"its own"])


@pytest.mark.parametrize("kind", ["symbolic", "hard", "chain", "directory"])
@pytest.mark.parametrize("late", [False, True], ids=["at start", "later"])
def test_two_names_of_one_file(
    kind: str, late: bool, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read once, under the name that matched first; when that goes, under the other."""
    log, link = tmp_path / "a.log", tmp_path / "b.log"

    def make() -> None:
        if kind == "symbolic":
            link.symlink_to(log)
        elif kind == "hard":
            link.hardlink_to(log)
        elif kind == "chain":
            (tmp_path / "middle").symlink_to("a.log")
            link.symlink_to("middle")
        else:
            (tmp_path / "d").symlink_to(".")

    log.write_bytes(b"old\n")
    if not late:
        make()
    with Rig(tmp_path / "*.log", tmp_path / "d" / "*.log", settings=settings) as rig:
        rig.wait(lambda: rig.tailer.log_count == 1)
        if late:
            make()
        append(log, b"1\n")
        rig.expect([b"1"])
        rig.stays([b"1"])
        assert rig.of(log) == [b"1"]
        assert rig.tailer.log_count == 1
        if kind == "hard":
            log.unlink()
            append(link, b"2\n")
            rig.expect([b"1", b"2"])
            rig.wait(lambda: [status.name for status in rig.tailer.status()] == [str(link)])
    assert sum("is the same file as" in message for message in caplog.messages) == 1


def test_a_link_to_the_newest_of_dated_logs(tmp_path: Path, settings: Settings) -> None:
    first, second, link = (tmp_path / f"app-{name}.log" for name in ("2026-11-30", "2026-12-01", "latest"))
    first.touch()
    link.symlink_to(first)
    with Rig(tmp_path / "app-*.log", settings=settings) as rig:
        append(link, b"1\n")
        rig.expect([b"1"])
        second.write_bytes(b"2\n")
        swap = tmp_path / "swap"
        swap.symlink_to(second)
        swap.rename(link)
        append(link, b"3\n")
        append(first, b"late\n")
        rig.wait(lambda: len(rig.lines) == 4)
        rig.stays(rig.lines)
        assert rig.of(first) == [b"1", b"late"]
        assert rig.of(second) == [b"2", b"3"]


def test_a_link_that_had_a_file_of_its_own(tmp_path: Path, settings: Settings) -> None:
    """The other's name is kept, and what its old file had is read."""
    log, own, link = tmp_path / "a.log", tmp_path / "own", tmp_path / "b.log"
    log.touch()
    own.touch()
    link.symlink_to(own)
    with Rig(tmp_path / "*.log", settings=settings) as rig:
        append(link, b"1\n")
        rig.expect([b"1"])
        append(link, b"2\n")
        swap = tmp_path / "swap"
        swap.symlink_to(log)
        swap.rename(link)
        append(log, b"3\n")
        rig.wait(lambda: len(rig.lines) == 3)
        rig.stays(rig.lines)
        assert rig.of(link) == [b"1", b"2"]
        assert rig.of(log) == [b"3"]


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


def test_directory_that_appears_later(tmp_path: Path, settings: Settings) -> None:
    with Rig(tmp_path / "a" / "*" / "c" / "*.log", settings=settings) as rig:
        (tmp_path / "a" / "b" / "c").mkdir(parents=True)
        (tmp_path / "a" / "b" / "c" / "x.log").write_bytes(b"1\n")
        rig.expect([b"1"])
        (tmp_path / "a" / "b2" / "c").mkdir(parents=True)
        (tmp_path / "a" / "b2" / "c" / "y.log").write_bytes(b"2\n")
        rig.expect([b"1", b"2"])


def test_directory_moved_and_made_anew(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d" / "e"
    folder.mkdir(parents=True)
    (folder / "x.log").touch()
    with Rig(folder / "*.log", settings=settings) as rig:
        append(folder / "x.log", b"1\n")
        rig.expect([b"1"])
        (tmp_path / "d").rename(tmp_path / "d2")
        folder.mkdir(parents=True)
        (folder / "x.log").write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        append(folder / "x.log", b"3\n")
        rig.expect([b"1", b"2", b"3"])


def test_directory_deleted_and_made_anew(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d"
    with Rig(folder / "*.log", settings=settings) as rig:
        for turn in range(5):
            folder.mkdir()
            (folder / "x.log").write_bytes(b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            shutil.rmtree(folder)


def test_ignored_names_and_directories(tmp_path: Path, settings: Settings) -> None:
    ignoring = replace(settings, ignore=re.compile(r"\.gz$").search)
    (tmp_path / "folder").mkdir()
    with Rig(tmp_path / "*", settings=ignoring) as rig:
        (tmp_path / "a.gz").write_bytes(b"no\n")
        (tmp_path / "later").mkdir()
        (tmp_path / "b").write_bytes(b"yes\n")
        rig.expect([b"yes"])
        assert rig.tailer.log_count == 1
        assert not rig.tailer.counters.log_errors_total


def test_unsupported_type(tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    with caplog.at_level("INFO"), Rig(tmp_path / "null", settings=settings) as rig:
        rig.stays([], 0.1)
    assert caplog.messages == [f'unsupported file type: "{tmp_path}/null"']


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths that open() refuses, for tests that run as root."""
    refused: set[str] = set()
    real = os.open

    def opener(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if os.path.realpath(path) in refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    return refused


def test_permission_granted_later(log: Path, settings: Settings, unreadable: set[str]) -> None:
    """It matched at start: what was there then is not read."""
    log.write_bytes(b"old\n")
    unreadable.add(str(log))
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n")
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 2)
        unreadable.clear()
        rig.expect([b"1"])


def test_new_file_readable_later(log: Path, settings: Settings, unreadable: set[str]) -> None:
    unreadable.add(str(log))
    with Rig(log, settings=settings) as rig:
        log.write_bytes(b"1\n")
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 1)
        unreadable.clear()
        log.chmod(0o644)
        rig.expect([b"1"])


def test_stale_handle(log: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log.touch()
    real = os.preadv
    stale = False

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        nonlocal stale
        if stale:
            stale = False
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        stale = True
        append(log, b"2\n")
        rig.expect([b"1", b"2"])
        append(log, b"3\n")
        rig.expect([b"1", b"2", b"3"])
        assert rig.tailer.counters.log_opens_total[str(log)] == 2


def test_read_error_is_counted_and_retried(log: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log.touch()
    real = os.preadv
    broken = False

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    with Rig(log, settings=settings) as rig:
        rig.wait(lambda: rig.tailer.log_count == 1)
        broken = True
        append(log, b"1\n")
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 2)
        broken = False
        rig.expect([b"1"])


def test_long_lines_are_cut(log: Path) -> None:
    log.touch()
    with Rig(log, settings=replace(QUICK, max_line_length=2000)) as rig:
        append(log, b"a" * 5000 + b"\nb\n" + b"c" * 2000 + b"\n")
        rig.expect([b"a" * 2000, b"b", b"c" * 2000])
        rig.wait(lambda: rig.tailer.counters.lines_cut_total == {str(log): 1})


def test_watch_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that can't be watched are polled."""
    real = watch.Watcher.add_fd
    count = 0

    def add_fd(self: watch.Watcher, fd: int, mask: int) -> int:
        nonlocal count
        count += 1
        if count > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, fd, mask)

    monkeypatch.setattr(watch.Watcher, "add_fd", add_fd)
    logs = [tmp_path / f"{i}.log" for i in range(5)]
    for path in logs:
        path.touch()
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        assert rig.tailer.counters.limits_total["watches"] == 3
        for path in logs:
            append(path, b"x\n")
        rig.expect([b"x"] * 5)


def test_network_file_system_is_polled(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "is_remote", lambda path: True)
    with Rig(log, settings=QUICK) as rig:
        log.write_bytes(b"1\n")
        rig.expect([b"1"])
        append(log, b"2\n")
        rig.expect([b"1", b"2"])
        log.rename(log.with_suffix(".1"))
        log.write_bytes(b"3\n")
        rig.expect([b"1", b"2", b"3"])


def test_event_overflow(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost events: everything is looked at."""
    other = log.with_suffix(".other.log")
    real = watch.Watcher.read

    def read(self: watch.Watcher) -> list[watch.Event]:
        return [watch.Event(-1, watch.OVERFLOW, 0, "")] if real(self) else []

    monkeypatch.setattr(watch.Watcher, "read", read)
    log.touch()
    with Rig(log.parent / "*.log", settings=QUICK) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        other.write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        assert rig.tailer.counters.limits_total["events"] >= 2


def test_system_out_of_descriptors(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"old\n")
    real = os.open
    exhausted = True

    def opener(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if exhausted and path == str(log):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    with Rig(log, settings=QUICK) as rig:
        append(log, b"new\n")
        rig.wait(lambda: rig.tailer.counters.limits_total["open_files"] >= 2)
        exhausted = False
        rig.expect([b"new"])


def test_bad_pattern_is_said_and_others_work(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.touch()
    with Rig("/tmp/[", log, settings=QUICK) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
    assert "syntax error in pattern" in caplog.text


def test_status(log: Path) -> None:
    log.write_bytes(b"old\n")
    with Rig(log, settings=QUICK) as rig:
        append(log, b"1\n2\n")
        rig.expect([b"1", b"2"])
        rig.wait(lambda: rig.tailer.status()[0].offset == 8)
        (status,) = rig.tailer.status()
        assert (status.name, status.lines, status.bytes_read, status.size, status.lag) == (str(log), 2, 4, 8, 0)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.log")
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        with open(name, "wb") as file:
            file.write(b"1\n")
        rig.expect([b"1"])
        assert rig.of(os.fsdecode(name)) == [b"1"]


@pytest.mark.parametrize("pattern", ["app.log", "app*"])
def test_without_proc(pattern: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are watched by name then, and rotation works as ever, without polling."""
    real = watch.Watcher.add

    def add(self: watch.Watcher, path: str, mask: int) -> int:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(self, path, mask)

    monkeypatch.setattr(watch.Watcher, "add", add)
    log.touch()
    with Rig(log.parent / pattern, settings=replace(QUICK, sweep=60.0, poll_interval=60.0)) as rig:
        for turn in range(3):
            append(log, b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            log.rename(log.with_suffix(f".log.{turn}"))
            log.touch()


def test_a_file_watch_by_name_that_is_anothers(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and watching the name came to stand for another file: it is polled, and nobody is confused."""
    other = log.with_name("other.log")
    real = watch.Watcher.add

    def add(self: watch.Watcher, path: str, mask: int) -> int:
        if path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(self, str(other) if path == str(log) else path, mask)

    monkeypatch.setattr(watch.Watcher, "add", add)
    monkeypatch.setattr("nativemtail.io.filewatches.stands_for", lambda path, who: path != str(log))
    for path in (log, other):
        path.touch()
    with Rig(log.parent / "*.log", settings=replace(QUICK, sweep=60.0)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        append(other, b"2\n")
        rig.expect([b"1", b"2"])
