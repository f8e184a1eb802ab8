"""Started with standard input, output or error closed, or not what they should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "nativemtail"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("count.mtail").write_text("counter lines\n/$/ {\n  lines++\n}\n")
    Path("three.log").write_bytes(b"one\ntwo\nthree\n")
    return tmp_path


def closing(*fds: int) -> Callable[[], None]:
    def close() -> None:
        for fd in fds:
            os.close(fd)

    return close


def write_only() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 0)


def run(arguments: Sequence[str], prepare: Callable[[], None]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=ENVIRONMENT,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=prepare,
    )


@pytest.mark.parametrize("prepare", [closing(0), closing(0, 1), write_only], ids=["closed", "two", "write-only"])
def test_a_daemon_without_standard_input(prepare: Callable[[], None], here: Path) -> None:
    done = run(["-progs", "count.mtail", "-port", "0", "-address", "127.0.0.1", "-logs", "-"], prepare)
    assert done.returncode == 1
    errors = done.stderr.decode().splitlines()
    assert errors[-1].startswith("F")
    assert errors[-1].endswith("] read -: bad file descriptor: standard input is closed, or not open for reading")
    assert not [line for line in errors if "Traceback" in line]


@pytest.mark.parametrize("prepare", [closing(0), write_only], ids=["closed", "write-only"])
def test_one_shot_without_standard_input(prepare: Callable[[], None], here: Path) -> None:
    done = run(["-one_shot", "-progs", "count.mtail", "-logs", "-"], prepare)
    reason = "bad file descriptor: standard input is closed, or not open for reading"
    assert done.stderr.decode().endswith(f"] read -: {reason}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-one_shot", "-progs", "count.mtail", "-logs", "three.log"),
        ("flags",),
        ("explain", "count.mtail"),
        ("-version",),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("fds", [(1,), (0, 1)])
def test_output_that_goes_nowhere_is_an_error(fds: tuple[int, ...], arguments: tuple[str, ...], here: Path) -> None:
    done = run(arguments, closing(*fds))
    assert done.returncode == 1
    assert done.stderr == b"cannot write to standard output: bad file descriptor\n"


def test_a_closed_standard_error_disturbs_nobody(here: Path) -> None:
    Path("three.log").chmod(0o644)
    done = run(["-one_shot", "-progs", "count.mtail", "-logs", "three.log,none.log"], closing(0, 2))
    assert done.returncode == 0
    assert b'"Value": 3' in done.stdout


def test_no_file_of_ours_gets_a_low_number(here: Path) -> None:
    """A daemon's epoll, sockets and logs."""
    flags = ["-progs", "count.mtail", "-port", "0", "-address", "127.0.0.1", "-logs", "three.log"]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    process = subprocess.Popen([*closed, *COMMAND, *flags], env=ENVIRONMENT)
    try:
        descriptors = Path(f"/proc/{process.pid}/fd")
        while not any("eventpoll" in _target(fd) for fd in descriptors.iterdir()):
            assert process.poll() is None
        assert [_target(descriptors / str(fd)) for fd in range(3)] == [os.devnull] * 3
    finally:
        process.terminate()
        assert process.wait(120) == 0


def _target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:
        return ""
