"""A daemon whose messages nobody reads, or for which there is no room."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Daemon, Place, append, free_port
from waiting import PATIENCE, wait_until

FAIL = "counter read_total\ncounter c_total\n/^(?P<n>.*)$/ {\n  read_total++\n  c_total += strtol($n, 10)\n}\n"
LINE = b"x" * 20_000 + b"\n"


class Stuck:
    """A daemon whose standard error is a full pipe."""

    def __init__(self, place: Place, *, nonblocking: bool = False) -> None:
        (place.progs / "fail.mtail").write_text(FAIL)
        (place.logs / "a.log").touch()
        self.read, write = os.pipe()
        if nonblocking:
            fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
        port = free_port()
        flags = ["--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", str(port)]
        self.daemon: Daemon = place.launch(*flags, "--cache_dir", "none", preexec_fn=lambda: os.dup2(write, 2))
        self.daemon.address = f"127.0.0.1:{port}"
        os.close(write)
        wait_until(self._is_up)
        self.fill(place, 50)
        self.daemon.wait_for("read_total", 50)
        time.sleep(1.2)  # errors are fetched each second

    def fill(self, place: Place, lines: int) -> None:
        append(place.logs / "a.log", LINE * lines)

    def said(self) -> bytes:
        """All that is there, until the end of the process."""
        text = bytearray()
        while data := os.read(self.read, 1 << 20):
            text += data
        return bytes(text)

    def _is_up(self) -> bool:
        try:
            return self.daemon.ask("/-/ready")[0] == 200
        except OSError:
            return False


@pytest.fixture(params=[False, True], ids=["blocking", "nonblocking"])
def stuck(request: pytest.FixtureRequest, place: Place) -> Iterator[Stuck]:
    stuck = Stuck(place, nonblocking=request.param)
    yield stuck
    os.close(stuck.read)


def test_everything_goes_on(stuck: Stuck, place: Place) -> None:
    """Reading, rotation, new programs, scrapes, and the end."""
    (place.logs / "a.log").rename(place.logs / "a.log.1")
    append(place.logs / "a.log", b"y\n")
    stuck.daemon.wait_for("read_total", 51)
    (place.progs / "q.mtail").write_text("counter q_total\n/z/ {\n  q_total++\n}\n")
    append(place.logs / "a.log", b"z\n")
    wait_until(lambda: stuck.daemon.value("q_total") is not None)
    assert stuck.daemon.ask("/-/healthy")[0] == 200
    assert stuck.daemon.stop() == 0


def test_what_is_lost_is_counted_and_said(place: Place) -> None:
    for number in range(20):
        (place.progs / f"more{number}.mtail").write_text(FAIL)
    stuck = Stuck(place)
    wait_until(lambda: (stuck.daemon.value("mtail_messages_dropped_total") or 0) > 0)
    os.set_blocking(stuck.read, False)
    text = bytearray()

    def read() -> bool:
        try:
            text.extend(os.read(stuck.read, 1 << 20))
        except BlockingIOError:
            return False
        return b" messages are missing here: they could not be written\n" in text

    wait_until(read)
    said = sum(map(int, re.findall(rb"\] (\d+) messages are missing here", text)))
    assert said == stuck.daemon.value("mtail_messages_dropped_total")
    assert stuck.daemon.stop() == 0
    os.close(stuck.read)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGQUIT, 2), (signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_signals_end_it(number: signal.Signals, status: int, place: Place) -> None:
    stuck = Stuck(place)
    assert stuck.daemon.stop(number) == status
    os.close(stuck.read)


def test_messages_files_that_cannot_grow(place: Place, tmp_path: Path) -> None:
    """As on a full disk."""
    (place.progs / "fail.mtail").write_text(FAIL)
    (place.logs / "a.log").touch()
    files = tmp_path / "messages"
    files.mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    daemon = place.start("--log_dir", str(files), "--alsologtostderr", "--cache_dir", "none", preexec_fn=limit)
    append(place.logs / "a.log", b"x" * 3000 + b"\n")
    append(place.logs / "a.log", (b"x" * 3000 + b"\n") * 30)
    daemon.wait_for("read_total", 31)
    wait_until(lambda: (daemon.value("mtail_messages_dropped_total") or 0) > 5)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    daemon.send(signal.SIGHUP)
    [info] = [path for path in files.iterdir() if path.name.endswith(".INFO") and path.is_symlink()]
    wait_until(lambda: "messages are missing here" in info.read_text(), info.read_text)
    lines = info.read_text().splitlines()
    assert lines[-1].startswith("I") or "missing" in lines[-1]
    assert daemon.stop() == 0


def test_what_is_said_last_is_written(place: Place) -> None:
    """However it ends."""
    daemon = place.launch("--progs", "/nowhere", "--logs", place.glob)
    assert daemon.process.wait(PATIENCE) == 1
    assert daemon.log.endswith("-progs: stat /nowhere: no such file or directory\n")


def test_nobody_is_there_to_read(place: Place) -> None:
    """The reader's end of the pipe is closed."""
    stuck = Stuck(place)
    os.close(stuck.read)
    stuck.fill(place, 10)
    stuck.daemon.wait_for("read_total", 60)
    assert stuck.daemon.stop() == 0
