"""`nativemtail state`, run as a process: what it prints, and its exit status."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from daemons import COMMAND, Place
from waiting import PATIENCE


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def state(place: Place) -> str:
    """What a one-shot run of three lines leaves."""
    (place.logs / "a.log").write_bytes(b"a 1\nb 2\na 3\n")
    directory = str(place.root / "state")
    flags = ["-one_shot", "-progs", str(place.progs), "-logs", place.glob, "-state_dir", directory]
    assert command(*flags).returncode == 0
    return directory


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL
    )


def test_show(state: str) -> None:
    done = command("state", "show", state)
    assert (done.returncode, done.stderr) == (0, "")
    assert "     2  count.mtail  words_total\n" in done.stdout


def test_forget(state: str) -> None:
    done = command("state", "forget", state, "--program", "count.mtail")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "forgot 4 metrics with 5 label sets, and 0 positions\n"
    assert "count.mtail" not in command("state", "show", state).stdout
    done = command("state", "forget", state, "--program", "count.mtail")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'Error: there is nothing of a program "count.mtail" in {state}\n'


def test_a_directory_without_a_state(place: Place) -> None:
    for arguments in (["show"], ["forget", "--log", "x"]):
        done = command("state", arguments[0], str(place.progs), *arguments[1:])
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"Error: there is no state.db in {place.progs}\n"


def test_a_directory_in_use(place: Place) -> None:
    state = str(place.root / "state")
    try:
        daemon = place.start("--state_dir", state)
        assert command("state", "show", state).returncode == 0
        done = command("state", "forget", state, "--program", "count.mtail")
        assert done.returncode == 1
        assert done.stderr == f"Error: {state} is in use by process {daemon.process.pid}\n"
        assert daemon.stop() == 0
    finally:
        place.close()


@pytest.mark.parametrize("arguments", [["forget", "{}"], ["show"], ["show", "{}/none"], ["forgive", "{}"]])
def test_wrong_arguments(arguments: list[str], place: Place) -> None:
    done = command("state", *(argument.format(place.root) for argument in arguments))
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: nativemtail state")
