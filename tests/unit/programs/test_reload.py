"""Noticing that programs change: with inotify, without it, and only when they have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import PATIENCE

from nativemtail.io import watch
from nativemtail.io.loop import Loop
from nativemtail.programs import reload
from nativemtail.programs.reload import ProgramWatch


class Observed:
    """A watch, and how often it called."""

    def __init__(self, *paths: Path) -> None:
        self.calls = 0
        self.included: set[str] = set()
        self.loop = Loop()
        self.watch = ProgramWatch(self.loop, tuple(map(str, paths)), self._changed, lambda: self.included)
        self.watch.start()

    def _changed(self) -> None:
        self.calls += 1

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds

        def tick() -> None:
            self.loop.after(0.01, tick)

        tick()
        while time.monotonic() < end and not until():
            self.loop.run_once()

    def notices(self) -> bool:
        """Whether a call comes."""
        before = self.calls
        self.run(PATIENCE, lambda: self.calls > before)
        return self.calls == before + 1


@pytest.fixture(params=["inotify", "polled", "remote"])
def observe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Observed]]:
    monkeypatch.setattr(reload, "_QUIET", 0.05)
    monkeypatch.setattr(reload, "_POLL", 0.05)
    if request.param == "polled":

        def none_left(**options: bool) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(watch, "Watcher", none_left)
    elif request.param == "remote":
        monkeypatch.setattr(watch, "is_remote", lambda path: True)
        monkeypatch.setattr(watch.Watcher, "read", lambda self: [os.read(self.fileno(), 4096), []][1])
    made: list[Observed] = []

    def make(*paths: Path) -> Observed:
        made.append(Observed(*paths))
        return made[-1]

    yield make
    for observed in made:
        observed.watch.close()
        observed.loop.close()


def test_included_files_are_watched_once_they_are_known(
    observe: Callable[..., Observed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "_SWEEP", 10 * PATIENCE)
    library = tmp_path / "lib"
    library.mkdir()
    (library / "a.mtail").write_text("one")
    observed = observe(tmp_path)
    observed.included = {str(library / "a.mtail")}
    observed.watch.follow_included()
    assert observed.notices()  # it may have changed since it was read
    observed.watch.follow_included()
    (library / "a.mtail").write_text("two!")
    assert observed.notices()
    observed.watch.follow_included()
    observed.run(0.3)
    assert observed.calls == 2


def test_directory(observe: Callable[..., Observed], tmp_path: Path) -> None:
    program = tmp_path / "a.mtail"
    program.write_text("one")
    observed = observe(tmp_path)
    program.write_text("two!")
    assert observed.notices()
    (tmp_path / "b.mtail").write_text("new")
    assert observed.notices()
    program.rename(tmp_path / "a.txt")
    assert observed.notices()
    (tmp_path / "b.mtail").chmod(0)
    assert observed.notices()


def test_link_to_elsewhere(observe: Callable[..., Observed], tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("one")
    progs = tmp_path / "progs"
    progs.mkdir()
    (progs / "a.mtail").symlink_to(target)
    observed = observe(progs)
    target.write_text("two!")
    assert observed.notices()


def test_single_file(observe: Callable[..., Observed], tmp_path: Path) -> None:
    program = tmp_path / "a.mtail"
    program.write_text("one")
    observed = observe(program)
    fresh = tmp_path / ".new"
    fresh.write_text("two")
    fresh.rename(program)
    assert observed.notices()


@pytest.mark.slow
def test_several_places(observe: Callable[..., Observed], tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    single = tmp_path / "three" / "a.mtail"
    single.write_text("one")
    observed = observe(tmp_path / "one", tmp_path / "two", single)
    for path in (tmp_path / "one" / "b.mtail", tmp_path / "two" / "b.mtail", single):
        path.write_text("two!")
        assert observed.notices()
    (tmp_path / "two" / "b.mtail").unlink()
    (tmp_path / "two").rmdir()
    assert observed.notices()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "c.mtail").write_text("new")
    assert observed.notices()


def test_what_is_no_change(observe: Callable[..., Observed], tmp_path: Path) -> None:
    program = tmp_path / "a.mtail"
    program.write_text("one")
    observed = observe(tmp_path)
    (tmp_path / "README").write_text("no program")
    (tmp_path / ".hidden.mtail").write_text("no program")
    program.read_bytes()
    observed.run(0.3)
    assert observed.calls == 0


@pytest.mark.slow
def test_many_writes_are_one_change(
    observe: Callable[..., Observed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "_QUIET", 1.0)  # longer than any pause between two of them
    observed = observe(tmp_path)
    for number in range(50):
        (tmp_path / f"{number}.mtail").write_text("x")
    assert observed.notices()
    observed.run(0.3)
    assert observed.calls == 1


def test_directory_that_appears_later(observe: Callable[..., Observed], tmp_path: Path) -> None:
    progs = tmp_path / "progs"
    progs.mkdir()
    observed = observe(progs)
    progs.rmdir()
    progs.mkdir()
    (progs / "a.mtail").write_text("one")
    observed.watch._swept()
    assert observed.notices()


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "one"])
def test_directory_that_is_made_again(observe: Callable[..., Observed], tmp_path: Path, content: str) -> None:
    progs = tmp_path / "progs"
    progs.mkdir()
    if content:
        (progs / "a.mtail").write_text(content)
    observed = observe(progs)
    for path in progs.iterdir():
        path.unlink()
    progs.rmdir()
    if content:
        assert observed.notices()
    observed.run(0.4)
    assert observed.calls == bool(content)
    progs.mkdir()
    observed.run(0.4)
    (progs / "b.mtail").write_text("two")
    assert observed.notices()


def test_directory_that_is_replaced(observe: Callable[..., Observed], tmp_path: Path) -> None:
    progs, fresh = tmp_path / "progs", tmp_path / "fresh"
    for directory in (progs, fresh):
        directory.mkdir()
        (directory / "a.mtail").write_text("one")
    observed = observe(progs)
    progs.rename(tmp_path / "old")
    fresh.rename(progs)
    assert observed.notices()
    (progs / "a.mtail").write_text("two")
    assert observed.notices()
