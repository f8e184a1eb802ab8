"""A daemon as its users see it: started as a process, asked over HTTP, ended by signals."""

from __future__ import annotations

import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from waiting import PATIENCE, wait_until

COMMAND = [sys.executable, "-m", "nativemtail"]
PEER = shutil.which("mtail")
COUNT = b"""counter lines_total
counter words_total by word
gauge last
histogram sizes buckets 0, 1, 10, 100
/^(?P<word>\\w+) (?P<size>\\d+)$/ {
  words_total[$word]++
  last = $size
  sizes = $size
}
/$/ {
  lines_total++
}
"""


_PORTS = range(22_000, 32_000)
"""Below those that the kernel gives to clients, one of which could take a port before its server does."""
_claims: list[socket.socket] = []


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that no other call is given as long as this process runs, be it in another run of the tests."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0nativemtail-test-port-{port}")
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return port
    raise AssertionError("no port is free")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


@dataclass
class Daemon:
    """A running process."""

    process: subprocess.Popen[bytes]
    errors: Path
    address: str = ""
    """`host:port`, or the path of a Unix socket."""

    @property
    def log(self) -> str:
        return self.errors.read_text(errors="replace")

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body."""
        if self.address.startswith("/"):
            connection: http.client.HTTPConnection = UnixConnection(self.address)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """All samples of `/metrics`, by name and labels but for `prog`: `words_total{word=a}`."""
        status, body = self.ask("/metrics")
        assert status == 200, body
        return {
            _key(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def value(self, key: str) -> float | None:
        return self.metrics().get(key)

    def wait_for(self, key: str, value: float | None, patience: float = PATIENCE) -> None:
        """Until the sample has the value (None: is not there)."""

        def seen() -> str:
            return f"{key} is {self.value(key)}\n{self.log[-3000:]}"

        wait_until(lambda: self.value(key) == value, seen, patience)

    def wait_log(self, text: str) -> None:
        wait_until(lambda: text in self.log, lambda: self.log)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@dataclass
class Place:
    """Programs in `progs`, logs in `logs`."""

    root: Path
    daemons: list[Daemon] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progs.mkdir()
        self.logs.mkdir()
        (self.progs / "count.mtail").write_bytes(COUNT)

    @property
    def progs(self) -> Path:
        return self.root / "progs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def glob(self) -> str:
        return f"{self.logs}/*.log"

    def start(
        self,
        *flags: str,
        logs: Sequence[str] | None = None,
        progs: Path | None = None,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Daemon:
        """Start nativemtail on a free port, and wait until it is ready."""
        arguments = ["--progs", str(progs or self.progs), "--address", "127.0.0.1", "--port", "0"]
        daemon = self.launch(*arguments, *self._logs(logs), *flags, environment=environment, **options)
        wait_until(lambda: self._is_up(daemon), lambda: daemon.log)
        return daemon

    def launch(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> Daemon:
        """Start nativemtail with these flags, by the command `prefix` if there is one, and wait for nothing."""
        path = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return self._spawn([*prefix, *COMMAND, *arguments], os.environ | path | dict(environment or {}), options)

    def start_peer(self, *flags: str, logs: Sequence[str] | None = None) -> Daemon:
        """Start Debian's mtail, and wait until it answers."""
        assert PEER, "the package mtail is not installed (packages.txt)"
        port = str(free_port())
        arguments = ["-progs", str(self.progs), "-address", "127.0.0.1", "-port", port, "-logtostderr"]
        intervals = ["-poll_interval", "20ms", "-poll_log_interval", "20ms"]
        daemon = self._spawn([PEER, *arguments, *intervals, *self._logs(logs), *flags], os.environ, {})
        daemon.address = f"127.0.0.1:{port}"
        wait_until(lambda: _answers(daemon), lambda: daemon.log)
        return daemon

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.process.kill()
            daemon.process.wait()
            for pipe in (daemon.process.stdin, daemon.process.stdout):
                if pipe is not None:
                    pipe.close()

    def _logs(self, logs: Sequence[str] | None) -> list[str]:
        return [argument for log in ([self.glob] if logs is None else logs) for argument in ("-logs", log)]

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str], options: dict[str, Any]) -> Daemon:
        errors = self.root / f"errors-{len(self.daemons)}"
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | options
        with errors.open("wb") as stderr:
            process = subprocess.Popen(command, env=dict(environment), stderr=stderr, **options)
        daemon = Daemon(process, errors)
        self.daemons.append(daemon)
        return daemon

    def _is_up(self, daemon: Daemon) -> bool:
        assert daemon.process.poll() is None, daemon.log
        found = re.search(r"HTTP on (\S+),", daemon.log)
        if found:
            daemon.address = found[1]
        return bool(found) and _answers(daemon, "/-/ready")


def _answers(daemon: Daemon, path: str = "/metrics") -> bool:
    try:
        return daemon.ask(path)[0] == 200
    except OSError:
        return False


def _key(name: str, labels: Mapping[str, str]) -> str:
    shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "prog")
    return f"{name}{{{shown}}}" if shown else name


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)
