"""Files that are held from the moment they appear."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nativemtail._core import Lookout

ANY = ["", ""]

WRITER = """
import os, sys, time
sys.stdin.readline()
for number in range(9):
    with open(sys.argv[1], "w") as file:
        file.write(str(number))
    time.sleep(0.01)
    os.unlink(sys.argv[1])
"""


@pytest.fixture
def lookout() -> Iterator[Lookout]:
    lookout = Lookout()
    yield lookout
    lookout.close()


def taken(lookout: Lookout, count: int) -> list[tuple[str, bytes]]:
    """Names and contents of the next files."""
    found: list[tuple[str, bytes]] = []
    end = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < end, found
        select.select([lookout.fileno()], [], [], 1)
        for path, held in lookout.take():
            with open(f"/proc/self/fd/{held}", "rb") as file:
                found.append((os.path.basename(path), file.read()))
            os.close(held)
    return found


def test_what_is_gone_can_be_read(tmp_path: Path, lookout: Lookout) -> None:
    lookout.watch(str(tmp_path), ANY)
    path = tmp_path / "a\udcff"
    for number in range(3):
        path.write_bytes(b"%d" % number)
        assert taken(lookout, 1) == [(path.name, b"%d" % number)]
        path.unlink()
    held = tmp_path / "held"
    held.write_bytes(b"x")
    select.select([lookout.fileno()], [], [], 10)
    held.unlink()
    held.write_bytes(b"y")
    assert taken(lookout, 2) == [("held", b"x"), ("held", b"y")]


def test_renames_links_and_directories(tmp_path: Path, lookout: Lookout) -> None:
    (tmp_path / "old").write_bytes(b"old")
    lookout.watch(str(tmp_path), ANY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "link").symlink_to("new")
    assert taken(lookout, 2) == [("new", b"old"), ("link", b"old")]


def test_the_writer_of_a_pipe_is_not_let_in(tmp_path: Path, lookout: Lookout) -> None:
    lookout.watch(str(tmp_path), ANY)
    os.mkfifo(tmp_path / "pipe")
    select.select([lookout.fileno()], [], [], 10)
    with pytest.raises(OSError, match="No such device"):
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    [(_, held)] = lookout.take()
    os.close(held)


def test_it_holds_a_bounded_number(tmp_path: Path, lookout: Lookout) -> None:
    lookout.watch(str(tmp_path), ANY)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2 * Lookout.HELD):
        (tmp_path / str(number)).touch()
    end = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) < before + Lookout.HELD:
        assert time.monotonic() < end
    time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) == before + Lookout.HELD
    lookout.close()
    assert len(os.listdir("/proc/self/fd")) < before
    assert lookout.take() == []


@pytest.mark.parametrize(
    ("pieces", "names"),
    [
        (["app.log"], ["app.log"]),
        (["app", ".log"], ["app.log", "app-x.log", "app1.log1.log"]),
        (["", "log", ""], ["app.log", "app-x.log", "app1.log1.log", "app.log.1", "log"]),
        (["a", "1", "1", "g"], ["app1.log1.log"]),
        (["app.log", "log"], []),
    ],
)
def test_only_names_that_match_are_held(pieces: list[str], names: list[str], tmp_path: Path, lookout: Lookout) -> None:
    """Others would fill its places."""
    lookout.watch(str(tmp_path), pieces)
    lookout.watch(str(tmp_path), pieces)
    lookout.watch(str(tmp_path), ["end"])
    for _ in range(Lookout.HELD):
        (tmp_path / "other").touch()
        (tmp_path / "other").unlink()
    for name in ("app.log", "app-x.log", "app1.log1.log", "app.log.1", "log", "ap.txt", "end"):
        (tmp_path / name).touch()
    assert [name for name, _ in taken(lookout, len(names) + 1)] == [*names, "end"]


def test_a_directory_that_goes_and_one_that_is_none(tmp_path: Path, lookout: Lookout) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lookout.watch(str(folder), ANY)
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        lookout.watch(str(folder), ANY)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        lookout.watch(str(tmp_path / "file"), ANY)
    folder.mkdir()
    lookout.watch(str(folder), ANY)
    (folder / "a").write_bytes(b"a")
    assert taken(lookout, 1) == [("a", b"a")]


def test_it_does_not_wait_for_the_interpreter(tmp_path: Path, lookout: Lookout) -> None:
    """While C code keeps the GIL."""
    lookout.watch(str(tmp_path), ANY)
    path = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-S", "-c", WRITER, str(path)], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        while writer.poll() is None:
            pow(3, 500_000)  # keeps it for longer than a file lives
    assert taken(lookout, 9) == [("a", b"%d" % number) for number in range(9)]


def test_its_thread_leaves_signals_alone(lookout: Lookout) -> None:
    def masks() -> list[int]:
        tasks = Path("/proc/self/task").iterdir()
        statuses = [(task / "status").read_text() for task in tasks if (task / "comm").read_text() == "lookout\n"]
        return [int(status.split("SigBlk:")[1].split()[0], 16) for status in statuses]

    end = time.monotonic() + 10
    while not masks():
        assert time.monotonic() < end
    assert all(mask >> signal.SIGTERM - 1 & 1 for mask in masks())


NICENESS = """
import os, sys
from nativemtail._core import Lookout
os.setpriority(os.PRIO_PROCESS, 0, int(sys.argv[1]))
lookout = Lookout()
name = ""
while name != "lookout":
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/comm") as file:
            name = file.read().strip()
        if name == "lookout":
            print(os.getpriority(os.PRIO_PROCESS, int(thread)))
            break
lookout.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lower a niceness")
@pytest.mark.parametrize(("process", "thread"), [(19, 19), (10, 10), (1, 1), (0, -10), (-5, -15), (-15, -20)])
def test_who_was_started_to_yield_yields(process: int, thread: int) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", NICENESS, str(process)], check=True, capture_output=True, text=True, timeout=60
    )
    assert int(answer.stdout) == thread
