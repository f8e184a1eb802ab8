"""Records of real sources: what ends them, and what does not."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import Machine
from rig import POLLING, QUICK
from waiting import PATIENCE, wait_until

from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

NEVER, SOON = "1h", "50ms"


def program(timeout: str, framing: str = "start /^#/") -> str:
    return f"record {framing} timeout {timeout}\ncounter seen by all\n/^(?P<all>(?s:.*))$/ {{\n  seen[$all]++\n}}\n"


@contextmanager
def reading(text: str, *logs: str | Path, settings: Settings = QUICK) -> Iterator[tuple[Machine, Tailer]]:
    """Follow logs in a thread; at the end it has stopped."""
    machine = Machine(text)
    tailer = Tailer(parse_logs(map(str, logs)), machine.engine, settings)
    tailer.open()
    thread = threading.Thread(target=tailer.run)
    thread.start()
    try:
        yield machine, tailer
    finally:
        tailer.stop()
        thread.join()


def seen(machine: Machine) -> dict[str, int]:
    return {labels[0]: count for labels, count in machine.values("seen").items()}


def wait_for_lines(tailer: Tailer, count: int) -> None:
    wait_until(lambda: tailer.counters.log_lines_total.total() == count)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def connect(tailer: Tailer) -> socket.socket:
    [address] = tailer.addresses.values()
    assert isinstance(address, tuple)
    return socket.create_connection(address[:2])


def test_silence_ends_a_record(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading(program(SOON), log) as (machine, _):
        append(log, "#1\na\n")
        wait_until(lambda: seen(machine) == {"#1\na": 1})
        append(log, "b\n")
        wait_until(lambda: seen(machine) == {"#1\na": 1, "b": 1})


def test_the_stop_ends_a_record(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading(program(NEVER), log) as (machine, tailer):
        append(log, "#1\na\n")
        wait_for_lines(tailer, 2)
        assert seen(machine) == {}
    assert seen(machine) == {"#1\na": 1}


def test_rotation_and_truncation_do_not_end_a_record(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading(program(NEVER), log) as (machine, tailer):
        append(log, "#1\na\n")
        wait_for_lines(tailer, 2)
        log.rename(tmp_path / "a.log.1")
        append(log, "b\n")
        wait_for_lines(tailer, 3)
        os.truncate(log, 0)
        wait_until(lambda: tailer.counters.file_truncates_total.total() == 1)
        append(log, "c\n#2\n")
        wait_for_lines(tailer, 5)
        assert seen(machine) == {"#1\na\nb\nc": 1}


def test_deletion_ends_a_record(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading(program(NEVER), log, settings=POLLING) as (machine, tailer):
        append(log, "#1\na\n")
        wait_for_lines(tailer, 2)
        log.unlink()
        wait_until(lambda: seen(machine) == {"#1\na": 1})


def test_connections_have_records_of_their_own_which_end_with_them() -> None:
    with reading(program(NEVER), "tcp://127.0.0.1:0") as (machine, tailer):
        with connect(tailer) as one, connect(tailer) as two:
            one.sendall(b"#1\n")
            two.sendall(b"#2\n")
            wait_for_lines(tailer, 2)
            one.sendall(b"one\n")
            two.sendall(b"two\n")
            wait_for_lines(tailer, 4)
            assert seen(machine) == {}
            one.close()
            wait_until(lambda: seen(machine) == {"#1\none": 1})
        wait_until(lambda: seen(machine) == {"#1\none": 1, "#2\ntwo": 1})


def test_the_requests_of_one_connection_share_a_record() -> None:
    with reading(program(NEVER), "http://127.0.0.1:0/logs") as (machine, tailer):
        [address] = tailer.addresses.values()
        assert isinstance(address, tuple)
        peer = http.client.HTTPConnection(*address[:2], timeout=PATIENCE)
        for text in ("#1\n", "a\n"):
            peer.request("POST", "/logs", text)
            assert peer.getresponse().read() == b""
        assert seen(machine) == {}
        peer.close()
        wait_until(lambda: seen(machine) == {"#1\na": 1})


def test_the_end_of_a_datagram_ends_a_record() -> None:
    with reading(program(NEVER), "udp://127.0.0.1:0") as (machine, tailer):
        [address] = tailer.addresses.values()
        assert isinstance(address, tuple)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for text in (b"#1\na", b"b\n", b"#2\n#3\n"):
                peer.sendto(text, address)
        wait_until(lambda: seen(machine) == {"#1\na": 1, "b": 1, "#2": 1, "#3": 1})


def test_each_stream_of_a_container_is_silent_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading(program("1h", "cri"), log) as (machine, tailer):
        append(log, "1 stdout P a\n2 stderr P x\n3 stdout F b\n")
        wait_for_lines(tailer, 3)
        wait_until(lambda: seen(machine) == {"ab": 1})
    assert seen(machine) == {"ab": 1, "x": 1}


def test_a_program_that_comes_later_with_records_has_them_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    with reading("counter seen by all\n/^(?P<all>x)/ {\n  seen[$all]++\n}\n", log) as (machine, tailer):
        append(log, "x\n")
        wait_for_lines(tailer, 1)
        machine.swap(program(SOON))
        append(log, "#1\n")
        wait_until(lambda: seen(machine) == {"#1": 1})
