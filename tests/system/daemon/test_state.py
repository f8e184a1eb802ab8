"""What --state_dir keeps from one process to the next."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from daemons import Daemon, Place, append
from waiting import PATIENCE, wait_until

SLOW = "".join(f"/(?P<k>\\w+)(a|b|.)*?{number}x/ {{\n  c[$k]++\n}}\n" for number in range(40))
"""Some 20 µs a line."""
LINE = b" ".join(b"w%dx" % number for number in range(40)) + b"\n"

HELD_BACK = ("/metrics", "/metrics.json", "/json", "/varz", "/graphite", "/-/ready")


@pytest.fixture
def state(place: Place) -> Path:
    return place.root / "state"


def started(place: Place, state: Path, *flags: str) -> Daemon:
    return place.start("--state_dir", str(state), *flags)


def refused(place: Place, state: Path) -> str:
    """What a daemon says that does not start because of the directory."""
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0"),
        *("--state_dir", str(state)),
    )
    assert daemon.process.wait(PATIENCE) == 1
    return daemon.log


def test_counting_goes_on_after_a_stop(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.touch()
    first = started(place, state, "--state_interval", "1h")
    append(log, b"a 1\nb 2\na 3\n")
    assert first.stop() == 0  # the lines that the signal finds unread are counted, and saved
    assert os.stat(state).st_mode & 0o7777 == 0o700
    second = started(place, state)
    metrics = second.metrics()
    assert [metrics[key] for key in ("lines_total", "words_total{word=a}", "sizes_count")] == [3, 2, 3]
    assert metrics["state_restored_series"] == 5
    assert 0 < metrics["state_age_seconds"] < PATIENCE
    assert metrics["state_save_seconds_count"] == metrics["state_saves_total"] == 1
    assert metrics["state_save_bytes_total"] > 0
    assert metrics["state_save_failures_total"] == metrics["state_damaged_total"] == 0
    append(log, b"a 4\n")
    second.wait_for("words_total{word=a}", 3)
    assert second.stop() == 0


def test_statsd_gets_each_increase_once(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.touch()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        flags = "--statsd_hostport", f"127.0.0.1:{server.getsockname()[1]}", "--metric_push_interval", "1h"
        for text in (b"a 1\na 1\n", b"a 1\n", b""):
            daemon = started(place, state, *flags)
            append(log, text)
            assert daemon.stop() == 0  # the signal is followed by a push
        received = b""
        while (datagram := _received(server)) is not None:
            received += datagram + b"\n"
    assert re.findall(rb"\.lines_total:(\d+)\|c", received) == [b"2", b"1"]


def _received(server: socket.socket) -> bytes | None:
    try:
        return server.recv(65536)
    except BlockingIOError:
        return None


def test_without_the_flag_nothing_is_kept(place: Place) -> None:
    (place.logs / "a.log").touch()
    first = place.start(environment={"STATE_DIRECTORY": str(place.root / "elsewhere")})
    append(place.logs / "a.log", b"a 1\n")
    first.wait_for("lines_total", 1)
    assert first.stop() == 0
    assert not (place.root / "elsewhere").exists()
    assert place.start().value("lines_total") == 0


def test_a_second_process_is_told_who_holds_the_directory(place: Place, state: Path) -> None:
    first = started(place, state)
    assert f"{state} is in use by process {first.process.pid}" in refused(place, state)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    assert started(place, state).stop() == 0


def test_a_directory_that_cannot_be_used_ends_the_start(place: Place) -> None:
    (place.root / "file").touch()
    assert f"mkdir {place.root}/file/state: not a directory" in refused(place, place.root / "file" / "state")
    assert "open /proc/self/state.lock: " in refused(place, Path("/proc/self"))


def test_a_damaged_state_is_put_aside(place: Place, state: Path) -> None:
    assert started(place, state).stop() == 0
    (state / "state.db").write_bytes(b"no database at all" * 100)
    daemon = started(place, state)
    assert f"the state in {state} is damaged: it is not an SQLite database" in daemon.log
    assert [path.name.partition("damaged")[1] for path in state.glob("state.db.*")] == ["damaged"]
    assert daemon.value("lines_total") == 0
    assert daemon.value("state_damaged_total") == 1


def test_what_stands_on_standard_input_is_counted_over_runs(place: Place, state: Path) -> None:
    for runs in range(1, 3):
        reading, writing = os.pipe()
        with open(reading, "rb") as source:
            daemon = place.start("--state_dir", str(state), logs=["-"], stdin=source)
        os.write(writing, b"a 1\nb")
        daemon.wait_for("lines_total", 2 * runs - 1)
        os.close(writing)
        assert daemon.process.wait(PATIENCE) == 0
    daemon = started(place, state)
    assert daemon.value("lines_total") == 4


def test_what_was_written_meanwhile_is_counted(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.write_bytes(b"before\n")
    first = started(place, state, "--state_interval", "1h")
    append(log, b"a 1\nb 2\n")
    first.wait_for("lines_total", 2)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL  # before anything but the first instant was saved
    append(log, b"a 3\nunfini")
    log.rename(place.logs / "a.log.1")
    append(place.logs / "a.log.1", b"shed\n")
    append(log, b"a 4\n")
    second = started(place, state)
    metrics = second.metrics()
    assert [metrics[key] for key in ("lines_total", "words_total{word=a}")] == [5, 3]
    assert metrics["state_catch_up_bytes"] == metrics["state_lost_logs_total"] == 0


def test_what_peers_sent_is_saved_at_a_stop(place: Place, state: Path) -> None:
    """It cannot be read again: at a kill what came since the last save is lost."""
    fifo, address = place.logs / "pipe.log", place.root / "socket"
    os.mkfifo(fifo)

    def start() -> Daemon:
        logs = [place.glob, f"unix://{address}"]
        return place.start("--state_dir", str(state), "--state_interval", "1h", logs=logs)

    def send() -> None:
        with socket.socket(socket.AF_UNIX) as peer, fifo.open("wb") as pipe:
            peer.connect(str(address))
            peer.sendall(b"a 1\nb 2\n")
            pipe.write(b"a 3\n")

    first = start()
    send()
    assert first.stop() == 0
    second = start()
    assert second.value("lines_total") == 3
    send()
    second.wait_for("lines_total", 6)
    assert second.stop(signal.SIGKILL) == -signal.SIGKILL
    assert start().value("lines_total") == 3


def test_a_kill_right_after_the_first_answer_loses_nothing(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    append(log, b"a 1\n")
    first = started(place, state, "--state_interval", "1h")
    assert first.value("state_saves_total") == 1
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    append(log, b"a 2\n")
    log.rename(place.logs / "a.log.1")  # not matched by any pattern
    assert started(place, state).value("lines_total") == 1


def test_a_new_log_is_saved_at_once(place: Place, state: Path) -> None:
    first = started(place, state, "--state_interval", "1h")
    saves = first.value("state_saves_total")
    append(place.logs / "new.log", b"a 1\n")
    first.wait_for("lines_total", 1)
    wait_until(lambda: first.value("state_saves_total") > saves)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    (place.logs / "new.log").rename(place.logs / "new.log.1")  # not matched by any pattern
    assert started(place, state).value("lines_total") == 1


def test_pages_wait_until_the_logs_are_read(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.touch()
    first = started(place, state, "--state_interval", "1h")
    append(log, b"a 1\n" * 1_000_000)
    first.wait_for("lines_total", 1_000_000)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0"),
        *("--state_dir", str(state)),
    )
    second.wait_log("HTTP on")
    second.address = re.findall(r"HTTP on ([^ ,]+)", second.log)[0]
    waited = 0
    while (answer := second.ask("/metrics"))[0] != 200:
        assert answer[0] == 503
        assert re.fullmatch(rb"catching up: \d+ bytes left\n", answer[1])
        assert second.ask("/-/healthy")[0] == second.ask("/")[0] == second.ask("/profile")[0] == 200
        others = {path: second.ask(path) for path in HELD_BACK}
        assert all(status == 503 and text.startswith(b"catching up: ") for status, text in others.values()) or (
            second.ask("/metrics")[0] == 200
        )
        waited += 1
    assert waited
    assert second.value("lines_total") == 1_000_000


@pytest.mark.parametrize("is_from_beginning", [True, False])
def test_logs_are_read_from_their_beginning_if_asked(place: Place, is_from_beginning: bool) -> None:
    append(place.logs / "a.log", b"a 1\nb 2\n")
    daemon = place.start(*(["--read_from_beginning"] if is_from_beginning else []))
    append(place.logs / "a.log", b"a 3\n")
    daemon.wait_for("lines_total", 3 if is_from_beginning else 1)


def test_a_log_that_is_gone_is_counted_and_said(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.touch()
    first = started(place, state)
    append(log, b"a 1\n")
    first.wait_for("lines_total", 1)
    assert first.stop() == 0
    log.unlink()
    second = started(place, state)
    assert second.value("state_lost_logs_total") == 1
    assert second.value("mtail_limits_hit_total{limit=catch_up}") == 0
    assert f"{log}: the file that was read before the restart is gone" in second.log


def test_what_the_drain_leaves_is_read_by_the_next_start(place: Place, state: Path) -> None:
    log = place.logs / "a.log"
    log.touch()
    (place.progs / "slow.mtail").write_text(f"counter c by k\n{SLOW}")
    first = started(place, state, "--drain_timeout", "0")
    lines = 50_000
    append(log, LINE * lines)
    wait_until(lambda: first.value("lines_total"))
    assert first.stop() == 0
    assert re.search(r"\d+ bytes of 1 logs are left for the next start", first.log)
    assert started(place, state).value("lines_total") == lines


def test_begin_is_run_once_for_each_text(place: Place, state: Path) -> None:
    (place.progs / "begin.mtail").write_text('counter starts_total by k\nbegin {\n  starts_total["x"]++\n}\n')
    for _ in range(3):
        daemon = started(place, state)
        assert daemon.value("starts_total{k=x}") == 1
        assert daemon.stop() == 0
    (place.progs / "begin.mtail").write_text('counter starts_total by k\nbegin {\n  starts_total["y"]++\n}\n')
    daemon = started(place, state)
    assert (daemon.value("starts_total{k=x}"), daemon.value("starts_total{k=y}")) == (1, 1)


def test_an_open_record_is_kept(place: Place, state: Path) -> None:
    counters = (
        "counter whole_total\ncounter others_total\n/^#1\\na\\nb$/ {\n  whole_total++\n} else {\n  others_total++\n}\n"
    )
    (place.progs / "record.mtail").write_text(f"record start /^#/ timeout 1h\n{counters}")
    log = place.logs / "a.log"
    log.touch()
    first = started(place, state, "--state_interval", "100ms")
    append(log, b"#1\na\n")
    first.wait_for("lines_total", 2)
    read = time.monotonic()
    wait_until(lambda: first.value("state_age_seconds") < time.monotonic() - read - 0.5)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    append(log, b"b\n#2\n")
    second = started(place, state)
    second.wait_for("whole_total", 1)
    assert second.value("others_total") == 0
    assert second.stop() == 0
    third = started(place, state)  # the stop completed the second one
    assert (third.value("whole_total"), third.value("others_total")) == (1, 1)
