"""Nothing is lost, whatever writers do to their logs; where mtail loses lines (spec README, table Inputs) too."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from daemons import Daemon, Place, append, free_port
from waiting import PATIENCE, wait_until

WITHOUT_PRIVILEGE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.getuid() == 0 else ()
WRITER = """
import os, sys
path = sys.argv[1]
for turn in range(100):
    with open(path, "ab", buffering=0) as file:
        for part in range(10):
            file.write(b"word %d\\n" % turn * 100)
        os.rename(path, f"{path}.{turn}")
        file.write(b"afterwards 1\\n")
"""


def test_rotation_at_full_speed(place: Place) -> None:
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start()
    subprocess.run([sys.executable, "-c", WRITER, str(log)], check=True)
    daemon.wait_for("lines_total", 100_100)
    assert daemon.value("words_total{word=afterwards}") == 100
    assert daemon.stop() == 0


def test_copytruncate(place: Place) -> None:
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start()
    for turn in range(1, 11):
        append(log, b"turn%d 1\n" % turn * 1000)
        daemon.wait_for("lines_total", 1000 * turn)
        shutil.copy(log, place.logs / f"a.log.{turn}")
        os.truncate(log, 0)
    metrics = daemon.metrics()
    assert {metrics[f"words_total{{word=turn{turn}}}"] for turn in range(1, 11)} == {1000}


def test_appears_disappears_appears(place: Place) -> None:
    daemon = place.start()
    log = place.logs / "late.log"
    for turn in range(1, 4):
        log.write_bytes(b"a 1\nrest")
        daemon.wait_for("lines_total", 2 * turn - 1)
        log.unlink()
        daemon.wait_for("lines_total", 2 * turn)


def test_permission_comes_later(place: Place) -> None:
    log = place.logs / "secret.log"
    log.write_bytes(b"old\n")
    log.chmod(0)
    daemon = place.start(prefix=WITHOUT_PRIVILEGE)
    append(log, b"missed? no\n")
    log.chmod(0o644)
    daemon.wait_for("lines_total", 1)
    append(log, b"one\n")
    daemon.wait_for("lines_total", 2)


def test_pipe_with_one_writer_after_the_other(place: Place) -> None:
    pipe = place.logs / "pipe"
    os.mkfifo(pipe)
    daemon = place.start(logs=[str(pipe)])
    for turn in range(1, 4):
        with pipe.open("wb") as writer:
            writer.write(b"a 1\nrest")
        daemon.wait_for("lines_total", 2 * turn)


def test_many_clients_at_once(place: Place) -> None:
    port = free_port()
    path = place.root / "socket"
    daemon = place.start(logs=[f"tcp://127.0.0.1:{port}", f"unix://{path}"])

    def talk(number: int) -> None:
        family, address = (socket.AF_INET, ("127.0.0.1", port)) if number % 2 else (socket.AF_UNIX, str(path))
        with socket.socket(family) as peer:
            peer.connect(address)
            for _ in range(20):
                peer.sendall(b"client%d 1\n" % number * 50)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    daemon.wait_for("lines_total", 40_000)
    metrics = daemon.metrics()
    assert {metrics[f"words_total{{word=client{number}}}"] for number in range(40)} == {1000}
    wait_until(lambda: daemon.value("connection_count{service=tcp}") == 0)
    assert daemon.stop() == 0
    assert not path.exists()


def test_5000_files_at_once(place: Place) -> None:
    """Half of them are there at the start, half appear while it runs; then all are written to."""
    logs = [place.logs / f"{number}.log" for number in range(5000)]
    for log in logs[:2500]:
        log.write_bytes(b"old\n")
    daemon = place.start()
    for log in logs[2500:]:
        log.write_bytes(b"new 1\n")
    for log in logs:
        append(log, b"all 1\n")
    daemon.wait_for("lines_total", 7500)
    metrics = daemon.metrics()
    assert (metrics["words_total{word=new}"], metrics["words_total{word=all}"]) == (2500, 5000)
    assert metrics["mtail_limits_hit_total{limit=open_files}"] == 0
    for log in logs:
        log.unlink()
    wait_until(lambda: not any(key.startswith("mtail_log_lag_bytes") for key in daemon.metrics()))
    assert daemon.stop() == 0


def test_datagrams(place: Place) -> None:
    port, path = free_port(socket.SOCK_DGRAM), place.root / "socket"
    daemon = place.start(logs=[f"udp://127.0.0.1:{port}", f"unixgram://{path}"])
    for family, address in ((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_UNIX, str(path))):
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            for _ in range(20):
                peer.sendto(b"a 1\nb 2", address)
    daemon.wait_for("lines_total", 80)
    assert daemon.stop() == 0
    assert not path.exists()


def test_lost_datagrams_are_counted(place: Place) -> None:
    port = free_port(socket.SOCK_DGRAM)
    daemon = place.start(logs=[f"udp://127.0.0.1:{port}"])
    daemon.send(signal.SIGSTOP)
    sent = 60_000
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        for _ in range(sent):
            peer.sendto(b"x" * 500, ("127.0.0.1", port))
    daemon.send(signal.SIGCONT)
    key = "mtail_lines_dropped_total{reason=receive_buffer}"

    def accounted() -> float:
        metrics = daemon.metrics()
        return metrics["lines_total"] + metrics[key]

    wait_until(lambda: accounted() == sent, accounted)


@pytest.mark.parametrize("text", [b"", b"one\ntwo", b"one\n" * 100_000])
def test_end_of_standard_input_ends_all(text: bytes, place: Place) -> None:
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", "-", "--address", "127.0.0.1", "--port", "0"), stdin=subprocess.PIPE
    )
    assert daemon.process.stdin is not None
    daemon.process.stdin.write(text)
    daemon.process.stdin.close()
    assert daemon.process.wait(PATIENCE) == 0, daemon.log


def test_end_of_standard_input_beside_files(place: Place) -> None:
    daemon = place.start(logs=["-", place.glob])
    append(place.logs / "a.log", b"one\n")
    daemon.wait_for("lines_total", 1)
    assert daemon.stop() == 0


def test_what_was_written_before_the_signal_counts(place: Place) -> None:
    """A last look at the sources, and their unterminated rests: seen in what a program logs as an error."""
    (place.progs / "fail.mtail").write_bytes(b"counter n\n/(?P<x>\\w+)$/ {\n  n = strtol($x, 1)\n}\n")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start()
    append(log, b"last")
    assert daemon.stop() == 0
    assert 'was "last"' in daemon.log


def test_limits_are_counted(place: Place) -> None:
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start("--max_line_length", "1024")
    append(log, b"x" * 5000 + b"\nshort\n")
    daemon.wait_for("lines_total", 2)
    metrics = daemon.metrics()
    assert metrics["mtail_limits_hit_total{limit=line_length}"] == 1
    assert metrics[f"mtail_log_lines_cut_total{{logfile={log}}}"] == 1
    assert metrics["mtail_limits_hit_total{limit=partial_memory}"] == 0


def test_memory_limit(place: Place) -> None:
    (place.progs / "count.mtail").unlink()
    (place.progs / "many.mtail").write_bytes(b"counter many by x\n/^many (?P<x>.*)$/ {\n  many[$x]++\n}\n")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start("--memory_limit", "1")
    append(log, b"".join(b"many %d\n" % number for number in range(1000)))
    daemon.wait_for("mtail_lines_total", 1000)
    metrics = daemon.metrics()
    assert metrics["memory_limit"] == 1
    made = sum(key.startswith("many") for key in metrics)
    assert made <= 1
    assert metrics["mtail_series_refused_total"] == 1000 - made
    assert metrics["memory_over_limit_count"] == 1
    assert metrics["mtail_series{metric=many}"] == made
    assert "--memory_limit=1 is less than" in daemon.log


def test_expired_label_sets_go(place: Place) -> None:
    text = b"gauge g by x\n/^g (?P<x>.*)$/ {\n  g[$x] = 1\n  del g[$x] after 1ms\n}\n"
    (place.progs / "expire.mtail").write_bytes(text)
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start("--expired_metrics_gc_interval", "300ms")
    append(log, b"g a\n")
    daemon.wait_for("lines_total", 1)
    daemon.wait_for("g{x=a}", None)


def lag(daemon: Daemon, log: Path) -> float | None:
    return daemon.value(f"mtail_log_lag_bytes{{logfile={log}}}")


def test_what_it_says_of_its_logs(place: Place) -> None:
    log = place.logs / "a.log"
    log.write_bytes(b"old\n")
    daemon = place.start()
    append(log, b"one\ntwo\n")
    daemon.wait_for("lines_total", 2)
    metrics = daemon.metrics()
    assert metrics[f"mtail_log_lines_total{{logfile={log}}}"] == 2
    assert metrics[f"mtail_log_bytes_total{{logfile={log}}}"] == 8
    assert lag(daemon, log) == 0
    assert metrics["mtail_lines_total"] == 2
    assert any(key.startswith("disk_free_bytes{") for key in metrics)
    assert metrics["memory_usage"] > 0
    assert metrics["mtail_vm_line_processing_duration_seconds_count"] >= 1
    assert metrics["prog_load_latency_count"] == 1
    families = {key.partition("{")[0] for key in metrics}
    assert families >= {
        *("mtail_build_info", "mtail_lines_total", "mtail_log_lines_total", "mtail_prog_loads_total"),
        *("mtail_prog_lines_total", "connection_count", "total_connections_denied", "disk_free_bytes"),
        *("disk_free_percent", "disk_free_inodes", "disk_free_inodes_percent", "memory_usage", "thread_pool_size"),
        *("thread_pool_parked", "prog_load_latency_sum", "scrape_latency_sum", "mtail_log_lag_bytes"),
        *("mtail_lines_dropped_total", "mtail_limits_hit_total", "mtail_vm_line_processing_duration_seconds_sum"),
        *("process_cpu_seconds_total", "process_open_fds", "python_info"),
    }
