"""Named pipes and standard input."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rig import Rig, append

from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def send(fifo: Path, text: bytes) -> None:
    with fifo.open("wb", buffering=0) as writer:
        writer.write(text)


def test_writers_come_and_go(fifo: Path) -> None:
    """The end of the last writer ends the line, and no writer's bytes are lost in between."""
    with Rig(fifo, settings=QUICK) as rig:
        expected: list[bytes] = []
        for turn in range(50):
            send(fifo, b"%d\nrest" % turn)
            expected += [b"%d" % turn, b"rest"]
        rig.wait(lambda: sum(map(len, rig.lines)) >= sum(map(len, expected)) - 4)
    text = b"".join(rig.lines)
    assert text == b"".join(expected)
    assert list(rig.sink.lines) == [str(fifo)]


def test_partial_lines_and_close_count(fifo: Path) -> None:
    with Rig(fifo, settings=QUICK) as rig:
        with fifo.open("wb", buffering=0) as writer:
            writer.write(b"a")
            time.sleep(0.03)
            writer.write(b"b\nc")
            rig.expect([b"ab"])
        rig.expect([b"ab", b"c"])
        rig.wait(lambda: rig.tailer.counters.log_closes_total == {str(fifo): 1})
        send(fifo, b"d\n")
        rig.expect([b"ab", b"c", b"d"])


def test_two_writers(fifo: Path) -> None:
    with Rig(fifo, settings=QUICK) as rig, fifo.open("wb", buffering=0) as one:
        send(fifo, b"two\n")
        one.write(b"one\n")
        rig.wait(lambda: sorted(rig.lines) == [b"one", b"two"])


@pytest.mark.slow
def test_idle_pipe_costs_nothing(fifo: Path) -> None:
    with Rig(fifo, settings=QUICK) as rig:
        send(fifo, b"1\n")
        fifo.open("wb").close()
        rig.expect([b"1"])
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1


def test_pushes_back(fifo: Path) -> None:
    """A slow engine holds the writer; nothing is dropped."""
    rig = Rig(fifo, settings=QUICK)
    rig.sink.delay = 0.001
    text = b"".join(b"%08d\n" % i for i in range(100_000))
    with rig:
        writer = threading.Thread(target=send, args=(fifo, text))
        writer.start()
        rig.wait(lambda: len(rig.lines) == 100_000)
        writer.join()
        assert b"\n".join(rig.lines) + b"\n" == text


def test_created_deleted_and_replaced(fifo: Path) -> None:
    fifo.unlink()
    with Rig(fifo.parent / "*", settings=QUICK) as rig:
        os.mkfifo(fifo)
        send(fifo, b"1\n")
        rig.expect([b"1"])
        with fifo.open("wb", buffering=0) as old:
            fifo.unlink()
            os.mkfifo(fifo)
            send(fifo, b"2\n")
            old.write(b"3\n")
            rig.wait(lambda: sorted(rig.lines) == [b"1", b"2", b"3"])
        fifo.unlink()
        fifo.write_bytes(b"now a file\n")
        rig.expect([*rig.lines[:3], b"now a file"])


def test_rest_is_read_at_the_stop(fifo: Path) -> None:
    with Rig(fifo, settings=QUICK) as rig, fifo.open("wb", buffering=0) as writer:
        writer.write(b"1\n")
        rig.expect([b"1"])
        writer.write(b"2\n3")
        rig.tailer.stop()
        rig.wait(lambda: rig.ended)
    assert rig.lines == [b"1", b"2", b"3"]


def test_a_pipe_that_cannot_be_read_is_followed_on(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readv = os.readv
    problems = [OSError(errno.EIO, "Input/output error")]

    def fail_once(fd: int, buffers: Sequence[memoryview]) -> int:
        if problems:
            raise problems.pop()
        return readv(fd, buffers)

    with Rig(fifo, settings=QUICK) as rig:
        monkeypatch.setattr(os, "readv", fail_once)
        send(fifo, b"one\n")
        rig.expect([b"one"])
        assert rig.tailer.counters.log_errors_total[str(fifo)] == 1


@pytest.fixture
def stdin() -> object:
    """Puts a file in the place of descriptor 0 for the test."""
    saved = os.dup(0)
    yield lambda fd: (os.dup2(fd, 0), os.close(fd))
    os.dup2(saved, 0)
    os.close(saved)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("text", [b"", b"a\n", b"a\nb"])
def test_stdin_alone_ends(stdin: object, name: str, text: bytes) -> None:
    read, write = os.pipe()
    stdin(read)  # type: ignore[operator]
    with Rig(name) as rig:
        os.write(write, text)
        os.close(write)
        rig.wait(lambda: rig.ended)
    assert rig.of(name) == text.splitlines()


def test_stdin_that_is_a_file(stdin: object, tmp_path: Path) -> None:
    text = b"".join(b"%d\n" % i for i in range(100_000))
    (tmp_path / "in").write_bytes(text)
    stdin(os.open(tmp_path / "in", os.O_RDONLY))  # type: ignore[operator]
    with Rig("-") as rig:
        rig.wait(lambda: rig.ended)
    assert rig.lines == text.splitlines()


def test_stdin_beside_files(stdin: object, tmp_path: Path) -> None:
    stdin(os.open("/dev/null", os.O_RDONLY))  # type: ignore[operator]
    log = tmp_path / "log"
    log.touch()
    with Rig("-", log, settings=QUICK) as rig:
        rig.wait(lambda: rig.tailer.counters.log_closes_total["-"] == 1)
        append(log, b"1\n")
        rig.expect([b"1"])


def test_stop_while_stdin_is_silent(stdin: object) -> None:
    """The descriptor is left as it is: other processes share it."""
    read, write = os.pipe()
    stdin(read)  # type: ignore[operator]
    with Rig("-") as rig:
        os.write(write, b"a")
        time.sleep(0.05)
        rig.tailer.stop()
        rig.wait(lambda: rig.ended)
    assert rig.lines == [b"a"]
    assert os.get_blocking(0)
    os.close(write)


def test_stdin_that_cannot_be_read(stdin: object, tmp_path: Path) -> None:
    stdin(os.open(tmp_path, os.O_RDONLY))  # type: ignore[operator]
    with Rig("-") as rig:
        rig.wait(lambda: rig.ended)
    assert rig.tailer.counters.log_errors_total == {"-": 1}
