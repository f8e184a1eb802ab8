"""The names in a directory: kept by events, and as they are whenever somebody asks."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append

from nativemtail.io import listing, watch
from nativemtail.io.changes import Changes
from nativemtail.io.listing import Listings
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)


@pytest.fixture
def listings() -> Iterator[Listings]:
    changes = Changes()
    changes.start()
    yield Listings(changes)
    changes.close()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Directories that were listed."""
    found: list[str] = []
    real = os.listdir

    def listdir(path: str) -> list[str]:
        found.append(path)
        return real(path)

    monkeypatch.setattr(listing.os, "listdir", listdir)
    return found


def test_names_are_those_of_now(tmp_path: Path, listings: Listings, listed: list[str]) -> None:
    draw = random.Random(7)
    names = [f"{base}{suffix}" for base in ("a", "a.b", "ab") for suffix in ("", ".1", "-1", ".gz", "-", "_")]
    for _ in range(500):
        one, other = (tmp_path / draw.choice(names) for _ in range(2))
        if not one.exists():
            one.touch()
        elif draw.random() < 0.5:
            one.rename(other)
        else:
            one.unlink()
        there = {path.name for path in tmp_path.iterdir() if path.name.startswith(("a.", "a-"))}
        assert sorted(listings.beginning_with(str(tmp_path), "a.", "a-")) == sorted(there)
    assert listed.count(str(tmp_path)) == 1


def test_another_directory_of_that_name(tmp_path: Path, listings: Listings) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"log.{name}").touch()
    link = tmp_path / "link"
    for name in ("one", "two", "one"):
        link.symlink_to(name)
        assert listings.beginning_with(str(link), "log.") == [f"log.{name}"]
        link.unlink()


@pytest.mark.parametrize("trouble", ["no instance", "no watch", "remote", "overflow", "polling"])
def test_without_events(trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*values: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if trouble == "no instance":
        monkeypatch.setattr(watch.Watcher, "__init__", refuse)
    elif trouble == "no watch":
        monkeypatch.setattr(watch.Watcher, "add", refuse)
    elif trouble == "remote":
        monkeypatch.setattr(watch, "is_remote", lambda path: True)
    elif trouble == "overflow":
        monkeypatch.setattr(watch.Watcher, "read", lambda self: [watch.Event(-1, watch.OVERFLOW, 0, "")])
    changes = Changes()
    if trouble != "polling":
        with contextlib.suppress(OSError):
            changes.start()
    made = Listings(changes)
    for number in range(5):
        (tmp_path / f"log.{number}").touch()
        assert len(made.beginning_with(str(tmp_path), "log.")) == number + 1
    changes.close()


def test_a_directory_is_not_listed_all_the_time(tmp_path: Path, listed: list[str]) -> None:
    made = Listings(Changes())
    for turn in range(5):
        (tmp_path / f"log.{turn}").touch()
        os.utime(tmp_path, (turn, turn))
        for _ in range(10):
            assert len(made.beginning_with(str(tmp_path), "log.")) == turn + 1
    assert len(listed) == 5


def test_few_directories_are_kept(tmp_path: Path, listings: Listings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MAX_DIRECTORIES", 3)
    for _ in range(2):
        for number in range(10):
            directory = tmp_path / str(number)
            directory.mkdir(exist_ok=True)
            (directory / "log.1").touch()
            assert listings.beginning_with(str(directory), "log.") == ["log.1"]
    assert len(listings._listings) == len(listings._watches) == 3


def test_many_names_are_not_kept(tmp_path: Path, listings: Listings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_NAMES", 5)
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        for name in range(4):
            (directory / str(name)).touch()
        assert listings.beginning_with(str(directory), "") == ["0", "1", "2", "3"]
    assert len(listings._listings) == 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["rename", "copytruncate", "delete"])
@pytest.mark.parametrize("pattern", ["*.log", "*"])
def test_many_rotate_at_once(way: str, pattern: str, tmp_path: Path, listed: list[str]) -> None:
    """The directory is not listed for each of them."""
    logs = [tmp_path / f"{number}.log" for number in range(300)]
    for log in logs:
        log.write_bytes(b"before\n")
    with Rig(tmp_path / pattern, settings=replace(QUICK, sweep=60.0)) as rig:
        rig.wait(lambda: rig.tailer.log_count == len(logs))
        before = listed.count(str(tmp_path))
        for log in logs:
            copy = log.with_suffix(".log.1")
            if way == "rename":
                log.rename(copy)
            elif way == "copytruncate":
                copy.write_bytes(log.read_bytes())
                os.truncate(log, 0)
            else:
                log.unlink()
            append(log, b"after\n")
        rig.wait(lambda: len(rig.lines) >= len(logs))
        assert rig.lines == [b"after"] * len(logs)
        assert listed.count(str(tmp_path)) - before <= 2
