"""Logs replaced by copies of themselves go on where reading stood; what was there before the start is history."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rig import Rig, append
from waiting import PATIENCE

from nativemtail.io import replaced
from nativemtail.io.follow import GrowingFile
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
POLLING = replace(QUICK, inotify=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def replace_by(log: Path, text: bytes) -> None:
    """As rsync and sed -i do."""
    new = log.with_name(".app.log.Xq3")
    new.write_bytes(text)
    new.rename(log)


@pytest.mark.parametrize("settings", [QUICK, POLLING], ids=["inotify", "polling"])
def test_a_longer_copy_of_itself(log: Path, settings: Settings) -> None:
    old = b"".join(b"from before the start %d\n" % number for number in range(200))
    log.write_bytes(old)
    with Rig(log, settings=settings) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        for turn in range(2, 6):
            replace_by(log, log.read_bytes() + b"%d\n" % turn)
            rig.expect([b"%d" % number for number in range(1, turn + 1)])
        append(log, b"6\n")
        rig.expect([b"%d" % number for number in range(1, 7)])
        rig.stays(rig.lines)


def save(log: Path, text: bytes, *, pause: float = 0.0, backup: str = "~", keep: bool = False) -> None:
    """As vim does, which deletes its backup, and Emacs, which keeps it."""
    kept = Path(f"{log}{backup}")
    log.rename(kept)
    with log.open("wb", buffering=0) as file:
        middle = 2 * len(text) // 3
        for part in (text[:middle], text[middle:]):
            time.sleep(pause)
            file.write(part)
        time.sleep(pause)
    if not keep:
        kept.unlink()


LONG = b"".join(b"from before the start %d\n" % number for number in range(400))
PAUSES = [0.0, 0.07, 0.3]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [QUICK, POLLING], ids=["inotify", "polling"])
@pytest.mark.parametrize(("backup", "keep"), [("~", False), (".bak", False), ("~", True)])
@pytest.mark.parametrize("pause", PAUSES)
def test_saved_by_an_editor(
    log: Path, settings: Settings, backup: str, keep: bool, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 3 * max(PAUSES) < replaced._PATIENCE
    monkeypatch.setattr(replaced, "_PATIENCE", PATIENCE)  # a busy machine makes the pauses longer
    log.write_bytes(LONG)
    with Rig(log, settings=replace(settings, linger=5)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        for turn in range(2, 4):
            save(log, log.read_bytes() + b"%d\n" % turn, pause=pause, backup=backup, keep=keep)
            rig.expect([b"%d" % number for number in range(1, turn + 1)])
        append(log, b"end\n")
        rig.expect([b"1", b"2", b"3", b"end"])
        rig.stays(rig.lines, 0.5)


def test_it_outgrows_the_old_one_while_they_are_compared(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest: list[bytes] = []
    real = GrowingFile.holds

    def holds(self: GrowingFile, fd: int) -> bool:
        if rest:
            append(log, rest.pop())
        return real(self, fd)

    monkeypatch.setattr(GrowingFile, "holds", holds)
    log.write_bytes(LONG)
    with Rig(log, settings=replace(QUICK, linger=5)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        log.rename(f"{log}~")
        rest.append(LONG[7000:] + b"1\n2\n")
        append(log, LONG[:7000])
        rig.expect([b"1", b"2"])


@pytest.mark.slow
@pytest.mark.parametrize("pause", PAUSES)
def test_edited_in_the_middle_is_another_log(log: Path, pause: float) -> None:
    log.touch()
    with Rig(log, settings=replace(QUICK, linger=5)) as rig:
        append(log, b"1\n2\n3\n")
        rig.expect([b"1", b"2", b"3"])
        save(log, b"1\nX\n3\n4\n", pause=pause)
        rig.expect([b"1", b"2", b"3", b"1", b"X", b"3", b"4"])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [QUICK, POLLING], ids=["inotify", "polling"])
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "deleted"])
def test_a_log_that_begins_like_the_last(log: Path, keep: bool, settings: Settings) -> None:
    """A job that always writes the same: its log is renamed, and perhaps deleted, before the next run."""
    text = b"".join(b"step %d of the job is done\n" % number for number in range(1, 40))
    log.touch()
    with Rig(log, settings=replace(settings, linger=5)) as rig:
        for turn in range(1, 4):
            append(log, text)
            rig.expect(text.splitlines() * turn)
            old = log.rename(f"{log}.{turn}")
            log.touch()
            if not keep:
                old.unlink()
            time.sleep(0.06)


@pytest.mark.slow
def test_a_header_that_all_logs_have(log: Path) -> None:
    header = b"#Software: something\n#Fields: date time\n"
    log.touch()
    with Rig(log, settings=replace(QUICK, linger=5)) as rig:
        append(log, header + b"1\n")
        rig.wait(lambda: rig.lines[-1:] == [b"1"])
        log.rename(f"{log}.1")
        append(log, header)
        rig.wait(lambda: len(rig.lines) == 5)  # though nothing comes that would tell
        append(log, b"2\n")
        rig.expect([*header.splitlines(), b"1", *header.splitlines(), b"2"])


def test_a_stop_while_it_is_unclear(log: Path) -> None:
    log.touch()
    with Rig(log, settings=replace(QUICK, linger=5)) as rig:
        append(log, b"1\n2\n")
        rig.expect([b"1", b"2"])
        log.rename(f"{log}.1")
        append(log, b"1\n")
        time.sleep(0.1)
    assert rig.lines == [b"1", b"2", b"1"]


@pytest.mark.parametrize("way", ["renamed", "linked"])
def test_the_old_one_is_kept(log: Path, way: str) -> None:
    """As by `sed -i.bak`, `rsync --backup`, and snapshots that are made of hard links."""
    log.write_bytes(LONG)
    with Rig(log, settings=replace(QUICK, linger=30)) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        text = log.read_bytes()
        if way == "renamed":
            log.rename(f"{log}.bak")
        else:
            os.link(log, log.with_name("snapshot"))
        replace_by(log, text + b"2\n")
        rig.expect([b"1", b"2"])
        append(log, b"3\n")
        rig.expect([b"1", b"2", b"3"])
        rig.stays(rig.lines)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [QUICK], ids=["inotify"])
def test_a_short_one_with_an_unterminated_line(log: Path, settings: Settings) -> None:
    log.touch()
    with Rig(log, settings=settings) as rig:
        append(log, b"1\nhalf")
        rig.expect([b"1"])
        rig.wait(lambda: rig.tailer.counters.log_bytes_total[str(log)] == 6)
        replace_by(log, b"1\nhalf of it\n2\n")
        rig.expect([b"1", b"half of it", b"2"])
        rig.stays(rig.lines, 1.0)


def test_what_was_not_read_yet_is_read_once(log: Path) -> None:
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"1\n")
        rig.expect([b"1"])
        rig.sink.may_scan.clear()
        append(log, b"2\n")
        time.sleep(0.05)
        append(log, b"3\n")
        replace_by(log, log.read_bytes() + b"4\n")
        append(log, b"5\n")
        rig.sink.may_scan.set()
        rig.expect([b"%d" % number for number in range(1, 6)])
        rig.stays(rig.lines)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [QUICK, POLLING], ids=["inotify", "polling"])
@pytest.mark.parametrize("way", ["rename", "delete"])
def test_the_same_lines_again_count_again(way: str, log: Path, settings: Settings) -> None:
    """After a rotation a program may well write what it wrote before."""
    log.touch()
    with Rig(log, settings=settings) as rig:
        for turn in range(1, 4):
            append(log, b"started\n" * 20)
            rig.expect([b"started"] * 20 * turn)
            log.unlink() if way == "delete" else log.rename(f"{log}.{turn}")
            time.sleep(0.06)
        append(log, b"started\n" * 20 + b"end\n")
        rig.expect([b"started"] * 80 + [b"end"])


def test_another_text_in_its_place_is_read(log: Path) -> None:
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"1\n2\n")
        rig.expect([b"1", b"2"])
        replace_by(log, b"1\n3\n4\n")
        rig.expect([b"1", b"2", b"1", b"3", b"4"])


@pytest.mark.parametrize("settings", [QUICK, POLLING], ids=["inotify", "polling"])
def test_what_existed_before_the_start_is_history(tmp_path: Path, settings: Settings) -> None:
    """A directory that is moved to where the pattern leads; as one that is opened up or mounted."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "old.log").write_bytes(b"old\n" * 5)
    time.sleep(0.1)
    with Rig(tmp_path / "seen" / "*.log", settings=settings) as rig:
        (hidden / "new.log").write_bytes(b"new\n")
        hidden.rename(tmp_path / "seen")
        rig.expect([b"new"])
        append(tmp_path / "seen" / "old.log", b"more\n")
        rig.expect([b"new", b"more"])
        rig.stays(rig.lines)


def test_a_link_to_an_old_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old\n")
    time.sleep(0.1)
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        (tmp_path / "app.log").symlink_to("real")
        rig.wait_for_offset(tmp_path / "app.log", 4)
        append(tmp_path / "real", b"new\n")
        rig.expect([b"new"])


def test_an_old_time_does_not_make_a_new_file_old(tmp_path: Path) -> None:
    """Copied with its times, by rsync from another host."""
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        source = tmp_path / "source"
        source.write_bytes(b"1\n")
        os.utime(source, (1, 1))
        shutil.copy2(source, tmp_path / "app.log")
        rig.expect([b"1"])


def test_a_clock_that_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        monkeypatch.setattr(time, "time_ns", real)
        (tmp_path / "app.log").write_bytes(b"1\n")
        rig.expect([b"1"])
