"""Directories and files that appear, disappear, or may not be read."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import QUICK, Rig, append

from nativemtail.io.sources import Settings


def test_directory_that_appears_later(tmp_path: Path, settings: Settings) -> None:
    with Rig(tmp_path / "a" / "*" / "c" / "*.log", settings=settings) as rig:
        (tmp_path / "a" / "b" / "c").mkdir(parents=True)
        (tmp_path / "a" / "b" / "c" / "x.log").write_bytes(b"1\n")
        rig.expect([b"1"])
        (tmp_path / "a" / "b2" / "c").mkdir(parents=True)
        (tmp_path / "a" / "b2" / "c" / "y.log").write_bytes(b"2\n")
        rig.expect([b"1", b"2"])


def test_directory_moved_and_made_anew(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d" / "e"
    folder.mkdir(parents=True)
    (folder / "x.log").touch()
    with Rig(folder / "*.log", settings=settings) as rig:
        append(folder / "x.log", b"1\n")
        rig.expect([b"1"])
        (tmp_path / "d").rename(tmp_path / "d2")
        folder.mkdir(parents=True)
        (folder / "x.log").write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        append(folder / "x.log", b"3\n")
        rig.expect([b"1", b"2", b"3"])


def test_directory_deleted_and_made_anew(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "d"
    with Rig(folder / "*.log", settings=settings) as rig:
        for turn in range(5):
            folder.mkdir()
            (folder / "x.log").write_bytes(b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            shutil.rmtree(folder)


def test_ignored_names_and_directories(tmp_path: Path, settings: Settings) -> None:
    ignoring = replace(settings, ignore=re.compile(r"\.gz$").search)
    (tmp_path / "folder").mkdir()
    with Rig(tmp_path / "*", settings=ignoring) as rig:
        (tmp_path / "a.gz").write_bytes(b"no\n")
        (tmp_path / "later").mkdir()
        (tmp_path / "b").write_bytes(b"yes\n")
        rig.expect([b"yes"])
        assert rig.tailer.log_count == 1
        assert not rig.tailer.counters.log_errors_total


def test_unsupported_type(tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    with caplog.at_level("INFO"), Rig(tmp_path / "null", settings=settings) as rig:
        rig.stays([], 0.1)
    assert caplog.messages == [f'unsupported file type: "{tmp_path}/null"']


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Paths that open() refuses, for tests that run as root."""
    refused: set[str] = set()
    real = os.open

    def opener(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if os.path.realpath(path) in refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    return refused


def test_permission_granted_later(log: Path, settings: Settings, unreadable: set[str]) -> None:
    """It matched at start: what was there then is not read."""
    log.write_bytes(b"old\n")
    unreadable.add(str(log))
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n")
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 2)
        unreadable.clear()
        rig.expect([b"1"])


def test_new_file_readable_later(log: Path, settings: Settings, unreadable: set[str]) -> None:
    unreadable.add(str(log))
    with Rig(log, settings=settings) as rig:
        log.write_bytes(b"1\n")
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 1)
        unreadable.clear()
        log.chmod(0o644)
        rig.expect([b"1"])


def test_system_out_of_descriptors(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"old\n")
    real = os.open
    exhausted = True

    def opener(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if exhausted and path == str(log):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    with Rig(log, settings=QUICK) as rig:
        append(log, b"new\n")
        rig.wait(lambda: rig.tailer.counters.limits_total["open_files"] >= 2)
        exhausted = False
        rig.expect([b"new"])


def test_bad_pattern_is_said_and_others_work(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.touch()
    with Rig("/tmp/[", log, settings=QUICK) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
    assert "syntax error in pattern" in caplog.text


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.log")
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        with open(name, "wb") as file:
            file.write(b"1\n")
        rig.expect([b"1"])
        assert rig.of(os.fsdecode(name)) == [b"1"]
