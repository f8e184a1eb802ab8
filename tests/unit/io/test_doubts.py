"""Patterns that match nothing, or not what was meant: it is said once, with what to do, and can be shown."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append

from nativemtail.globs import Glob
from nativemtail.io.files import find
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2, sweep=0.05)
POLLING = replace(QUICK, inotify=False)


@pytest.fixture(params=[QUICK, POLLING], ids=["inotify", "polling"])
def settings(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.param
    return chosen


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "a.log").touch()
    (tmp_path / "a.log").touch()
    return tmp_path


@pytest.fixture
def closed(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that may not be searched, also for tests that run as root."""
    path = place / "closed"
    path.mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda name, mode: str(name) != str(path) and real(name, mode))
    return path


@pytest.mark.parametrize(
    ("pattern", "doubt"),
    [
        ("nope.log", "no file matches, waiting for one"),
        ("nope*.log", "no file matches, waiting for one"),
        ("none/a.log", "no file matches, waiting for one"),
        ("directory", "only a directory matches: {}/directory/* matches the files in it"),
        ("dir*", "only a directory matches: {}/dir*/* matches the files in it"),
        ("**/a.log", "** stands for one directory, as * does: give a pattern for each depth"),
        ("sub/**", "** stands for one directory, as * does: give a pattern for each depth"),
        ("closed/*.log", "the directory {}/closed may not be searched: allow it to the user of nativemtail"),
        ("clo*/a.log", "the directory {}/closed may not be searched: allow it to the user of nativemtail"),
    ],
)
def test_a_doubtful_pattern(
    pattern: str, doubt: str, closed: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    place = closed.parent
    name, doubt = f"{place}/{pattern}", doubt.format(place)
    with Rig(name, settings=settings) as rig:
        append(place / "other", b"x\n")
        assert rig.tailer.problems() == {name: doubt}
        rig.stays([])
    assert caplog.messages == [f"{name}: {doubt}"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("pattern", ["a.log", "*.log", "*", "sub/*/*.log", "sub/deep/a.log", "./**a.log"])
def test_a_good_pattern(pattern: str, place: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Rig(os.path.normpath(f"{place}/{pattern}"), settings=settings) as rig:
        assert rig.tailer.problems() == {}
    assert caplog.messages == []


def test_it_is_resolved(tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is it said again when a rotation leaves a moment without a file."""
    log = tmp_path / "a.log"
    with Rig(tmp_path / "*.log", settings=settings) as rig:
        for turn in range(2):
            rig.wait(rig.tailer.problems)
            log.write_bytes(b"%d\n" % turn)
            rig.wait(lambda: not rig.tailer.problems())
            rig.wait(lambda turn=turn: len(rig.lines) == turn + 1)
            log.rename(tmp_path / f"rotated{turn}")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("pattern", ["a.log", "*.log"])
def test_an_unreadable_log(
    pattern: str, place: Path, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = place / "a.log"
    real, refused = os.open, True

    def opener(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if refused and path == str(log):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", opener)
    with Rig(place / pattern, settings=settings) as rig:
        rig.wait(lambda: rig.tailer.counters.log_errors_total[str(log)] >= 2)
        text = "Permission denied: allow the user of nativemtail to read it"
        assert rig.tailer.problems() == {str(log): text}
        refused = False
        append(log, b"1\n")
        rig.expect([b"1"])
        assert rig.tailer.problems() == {}
    assert caplog.messages == [f"{log}: {text}"]
    assert caplog.records[0].levelno == logging.WARNING


def test_what_is_no_log(place: Path, settings: Settings) -> None:
    (place / "null.log").symlink_to("/dev/null")
    with Rig(place / "*.log", "/tmp/[", settings=settings) as rig:
        assert rig.tailer.problems() == {
            str(place / "null.log"): "neither a file nor a named pipe",
            "/tmp/[": "syntax error in pattern",
        }


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a.log", ""),
        ("nope.log", "no file matches"),
        ("nope*.log", "no file matches"),
        ("directory", "is a directory"),
        ("**/a.log", "** stands for one directory"),
        ("closed/*.log", "may not be searched"),
    ],
)
def test_one_shot(pattern: str, message: str, closed: Path, caplog: pytest.LogCaptureFixture) -> None:
    list(find([Glob(f"{closed.parent}/{pattern}")], lambda name: False))
    assert message in caplog.text
    assert bool(caplog.text) == bool(message)
