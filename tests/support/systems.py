"""The systems that nativemtail works with: Debian's packages, unpacked under build/, and npm's.

Nothing is installed, everything listens on loopback or below the test's directory.  What cannot be had fails the test.
Their configurations are those of examples/interop, with the paths and ports that a test needs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from paths import ROOT
from waiting import PATIENCE, wait_until

CONFIGURATIONS = ROOT / "examples" / "interop"
BUILD = ROOT / "build" / "interop"

_NPM = "npm install --ignore-scripts --no-audit --no-fund --loglevel=error"


@dataclass(frozen=True)
class Root:
    """The packages' files, below `path` as they would be below `/`."""

    path: Path
    node: Path

    def __truediv__(self, name: str) -> str:
        """A file of the packages.  The test fails when they lack it."""
        found = self.path / name
        if not found.exists():
            pytest.fail(f"/{name} is in none of the packages that packages.txt names under `unpack`")
        return str(found)

    @property
    def environment(self) -> dict[str, str]:
        lib = self.path / "usr/lib"
        libraries = [lib / "x86_64-linux-gnu", lib / "aarch64-linux-gnu", lib / "syslog-ng", lib / "varnish"]
        libraries += [self.path / "lib" / directory.name for directory in libraries]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return inherited | {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PYTHONPATH": str(lib / "python3/dist-packages"),
        }


def unpacked() -> Root:
    """The packages, fetched if `make` has not done so.  The test fails when they cannot be had."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_newer(BUILD / "root.stamp", ROOT / "packages.txt"):
            _fetch(str(ROOT / "tools/unpacked-packages"), str(BUILD / "root"))
            (BUILD / "root.stamp").touch()
        if not _is_newer(BUILD / "node.stamp", ROOT / "tests/interop/package.json"):
            (BUILD / "node").mkdir(exist_ok=True)
            shutil.copy(ROOT / "tests/interop/package.json", BUILD / "node")
            _fetch(*_NPM.split(), "--prefix", str(BUILD / "node"))
            (BUILD / "node.stamp").touch()
    return Root(BUILD / "root", BUILD / "node")


def _is_newer(stamp: Path, cause: Path) -> bool:
    """Whether `stamp` was made, and since `cause` last changed."""
    return stamp.exists() and stamp.stat().st_mtime >= cause.stat().st_mtime


def _fetch(*command: str) -> None:
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.fail(f"{' '.join(command)}: {error}")
    if answer.returncode:
        pytest.fail(f"{' '.join(command)} failed:\n{answer.stdout}{answer.stderr}")


@dataclass
class System:
    """A running program."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def log(self) -> str:
        return self.output.read_text(errors="replace")[-5000:]

    def wait_for(self, port: int) -> None:
        """Until it listens."""

        def listens() -> bool:
            assert self.process.poll() is None, self.log
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, lambda: self.log)

    def wait_file(self, path: Path) -> None:
        """Until the file is there."""

        def exists() -> bool:
            assert self.process.poll() is None, self.log
            return path.exists()

        wait_until(exists, lambda: self.log)


@dataclass
class Systems:
    """Starts programs of the packages; their files go below `home`."""

    root: Root
    home: Path
    running: list[System] = field(default_factory=list)

    def configure(self, name: str, changes: Mapping[str, object]) -> Path:
        """The configuration `name` of examples/interop; every text that is to be changed must be in it."""
        text = (CONFIGURATIONS / name).read_text()
        for old, new in changes.items():
            assert old in text, f"{old} is not in {name}"
            text = text.replace(old, str(new))
        path = self.home / Path(name).name
        path.write_text(text)
        return path

    def start(self, program: str, *arguments: str | Path, path: bool = False, **environment: str) -> System:
        """Start a program of the packages, or one that is on the `path`."""
        command = [program if path else self.root / program, *map(str, arguments)]
        output = self.home / f"{Path(program).name}-{len(self.running)}.out"
        with output.open("wb") as out:
            process = subprocess.Popen(
                command,
                env=self.root.environment | environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        system = System(process, output)
        self.running.append(system)
        return system

    def run(self, program: str, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program of the packages to its end."""
        command = [self.root / program, *map(str, arguments)]
        return subprocess.run(
            command, check=False, env=self.root.environment, input=stdin, capture_output=True, timeout=PATIENCE
        )

    def close(self) -> None:
        for system in reversed(self.running):
            system.process.terminate()
        for system in self.running:
            try:
                system.process.wait(20)
            except subprocess.TimeoutExpired:
                system.process.kill()
                system.process.wait()
