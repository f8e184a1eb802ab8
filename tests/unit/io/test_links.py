"""Links on the way of a path: a change of any of them is noticed at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append
from waiting import PATIENCE

from nativemtail.io.links import places
from nativemtail.io.sources import Settings

SETTINGS = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
EVENTS_ONLY = replace(SETTINGS, sweep=10 * PATIENCE)
"""Nothing else would notice a change in time."""


def swap(link: Path, target: str) -> None:
    """As deployments do it: nobody finds the link missing."""
    other = link.with_name("swap")
    other.symlink_to(target)
    other.rename(link)


def swapped(root: Path) -> None:
    swap(root / "current", "rel2")


def removed_and_made(root: Path) -> None:
    (root / "current").unlink()
    time.sleep(0.05)
    (root / "current").symlink_to("rel2")


def middle_swapped(root: Path) -> None:
    swap(root / "far" / "middle", "../rel2")


def middle_removed_and_made(root: Path) -> None:
    (root / "far" / "middle").unlink()
    time.sleep(0.05)
    (root / "far" / "middle").symlink_to("../rel2")


def target_replaced(root: Path) -> None:
    (root / "rel1").rename(root / "old")
    time.sleep(0.05)
    (root / "rel2").rename(root / "rel1")


WAYS: list[tuple[Callable[[Path], None], str]] = [
    (swapped, "rel1"),
    (removed_and_made, "rel1"),
    (middle_swapped, "far/middle"),
    (middle_removed_and_made, "far/middle"),
    (target_replaced, "rel1"),
    (target_replaced, "far/middle"),
]


@pytest.mark.parametrize(("way", "target"), WAYS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("pattern", ["current/log/a.log", "current/log/*.log", "*urrent/*/*.log"])
def test_a_directory_link(way: Callable[[Path], None], target: str, pattern: str, tmp_path: Path) -> None:
    for release in ("rel1", "rel2"):
        (tmp_path / release / "log").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "middle").symlink_to("../rel1")
    (tmp_path / "current").symlink_to(target)
    log = tmp_path / "current" / "log" / "a.log"
    log.write_bytes(b"before\n")
    with Rig(tmp_path / pattern, settings=EVENTS_ONLY) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        (tmp_path / "rel2" / "log" / "a.log").write_bytes(b"2\n")
        way(tmp_path)
        rig.expect([b"1", b"2"])
        append(log, b"3\n")
        rig.expect([b"1", b"2", b"3"])
        if "*" in pattern:
            log.with_name("b.log").write_bytes(b"4\n")
            rig.expect([b"1", b"2", b"3", b"4"])


def test_a_file_link_through_a_directory_link(tmp_path: Path) -> None:
    for release in ("rel1", "rel2"):
        (tmp_path / release).mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "current").symlink_to("rel1")
    link = tmp_path / "logs" / "a.log"
    link.symlink_to("../current/a.log")
    link.write_bytes(b"before\n")
    with Rig(tmp_path / "logs" / "*.log", settings=EVENTS_ONLY) as rig:
        append(link, b"1\n")
        rig.expect([b"1"])
        (tmp_path / "rel2" / "a.log").write_bytes(b"2\n")
        swap(tmp_path / "current", "rel2")
        rig.expect([b"1", b"2"])


def test_places(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a" / "up").symlink_to("../link/./b")
    top = os.path.realpath(tmp_path)
    assert places(f"{top}/a/b/log") == []
    assert places(f"{top}/link/b/log") == [f"{top}/{name}" for name in ("link", "a", "a/b", "a/b/log")]
    assert places(f"{top}/a/up/log") == [f"{top}/{name}" for name in ("a/up", "link", "a", "a/b", "a/b/log")]
    assert places(f"{top}/link/up") == [f"{top}/{name}" for name in ("link", "a", "a/up", "a/b")]


def test_places_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    top = os.path.realpath(tmp_path)
    assert places(f"{top}/a/log") == [f"{top}/a", f"{top}/b"]
