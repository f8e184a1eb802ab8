"""A log as it grows (row `new-file`)."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import QUICK, Rig, append

from nativemtail.io.sources import Settings


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


@pytest.mark.slow
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


def test_status(log: Path) -> None:
    log.write_bytes(b"old\n")
    with Rig(log, settings=QUICK) as rig:
        append(log, b"1\n2\n")
        rig.expect([b"1", b"2"])
        rig.wait(lambda: rig.tailer.status()[0].offset == 8)
        (status,) = rig.tailer.status()
        assert (status.name, status.lines, status.bytes_read, status.size, status.lag) == (str(log), 2, 4, 8, 0)
