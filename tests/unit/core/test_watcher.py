"""inotify's events, and files that are open from the moment they appear."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

from nativemtail._core import FileWatcher
from nativemtail.io import watch

ANY = ["", ""]
MANY = 4096

WRITER = """
import os, sys, time
watched, path = sys.argv[1:]
def is_held():
    for fd in os.listdir(watched):
        try:
            if os.path.samestat(os.stat(watched + "/" + fd), os.stat(path)):
                return True
        except FileNotFoundError:
            pass
sys.stdin.readline()
for number in range(9):
    with open(path, "w") as file:
        file.write(str(number))
    while not is_held():
        time.sleep(0.001)
    os.unlink(path)
"""


@pytest.fixture
def watcher() -> Iterator[FileWatcher]:
    watcher = FileWatcher()
    yield watcher
    watcher.close()


def hold(watcher: FileWatcher, directory: Path, pieces: list[str]) -> int:
    """Watch `directory` and open what appears in it."""
    number = watcher.add(str(directory), watch.DIRECTORY_EVENTS)
    watcher.open_new(number, str(directory), pieces)
    return number


def taken(watcher: FileWatcher, count: int) -> list[tuple[str, bytes]]:
    """Names and contents of the next files."""
    found: list[tuple[str, bytes]] = []
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, found
        select.select([watcher.fileno()], [], [], 1)
        for _, _, _, name, held in watcher.read(MANY):
            if held >= 0:
                with open(f"/proc/self/fd/{held}", "rb") as file:
                    found.append((name, file.read()))
                os.close(held)
    return found


def is_held(path: Path) -> bool:
    """Whether this process has opened the file."""
    there = path.stat()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(f"/proc/self/fd/{fd}"), there):
                return True
    return False


def test_what_is_gone_can_be_read(tmp_path: Path, watcher: FileWatcher) -> None:
    hold(watcher, tmp_path, ANY)
    path = tmp_path / "a\udcff"
    for number in range(3):
        path.write_bytes(b"%d" % number)
        assert taken(watcher, 1) == [(path.name, b"%d" % number)]
        path.unlink()
    held = tmp_path / "held"
    held.write_bytes(b"x")
    wait_until(lambda: is_held(held), "it is not held")
    held.unlink()
    held.write_bytes(b"y")
    assert taken(watcher, 2) == [("held", b"x"), ("held", b"y")]


def test_renames_links_and_directories(tmp_path: Path, watcher: FileWatcher) -> None:
    (tmp_path / "old").write_bytes(b"old")
    hold(watcher, tmp_path, ANY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "link").symlink_to("new")
    assert taken(watcher, 2) == [("new", b"old"), ("link", b"old")]


def test_the_writer_of_a_pipe_is_not_let_in(tmp_path: Path, watcher: FileWatcher) -> None:
    hold(watcher, tmp_path, ANY)
    os.mkfifo(tmp_path / "pipe")
    select.select([watcher.fileno()], [], [], PATIENCE)
    with pytest.raises(OSError, match="No such device"):
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    [held] = [held for *_, held in watcher.read(MANY) if held >= 0]
    os.close(held)


def test_it_holds_a_bounded_number(tmp_path: Path, watcher: FileWatcher) -> None:
    hold(watcher, tmp_path, ANY)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2 * FileWatcher.HELD):
        (tmp_path / str(number)).touch()
    end = time.monotonic() + PATIENCE
    while len(os.listdir("/proc/self/fd")) < before + FileWatcher.HELD:
        assert time.monotonic() < end
    time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) == before + FileWatcher.HELD
    watcher.close()
    assert len(os.listdir("/proc/self/fd")) < before
    assert watcher.read(MANY) == []


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
def test_only_names_that_match_are_held(
    pieces: list[str], names: list[str], tmp_path: Path, watcher: FileWatcher
) -> None:
    """Others would fill its places."""
    hold(watcher, tmp_path, pieces)
    hold(watcher, tmp_path, pieces)
    hold(watcher, tmp_path, ["end"])
    for _ in range(FileWatcher.HELD):
        (tmp_path / "other").touch()
        (tmp_path / "other").unlink()
    for name in ("app.log", "app-x.log", "app1.log1.log", "app.log.1", "log", "ap.txt", "end"):
        (tmp_path / name).touch()
    assert [name for name, _ in taken(watcher, len(names) + 1)] == [*names, "end"]


def test_a_directory_that_goes_and_one_that_is_none(tmp_path: Path, watcher: FileWatcher) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    hold(watcher, folder, ANY)
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        hold(watcher, folder, ANY)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        hold(watcher, tmp_path / "file", ANY)
    folder.mkdir()
    hold(watcher, folder, ANY)
    (folder / "a").write_bytes(b"a")
    assert taken(watcher, 1) == [("a", b"a")]


def test_events_are_those_up_to_now_in_order(tmp_path: Path, watcher: FileWatcher) -> None:
    """Whoever reads them knows all that has happened before, without waiting for the thread."""
    number = watcher.add(str(tmp_path), watch.DIRECTORY_EVENTS)
    path, other = tmp_path / "a", tmp_path / "b"
    for _ in range(200):
        path.touch()
        path.rename(other)
        other.unlink()
        told = [(event[0], event[1], event[3]) for event in watcher.read(MANY) if event[1] & watch.NEW_ENTRY]
        masks = [(watch.CREATE, "a"), (watch.MOVED_FROM, "a"), (watch.MOVED_TO, "b"), (watch.DELETE, "b")]
        assert told == [(number, mask, name) for mask, name in masks]


def test_they_are_read_in_pieces(tmp_path: Path, watcher: FileWatcher) -> None:
    watcher.add(str(tmp_path), watch.CREATE)
    for number in range(10):
        (tmp_path / str(number)).touch()
    pieces = [[event[3] for event in watcher.read(4)] for _ in range(3)]
    assert pieces == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]


def test_a_file_that_is_written_often_is_told_of_once(tmp_path: Path, watcher: FileWatcher) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.touch()
    numbers = [watcher.add(str(file), watch.FILE_EVENTS) for file in files]
    with files[0].open("ab", buffering=0) as one, files[1].open("ab", buffering=0) as other:
        for _ in range(1000):
            one.write(b"x")
            other.write(b"x")
    assert [event[:2] for event in watcher.read(MANY)] == [(number, watch.MODIFY) for number in numbers]
    with files[1].open("ab", buffering=0) as other:
        other.write(b"x")
    assert [event[:2] for event in watcher.read(MANY)] == [(numbers[1], watch.MODIFY)]


@pytest.mark.slow
def test_more_events_than_it_keeps(tmp_path: Path, watcher: FileWatcher) -> None:
    """The last event says that some are missing; later ones come again."""
    watcher.add(str(tmp_path), watch.CREATE | watch.DELETE)
    end = time.monotonic() + PATIENCE
    file, other = tmp_path / "a", tmp_path / "b"
    other.touch()
    number = watcher.add(str(other), watch.MODIFY)
    for _ in range(FileWatcher.EVENTS):
        file.touch()
        file.unlink()
        assert time.monotonic() < end
    other.write_bytes(b"x")
    events = watcher.read(4 * FileWatcher.EVENTS)
    assert events[-1][:2] == (-1, watch.OVERFLOW)
    assert len(events) <= FileWatcher.EVENTS + 1
    watcher.read(4 * FileWatcher.EVENTS)
    other.write_bytes(b"xx")
    assert [event[:2] for event in watcher.read(MANY)] == [(number, watch.MODIFY)]


def test_without_a_thread(tmp_path: Path) -> None:
    watcher = FileWatcher(thread=False)
    hold(watcher, tmp_path, ANY)
    assert watcher.read(MANY) == []
    (tmp_path / "a").touch()
    assert select.select([watcher.fileno()], [], [], PATIENCE)[0]
    assert [name for _, mask, _, name, _ in watcher.read(1) if mask == watch.CREATE] == ["a"]
    watcher.close()
    assert watcher.read(MANY) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        watcher.add(str(tmp_path), watch.CREATE)


def test_it_does_not_wait_for_the_interpreter(tmp_path: Path, watcher: FileWatcher) -> None:
    """Which waits for the writer, and keeps the GIL."""
    hold(watcher, tmp_path, ANY)
    command = [sys.executable, "-S", "-c", WRITER, f"/proc/{os.getpid()}/fd", str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        ctypes.PyDLL(None).waitpid(writer.pid, None, 0)
    assert taken(watcher, 9) == [("a", b"%d" % number) for number in range(9)]


def test_its_thread_leaves_signals_alone(watcher: FileWatcher) -> None:
    def masks() -> list[int]:
        tasks = Path("/proc/self/task").iterdir()
        statuses = [(task / "status").read_text() for task in tasks if (task / "comm").read_text() == "file-watcher\n"]
        return [int(status.split("SigBlk:")[1].split()[0], 16) for status in statuses]

    end = time.monotonic() + PATIENCE
    while not masks():
        assert time.monotonic() < end
    assert all(mask >> signal.SIGTERM - 1 & 1 for mask in masks())


NICENESS = """
import os, sys
from nativemtail._core import FileWatcher
os.setpriority(os.PRIO_PROCESS, 0, int(sys.argv[1]))
watcher = FileWatcher()
name = ""
while name != "file-watcher":
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/comm") as file:
            name = file.read().strip()
        if name == "file-watcher":
            print(os.getpriority(os.PRIO_PROCESS, int(thread)))
            break
watcher.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lower a niceness")
@pytest.mark.parametrize(("process", "thread"), [(19, 19), (10, 10), (1, 1), (0, -10), (-5, -15), (-15, -20)])
def test_who_was_started_to_yield_yields(process: int, thread: int) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", NICENESS, str(process)], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    assert int(answer.stdout) == thread
