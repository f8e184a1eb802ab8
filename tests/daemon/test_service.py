"""The process among others: start-up errors, signals, systemd, what the system allows."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Place, append, free_port, wait_until

PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1


def refused(place: Place, *flags: str) -> str:
    """The messages of a start that must fail with status 1."""
    daemon = place.launch("--progs", str(place.progs), "--logs", place.glob, *flags)
    assert daemon.process.wait(20) == 1, daemon.log
    assert "Traceback" not in daemon.log
    return daemon.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--address", "127.0.0.1", "--port", "none"], "listen tcp 127.0.0.1:none"),
        (["--trusted_hosts", "10.0.0.1/8"], "has host bits set: write 10.0.0.0/8 for the block"),
        (["--trusted_hosts", "localhost"], "neither an IP address nor a CIDR block"),
        (["--tls_cert", "/nowhere"], "TLS needs both -tls_cert and -tls_key"),
        (["--tls_cert", "/nowhere", "--tls_key", "/nowhere"], "cannot use certificate /nowhere"),
        (["--unix_socket", "x", "--unix_socket_mode", "999"], "-unix_socket_mode must be an octal number"),
        (["--ignore_filename_regex_pattern", "a("], "missing closing )"),
        (["--port", "0", "--address", "127.0.0.1", "--logs", "unix:///no/such/directory"], "no such file or directory"),
        (["--port", "0", "--address", "127.0.0.1", "--logs", "tcp://127.0.0.1:x"], "tcp"),
    ],
)
def test_refused(flags: list[str], message: str, place: Place) -> None:
    assert message in refused(place, *flags)


def test_second_instance(place: Place) -> None:
    first = place.start()
    port = first.address.rpartition(":")[2]
    text = refused(place, "--address", "127.0.0.1", "--port", port)
    assert f"listen tcp 127.0.0.1:{port}: bind: address already in use (choose another port with --port" in text
    assert first.ask("/-/healthy")[0] == 200


def test_second_instance_on_a_unix_socket(place: Place) -> None:
    path = str(place.root / "http")
    daemon = place.start("--unix_socket", path)
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"
    assert "address already in use" in refused(place, "--unix_socket", path)
    daemon.address = path
    assert daemon.ask("/-/ready")[0] == 200
    assert daemon.stop() == 0
    assert not os.path.exists(path)


def test_unix_socket_alone(place: Place) -> None:
    path = str(place.root / "http")
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--unix_socket", path, "--unix_socket_mode", "0666")
    )
    daemon.address = path
    wait_until(lambda: os.path.exists(path), lambda: daemon.log)
    wait_until(lambda: daemon.ask("/-/ready")[0] == 200)
    assert "HTTP on " + path in daemon.log
    assert daemon.log.count("HTTP on") == 1


def test_logs_that_cannot_be_had_leave_nothing_behind(place: Place) -> None:
    path = place.root / "http"
    refused(place, "--unix_socket", str(path), "--logs", "unix:///no/such/directory/s")
    assert not path.exists()


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt")])
def test_ends_at_once(number: signal.Signals, name: str, place: Place) -> None:
    daemon = place.start(logs=[place.glob, f"tcp://127.0.0.1:{free_port()}", "-"], stdin=None)
    begin = time.monotonic()
    assert daemon.stop(number) == 0
    assert time.monotonic() - begin < 3
    assert f"Received {name}, exiting..." in daemon.log


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt")])
def test_ends_while_it_starts(number: signal.Signals, name: str, place: Place) -> None:
    """When it listens already, and compiles programs for some seconds."""
    for program in range(500):
        text = "".join(f"/^a{program} b{pattern} (?P<x>\\w+) [a-z]+/ {{\n  n++\n}}\n" for pattern in range(20))
        (place.progs / f"{program:03}.mtail").write_text(f"counter n\n{text}")
    path = place.root / "http"
    daemon = place.launch("--progs", str(place.progs), "--logs", place.glob, "--unix_socket", str(path))
    wait_until(lambda: "HTTP on" in daemon.log, lambda: daemon.log)
    daemon.send(signal.SIGHUP)
    begin = time.monotonic()
    assert daemon.stop(number) == 0, daemon.log
    assert time.monotonic() - begin < 3
    assert daemon.log.endswith(f"Received {name}, exiting...\n")
    assert "Loaded program 499" not in daemon.log
    assert not path.exists()


def test_other_signals(place: Place) -> None:
    daemon = place.start()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        daemon.send(number)
    assert daemon.ask("/-/healthy")[0] == 200
    assert daemon.stop(signal.SIGQUIT) == 2
    assert "most recent call first" in daemon.log
    assert "tailer.py" in daemon.log


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        yield sock


def messages(sock: socket.socket, until: str) -> list[str]:
    """Everything up to the message that begins with `until`."""
    seen = [sock.recv(1000).decode()]
    while not seen[-1].startswith(until):
        seen.append(sock.recv(1000).decode())
    return seen


def test_systemd(place: Place, systemd: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "300000"}
    daemon = place.start(environment=environment)
    assert messages(systemd, "READY") == ["READY=1"]
    assert messages(systemd, "WATCHDOG") == ["WATCHDOG=1"]
    daemon.send(signal.SIGHUP)
    messages(systemd, "RELOADING=1\nMONOTONIC_USEC=")
    messages(systemd, "READY")
    assert daemon.stop() == 0
    messages(systemd, "STOPPING")


def test_not_ready_before_the_logs_are_open(place: Place, systemd: socket.socket) -> None:
    logs = "unix:///no/such/directory/s"
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", logs, "--address", "127.0.0.1", "--port", "0"),
        environment={"NOTIFY_SOCKET": systemd.getsockname()},
    )
    assert daemon.process.wait(20) == 1
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)


def _deny_writable_code() -> None:
    """What systemd's MemoryDenyWriteExecute does, by the kernel's own means."""
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


@pytest.mark.skipif(
    sys.platform != "linux" or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3), reason="needs Linux 6.3"
)
def test_without_writable_code(place: Place) -> None:
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start(preexec_fn=_deny_writable_code)
    assert "RE2 makes all captures" in daemon.log
    append(log, b"a 1\nb 2\nother\n")
    daemon.wait_for("lines_total", 3)
    assert daemon.value("words_total{word=a}") == 1
    assert daemon.stop() == 0


def test_faults_are_logged_up_to_a_limit(place: Place) -> None:
    (place.progs / "fail.mtail").write_bytes(b"counter n\n/x(?P<x>\\w+)$/ {\n  n = strtol($x, 1)\n}\n")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start()
    append(log, b"x1\n" * 1000)
    daemon.wait_for("mtail_prog_runtime_errors_total", 1000)
    assert daemon.stop() == 0
    assert daemon.log.count("fail.mtail: Runtime error: strconv.ParseInt") == 20
    assert "fail.mtail: 980 further runtime errors" in daemon.log


def test_faults_are_shown(place: Place) -> None:
    (place.progs / "fail.mtail").write_bytes(b"counter n\n/x(?P<x>\\w+)$/ {\n  n = strtol($x, 1)\n}\n")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start("--vm_logs_runtime_errors=false")
    append(log, b"<x1\n")
    daemon.wait_for("mtail_prog_runtime_errors_total", 1)
    page = daemon.ask("/")[1].decode()
    assert "&lt;x1" in page
    assert "base 1" in page
    assert "Runtime error" not in daemon.log
    dump = daemon.ask("/progz?prog=fail.mtail")[1].decode()
    assert dump.startswith("Prog: fail.mtail")
    assert "Last runtime error:\nstrconv" in dump
