"""Logs behind links, and under several names."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rig import QUICK, Rig, append
from waiting import PATIENCE

from nativemtail.io.sources import Settings


def test_symlink_swap(log: Path, settings: Settings) -> None:
    first, second = log.with_suffix(".1"), log.with_suffix(".2")
    first.write_bytes(b"old\n")
    second.write_bytes(b"new\n")
    log.symlink_to(first)
    with Rig(log, settings=settings) as rig:
        append(first, b"1\n")
        rig.expect([b"1"])
        swap = log.with_suffix(".swap")
        swap.symlink_to(second)
        swap.rename(log)
        rig.expect([b"1", b"new"])
        append(second, b"2\n")
        rig.expect([b"1", b"new", b"2"])
        assert rig.of(log) == rig.lines


@pytest.mark.parametrize("targets", [("app.log",), ("a", "b", "a")], ids=["itself", "others"])
def test_links_in_a_circle(log: Path, targets: tuple[str, ...], settings: Settings) -> None:
    """They lead nowhere, until they do."""
    for link, target in zip((log, log.with_name("a"), log.with_name("b")), targets, strict=False):
        link.symlink_to(target)
    with Rig(log.with_name("*.log"), settings=replace(settings, sweep=0.05)) as rig:
        time.sleep(0.2)
        log.unlink()
        log.write_bytes(b"1\n")
        rig.expect([b"1"])


def test_rotation_behind_links(tmp_path: Path) -> None:
    """As Kubernetes lays them out: the pattern sees links, the rotation happens where they lead."""
    pods, containers = tmp_path / "pods" / "p", tmp_path / "containers"
    pods.mkdir(parents=True)
    containers.mkdir()
    real, link = pods / "0.log", containers / "c.log"
    middle = tmp_path / "middle"
    middle.symlink_to(real)
    link.symlink_to(middle)
    with Rig(containers / "*.log", settings=replace(QUICK, sweep=10 * PATIENCE)) as rig:
        real.write_bytes(b"1\n")
        rig.expect([b"1"])
        real.rename(pods / "0.log.2026")
        time.sleep(0.05)
        real.write_bytes(b"2\n")
        rig.expect([b"1", b"2"])
        middle.unlink()
        real.rename(pods / "other")
        time.sleep(0.05)
        middle.symlink_to(pods / "third")
        time.sleep(0.05)
        (pods / "third").write_bytes(b"3\n")
        rig.expect([b"1", b"2", b"3"])


@pytest.mark.slow
def test_copy_in_the_same_place(log: Path) -> None:
    """A script that copies over the same file each time: neither the copy nor what it kept counts twice."""
    log.touch()
    copy = log.with_suffix(".log.1")
    with Rig(f"{log}*", settings=QUICK) as rig:
        for turn in range(4):
            append(log, b"%d\n" % turn)
            rig.expect([b"%d" % i for i in range(turn + 1)])
            shutil.copyfile(log, copy)
            os.truncate(log, 0)
            rig.wait_for_offset(copy, copy.stat().st_size)
            rig.wait_for_offset(log, 0)
        rig.wait_settled()
        os.truncate(copy, 0)
        append(copy, b"its own\n")
        rig.expect([b"0", b"1", b"2", b"3", b"its own"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["symbolic", "hard", "chain", "directory"])
@pytest.mark.parametrize("late", [False, True], ids=["at start", "later"])
def test_two_names_of_one_file(
    kind: str, late: bool, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read once, under the name that matched first; when that goes, under the other."""
    log, link = tmp_path / "a.log", tmp_path / "b.log"

    def make() -> None:
        if kind == "symbolic":
            link.symlink_to(log)
        elif kind == "hard":
            link.hardlink_to(log)
        elif kind == "chain":
            (tmp_path / "middle").symlink_to("a.log")
            link.symlink_to("middle")
        else:
            (tmp_path / "d").symlink_to(".")

    log.write_bytes(b"old\n")
    if not late:
        make()
    with Rig(tmp_path / "*.log", tmp_path / "d" / "*.log", settings=settings) as rig:
        rig.wait(lambda: rig.tailer.log_count == 1)
        if late:
            make()
        append(log, b"1\n")
        rig.expect([b"1"])
        rig.stays([b"1"])
        assert rig.of(log) == [b"1"]
        assert rig.tailer.log_count == 1
        if kind == "hard":
            log.unlink()
            append(link, b"2\n")
            rig.expect([b"1", b"2"])
            rig.wait(lambda: [status.name for status in rig.tailer.status()] == [str(link)])
    assert sum("is the same file as" in message for message in caplog.messages) == 1


def test_a_link_to_the_newest_of_dated_logs(tmp_path: Path, settings: Settings) -> None:
    first, second, link = (tmp_path / f"app-{name}.log" for name in ("2026-11-30", "2026-12-01", "latest"))
    first.touch()
    link.symlink_to(first)
    with Rig(tmp_path / "app-*.log", settings=settings) as rig:
        append(link, b"1\n")
        rig.expect([b"1"])
        second.write_bytes(b"2\n")
        swap = tmp_path / "swap"
        swap.symlink_to(second)
        swap.rename(link)
        append(link, b"3\n")
        append(first, b"late\n")
        rig.wait(lambda: len(rig.lines) == 4)
        rig.stays(rig.lines)
        assert rig.of(first) == [b"1", b"late"]
        assert rig.of(second) == [b"2", b"3"]


def test_a_link_that_had_a_file_of_its_own(tmp_path: Path, settings: Settings) -> None:
    """The other's name is kept, and what its old file had is read."""
    log, own, link = tmp_path / "a.log", tmp_path / "own", tmp_path / "b.log"
    log.touch()
    own.touch()
    link.symlink_to(own)
    with Rig(tmp_path / "*.log", settings=settings) as rig:
        append(link, b"1\n")
        rig.expect([b"1"])
        append(link, b"2\n")
        swap = tmp_path / "swap"
        swap.symlink_to(log)
        swap.rename(link)
        append(log, b"3\n")
        rig.wait(lambda: len(rig.lines) == 3)
        rig.stays(rig.lines)
        assert rig.of(link) == [b"1", b"2"]
        assert rig.of(log) == [b"3"]
