"""Truncation: noticed by the bytes before the offset (row `truncate-rest`); writers that leave holes."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import POLLING, QUICK, Rig, append
from waiting import PATIENCE

from nativemtail.io.sources import Settings


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


def test_what_is_appended_while_a_hole_is_measured(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 20
    real = os.lseek
    is_appended = threading.Event()

    def lseek(fd: int, offset: int, whence: int) -> int:
        try:
            return real(fd, offset, whence)
        except OSError:
            if offset == size and not is_appended.is_set():
                append(log, b"last\n")
                is_appended.set()
            raise

    monkeypatch.setattr(os, "lseek", lseek)
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"first\n")
        rig.expect([b"first"])
        os.truncate(log, size)
        assert is_appended.wait(PATIENCE)
        rig.expect([b"first", b"last"])
