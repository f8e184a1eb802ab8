"""Where reading of a file begins that came to the path of another, however late the events about it are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from events import lose_events
from rig import QUICK, Recorder, Rig, append, busy, is_held

from nativemtail.io import watch
from nativemtail.io.discover import Discovery
from nativemtail.io.patterns import parse_logs
from nativemtail.io.position import identity
from nativemtail.io.tailer import Tailer

TEXT = b"".join(b"line %04d\n" % number for number in range(200))
LINES = TEXT.splitlines()
OTHER = b"".join(b"other %04d\n" % number for number in range(50))
ANOTHER = b"".join(b"third %04d\n" % number for number in range(50))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def create(log: Path) -> None:
    log.rename(f"{log}.1")
    log.touch()


def wait_for_file(rig: Rig, path: Path) -> None:
    """Wait until the file that is there now was looked at to its end."""
    discovery, info = rig.tailer._discovery, path.stat()
    assert discovery is not None
    rig.wait(lambda: (str(path), info.st_size, identity(info)) in discovery.followed())


def before_look(monkeypatch: pytest.MonkeyPatch, path: Path, make: Callable[[], None]) -> None:
    """Call `make` when `path` is looked at because its file was deleted: what it does is found before its events."""
    real, is_due = Discovery.look, True

    def look(discovery: Discovery, name: str) -> None:
        nonlocal is_due
        if is_due and name == str(path) and not path.exists():
            is_due = False
            make()
        real(discovery, name)

    monkeypatch.setattr(Discovery, "look", look)


@pytest.mark.slow
@pytest.mark.parametrize("linger", [0.1, 30], ids=["later", "soon"])
@pytest.mark.parametrize("text", [OTHER[:11], OTHER, OTHER * 8], ids=["shorter", "long", "longer"])
def test_a_rotated_file_is_made_anew_as_it_is_looked_for(
    text: bytes, linger: float, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.touch()
    first = Path(f"{log}.1")
    with Rig(f"{log}*", settings=replace(QUICK, linger=linger)) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        create(log)
        rig.wait_for_offset(first, len(TEXT))
        before_look(monkeypatch, first, lambda: append(first, text))
        first.unlink()
        rig.expect([*LINES, *text.splitlines()])


def test_a_log_is_made_anew_with_the_same_lines_as_it_is_looked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not renamed into place, so it is not a copy that goes on."""
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        before_look(monkeypatch, log, lambda: append(log, TEXT + OTHER))
        log.unlink()
        rig.expect([*LINES, *LINES, *OTHER.splitlines()])


def test_a_file_is_made_anew_before_the_first_was_opened(log: Path) -> None:
    """At the time when its creation was noted nothing was known of its path."""
    log.touch()
    first = Path(f"{log}.1")
    with Rig(f"{log}*", settings=QUICK) as rig:
        with busy(rig, log):
            first.write_bytes(OTHER)
            rig.wait(lambda: is_held(first))
            first.unlink()
            first.write_bytes(ANOTHER)
        lines = sorted([b"first", b"busy", *OTHER.splitlines(), *ANOTHER.splitlines()])
        rig.wait(lambda: sorted(rig.lines) == lines)


@pytest.mark.parametrize("third", [ANOTHER, ANOTHER * 2], ids=["same size", "longer"])
def test_a_rotated_file_is_made_anew_twice(third: bytes, log: Path) -> None:
    log.touch()
    first = Path(f"{log}.1")
    with Rig(f"{log}*", settings=QUICK) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        create(log)
        rig.wait_for_offset(first, len(TEXT))
        with busy(rig, log):
            for text in (OTHER, third):
                first.unlink()
                first.write_bytes(text)
                rig.wait(lambda: is_held(first))
        lines = sorted([*LINES, b"first", b"busy", *OTHER.splitlines(), *third.splitlines()])
        rig.wait(lambda: sorted(rig.lines) == lines)


def test_a_rotated_file_is_made_anew_and_edited(log: Path) -> None:
    """How the second file came to the path says nothing about the first."""
    log.touch()
    first, edited = Path(f"{log}.1"), log.with_name("sedXYZ")
    with Rig(f"{log}*", settings=QUICK) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        create(log)
        rig.wait_for_offset(first, len(TEXT))
        with busy(rig, log):
            first.unlink()
            first.write_bytes(OTHER)
            rig.wait(lambda: is_held(first))
            edited.write_bytes(OTHER.upper())
            edited.rename(first)
        rig.wait(lambda: len(rig.lines) >= 252)
        rig.stays([*LINES, b"first", b"busy", *OTHER.splitlines()])


@pytest.mark.parametrize("is_longer", [False, True], ids=["same size", "longer"])
def test_a_rotated_file_is_made_anew_with_its_inode_number(is_longer: bool, log: Path) -> None:
    """A file that was set aside keeps no inode from being reused."""
    log.touch()
    first = Path(f"{log}.1")
    text = (OTHER * 8)[: len(TEXT) + (11 if is_longer else 0)]
    text = text[: text.rindex(b"\n")].ljust(len(text) - 1, b".") + b"\n"
    with Rig(f"{log}*", settings=replace(QUICK, linger=0.1)) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        create(log)
        rig.wait_for_offset(first, len(TEXT))
        discovery = rig.tailer._discovery
        assert discovery is not None
        rig.wait(lambda: not discovery._rotation)
        with busy(rig, log):
            reader = discovery._table.file_at(str(first))
            assert reader is not None
            assert reader.set_aside()
            number = first.stat().st_ino
            first.unlink()
            for turn in range(100):
                first.write_bytes(text)
                if first.stat().st_ino == number:
                    break
                first.rename(log.with_name(f"spare{turn}"))
            else:
                pytest.skip("the file system does not reuse inode numbers soon")
        rig.wait(lambda: len(rig.lines) >= 202 + text.count(b"\n"))
        rig.stays([*LINES, b"first", b"busy", *text.splitlines()])


def test_a_restored_file_is_edited_and_the_event_is_lost(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the last one was created there says nothing about this one."""
    log.touch()
    first, edited = Path(f"{log}.1"), log.with_name("sedXYZ")
    lost: list[bool] = []
    lose_events(monkeypatch, lost)
    with Rig(f"{log}*", settings=QUICK) as rig:
        append(log, TEXT)
        rig.expect(LINES)
        create(log)
        rig.wait_for_offset(first, len(TEXT))
        first.unlink()
        append(first, TEXT)
        wait_for_file(rig, first)
        rig.wait_settled()
        lost.append(True)
        edited.write_bytes(TEXT.upper())
        edited.rename(first)
        wait_for_file(rig, first)
        lost.clear()
        rig.wait_settled()
        append(log, b"end\n")
        rig.expect([*LINES, b"end"])
        rig.stays(rig.lines)


def test_an_arrival_whose_file_is_unknown_may_be_of_any_file(log: Path) -> None:
    """Inode numbers are reused: what was noted of a number may be of a file that is gone."""
    log.touch()
    tailer = Tailer(parse_logs([f"{log}*"]), Recorder())
    tailer.open()
    discovery = tailer._discovery
    assert discovery is not None
    directory = discovery._directories.watch(str(log.parent))
    assert directory is not None
    with log.open() as file:
        who = identity(os.fstat(file.fileno()))
        for mask, fd, is_moved in [
            (watch.MOVED_TO, file.fileno(), True),
            (watch.CREATE, -1, False),
            (watch.MOVED_TO, -1, True),
            (watch.CREATE, file.fileno(), False),
        ]:
            discovery._first_offsets.note(watch.Event(directory.watch, mask, 0, "app.log.1", fd))
            assert discovery._first_offsets.is_moved_in(f"{log}.1", who) is is_moved
    tailer.stop()
    tailer.run()
