"""Logs that are renamed behind a server: an open file stands for whatever has its name by now."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, append
from waiting import PATIENCE

from nativemtail.io.sources import Settings

POLLING = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=3.0, flush=0.5, inotify=False)
NEEDS_FUSE = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="only root may mount, with FUSE"
)


@pytest.fixture
def by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read from a descriptor, and its status, are those of the name it was opened by, if that exists."""
    names: dict[int, str] = {}
    real_open, real_close, real_fstat, real_preadv = os.open, os.close, os.fstat, os.preadv

    def opener(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        fd = real_open(path, flags, mode, **more)
        names[fd] = os.fspath(path)
        return fd

    def close(fd: int) -> None:
        names.pop(fd, None)
        real_close(fd)

    def fstat(fd: int) -> os.stat_result:
        name = names.get(fd, "")
        return os.stat(name) if "app.log" in name else real_fstat(fd)

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        if not os.path.exists(names.get(fd, "")) or fstat(fd).st_ino == real_fstat(fd).st_ino:
            return real_preadv(fd, buffers, offset)
        other = real_open(names[fd], os.O_RDONLY)
        try:
            return real_preadv(other, buffers, offset)
        finally:
            real_close(other)

    for name, function in (("open", opener), ("close", close), ("fstat", fstat), ("preadv", preadv)):
        monkeypatch.setattr(os, name, function)


@pytest.mark.usefixtures("by_name")
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("suffix", [".1", "-20261130"])
def test_descriptors_that_go_by_names(suffix: str, pattern: str, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"before\n")
    with Rig(tmp_path / pattern, settings=POLLING) as rig:
        append(log, b"1\n2\n")
        rig.expect([b"1", b"2"])
        append(log, b"3\n")
        log.rename(f"{log}{suffix}")
        append(log, b"4\n")
        rig.wait(lambda: len(rig.lines) == 4)
        append(log, b"5\n")
        rig.wait(lambda: len(rig.lines) == 5)
        time.sleep(0.3)
    assert sorted(rig.lines) == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.usefixtures("by_name")
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_renamed_and_no_log_yet(pattern: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"before\n")
    with Rig(tmp_path / pattern, settings=POLLING) as rig:
        rig.sink.may_scan.clear()
        append(log, b"1\n")
        rig.wait(lambda: rig.sink.entered)
        append(log, b"2\n")
        log.rename(f"{log}.1")
        rig.sink.may_scan.set()
        rig.expect([b"1", b"2"])
        log.write_bytes(b"3\n")
        rig.expect([b"1", b"2", b"3"])
        assert not rig.tailer.counters.log_errors_total
    assert not caplog.messages


@pytest.mark.usefixtures("by_name")
def test_deleted_behind_the_file_system(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"before\n")
    with Rig(log, settings=POLLING) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        log.unlink()
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)])
        log.write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        assert rig.tailer.counters.log_errors_total[str(log)] == 1
    (message,) = caplog.messages
    assert "behind its file system" in message


@pytest.mark.slow
@pytest.mark.parametrize("growth", [b"2\n", b""])
def test_a_name_that_the_kernel_still_knows(growth: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path has a status, from a cache; the open file has none any more."""
    log = tmp_path / "app.log"
    log.write_bytes(b"before\n")
    gone: list[int] = []
    real = os.fstat

    def fstat(fd: int) -> os.stat_result:
        if gone and os.readlink(f"/proc/self/fd/{fd}") == str(log):
            gone.append(fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(fd)

    with Rig(log, settings=POLLING) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        monkeypatch.setattr(os, "fstat", fstat)
        gone.append(-1)
        append(log, growth)
        os.utime(log, ns=(0, time.time_ns()))
        rig.wait(lambda: len(gone) > 2)
        gone.clear()
        append(log, b"3\n")
        rig.expect([b"1", *growth.splitlines(), b"3"])


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A directory, and where bindfs shows it."""
    assert shutil.which("bindfs"), "the package bindfs is not installed (packages.txt)"
    back, front = tmp_path / "back", tmp_path / "front"
    back.mkdir()
    front.mkdir()
    subprocess.run(["bindfs", str(back), str(front)], check=True, timeout=PATIENCE)
    yield back, front
    subprocess.run(["umount", "-l", str(front)], check=True, timeout=PATIENCE)


@pytest.mark.slow
@NEEDS_FUSE
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_rotated_behind_bindfs(pattern: str, mounted: tuple[Path, Path]) -> None:
    back, front = mounted
    log = back / "app.log"
    log.write_bytes(b"before\n")
    expected: list[bytes] = []

    def write(text: bytes) -> None:
        append(log, text + b"\n")
        expected.append(text)

    settings = Settings(poll_interval=0.05, poll_log_interval=0.05, linger=3.0)
    with Rig(front / pattern, settings=settings) as rig:
        for turn in range(3):
            write(b"%d: read" % turn)
            time.sleep(1.2)  # the kernel keeps names and sizes for a second
            write(b"%d: last" % turn)
            log.rename(f"{log}-2026000{turn}")
            write(b"%d: first" % turn)
            rig.wait(lambda: len(rig.lines) == len(expected))
        time.sleep(1.2)
    assert sorted(rig.lines) == sorted(expected)


@pytest.mark.slow
@NEEDS_FUSE
def test_renamed_behind_bindfs_and_no_log_yet(mounted: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    back, front = mounted
    log = back / "app.log"
    log.write_bytes(b"before\n")
    settings = Settings(poll_interval=0.05, poll_log_interval=0.05, linger=3.0)
    with Rig(front / "app.log", settings=settings) as rig:
        rig.sink.may_scan.clear()
        append(log, b"1\n")
        rig.wait(lambda: rig.sink.entered)
        append(log, b"2\n")
        log.rename(f"{log}-20260001")
        rig.sink.may_scan.set()
        rig.expect([b"1", b"2"])
    assert not caplog.messages
