"""Syslog daemons write to named pipes and Unix sockets; senders of RFC 3164 and RFC 5424 to TCP and UDP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import Daemon, Place, free_port
from paths import ROOT
from systems import CONFIGURATIONS, System, Systems
from waiting import PATIENCE, wait_until

PROGRAM = r"""counter syslog_total by source, host, app
getfilename() =~ /(?P<source>[\w.:-]+)$/ {
  /^(<\d+>)?(\w{3} [ \d]\d [\d:]{8}|1? ?\d{4}-\d\d-\S+) (?P<host>\S+) (?P<app>[\w.-]+)(\[\d+\]:|:| ).*sizes? (\d+)$/ {
    syslog_total[$source][$host][$app]++
  }
}
"""
MESSAGE = "<13>Mar  2 08:00:11 box app[1]: size {}\n"
COUNT = 200


@pytest.fixture
def syslog(place: Place) -> Place:
    (place.progs / "syslog.mtail").write_text(PROGRAM)
    return place


def send(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sender:
        sender.sendall("".join(MESSAGE.format(number) for number in range(COUNT)).encode())


def key(source: str, app: str = "app") -> str:
    return f"syslog_total{{app={app},host=box,source={source}}}"


def wait_sockets(*paths: Path) -> None:
    for path in paths:
        wait_until(lambda path=path: path.is_socket(), str(path))


def test_rsyslog(syslog: Place, systems: Systems) -> None:
    pipe, sock, port = syslog.root / "rsyslog.pipe", syslog.root / "rsyslog.sock", free_port()
    os.mkfifo(pipe)
    daemon = syslog.start(logs=[str(pipe), f"unixgram://{sock}"])
    wait_sockets(sock)
    names = {"/var/spool/nativemtail/rsyslog.pipe": pipe, "/run/nativemtail/rsyslog.sock": sock}
    systems.configure("rsyslog/nativemtail.conf", names)
    config = syslog.root / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{syslog.root}")\nmodule(load="imptcp")\n'
        f'input(type="imptcp" port="{port}" address="127.0.0.1")\n'
        f'include(file="{syslog.root}/nativemtail.conf")\n'
    )
    modules = Path(systems.root / "usr/lib/x86_64-linux-gnu/rsyslog")
    pid = syslog.root / "pid"
    rsyslog = systems.start("usr/sbin/rsyslogd", "-n", "-f", config, "-i", pid, "-M", modules)
    rsyslog.wait_for(port)
    send(port)
    daemon.wait_for(key("rsyslog.pipe"), COUNT)
    daemon.wait_for(key("rsyslog.sock"), COUNT)
    assert "error" not in rsyslog.log


def test_syslog_ng(syslog: Place, systems: Systems) -> None:
    pipe, stream, dgram = (syslog.root / name for name in ("syslog-ng.pipe", "stream.sock", "dgram.sock"))
    port = free_port()
    os.mkfifo(pipe)
    daemon = syslog.start(logs=[str(pipe), f"unix://{stream}", f"unixgram://{dgram}"])
    wait_sockets(stream, dgram)
    names = {
        "/var/spool/nativemtail/syslog-ng.pipe": pipe,
        "/run/nativemtail/stream.sock": stream,
        "/run/nativemtail/dgram.sock": dgram,
    }
    ours = systems.configure("syslog-ng/nativemtail.conf", names)
    syslog_ng = start_syslog_ng(syslog, systems, port, ours)
    syslog_ng.wait_for(port)
    send(port)
    for source in ("syslog-ng.pipe", "stream.sock", "dgram.sock"):
        daemon.wait_for(key(source), COUNT)


def test_syslog_ng_by_http(syslog: Place, systems: Systems) -> None:
    """The receiver is restarted meanwhile: what was not answered is sent again."""
    (syslog.progs / "records.mtail").write_text(
        "counter records_total by host, app\n"
        "json HOST as host, PROGRAM as app, MESSAGE as text, ISODATE as time {\n"
        '  strptime($time, "2006-01-02T15:04:05Z07:00")\n'
        "  $text =~ /^size \\d+$/ {\n    records_total[$host][$app]++\n  }\n}\n"
    )
    port, ours, state = free_port(), free_port(), str(syslog.root / "state")
    logs = [f"http://127.0.0.1:{ours}/syslog"]
    daemon = syslog.start("--state_dir", state, logs=logs)
    configuration = systems.configure("syslog-ng/http.conf", {"127.0.0.1:3904": f"127.0.0.1:{ours}"})
    syslog_ng = start_syslog_ng(syslog, systems, port, configuration)
    syslog_ng.wait_for(port)
    send(port)
    daemon.wait_for("records_total{app=app,host=box}", COUNT)
    assert daemon.stop() == 0
    send(port)
    daemon = syslog.start("--state_dir", state, logs=logs)
    daemon.wait_for("records_total{app=app,host=box}", 2 * COUNT)


def start_syslog_ng(syslog: Place, systems: Systems, port: int, ours: Path) -> System:
    """syslog-ng with our part of its configuration, listening on a port."""
    version = re.search(r"@version: *(\S+)", Path(systems.root / "etc/syslog-ng/syslog-ng.conf").read_text())
    assert version
    config = syslog.root / "syslog-ng.conf"
    config.write_text(
        f"@version: {version[1]}\noptions {{ keep-hostname(yes); chain-hostnames(no); keep-timestamp(yes); }};\n"
        f'source s_src {{ network(transport("tcp") ip("127.0.0.1") port({port})); }};\n{ours.read_text()}'
    )
    modules = Path(systems.root / "usr/lib/syslog-ng")
    found = next(path for path in sorted(modules.iterdir()) if path.is_dir())
    places = {"persist-file": "persist", "pidfile": "pid", "control": "control"}
    return systems.start(
        "usr/sbin/syslog-ng",
        *("-F", "--no-caps", "-f", config, "--module-path", found),
        *(f"--{option}={syslog.root / name}" for option, name in places.items()),
    )


def commands() -> list[str]:
    """How journalctl and nativemtail are put together: in the unit, and on the page."""
    unit = (CONFIGURATIONS / "systemd/nativemtail-journal.service").read_text()
    page = (ROOT / "docs/interop.md").read_text()
    found = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    return found + re.findall(r"^ +(journalctl .*)$", page, re.MULTILINE)


def test_journald_is_documented() -> None:
    assert [command.partition(" | ")[0] for command in commands()] == [
        *("journalctl -o short-iso -f -n 0", "journalctl -o short-iso -f -n 0", "journalctl -o cat -f")
    ]


@pytest.mark.parametrize("command", commands())
def test_journald(syslog: Place, command: str) -> None:
    """With a stand-in for journalctl on the path."""
    shell = command.replace("/etc/nativemtail", str(syslog.progs))
    bin, said, port = syslog.root / "bin", syslog.root / "said", free_port()
    bin.mkdir()
    stamp = "" if "-o cat" in command else "2026-03-02T08:00:11+0000 box app[1]: "
    lines = "".join(f"{stamp}size {number}\\n" for number in range(COUNT))
    scripts = {
        "journalctl": f"echo journalctl \"$@\" >{said}\nprintf '{lines}'\nexec sleep 100",
        "nativemtail": f'exec {sys.executable} -m nativemtail "$@" --address 127.0.0.1 --port {port}',
    }
    for name, text in scripts.items():
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": ":".join(filter(None, sys.path))}
    errors = syslog.root / "errors"
    with errors.open("wb") as stderr:
        service = subprocess.Popen(["/bin/sh", "-c", shell], env=environment, stderr=stderr, start_new_session=True)
    try:
        daemon = Daemon(service, errors, f"127.0.0.1:{port}")
        daemon.wait_log("HTTP on")
        daemon.wait_for("syslog_total{app=app,host=box,source=-}" if stamp else "lines_total", COUNT)
        assert said.read_text() == command.partition(" | ")[0] + "\n"
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(PATIENCE)


FRAMES_3164 = [MESSAGE.format(number).rstrip("\n") for number in range(COUNT)]
FRAMES_5424 = [f"<13>1 2026-03-02T08:00:11.123Z box app - - - size {number}" for number in range(COUNT)]


@pytest.mark.parametrize("frames", [FRAMES_3164, FRAMES_5424], ids=["rfc3164", "rfc5424"])
@pytest.mark.parametrize("framing", ["newline", "octets"])
def test_tcp(syslog: Place, frames: list[str], framing: str) -> None:
    port = free_port()
    daemon = syslog.start(logs=[f"tcp://127.0.0.1:{port}"])
    data = b"".join(
        f"{frame}\n".encode() if framing == "newline" else f"{len(frame)} {frame}".encode() for frame in frames
    )
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sender:
        for at in range(0, len(data), 777):
            sender.sendall(data[at : at + 777])
        daemon.wait_for(key(f"127.0.0.1:{port}"), COUNT)


@pytest.mark.parametrize("frames", [FRAMES_3164, FRAMES_5424], ids=["rfc3164", "rfc5424"])
def test_udp(syslog: Place, frames: list[str]) -> None:
    """Datagrams end without a newline."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = syslog.start(logs=[f"udp://127.0.0.1:{port}"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for frame in frames:
            sender.sendto(frame.encode(), ("127.0.0.1", port))
    daemon.wait_for(key(f"127.0.0.1:{port}"), COUNT)


@pytest.mark.parametrize("options", ["--tcp --octet-count", "--tcp", "--udp"])
def test_logger(syslog: Place, options: str) -> None:
    """What util-linux's logger sends, RFC 5424."""
    port = free_port(socket.SOCK_DGRAM if "udp" in options else socket.SOCK_STREAM)
    scheme = "udp" if "udp" in options else "tcp"
    daemon = syslog.start(logs=[f"{scheme}://127.0.0.1:{port}"])
    command = [
        "logger",
        *options.split(),
        "--server",
        "127.0.0.1",
        "--port",
        str(port),
        "--rfc5424=nohost",
        "-t",
        "app",
    ]
    subprocess.run([*command, "--", "size 1"], check=True, timeout=PATIENCE)
    daemon.wait_for("lines_total", 1)
