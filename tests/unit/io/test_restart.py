"""A process that is killed and starts again counts every complete line once."""

from __future__ import annotations

import bz2
import gzip
import logging
import os
import shutil
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from lives import Lives
from rig import append

from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
SLOW = replace(QUICK, linger=30.0, flush=30.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"before\n")
    return path


def lines(*numbers: int) -> list[bytes]:
    return [b"line %d" % number for number in numbers]


def write(log: Path, *numbers: int) -> None:
    append(log, b"".join(line + b"\n" for line in lines(*numbers)))


def test_nothing_is_lost_and_nothing_doubled(log: Path) -> None:
    with Lives(log) as process:
        write(log, 1, 2)
        process.read(lines(1, 2))
        process.save()
        write(log, 3)
        process.read(lines(1, 2, 3))
        process.restart()  # line 3 was counted, but not saved
        process.read(lines(1, 2, 3))
        process.save()
        process.kill()
        write(log, 4)
        process.start()
        process.read(lines(1, 2, 3, 4))


def test_killed_before_anything_was_read(log: Path) -> None:
    with Lives(log) as process:
        process.kill()
        write(log, 1)
        process.start()
        process.read(lines(1))


def test_unterminated_line_is_read_again(log: Path) -> None:
    with Lives(log, settings=SLOW) as process:
        append(log, b"line 1\nli")
        process.read(lines(1))
        process.save()
        process.restart()
        append(log, b"ne 2\n")
        process.read(lines(1, 2))


def test_unterminated_line_at_a_stop(log: Path) -> None:
    with Lives(log, settings=SLOW) as process:
        append(log, b"line 1\nli")
        process.stop()
        assert process.lines == lines(1)
        append(log, b"ne 2\nlin")
        process.start()
        process.read(lines(1, 2))


@pytest.mark.slow
def test_only_what_changed_is_saved(log: Path) -> None:
    other = log.with_name("other.log")
    other.touch()
    with Lives(log.parent / "*.log") as process:
        assert process.save() == {}
        write(other, 1)
        process.read(lines(1))
        assert list(process.save()) == [str(other)]
        other.unlink()
        process.run(lambda: process.tailer.log_count == 1)
        while other.exists() or str(other) in process.kept:
            process.step()
            process.save()
        assert str(log) in process.kept


def test_long_line_that_was_cut(log: Path) -> None:
    settings = replace(SLOW, max_line_length=100)
    with Lives(log, settings=settings) as process:
        append(log, b"x" * 150)
        process.run(lambda: process.lines)
        process.save()
        process.kill()
        append(log, b"x" * 50 + b"\nline 1\n")
        process.start()
        process.read([b"x" * 100, *lines(1)])


def test_utf16(log: Path) -> None:
    log.write_bytes("before\n".encode("utf-16"))
    with Lives(log, settings=SLOW) as process:
        append(log, "line 1\nlin".encode("utf-16-le"))
        process.read(lines(1))
        process.save()
        process.kill()
        append(log, "e 2\n".encode("utf-16-le"))
        process.start()
        process.read(lines(1, 2))


def rotate(log: Path, suffix: str = "") -> None:
    for number in range(9, 0, -1):
        for end in ("", ".gz", ".zst", ".bz2"):
            if os.path.exists(f"{log}.{number}{end}"):
                os.rename(f"{log}.{number}{end}", f"{log}.{number + 1}{end}")
    log.rename(f"{log}.1")
    if suffix:
        compress(Path(f"{log}.1"), suffix)


COMPRESSORS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}


def compress(path: Path, suffix: str) -> None:
    info = path.stat()
    to = Path(f"{path}{suffix}")
    to.write_bytes(COMPRESSORS[suffix](path.read_bytes()))
    os.utime(to, ns=(info.st_atime_ns, info.st_mtime_ns - 10**9))  # so that nobody waits for the writer
    path.unlink()


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
@pytest.mark.parametrize("turns", [1, 5])
def test_rotated_while_nobody_looked(log: Path, pattern: str, suffix: str, turns: int) -> None:
    with Lives(log.with_name(pattern)) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        for turn in range(turns):
            write(log, 2 * turn + 2, 2 * turn + 3)
            rotate(log, suffix)
        write(log, 100)
        process.start()
        process.read([*lines(*range(1, 2 * turns + 2)), b"line 100"])
        process.save()
        process.restart()
        process.read([*lines(*range(1, 2 * turns + 2)), b"line 100"])


def test_killed_while_rotated_files_are_read(log: Path) -> None:
    with Lives(log) as process:
        process.kill()
        for turn in range(5):
            write(log, 2 * turn, 2 * turn + 1)
            rotate(log, ".gz" if turn == 1 else "")
        write(log, 10)
        for count in range(11):
            process.start()
            process.run(lambda count=count: len(process.lines) >= count)
            process.save()
            process.kill()
        process.start()
        process.read(lines(*range(11)))


def copytruncate(log: Path) -> None:
    for number in range(9, 0, -1):
        if os.path.exists(f"{log}.{number}"):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("turns", [1, 5])
def test_copied_and_truncated_while_nobody_looked(log: Path, pattern: str, turns: int) -> None:
    with Lives(log.with_name(pattern)) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        for turn in range(turns):
            write(log, 2 * turn + 2, 2 * turn + 3)
            copytruncate(log)
        write(log, 100)
        process.start()
        process.read([*lines(*range(1, 2 * turns + 2)), b"line 100"])


def test_truncated_just_after_the_restart(log: Path) -> None:
    with Lives(log) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        write(log, 2)
        shutil.copy(log, f"{log}.1")
        process.start()
        os.truncate(log, 0)
        write(log, 3)
        process.read(lines(1, 2, 3))


def test_killed_while_a_copy_is_read(log: Path) -> None:
    settings = replace(QUICK, max_line_length=64)
    with Lives(log, settings=settings) as process:
        write(log, *range(5))
        process.read(lines(*range(5)))
        write(log, *range(5, 50))
        copytruncate(log)
        write(log, *range(50, 60))
        process.run(lambda: len(process.lines) > 10)
        process.save()
        assert len(process.lines) < 45
        process.restart()
        process.read(lines(*range(60)))


def test_nuls_that_are_written_before_and_after_a_restart(log: Path) -> None:
    """A file that is preallocated, or lost a block."""
    with Lives(log, settings=SLOW) as process:
        append(log, b"\0" * 5000 + b"line 1\n")
        process.read(lines(1))
        process.save()
        process.restart()
        os.truncate(log, os.stat(log).st_size + 100_000)
        for _ in range(20):
            process.step()
        process.save()
        process.restart()
        write(log, 2)
        process.read(lines(1, 2))


def test_the_ends_of_the_last_three_files_are_kept(log: Path) -> None:
    """Of those that are not empty: an empty one could be any other."""
    with Lives(log, settings=SLOW) as process:
        for number in range(6):
            write(log, number)
            process.read(lines(*range(number + 1)))
            for turn in range(2):
                log.rename(log.with_name(f"app.log-202601{number}{turn}"))
                log.touch()
                process.run(lambda: process.tailer._discovery._table.file_at(str(log)).offset == 0)  # type: ignore[union-attr]
        process.save()
        *_, heads = zip(*(position[:5] for position in process.kept[str(log)]["past"]), strict=True)
        assert list(heads) == [zlib.crc32(b"line %d\n" % number) for number in (3, 4, 5)]


@pytest.mark.parametrize("runs", [0, 1, 2])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_log_that_is_missing_after_a_rotation(is_compressed: bool, runs: int, log: Path) -> None:
    """Its rotated file was counted, and is not read as one of the next log, however often it starts until then."""
    log.unlink()
    with Lives(log.parent / "*.log", settings=replace(QUICK, linger=0.02)) as process:
        write(log, 1)
        process.read(lines(1))
        first = log.rename(f"{log}.1")
        process.run(lambda: not process.tailer.names())
        process.save()
        for _ in range(runs):
            process.restart()
            process.step()
            process.save()
        process.kill()
        if is_compressed:
            Path(f"{first}.gz").write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()
        write(log, 2)
        process.start()
        process.read(lines(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_end_of_a_file_that_was_renamed_meanwhile_is_the_newest(is_killed: bool, suffix: str, log: Path) -> None:
    """It is kept, although the ends of as many files as are kept are known, and counted once if the log stays empty."""
    with Lives(log, settings=replace(QUICK, linger=0.02)) as process:
        for number in range(4):
            rotate(log)
            write(log, number)
            process.read(lines(*range(number + 1)))
        process.save()
        process.kill()
        rotate(log, suffix)
        log.touch()
        if is_killed:
            process.start()
            process.kill()
        for _ in range(2):
            process.start()
            process.run(lambda: not any(process.tailer._discovery._table.generations.values()))  # type: ignore[union-attr]
            process.read(lines(*range(4)))
            process.stop()
        write(log, 4)
        process.start()
        process.read(lines(*range(5)))


def test_log_that_is_missing_after_a_rotation_of_which_nothing_was_saved(log: Path) -> None:
    log.unlink()
    with Lives(log, settings=replace(QUICK, linger=0.02)) as process:
        write(log, 1)
        process.read(lines(1))
        log.rename(f"{log}.1")
        process.run(lambda: not process.tailer.names())
        process.stop()
        write(log, 2)
        rotate(log)
        write(log, 3)
        process.start()
        process.read(lines(1, 2, 3))


def test_missing_log_between_two_runs_to_the_end(log: Path) -> None:
    log.unlink()
    with Lives(log, until_end=True) as process:
        for number in range(1, 8):
            if number % 2:
                write(log, number)
            process.restart()
            process.run(lambda: process.tailer._inputs[0].ended)
            assert process.lines == lines(*range(1, number + 1, 2))
            process.save()
            if number % 2:
                rotate(log)


def test_log_that_appeared_meanwhile_is_read_from_its_beginning(log: Path) -> None:
    with Lives(log.parent / "*.log") as process:
        process.kill()
        new = log.with_name("new.log")
        write(new, 1)
        rotate(new)
        write(new, 2)
        process.start()
        process.read(lines(1, 2))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_log_that_was_renamed_before_it_was_saved(suffix: str, log: Path) -> None:
    """It appeared and was rotated between two runs, and is not there when the next one starts."""
    with Lives(log.with_name("*.log")) as process:
        process.kill()
        new = log.with_name("new.log")
        write(new, 1)
        rotate(new, suffix)
        write(new, 2)
        rotate(new)
        process.start()
        process.read(lines(1, 2))
        process.restart()
        write(new, 3)
        process.read(lines(1, 2, 3))


def test_rotated_files_of_no_log_that_are_older_than_the_instant(log: Path) -> None:
    old = log.with_name("old.log")
    write(old, 1)
    rotate(old)
    with Lives(log.with_name("*.log")) as process:
        process.saved_at = time.time_ns() + 10**10
        process.restart()
        write(log, 2)
        process.read(lines(2))


@pytest.mark.parametrize("is_read", [False, True])
@pytest.mark.parametrize("turns", [1, 3])
def test_copied_and_truncated_and_renamed_since_the_instant(turns: int, is_read: bool, log: Path) -> None:
    """It was empty when it was saved; what was written to it is in copies that are named as older than itself."""
    os.truncate(log, 0)
    with Lives(log) as process:
        for turn in range(turns):
            write(log, 2 * turn, 2 * turn + 1)
            if is_read:
                process.read(lines(*range(2 * turn + 2)))
            copytruncate(log)
        rotate(log)
        process.kill()
        write(log, 100)
        process.start()
        process.read([*lines(*range(2 * turns)), b"line 100"])


def test_copy_of_a_log_that_was_renamed_since_the_instant(log: Path) -> None:
    """A backup named like a rotated file has no text of its own."""
    os.truncate(log, 0)
    with Lives(log) as process:
        write(log, 1)
        shutil.copy(log, f"{log}.2")
        write(log, 2)
        process.kill()
        log.rename(f"{log}.1")
        write(log, 3)
        process.start()
        process.read(lines(1, 2, 3))


@pytest.mark.parametrize("is_killed", [False, True])
def test_copied_and_deleted(is_killed: bool, log: Path) -> None:
    """The copy has the text of the file that was deleted, and is not read as one that came after it."""
    with Lives(log) as process:
        for turn in range(3):
            write(log, 2 * turn)
            process.read(lines(*range(2 * turn + 1)))
            if is_killed:
                process.save()
                process.kill()
            write(log, 2 * turn + 1)
            for number in range(9, 0, -1):
                if os.path.exists(f"{log}.{number}"):
                    os.rename(f"{log}.{number}", f"{log}.{number + 1}")
            shutil.copy(log, f"{log}.1")
            log.unlink()
            if is_killed:
                process.start()
                process.read(lines(*range(2 * turn + 2)))
        log.touch()
        rotate(log)
        write(log, 6)
        process.read(lines(*range(7)))


@pytest.mark.parametrize("kills", [1, 3])
def test_compressed_file_that_matches_is_read_before_its_successor(kills: int, log: Path) -> None:
    """However often the process was killed before it was read."""
    with Lives(log.with_name("app.log*")) as process:
        process.kill()
        write(log, 1)
        rotate(log, ".gz")
        write(log, 2)
        for _ in range(kills):
            process.start()
            process.kill()
        process.start()
        process.read(lines(1, 2))


def test_new_pattern_starts_at_the_ends_of_its_files(log: Path) -> None:
    other = log.with_name("other.txt")
    write(other, 1)
    with Lives(log) as process:
        process.restart(log, other)
        write(other, 2)
        process.read(lines(2))
        process.save()
        process.restart(log)
        write(other, 3)
        process.restart(log, other)
        write(other, 4)
        process.read(lines(2, 4))


def test_rotated_before_the_first_start_never_counts(log: Path) -> None:
    for number in (3, 2, 1):
        write(log, number)
        rotate(log)
    log.touch()
    with Lives(log) as process:
        write(log, 4)
        process.read(lines(4))
        process.save()
        rotate(log)
        write(log, 5)
        process.read(lines(4, 5))
        process.save()
        process.kill()
        os.unlink(f"{log}.1")
        os.unlink(log)
        write(log, 6)
        rotate(log)
        write(log, 7)
        process.start()
        process.read(lines(4, 5, 6, 7))


def test_gone_log_is_counted_and_said(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Lives(log, settings=SLOW) as process:
        append(log, b"line 1\nunfinished")
        process.read(lines(1))
        process.save()
        process.kill()
        log.unlink()
        log.with_name("other").touch()
        write(log, 2)
        with caplog.at_level(logging.WARNING):
            process.start()
        process.read(lines(1, 2))
        assert process.tailer.counters.lost_logs_total == 1
        assert (
            "app.log: the file that was read before the restart is gone: 10 bytes are known to be missing"
            in caplog.text
        )


def test_directory_that_was_moved(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    log = tmp_path / "a" / "app.log"
    log.touch()
    with Lives(tmp_path / "*" / "app.log") as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        write(log, 2)
        log.parent.rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
        write(log, 3)
        process.start()
        process.run(lambda: len(process.lines) == 3)
        assert sorted(process.lines) == lines(1, 2, 3)
        assert not process.tailer.counters.lost_logs_total


def test_from_the_beginning(log: Path) -> None:
    with Lives(log, read_from_beginning=True) as process:
        process.read([b"before"])
        process.save()
        process.restart()
        write(log, 1)
        process.read([b"before", *lines(1)])


def test_nothing_decreases_while_catching_up(log: Path) -> None:
    with Lives(log) as process:
        write(log, *range(1000))
        process.kill()
        process.start()
        size = log.stat().st_size - len(b"before\n")
        assert process.tailer.catching_up == size
        process.run(lambda: not process.tailer.catching_up)
        assert len(process.lines) == 1000


def test_to_the_end(log: Path) -> None:
    with Lives(log, until_end=True, settings=SLOW) as process:
        process.run(lambda: process.tailer._inputs[0].ended)
        assert process.lines == [b"before"]
        process.save()
        process.kill()
        write(log, 1)
        rotate(log)
        write(log, 2)
        append(log, b"li")
        for _ in range(2):
            process.start()
            process.run(lambda: process.tailer._inputs[0].ended)
            assert process.lines == [b"before", *lines(1, 2)]
            process.save()
            process.kill()
        append(log, b"ne 3\n")
        process.start()
        process.run(lambda: process.tailer._inputs[0].ended)
        assert process.lines == [b"before", *lines(1, 2, 3)]


def test_clock_was_set_back(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lives(log) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now - 10**15)
        write(log, 2)
        rotate(log)
        write(log, 3)
        process.start()
        process.read(lines(1, 2, 3))


def test_devices_were_numbered_anew_by_a_reboot(log: Path) -> None:
    compressed = log.with_name("other.log.gz")
    with Lives(log.with_name("*"), read_from_beginning=True) as process:
        write(log, 1)
        compressed.write_bytes(gzip.compress(b"old 1\nold 2\n"))
        os.utime(compressed, (1, 1))
        process.run(lambda: len(process.lines) == 4)
        while not any(record["present"]["is_done"] for record in process.kept.values() if record["kind"] == "log"):
            process.step()
            process.save()
        for record in process.kept.values():
            if record["kind"] == "log":
                record["present"]["file"][0] += 1
        process.restart()
        write(log, 2)
        process.run(lambda: len(process.lines) >= 5)
        assert process.tailer.counters.log_lines_total.total() == 1
        assert process.lines[-1:] == lines(2)


@pytest.mark.parametrize("text", [b"", b"line 1\n"])
def test_file_named_as_copy_does_not_hold_the_pages_up(log: Path, text: bytes) -> None:
    with Lives(log.with_name("app.log*")) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        log.with_name("app.log.1").write_bytes(text)
        process.start()
        process.run(lambda: not process.tailer.catching_up)


def test_directory_that_is_mounted_later(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    log = tmp_path / "mounted" / "app.log"
    write(log, 0)
    with Lives(log, settings=QUICK) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        log.parent.rename(tmp_path / "elsewhere")
        for _ in range(2):
            process.start()
            process.step()
            process.save()
            process.kill()
        process.start()
        process.save()
        (tmp_path / "elsewhere").rename(log.parent)
        write(log, 2)
        process.read(lines(1, 2))


def test_text_that_changes_while_it_is_saved_is_no_fingerprint(log: Path) -> None:
    """After a truncation that was noticed, the next two generations come and go unread."""
    with Lives(log, settings=SLOW) as process:
        write(log, 1, 2)
        process.read(lines(1, 2))
        copytruncate(log)
        process.run(lambda: process.tailer._discovery.followed()[0][1] == 0)
        write(log, 3)
        copytruncate(log)
        write(log, 4)
        process.save()
        process.kill()
        copytruncate(log)
        write(log, 5)
        process.start()
        process.read(lines(1, 2, 3, 4, 5))


def test_fingerprint_of_a_compressed_file_is_kept(log: Path) -> None:
    with Lives(log, settings=SLOW) as process:
        write(log, 1)
        process.read(lines(1))
        process.save()
        process.kill()
        write(log, 2)
        rotate(log, ".gz")
        write(log, 3)
        process.start()  # nothing is read yet
        offset, length, *_ = process.kept[str(log)]["rotated"][0]["at"]
        assert offset == length == len(b"before\nline 1\n")
