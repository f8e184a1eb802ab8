"""Copies that preserve what a truncated log contained."""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import POLLING, QUICK, Recorder, Rig, append, busy

from nativemtail.io import copy_search
from nativemtail.io.copy_search import CopySearch, PreservedText
from nativemtail.io.file import open_file
from nativemtail.io.followed import Followed
from nativemtail.io.patterns import parse_logs
from nativemtail.io.position import identity
from nativemtail.io.sources import Context
from nativemtail.io.tailer import Tailer


@pytest.mark.slow
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


def test_where_reading_stands_while_a_copy_is_read(log: Path) -> None:
    """Reading on from there, in the copy and then in the log, counts each line once."""
    log.touch()
    read, unread = b"read\n" * 100, b"".join(b"line %d\n" % number for number in range(200_000))
    tailer = Tailer(parse_logs([str(log)]), sink := Recorder(), QUICK)
    tailer.open()
    turns = tailer.turns()
    append(log, read)
    while len(sink.order) < 100:
        next(turns)
    append(log, unread)
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    append(log, b"after\n")
    while len(sink.order) == 100:
        next(turns)
    assert tailer._discovery is not None
    reader = tailer._discovery._table.file_at(str(log))
    assert reader is not None
    [(path, who, position)] = reader.copies_counted_to()
    assert (path, who) == (f"{log}.1", identity(os.stat(f"{log}.1")))
    assert 100 < len(sink.order) < 200_100
    context = Context(rest := Recorder(), QUICK)
    for name, start in ((path, position), (str(log), reader.counted_to)):
        with closing(open_file(context, context.hold(name), name, until_end=True)) as file:
            file.resume(start)
            while file.turn():
                pass
    assert sink.order + rest.order == (read + unread + b"after\n").splitlines()
    tailer.close()


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_more_copies_than_are_opened_at_once(pattern: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.touch()
    monkeypatch.setattr(copy_search, "_AT_ONCE", 3)
    is_open: set[PreservedText] = set()
    most = [0]

    class Counting(PreservedText):
        def __init__(self, path: str, fd: int, info: os.stat_result) -> None:
            super().__init__(path, fd, info)
            is_open.add(self)
            most[0] = max(most[0], len(is_open))

        def close(self) -> None:
            super().close()
            is_open.discard(self)

    monkeypatch.setattr(copy_search, "PreservedText", Counting)
    turns = 20
    with Rig(log.with_name(pattern), settings=QUICK) as rig:
        with busy(rig, log):
            for turn in range(turns):
                append(log, b"%d\n" % turn * (100 - turn))
                for number in range(turn, 0, -1):
                    os.rename(f"{log}.{number}", f"{log}.{number + 1}")
                shutil.copy(log, f"{log}.1")
                os.truncate(log, 0)
            append(log, b"end\n")
        rig.expect([b"first", b"busy", *(b"%d" % turn for turn in range(turns) for _ in range(100 - turn)), b"end"])
    assert most[0] <= 5
    assert not is_open


def test_no_descriptors_for_copies(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be opened is tried again."""
    log.touch()
    failures = iter([errno.EMFILE, errno.ENFILE, errno.EMFILE])
    really = Followed.open

    def fail(self: Followed, path: str) -> int:
        for number in failures:
            raise OSError(number, os.strerror(number))
        return really(self, path)

    monkeypatch.setattr(Followed, "open", fail)
    with Rig(log, settings=QUICK) as rig:
        with busy(rig, log):
            append(log, b"in the copy\n" * 50)
            shutil.copy(log, f"{log}.1")
            os.truncate(log, 0)
            append(log, b"after\n")
        rig.expect([b"first", b"busy", *[b"in the copy"] * 50, b"after"])
        assert rig.tailer.counters.file_truncates_total[str(log)] == 1
