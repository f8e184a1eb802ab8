"""What is read after the stop, and what is told of the rest."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from rig import Rig, append
from waiting import PATIENCE

from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

SHORT = Settings(drain=0.2, max_line_length=1024, poll_interval=0.02, sweep=0.1)
"""Reads are no longer than a line may be."""
LINES = [b"%07d" % number for number in range(8_000)]
TEXT = b"\n".join(LINES) + b"\n"

Send = Callable[[], object]


def a_file(tmp_path: Path) -> tuple[str, Send]:
    log = tmp_path / "a.log"
    log.touch()
    return str(log), lambda: append(log, TEXT)


def a_renamed_file(tmp_path: Path) -> tuple[str, Send]:
    name, send = a_file(tmp_path)

    def rename() -> None:
        send()
        os.rename(name, name + ".1")

    return name, rename


def a_named_pipe(tmp_path: Path) -> tuple[str, Send]:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def send() -> None:
        with path.open("wb", buffering=0) as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
            pipe.write(TEXT)

    return str(path), send


def a_stream(tmp_path: Path) -> tuple[str, Send]:
    path = str(tmp_path / "socket")

    def send() -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(TEXT)

    return f"unix://{path}", send


def segments(tmp_path: Path) -> tuple[str, Send]:
    pack = zstandard.ZstdCompressor().compress
    path = tmp_path / "20260302-080000.1"

    def send() -> None:
        (tmp_path / ".new").write_bytes(b"".join(pack(TEXT[at : at + 800]) for at in range(0, len(TEXT), 800)))
        (tmp_path / ".new").rename(path)

    return f"zstd://{tmp_path}", send


SOURCES = [a_file, a_renamed_file, a_named_pipe, a_stream]


def stop_behind(rig: Rig, send: Send, delay: float) -> None:
    """Have the sink hold the first block until all is sent and the stop was asked for."""
    rig.sink.may_scan.clear()
    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(PATIENCE)
    assert not sending.is_alive()
    rig.tailer.stop()
    rig.sink.delay = delay
    rig.sink.may_scan.set()
    rig.wait(lambda: rig.ended)


@pytest.mark.parametrize("source", [*SOURCES, segments])
def test_all_is_read_in_time(source: Callable[[Path], tuple[str, Send]], tmp_path: Path) -> None:
    name, send = source(tmp_path)
    with Rig(name, settings=Settings(drain=PATIENCE, max_line_length=1024, poll_interval=0.02, sweep=0.1)) as rig:
        stop_behind(rig, send, 0)
    assert rig.lines == LINES
    assert not rig.tailer.unread


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_left_is_told_to_the_byte(source: Callable[[Path], tuple[str, Send]], tmp_path: Path) -> None:
    name, send = source(tmp_path)
    with Rig(name, settings=SHORT) as rig:
        stop_behind(rig, send, 0.02)
    assert 0 < len(rig.lines) < len(LINES)
    assert rig.lines == LINES[: len(rig.lines)]
    read = 8 * len(rig.lines)
    # The line of a socket's frame that was not complete is not among what waits in the kernel.
    assert rig.tailer.unread.keys() == {name}
    assert len(TEXT) - read - 8 < rig.tailer.unread[name] <= len(TEXT) - read


def test_segments_that_are_left_are_told(tmp_path: Path) -> None:
    name, send = segments(tmp_path)
    with Rig(name, settings=SHORT) as rig:
        stop_behind(rig, send, 0.02)
    assert rig.lines == LINES[: len(rig.lines)]
    assert rig.tailer.unread[name] > 1000


@pytest.mark.slow
def test_one_log_does_not_take_the_time_of_another(tmp_path: Path) -> None:
    """However much a log is behind, the others are read."""
    logs = [tmp_path / f"{number}.log" for number in range(10)]
    for log in logs:
        log.touch()

    def send() -> None:
        append(logs[0], TEXT)
        for log in logs[1:]:
            append(log, b"x\n")

    with Rig(tmp_path / "*.log", settings=Settings(drain=2.5, max_line_length=1024)) as rig:
        stop_behind(rig, send, 0.08)
    assert rig.tailer.unread.keys() == {str(logs[0])}
    assert sorted(line for line in rig.lines if line == b"x") == [b"x"] * 9


def test_an_endless_writer_does_not_hold_the_stop(tmp_path: Path) -> None:
    """What comes after the stop is none of it."""
    log = tmp_path / "a.log"
    log.touch()
    ended = threading.Event()

    def write() -> None:
        with log.open("ab", buffering=0) as file:
            while not ended.is_set():
                file.write(TEXT)
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    with Rig(log, settings=Settings(drain=60.0)) as rig:
        writer.start()
        rig.wait(lambda: rig.lines)
        rig.tailer.stop()
        rig.wait(lambda: rig.ended)
        ended.set()
        writer.join()
    assert not rig.tailer.unread


def test_behind_is_seen_from_outside(tmp_path: Path) -> None:
    """While the thread hangs."""
    log = tmp_path / "a.log"
    log.touch()
    with Rig(log) as rig:
        tailer: Tailer = rig.tailer
        rig.sink.may_scan.clear()
        append(log, b"a\n" * 1_000_000)
        rig.wait(lambda: 0 < tailer.behind()[str(log)] < 2_000_000)
        rig.sink.may_scan.set()
