"""Logs that are named like rotated files of another one: what they hold decides, not their names."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append

from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
POLLING = replace(QUICK, inotify=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mail.log"


@pytest.fixture(params=[QUICK, POLLING], ids=["inotify", "polling"])
def rig(request: pytest.FixtureRequest, log: Path) -> Iterator[Rig]:
    log.write_bytes(b"before\n")
    with Rig(f"{log}*", settings=request.param) as rig:
        append(log, b"first\n")
        rig.expect([b"first"])
        yield rig


@pytest.mark.parametrize(
    "name", ["mail.log.wf", "mail.log-vhost2", "mail.log.1", "mail.log-20261130", "mail.log.120000"]
)
def test_a_log_of_its_own(rig: Rig, log: Path, name: str) -> None:
    with (log.parent / name).open("ab", buffering=0) as writer:
        lines = [b"%s %d" % (name.encode(), number) for number in range(20)]
        for line in lines:
            writer.write(line + b"\n")
            time.sleep(0.02)
        rig.expect([b"first", *lines])
        assert rig.of(log.parent / name) == lines


def test_a_log_that_begins_like_the_other(rig: Rig, log: Path) -> None:
    """As with a header: as long as nothing tells, it waits."""
    other = log.with_name("mail.log.err")
    other.write_bytes(b"before\n")
    time.sleep(0.1)
    append(other, b"its own\n")
    rig.expect([b"first", b"before", b"its own"])


def test_a_log_that_is_longer_than_the_other(rig: Rig, log: Path) -> None:
    log.with_name("mail.log.err").write_bytes(b"before\nfirst\nits own\n")
    rig.expect([b"first", b"before", b"first", b"its own"])


@pytest.mark.slow
def test_an_empty_log_is_filled_later(rig: Rig, log: Path) -> None:
    other = log.with_name("mail.log.err")
    other.touch()
    time.sleep(1.2)
    append(other, b"its own\n")
    rig.expect([b"first", b"its own"])


def test_a_log_that_is_truncated(rig: Rig, log: Path) -> None:
    other = log.with_name("mail.log.err")
    append(other, b"1\n")
    rig.expect([b"first", b"1"])
    os.truncate(other, 0)
    append(other, b"20\n")
    rig.expect([b"first", b"1", b"20"])


@pytest.mark.slow
def test_copies_of_all_ages(rig: Rig, log: Path) -> None:
    """Of the log as it is, of what it was before a rotation, and of what it was before a truncation."""
    lines = [b"first"]
    for turn in range(3):
        append(log, b"".join(b"%d of %d\n" % (number, turn) for number in range(400)))
        lines += [b"%d of %d" % (number, turn) for number in range(400)]
        rig.expect(lines)
        shutil.copy(log, f"{log}.copy{turn}")
        os.truncate(log, 0) if turn == 1 else log.rename(f"{log}.{turn}")
        time.sleep(0.1)
    shutil.copy(f"{log}.0", f"{log}.late")
    append(log, b"end\n")
    rig.expect([*lines, b"end"])
    rig.stays(rig.lines, 1.0)


@pytest.mark.slow
def test_what_is_compressed_is_no_log(rig: Rig, log: Path) -> None:
    with gzip.open(f"{log}.1.gz", "wb") as file:
        file.write(b"before\nfirst\n")
    append(log, b"second\n")
    rig.expect([b"first", b"second"])
    rig.stays(rig.lines, 0.5)


def test_a_script_edits_a_rotated_file_that_matches(rig: Rig, log: Path) -> None:
    append(log, b"10.0.0.1\n")
    rig.expect([b"first", b"10.0.0.1"])
    log.rename(f"{log}.1")
    log.write_bytes(b"second\n")
    rig.expect([b"first", b"10.0.0.1", b"second"])
    edited = log.with_name("sedXYZ")
    edited.write_bytes(Path(f"{log}.1").read_bytes().replace(b"10.", b"0."))
    edited.rename(f"{log}.1")
    rig.wait_for_offset(f"{log}.1", len(b"before\nfirst\n0.0.0.1\n"))
    append(Path(f"{log}.1"), b"its own\n")
    rig.expect([b"first", b"10.0.0.1", b"second", b"its own"])


@pytest.mark.slow
def test_a_link_to_the_newest(tmp_path: Path) -> None:
    """As rotatelogs -L makes it, a hard link."""
    log = tmp_path / "access.log"
    with Rig(f"{log}*", settings=QUICK) as rig:
        for turn in range(4):
            name = f"{log}.{100000 + turn}"
            with open(name, "ab", buffering=0) as writer:
                writer.write(b"%d: first\n" % turn)
                os.link(name, tmp_path / "new")
                os.rename(tmp_path / "new", log)
                time.sleep(0.05)
                writer.write(b"%d: second\n" % turn)
                time.sleep(0.05)
        rig.expect([b"%d: %s" % (turn, text) for turn in range(4) for text in (b"first", b"second")])
        rig.stays(rig.lines, 0.5)
