"""The process among others: start-up errors, signals, systemd, what the system allows."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import Place, append, free_port
from paths import ROOT
from waiting import PATIENCE, wait_until

PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
MMAP, MPROTECT, PKEY_MPROTECT = 9, 10, 329
CANNOT = 77
UNIT = ROOT / "packaging/nativemtail.service"


def refused(place: Place, *flags: str) -> str:
    """The messages of a start that must fail with status 1."""
    daemon = place.launch("--progs", str(place.progs), "--logs", place.glob, *flags)
    assert daemon.process.wait(PATIENCE) == 1, daemon.log
    assert "Traceback" not in daemon.log
    return daemon.log


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--address", "127.0.0.1", "--port", "none"], "listen tcp 127.0.0.1:none"),
        (["--trusted_hosts", "10.0.0.1/8"], "has host bits set: write 10.0.0.0/8 for the block"),
        (["--trusted_hosts", "localhost"], "-trusted_hosts: 'localhost' is neither an IP address nor a CIDR block"),
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


def test_no_trusted_hosts_are_the_default(place: Place) -> None:
    daemon = place.start("--trusted_hosts", "")
    assert "for 127.0.0.0/8, ::1 only" in daemon.log
    assert daemon.ask("/-/healthy")[0] == 200


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
    daemon.wait_log("HTTP on " + path)  # the file exists a moment before it can be connected to
    wait_until(lambda: daemon.ask("/-/ready")[0] == 200)
    assert daemon.log.count("HTTP on") == 1


def test_the_first_page_shows_all_programs(place: Place) -> None:
    """Requests are accepted while the programs are compiled, and answered afterwards."""
    for number in range(20):
        text = f"counter n{number}_total\n/^{number} (a|b|c){{1,40}}/ {{\n  n{number}_total++\n}}\n"
        (place.progs / f"{number:02}.mtail").write_text(text)
    path = str(place.root / "http")
    daemon = place.launch("--progs", str(place.progs), "--logs", place.glob, "--unix_socket", path)
    daemon.wait_log("HTTP on " + path)
    daemon.address = path
    assert daemon.metrics().keys() >= {"lines_total", *(f"n{number}_total" for number in range(20))}


def test_logs_that_cannot_be_had_leave_nothing_behind(place: Place) -> None:
    path = place.root / "http"
    refused(place, "--unix_socket", str(path), "--logs", "unix:///no/such/directory/s")
    assert not path.exists()


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt")])
def test_ends_at_once(number: signal.Signals, name: str, place: Place) -> None:
    logs = [place.glob, f"tcp://127.0.0.1:{free_port()}", "-"]
    daemon = place.start("--drain_timeout", "1h", logs=logs, stdin=None)
    assert daemon.stop(number) == 0
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
    assert daemon.stop(number) == 0, daemon.log
    assert daemon.log.endswith(f"Received {name}, exiting...\n")
    assert "Loaded program 499" not in daemon.log
    assert not path.exists()


SIGNAL_AT_IMPORT = """
import os, sys
from nativemtail.app.cli import main

class Signals:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))

sys.meta_path.insert(0, Signals())
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize("module", ["nativemtail.app.run", "nativemtail.app.daemon"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_while_it_is_imported(number: signal.Signals, module: str, place: Place) -> None:
    """Imports take most of a start's time, which is seconds on a machine that is overloaded."""
    flags = ["--progs", str(place.progs), "--logs", place.glob, "--address", "127.0.0.1", "--port", "0"]
    command = [sys.executable, "-c", SIGNAL_AT_IMPORT, module, str(int(number)), *flags]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0
    assert b"Traceback" not in ended.stderr


def test_a_one_shot_run_is_ended_by_the_signal(place: Place) -> None:
    """As other filters are."""
    flags = ["--one_shot", "--progs", str(place.progs), "--logs", place.glob]
    command = [sys.executable, "-c", SIGNAL_AT_IMPORT, "nativemtail.app.run", str(int(signal.SIGTERM)), *flags]
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode == -signal.SIGTERM


def test_other_signals(place: Place) -> None:
    daemon = place.start()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        daemon.send(number)
    assert daemon.ask("/-/healthy")[0] == 200
    assert daemon.stop(signal.SIGQUIT) == 2
    assert "most recent call first" in daemon.log
    assert "tailer.py" in daemon.log


def test_no_poll_intervals(place: Place) -> None:
    daemon = place.start("--poll_interval", "0", "--poll_log_interval", "0s")
    for what in ("data", "pattern"):
        assert f"no poll log {what} interval specified; defaulting to 250ms poll" in daemon.log


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
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
    assert daemon.process.wait(PATIENCE) == 1
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(1000)


def _deny_by_prctl() -> None:
    """What systemd's MemoryDenyWriteExecute does from 253 on, by the kernel's own means."""
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        os._exit(CANNOT)


def _deny_by_seccomp() -> None:
    """What older ones do: no mapping that is written and executed, and none that becomes executable later."""
    load, jump_equal, mask, give = 0x20, 0x15, 0x54, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    filters = [
        (load, 0, 0, 0),
        (jump_equal, 3, 0, MMAP),
        (jump_equal, 5, 0, MPROTECT),
        (jump_equal, 4, 0, PKEY_MPROTECT),
        (give, 0, 0, allow),
        (load, 0, 0, 32),
        (mask, 0, 0, mmap.PROT_WRITE | mmap.PROT_EXEC),
        (jump_equal, 3, 4, mmap.PROT_WRITE | mmap.PROT_EXEC),
        (load, 0, 0, 32),
        (mask, 0, 0, mmap.PROT_EXEC),
        (jump_equal, 0, 1, mmap.PROT_EXEC),
        (give, 0, 0, refuse),
        (give, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *entry) for entry in filters))
    program = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code))
    prctl = ctypes.CDLL(None).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        os._exit(CANNOT)


@pytest.mark.parametrize("deny", [_deny_by_prctl, _deny_by_seccomp])
def test_without_writable_code(deny: Callable[[], None], place: Place) -> None:
    if deny is _deny_by_seccomp and os.uname().machine != "x86_64":
        pytest.skip("the numbers of system calls are those of x86-64")
    if subprocess.run([sys.executable, "-S", "-c", ""], preexec_fn=deny, check=False).returncode == CANNOT:
        pytest.skip("this kernel cannot forbid code that is made at run time")
    log = place.logs / "a.log"
    log.touch()
    daemon = place.start(preexec_fn=deny)
    assert "RE2 makes all captures" in daemon.log
    append(log, b"a 1\nb 2\nother\n")
    daemon.wait_for("lines_total", 3)
    assert daemon.value("words_total{word=a}") == 1
    assert daemon.stop() == 0


def test_the_unit_is_good(tmp_path: Path) -> None:
    unit = tmp_path / "nativemtail.service"
    text = UNIT.read_text()
    assert "MemoryDenyWriteExecute=yes" in text
    assert "Type=notify" in text
    assert "StateDirectory=nativemtail\nStateDirectoryMode=0700\n" in text
    assert " --state_dir ${STATE_DIRECTORY}\n" in text
    unit.write_text(text.replace("/usr/bin/nativemtail", sys.executable))
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # It also looks at units of other packages, and finds fault with some.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "nativemtail" in line]
    assert (done.returncode, said) == (0, []), done.stderr


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


@pytest.mark.parametrize(
    ("flags", "modes"),
    [
        ((), {"in": 0o600, "gram": 0o600, "http": 0o600}),
        (
            ("--log_socket_mode", "0666", "--unix_socket_mode", "0640"),
            {"in": 0o666, "gram": 0o666, "http": 0o640},
        ),
    ],
)
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(
    umask: int, flags: tuple[str, ...], modes: dict[str, int], place: Place
) -> None:
    sockets = {name: place.root / f"{name}.sock" for name in modes}
    daemon = place.start(
        *("--unix_socket", str(sockets["http"]), "--log_dir", str(place.root), "--stderrthreshold", "INFO", *flags),
        logs=[f"unix://{sockets['in']}", f"unixgram://{sockets['gram']}"],
        environment={"HOME": str(place.root), "XDG_CACHE_HOME": ""},
        umask=umask,
    )
    assert {name: stat.S_IMODE(path.stat().st_mode) for name, path in sockets.items()} == modes
    wait_until(lambda: list(place.root.glob(".cache/**/*.plan")))
    made = [*place.root.glob("*.log.*"), *place.root.glob(".cache"), *place.root.glob(".cache/**/*")]
    assert len(made) >= 5
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in made if path.is_dir()} == {"0o700"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in made if path.is_file()} == {"0o600"}
    assert daemon.stop() == 0


def with_threads(limit: int, user: int) -> tuple[str, ...]:
    """A command's prefix: run it as a user that may read all and have so many threads."""
    privileges = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    bounds = "--bounding-set=-all,+dac_read_search"
    become = ("setpriv", "--reuid", str(user), "--clear-groups", *privileges, bounds, "--")
    return (*become, "prlimit", f"--nproc={limit}", "--")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("limit", [7, 8, 9])
def test_pages_need_no_further_thread(limit: int, place: Place) -> None:
    """Threads: main, messages, watcher, reload, tail, http, two that make pages, disk-space; the user has no others."""
    (place.logs / "a.log").touch()
    prefix = with_threads(limit, 200_000 + os.getpid())
    daemon = place.start("--cache_dir", "none", prefix=prefix, environment={"HOME": "/nonexistent"})
    for _ in range(3):
        for page in ("/", "/metrics", "/-/healthy", "/json", "/debug/vars"):
            assert daemon.ask(page)[0] == 200, page
    metrics = daemon.metrics()
    assert "mtail_lines_total" in metrics
    assert any(key.startswith("disk_free") for key in metrics) is (limit >= 9)
    assert ("the metrics disk_free_* are left out" in daemon.log) is (limit < 9)
    assert daemon.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_too_few_threads_for_a_start(limit: int, place: Place) -> None:
    daemon = place.launch(
        *("--progs", str(place.progs), "--logs", place.glob, "--port", "0", "--cache_dir", "none"),
        prefix=with_threads(limit, 300_000 + os.getpid()),
        environment={"HOME": "/nonexistent"},
    )
    assert daemon.process.wait(PATIENCE) == 1
    assert "Traceback" not in daemon.log
    assert "can't start new thread: the limit of processes (ulimit -u, TasksMax=) or of memory is too low" in daemon.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may hide /proc")
@pytest.mark.parametrize("flags", [(), ("--memory_limit", "300000000")])
def test_without_proc(flags: tuple[str, ...], place: Place) -> None:
    daemon = place.start(
        *flags,
        prefix=("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"),
    )
    for page in ("/", "/metrics", "/metrics.json", "/debug/vars"):
        assert daemon.ask(page)[0] == 200, page
    metrics = daemon.metrics()
    assert metrics["memory_usage"] > 1 << 20
    assert "process_resident_memory_bytes" not in metrics
    assert "Error" not in daemon.log
    assert daemon.stop() == 0
