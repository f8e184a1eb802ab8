"""Files beside a log: only what goes on, byte for byte, where reading stood is read for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from rig import Recorder, Rig, append, busy
from waiting import PATIENCE

from nativemtail.io.followed import Copy, Followed
from nativemtail.io.listing import Listings
from nativemtail.io.patterns import parse_logs
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def edit(path: Path) -> None:
    """As `sed -i` does."""
    new = path.with_name("sedXYZ")
    new.write_bytes(path.read_bytes().replace(b"10.0.0", b"0.0.0"))
    new.rename(path)


def shift(log: Path) -> None:
    for number in (3, 2, 1):
        if os.path.exists(f"{log}.{number}"):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")


def create(log: Path) -> None:
    shift(log)
    log.rename(f"{log}.1")
    log.touch()


def copytruncate(log: Path) -> None:
    shift(log)
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)


@pytest.mark.slow
@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("rotate", [create, copytruncate])
def test_a_script_edits_rotated_files(rotate: Callable[[Path], None], is_busy: bool, log: Path) -> None:
    log.write_bytes(b"before 10.0.0.9\n")
    expected: list[bytes] = []
    with Rig(log, settings=QUICK) as rig:
        for turn in range(4):
            for part in range(2):
                append(log, b"%d.%d 10.0.0.1\n" % (turn, part))
                expected.append(b"%d.%d 10.0.0.1" % (turn, part))
                rig.expect(expected)
            if is_busy:
                rig.sink.may_scan.clear()
            rotate(log)
            for path in log.parent.glob("app.log.*"):
                edit(path)
            rig.sink.may_scan.set()
            time.sleep(0.1)
        append(log, b"end\n")
        rig.expect([*expected, b"end"])
        rig.stays(rig.lines)


@pytest.mark.parametrize(
    "names", [["app.log.1", "app.log.2"], ["app.log-20261130", "app.log-20261201"], ["app.log.bak"]]
)
@pytest.mark.parametrize("is_read", [False, True], ids=["empty", "read"])
def test_others_write_files_beside_a_truncated_log(is_read: bool, names: list[str], log: Path) -> None:
    """A backup is restored, or somebody exports something."""
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        if is_read:
            append(log, b"1\n")
            rig.expect([b"1"])
        rig.sink.may_scan.clear()
        if is_read:
            os.truncate(log, 0)
        for name in names:
            (log.parent / name).write_bytes(b"of another time\n")
        rig.sink.may_scan.set()
        time.sleep(0.1)
        append(log, b"2\n")
        rig.expect([b"1", b"2"] if is_read else [b"2"])
        rig.stays(rig.lines)


def test_a_copy_that_begins_otherwise(log: Path) -> None:
    """What is in front of the offset is the same, what is at the beginning is not."""
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"1\n" + b"x" * 3000 + b"\n")
        rig.wait(lambda: len(rig.lines) == 2)
        rig.sink.may_scan.clear()
        Path(f"{log}.1").write_bytes(b"2\n" + b"x" * 3000 + b"\nnot of this log\n")
        os.truncate(log, 0)
        append(log, b"3\n")
        rig.sink.may_scan.set()
        rig.expect([b"1", b"x" * 3000, b"3"])
        rig.stays(rig.lines)


def test_truncations_that_nobody_saw_are_read_from_the_copies(log: Path) -> None:
    """Behind the copy that goes on where reading stood, and behind the last one that was known before."""
    log.write_bytes(b"before\n")
    with Rig(log, settings=QUICK) as rig:
        append(log, b"0\n")
        rig.expect([b"0"])
        lines = [b"0"]
        for turn in range(2):
            rig.sink.may_scan.clear()
            append(log, b"%d: busy\n" % turn)
            time.sleep(0.05)
            for part in range(3):
                append(log, b"%d: %d\n" % (turn, part) * (9 - part))
                lines += [b"%d: %d" % (turn, part)] * (9 - part)
                copytruncate(log)
                time.sleep(0.01)
            lines.insert(len(lines) - 24, b"%d: busy" % turn)
            rig.sink.may_scan.set()
            rig.expect(lines)


def test_the_last_known_copy_is_renamed_while_the_directory_is_listed(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing lacks its new name, while the files that are newer look the same before and after."""
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"0\n")
        rig.expect([b"0"])
        copytruncate(log)
        rig.wait(lambda: rig.tailer.counters.file_truncates_total[str(log)] == 1)
        list_names, is_due = Listings.beginning_with, True

        def beginning_with(listings: Listings, directory: str, *starts: str, **since: float) -> list[str]:
            nonlocal is_due
            if not is_due:
                return list_names(listings, directory, *starts, **since)
            is_due = False
            copytruncate(log)
            names = list_names(listings, directory, *starts, **since)
            append(log, b"2\n")
            copytruncate(log)
            append(log, b"3\n")
            return names

        monkeypatch.setattr(Listings, "beginning_with", beginning_with)
        append(log, b"1\n")
        rig.expect([b"0", b"1", b"2", b"3"])


def step(tailer: Tailer) -> None:
    tailer.nudge()
    next(tailer.turns())


def test_a_file_with_a_rotated_name_is_renamed_before_it_is_compared(log: Path) -> None:
    """It is then the file that was last at its old path, but not a copy of itself."""
    log.touch()
    sink = Recorder()
    tailer = Tailer(parse_logs([f"{log}*"]), sink)
    tailer.open()
    first, second = Path(f"{log}.1"), Path(f"{log}.2")
    first.write_bytes(b"of its own\n" * 500)
    step(tailer)
    assert not sink.order
    first.rename(second)
    first.write_bytes(b"another\n")
    tailer.stop()
    tailer.run()
    assert sorted(sink.order) == [b"another", *[b"of its own"] * 500]


WAYS = {
    "tar": "tar -cf ../t $names && rm $names && tar -xf ../t && rm ../t",
    "cp": "mkdir ../b && cp $names ../b && rm $names && cp ../b/* . && rm -r ../b",
    "cp -p": "mkdir ../b && cp -p $names ../b && rm $names && cp -p ../b/* . && rm -r ../b",
    "in place": "mkdir ../b && cp $names ../b && cp ../b/* . && rm -r ../b",
}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["*", "*.log"])
@pytest.mark.parametrize("linger", [0.4, 30], ids=["later", "soon"])
@pytest.mark.parametrize("rotate", [create, copytruncate])
@pytest.mark.parametrize("way", WAYS)
def test_rotated_files_are_restored(
    way: str, rotate: Callable[[Path], None], linger: float, pattern: str, tmp_path: Path
) -> None:
    """All of them, twice, also those that were there before the start."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = folder / "app.log"
    log.write_bytes(b"before\n")
    (folder / "app.log.1").write_bytes(b"long before\n")
    expected: list[bytes] = []
    with Rig(folder / pattern, settings=replace(QUICK, linger=linger)) as rig:
        for turn in range(3):
            append(log, b"%d\n" % turn)
            expected.append(b"%d" % turn)
            rig.expect(expected)
            rotate(log)
            time.sleep(0.1)
        time.sleep(0 if linger > 1 else 1)
        for _ in range(2):
            subprocess.run(["sh", "-ec", f"cd {folder}; names=$(echo app.log.*); {WAYS[way]}"], check=True)
            time.sleep(0.5)
        append(log, b"end\n")
        rig.expect([*expected, b"end"])
        rig.stays(rig.lines)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("linger", [0.4, 30], ids=["later", "soon"])
@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("way", ["new", "in place"])
def test_a_rotated_file_is_restored_in_pieces(
    way: str, is_closed: bool, linger: float, pattern: str, log: Path
) -> None:
    """It takes longer than anybody waits for a copy to be completed."""
    log.touch()
    first = Path(f"{log}.1")
    lines = [b"line %d" % number for number in range(1000)]
    with Rig(log.parent / pattern, settings=replace(QUICK, linger=linger)) as rig:
        append(log, b"\n".join(lines) + b"\n")
        rig.expect(lines)
        create(log)
        append(log, b"next\n")
        rig.expect([*lines, b"next"])
        time.sleep(0 if linger > 1 else 1)
        text = first.read_bytes()
        if way == "new":
            first.unlink()
        with first.open("wb", buffering=0) as file:
            for start in range(0, len(text), 3000):
                if is_closed:
                    append(first, text[start : start + 3000])
                else:
                    file.write(text[start : start + 3000])
                time.sleep(0.6)
        append(log, b"end\n")
        rig.expect([*lines, b"next", b"end"])
        if pattern != "app.log":
            rig.wait_for_offset(first, len(text))
            time.sleep(0.6)
            append(first, b"appended\n")
            rig.expect([*lines, b"next", b"end", b"appended"])


@pytest.mark.parametrize("size", [100, 300, 1000, 5000])
@pytest.mark.parametrize("linger", [0.1, 30], ids=["later", "soon"])
def test_a_small_rotated_file_is_restored_in_pieces(linger: float, size: int, log: Path) -> None:
    """From 64 bytes on a beginning shows what it is."""
    log.touch()
    first = Path(f"{log}.1")
    text = b"".join(b"line %03d\n" % number for number in range(size // 10)).ljust(size, b"\n")
    lines = text.split(b"\n")[:-1]
    with Rig(f"{log}*", settings=replace(QUICK, linger=linger)) as rig:
        append(log, text)
        rig.expect(lines)
        create(log)
        append(log, b"next\n")
        rig.expect([*lines, b"next"])
        if linger < 1:
            rig.wait(lambda: rig.tailer._discovery is not None and not rig.tailer._discovery._rotation)
        first.unlink()
        for start, end in pairwise([0, 64, 70, 95, 128, 200, 600, 1000, 5000]):
            append(first, text[start:end])
            rig.wait_for_offset(first, min(end, size))
        append(log, b"end\n")
        rig.expect([*lines, b"next", b"end"])


@pytest.mark.parametrize("size", [64, 100, 700, 1500])
def test_a_file_that_begins_otherwise_is_not_being_restored(size: int, log: Path) -> None:
    """It differs in the last of the beginnings that it has."""
    log.touch()
    text = b"x" * 2000 + b"\n"
    other = bytearray(text[:size])
    other[max(end for end in (64, 512, 1024) if end <= size) - 1 :] = b"y\n"
    with Rig(f"{log}*", settings=QUICK) as rig:
        append(log, text)
        rig.expect([text[:-1]])
        create(log)
        append(log, b"next\n")
        rig.expect([text[:-1], b"next"])
        Path(f"{log}.1").unlink()
        append(Path(f"{log}.1"), bytes(other))
        rig.expect([text[:-1], b"next", bytes(other[:-1])])


@pytest.mark.parametrize("size", [0, 3000])
@pytest.mark.parametrize("linger", [0.1, 30], ids=["later", "soon"])
def test_a_rotated_file_is_restored_that_nobody_saw_created(linger: float, size: int, log: Path) -> None:
    """As far as anybody knows a script may have edited it."""
    log.touch()
    first = Path(f"{log}.1")
    lines = [b"line %d" % number for number in range(1000)]
    with Rig(f"{log}*", settings=replace(QUICK, inotify=False, linger=linger)) as rig:
        append(log, b"\n".join([*lines, b""]))
        rig.expect(lines)
        create(log)
        append(log, b"next\n")
        rig.expect([*lines, b"next"])
        text = first.read_bytes()
        rig.wait_for_offset(first, len(text))
        with busy(rig, log):
            first.unlink()
            append(first, text[:size])
        rig.wait_for_offset(first, size)
        append(first, text[size:])
        rig.wait_for_offset(first, len(text))
        append(log, b"end\n")
        rig.expect([*lines, b"next", b"first", b"busy", b"end"])


@pytest.mark.slow
@pytest.mark.parametrize("linger", [0.4, 30], ids=["later", "soon"])
def test_a_rotated_file_from_before_the_start_is_overwritten(linger: float, log: Path) -> None:
    log.write_bytes(b"before\n")
    first, second = Path(f"{log}.1"), Path(f"{log}.2")
    first.write_bytes(b"long before\n")
    with Rig(f"{log}*", settings=replace(QUICK, linger=linger)) as rig:
        create(log)
        time.sleep(0.2 if linger > 1 else 1)
        for path, text in ((first, b"before\n"), (second, b"long before\n")):
            os.truncate(path, 0)
            time.sleep(0.2)
            append(path, text)
        time.sleep(0.3)
        append(log, b"end\n")
        rig.expect([b"end"])


def test_a_rotated_file_is_restored_that_nobody_saw_renamed(log: Path) -> None:
    """The next log was at its path when the rename was learnt of: the file is known by the name that it has now."""
    log.write_bytes(b"before\n")
    with Rig(log, settings=replace(QUICK, linger=30)) as rig:
        append(log, b"0\n")
        rig.expect([b"0"])
        rig.sink.may_scan.clear()
        append(log, b"1\n")
        rig.wait(lambda: rig.sink.entered == 2)
        create(log)
        rig.sink.may_scan.set()
        append(log, b"2\n")
        rig.expect([b"0", b"1", b"2"])
        first = Path(f"{log}.1")
        text = first.read_bytes()
        os.truncate(first, 0)
        rig.wait(lambda: rig.tailer.counters.file_truncates_total[str(log)])
        append(first, text)
        append(log, b"end\n")
        rig.expect([b"0", b"1", b"2", b"end"])
        rig.stays(rig.lines)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 100, 1000, 1500], ids=["empty", "shorter", "as long", "longer"])
@pytest.mark.parametrize("is_polled", [False, True], ids=["inotify", "polling"])
def test_an_incomplete_copy_gets_other_content(is_polled: bool, count: int, log: Path) -> None:
    log.touch()
    copy = Path(f"{log}.1")
    lines = [b"line %4d" % number for number in range(2000)]
    own = [b"own  %4d" % number for number in range(count)]
    with Rig(f"{log}*", settings=replace(QUICK, inotify=not is_polled)) as rig:
        append(log, b"\n".join([*lines, b""]))
        rig.expect(lines)
        copy.write_bytes(b"\n".join([*lines[:1000], b""]))
        rig.wait_for_offset(copy, 10_000)
        with copy.open("r+b") as file:
            file.truncate(0)
            file.write(b"\n".join([*own, b""])[: 10 * count])
        rig.wait_for_offset(copy, 10 * count)
        append(copy, b"end\n")
        rig.expect([*lines, *own, b"end"])


def test_a_copy_is_rewritten_just_after_it_was_judged(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(f"{log}.1")
    lines = [b"line %4d" % number for number in range(2000)]
    own = [b"own  %4d" % number for number in range(1500)]
    real = Followed.skip_to_end

    def skip_to_end(reader: Followed) -> bool:
        if reader.copy is Copy.BEING_MADE and os.path.getsize(copy) == 10_000 == reader.offset:
            copy.write_bytes(b"\n".join([*own, b""]))
        return real(reader)

    monkeypatch.setattr(Followed, "skip_to_end", skip_to_end)
    log.touch()
    with Rig(f"{log}*", settings=replace(QUICK, inotify=False)) as rig:
        append(log, b"\n".join([*lines, b""]))
        rig.expect(lines)
        copy.write_bytes(b"\n".join([*lines[:1000], b""]))
        rig.expect([*lines, *own])
        append(copy, b"end\n")
        rig.expect([*lines, *own, b"end"])


def test_copies_of_a_log_with_a_hole(log: Path) -> None:
    """A writer that does not append goes on at its offset after each truncation."""
    log.touch()
    lines: list[bytes] = []
    with Rig(f"{log}*", settings=QUICK) as rig, log.open("r+b", buffering=0) as writer:
        for turn in range(1, 4):
            new = [b"%d: %4d" % (turn, number) for number in range(200 if turn == 1 else 20)]
            writer.write(b"\n".join([*new, b""]))
            lines += new
            rig.expect(lines)
            shutil.copyfile(log, f"{log}.{turn}")
            rig.wait_for_offset(Path(f"{log}.{turn}"), writer.tell())
            os.truncate(log, 0)
            rig.wait_for_offset(log, 0)
        rig.stays(lines)


@pytest.mark.parametrize("is_polled", [False, True], ids=["inotify", "polling"])
def test_a_log_is_renamed_after_it_was_truncated(is_polled: bool, log: Path) -> None:
    """What its copy preserved comes before the next log."""
    log.touch()
    other = log.with_name("other")
    other.touch()
    with Rig(other, log, settings=replace(QUICK, inotify=not is_polled)) as rig:
        append(log, b"0\n")
        rig.expect([b"0"])
        with busy(rig, other):
            append(log, b"1\n")
            copytruncate(log)
            create(log)
            append(log, b"2\n")
        rig.expect([b"0", b"first", b"busy", b"1", b"2"])


@pytest.mark.parametrize("size", [100, 5000])
def test_those_after_a_copy_wait_until_it_is_known(size: int, log: Path) -> None:
    """As long as it may be a log of its own, its lines may still come."""
    log.touch()
    copy = Path(f"{log}.1")
    lines = [b"line %4d" % number for number in range(1000)]
    with Rig(f"{log}*", settings=replace(QUICK, flush=PATIENCE)) as rig, copy.open("wb", buffering=0) as writer:
        append(log, b"\n".join([*lines, b""]))
        rig.expect(lines)
        writer.write(log.read_bytes()[:size])
        rig.wait_for_offset(copy, size)
        assert rig.tailer._discovery is not None
        reader = rig.tailer._discovery._table.file_at(str(copy))
        assert reader is not None
        if size < 4096:
            assert reader.copy is Copy.UNDECIDED
            assert not reader.eof
        else:
            rig.wait(lambda: reader.copy is Copy.BEING_MADE)
            rig.wait(lambda: reader.eof)
