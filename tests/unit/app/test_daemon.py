"""What of the daemon cannot be seen from outside; tests/system/daemon has the rest."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Recorder
from waiting import PATIENCE, wait_until

from nativemtail._render import Page
from nativemtail.app import daemon, systemd
from nativemtail.app.config import resolve
from nativemtail.app.daemon import Daemon, Heartbeat
from nativemtail.http.messages import Request
from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import SourceError
from nativemtail.io.tailer import Tailer
from nativemtail.options import Options


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Daemon]:
    (tmp_path / "a.mtail").write_bytes(b"counter lines\n/$/ {\n  lines++\n}\n")
    return lambda **flags: Daemon(resolve(Options(progs=[str(tmp_path)], logs=[str(tmp_path / "*.log")], **flags), ()))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows with each sign of life that systemd gets."""
    told: list[bool] = []
    monkeypatch.setattr(systemd, "alive", lambda: told.append(True))
    return told


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[tuple[Path, Tailer, threading.Thread]]:
    """A log, the tailer that reads it, and its thread."""
    log = tmp_path / "a.log"
    log.touch()
    tailer = Tailer(parse_logs([str(log)]), Recorder())
    tail = threading.Thread(target=tailer.run, daemon=True)
    tailer.open()
    tail.start()
    yield log, tailer, tail
    tailer.stop()
    tail.join(PATIENCE)


def beat(heartbeat: Heartbeat, seconds: float) -> None:
    """Time passes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        heartbeat.check()
        time.sleep(0.05)


@pytest.mark.slow
def test_an_idle_tail_thread_is_alive(followed: tuple[Path, Tailer, threading.Thread], told: list[bool]) -> None:
    _, tailer, tail = followed
    heartbeat = Heartbeat(tail, tailer, patience=0.5)
    beat(heartbeat, 1)
    del told[:]
    wait_until(lambda: heartbeat.check() or len(told) >= 10)
    tailer.stop()
    tail.join(PATIENCE)
    del told[:]
    beat(Heartbeat(tail, tailer, patience=0.5), 0.1)
    assert not told


@pytest.mark.slow
def test_a_tail_thread_that_hangs_in_a_read_is_not_alive(
    followed: tuple[Path, Tailer, threading.Thread], told: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As reads from a network file system do whose server is gone."""
    log, tailer, tail = followed
    hanging, back = threading.Event(), threading.Event()
    preadv = os.preadv

    def hang(*arguments: Any) -> int:
        hanging.set()
        back.wait(PATIENCE)
        return preadv(*arguments)

    monkeypatch.setattr(os, "preadv", hang)
    log.write_bytes(b"a\n")
    assert hanging.wait(PATIENCE)
    heartbeat = Heartbeat(tail, tailer, patience=0.5)
    beat(heartbeat, 1)
    del told[:]
    beat(heartbeat, 0.5)
    assert not told
    back.set()
    wait_until(lambda: heartbeat.check() or told)


@pytest.mark.slow
def test_a_scrape_waits_for_no_block(make: Callable[..., Daemon]) -> None:
    """The block is a tenth of a second long at least; the pages of metrics come and come meanwhile."""
    subject = make()
    subject.reloader.load()
    engine = subject.programs.engine
    source = engine.open("log")
    block = bytearray(b"x\n" * 20_000_000)
    lines = subject.programs.store

    def shown() -> bytes:
        return Page(lines.snapshot()).prometheus()

    def pages_of_a_scan() -> int:
        before = shown()
        scan = threading.Thread(target=lambda: engine.scan(source, block, 0, len(block)), daemon=True)
        scan.start()
        wait_until(lambda: shown() != before)
        pages = 0
        while scan.is_alive():
            subject.site.answer(Request("/metrics"))
            subject.site.answer(Request("/debug/vars"))
            pages += scan.is_alive()
        return pages

    # On a busy machine the scan may have been over first.
    wait_until(lambda: pages_of_a_scan() >= 5)


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, 0), (1, 1), (50_000_000, 1), (150_000_000, 50_000_000)], ids=["no", "1", "less", "more"]
)
def test_label_sets_may_have_what_the_process_does_not_need(
    limit: int, expected: int, make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = make(memory_limit=limit)
    monkeypatch.setattr(daemon, "resident_memory", lambda: 100_000_000 + subject.programs.store.memory)
    subject._limit_memory()
    assert subject.programs.store.limit == expected


def test_periodic_work_survives_its_errors(make: Callable[..., Daemon]) -> None:
    subject = make()
    calls: list[Any] = []

    def fail() -> None:
        calls.append(None)
        raise ValueError

    subject._every(0.001, fail)
    while len(calls) < 3:
        subject.loop.run_once()


@pytest.mark.parametrize(("ended", "exits"), [(True, []), (False, [0])])
def test_nothing_is_torn_down_under_a_push(
    ended: bool, exits: list[int], make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have the store's lock, for which the end of the interpreter would wait in vain."""
    subject = make()
    seen: list[int] = []
    monkeypatch.setattr(subject.pusher, "stop", lambda: ended)
    monkeypatch.setattr(os, "_exit", seen.append)
    subject.tailer.open()
    subject.tail.start()
    subject.reloader.start()
    subject._finish()
    assert seen == exits


def test_a_program_on_a_mount_that_hangs_holds_up_no_signal(
    make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only the reload thread touches programs once the daemon runs."""
    subject = make()
    assert subject.watch is not None
    subject.watch.start()
    subject.reloader.load()
    program = str(tmp_path / "a.mtail")
    hanging, back = threading.Event(), threading.Event()
    threads: list[str] = []
    stat = os.stat

    def hang(path: Any, **options: Any) -> os.stat_result:
        if path == program:
            threads.append(threading.current_thread().name)
            hanging.set()
            back.wait(PATIENCE)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", hang)
    subject.reloader.start()
    subject._every(0.01, lambda: None)
    Path(program).write_bytes(b"counter lines\n")
    while not hanging.is_set():
        subject.loop.run_once()
    assert not subject.reloader.stop(0.1)
    assert threads == ["reload"]
    back.set()
    assert subject.reloader.stop(PATIENCE)
    subject.watch.close()


def test_an_answer_in_time_needs_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> Counter[str]:
        return Counter(log=1)

    assert daemon._with_timeout(ask, PATIENCE) == {"log": 1}
    assert daemon._with_timeout(lambda: time.sleep(5) or Counter(), 0.01) is None

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", NoThread)
    assert daemon._with_timeout(ask, PATIENCE) is None


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("nativemtail.programs.manager.list_all", "reading the programs of "),
        ("nativemtail.programs.manager.read_text", "reading the programs of "),
        ("nativemtail.io.discover.Discovery.start", "opening the logs takes more than "),
    ],
)
def test_a_start_that_hangs_is_reported(
    called: str,
    expected: str,
    make: Callable[..., Daemon],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a network mount makes it."""

    def is_reported() -> bool:
        return any(message.startswith(expected) for message in caplog.messages)

    def hang(*arguments: object) -> None:
        wait_until(is_reported)
        raise SourceError("the test is over")

    monkeypatch.setattr(daemon, "SLOW_START_SECONDS", 0.01)
    made = make(port="0", cache_dir="none")
    monkeypatch.setattr(called, hang)
    monkeypatch.setattr(made, "_take_signals", lambda: None)
    with caplog.at_level("WARNING"), contextlib.suppress(SourceError):
        made.start()
    made.server.stop(grace=0)
    made.tailer.close()
    assert is_reported()


HANG = """
import ctypes, os, sys
from nativemtail.app.cli import main
import {module} as module

def hang(*arguments):
    lock, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    os.write(1, b"hangs")
    libc.pthread_mutex_lock(lock)  # no signal ends it, as none ends a call to a file system that does not answer

module.{function} = hang
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("nativemtail.programs.manager", "list_all"),
        ("nativemtail.programs.manager", "read_text"),
        ("nativemtail.programs.reload", "list_all"),
        ("os.path", "isdir"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_programs_on_a_mount_that_hangs_from_the_start_hold_up_no_signal(
    module: str, function: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "a.mtail").write_bytes(b"counter lines\n/$/ {\n  lines++\n}\n")
    code = HANG.format(module=module, function=function)
    flags = ["--progs", str(tmp_path), "--logs", str(tmp_path / "*.log"), "--port", "0", "--cache_dir", "none"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.read(5) == b"hangs"
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
        assert b", exiting...\n" in process.stderr.read()


def test_what_lives_as_long_as_the_daemon_is_not_looked_at_by_collections(
    make: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full collection takes 17 ms without them set aside, during which all threads stop."""
    done: list[str] = []
    monkeypatch.setattr(daemon.gc, "collect", lambda: done.append("collect"))
    monkeypatch.setattr(daemon.gc, "freeze", lambda: done.append("freeze"))
    it = make()
    monkeypatch.setattr(it.loop, "run_once", lambda: setattr(it, "_ended", done == ["collect", "freeze"]))
    monkeypatch.setattr(it, "_finish", lambda: None)
    assert it.serve() == 0
