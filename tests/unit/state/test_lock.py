"""One process at a time, and what is wrong with a directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nativemtail.state.lock import NAME, Lock, StateError

HOLD = """
import sys
from nativemtail.state.lock import Lock
lock = Lock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_the_directory_is_made_for_its_user_only(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    with Lock(str(directory)):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert (directory / NAME).read_text() == f"{os.getpid()}\n"


def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=rf"^{tmp_path} is in use by process {first.pid}$"):
            Lock(str(tmp_path))
        first.kill()
        first.wait()
    with Lock(str(tmp_path)):
        assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"mkdir .*/file/state: not a directory"):
        Lock(str(tmp_path / "file" / "state"))


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"mkdir .*/file: file exists"):
        Lock(str(tmp_path / "file"))


def test_a_directory_that_cannot_be_written() -> None:
    with pytest.raises(StateError, match=r"open /proc/self/state.lock: "):
        Lock("/proc/self")


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(StateError, match="symbolic link"):
        Lock(str(tmp_path))
    assert (tmp_path / "precious").read_text() == "precious"
