"""Finding the files of a log again after anything that happens to logs while nobody looks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from places import place_of

from nativemtail.io import resume
from nativemtail.io.descriptors import OPEN_FLAGS
from nativemtail.io.position import Position
from nativemtail.io.resume import Finder, Folder, Recovered
from nativemtail.io.saved import Place, SavedLog

BEFORE = b"".join(b"line %d of the first file\n" % number for number in range(100))
READ = 1000

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(BEFORE)
    return path


def opened(path: str) -> int:
    return os.open(path, OPEN_FLAGS)


def recover(saved: SavedLog, started: int = 0, at: int = 0) -> Recovered:
    return Finder(opened, started, lambda fd: False, at).recover(saved)


def saved_at(log: Path, offset: int = READ) -> SavedLog:
    return SavedLog(str(log), place_of(log, offset))


def found(recovered: Recovered) -> list[tuple[str, int]]:
    """Names and offsets, oldest first, and then the present one's."""
    before = [
        (os.path.basename(each.path), each.place.position.offset if each.place else 0) for each in recovered.before
    ]
    present = recovered.present.place if recovered.present is not None else None
    return [*before, ("app.log", present.position.offset if present is not None else 0)]


def rotate(log: Path, text: bytes = b"later\n", *, suffix: str = "") -> None:
    for number in range(9, 0, -1):
        for end in ("", *COMPRESSORS):
            if os.path.exists(f"{log}.{number}{end}"):
                os.rename(f"{log}.{number}{end}", f"{log}.{number + 1}{end}")
    if suffix:
        compress(log, Path(f"{log}.1{suffix}"))
    else:
        log.rename(f"{log}.1")
    log.write_bytes(text)


def compress(path: Path, to: Path) -> None:
    info = path.stat()
    to.write_bytes(COMPRESSORS[to.suffix](path.read_bytes()))
    os.utime(to, ns=(info.st_atime_ns, info.st_mtime_ns))
    path.unlink()


def test_nothing_happened(log: Path) -> None:
    saved = saved_at(log)
    recovered = recover(saved)
    assert found(recovered) == [("app.log", READ)]
    assert Finder(opened, 0, lambda fd: False).is_in_place(saved)


def test_it_grew(log: Path) -> None:
    saved = saved_at(log)
    with log.open("ab") as file:
        file.write(b"more\n")
    assert found(recover(saved)) == [("app.log", READ)]


def test_renamed(log: Path) -> None:
    saved = saved_at(log)
    rotate(log)
    assert found(recover(saved)) == [("app.log.1", READ), ("app.log", 0)]
    assert not Finder(opened, 0, lambda fd: False).is_in_place(saved)


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
def test_rotated_five_times(log: Path, suffix: str) -> None:
    saved = saved_at(log)
    for turn in range(5):
        rotate(log, b"turn %d\n" % turn, suffix=suffix)
    names = [(f"app.log.{number}{suffix}", READ if number == 5 else 0) for number in range(5, 0, -1)]
    assert found(recover(saved)) == [*names, ("app.log", 0)]


def test_rotated_five_times_by_date(log: Path) -> None:
    saved = saved_at(log)
    for day in range(5):
        log.rename(f"{log}-2026120{day}")
        if day < 3:
            compress(Path(f"{log}-2026120{day}"), Path(f"{log}-2026120{day}.gz"))
        log.write_bytes(b"day %d\n" % day)
    names = [
        "app.log-20261200.gz",
        "app.log-20261201.gz",
        "app.log-20261202.gz",
        "app.log-20261203",
        "app.log-20261204",
    ]
    assert found(recover(saved)) == [(names[0], READ), *((name, 0) for name in names[1:]), ("app.log", 0)]


def test_moved_to_another_directory_by_the_log_itself(log: Path) -> None:
    saved = saved_at(log)
    old = log.parent / "old"
    old.mkdir()
    log.rename(old / "app.log.1")
    log.write_bytes(b"later\n")
    recovered = recover(saved)
    assert [os.path.basename(place.path) for place in recovered.lost] == ["app.log"]
    assert found(recovered) == [("app.log", 0)]


def test_directory_was_moved(log: Path) -> None:
    (log.parent / "logs").mkdir()
    inner = log.parent / "logs" / "app.log"
    log.rename(inner)
    saved = saved_at(inner)
    (log.parent / "logs").rename(log.parent / "moved")
    inner.parent.mkdir()
    inner.write_bytes(b"later\n")
    recovered = recover(saved)
    assert recovered.present is None
    assert recovered.lost == [saved.present]


def test_half_written_compressed_sibling(log: Path) -> None:
    saved = saved_at(log)
    rotate(log)
    Path(f"{log}.1.gz").write_bytes(gzip.compress(BEFORE)[:20])
    rotate(log, b"latest\n")
    Path(f"{log}.1.gz").write_bytes(b"")
    assert found(recover(saved)) == [("app.log.2", READ), ("app.log.1", 0), ("app.log", 0)]


def copytruncate(log: Path, text: bytes = b"later\n") -> None:
    for number in range(9, 0, -1):
        if os.path.exists(f"{log}.{number}"):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
    shutil.copy(log, f"{log}.1")
    os.truncate(log, 0)
    with log.open("ab") as file:
        file.write(text)


def test_copied_and_truncated(log: Path) -> None:
    saved = saved_at(log)
    copytruncate(log)
    assert found(recover(saved)) == [("app.log.1", READ), ("app.log", 0)]


def test_copied_and_truncated_five_times(log: Path) -> None:
    saved = saved_at(log)
    for turn in range(5):
        copytruncate(log, b"turn %d\n" % turn)
    names = [(f"app.log.{number}", READ if number == 5 else 0) for number in range(5, 0, -1)]
    assert found(recover(saved)) == [*names, ("app.log", 0)]


@pytest.mark.parametrize("copied", [b"", BEFORE[:500], BEFORE])
def test_copy_in_progress_is_no_generation(log: Path, copied: bytes) -> None:
    saved = saved_at(log)
    Path(f"{log}.1").write_bytes(copied)
    assert found(recover(saved)) == [("app.log", READ)]


def test_copy_in_progress_of_the_next_file(log: Path) -> None:
    saved = saved_at(log)
    rotate(log, b"a later line\n" * 100)
    rotate(log, b"and another one\n" * 100)
    rotate(log, b"the latest of them\n" * 100)
    os.rename(f"{log}.3", f"{log}.4")
    os.rename(f"{log}.2", f"{log}.3")
    os.rename(f"{log}.1", f"{log}.2")
    Path(f"{log}.1").write_bytes(b"the latest of them\n" * 50)
    names = [("app.log.4", READ), ("app.log.3", 0), ("app.log.2", 0)]
    assert found(recover(saved)) == [*names, ("app.log", 0)]


def test_truncated_before_its_first_byte_was_read(log: Path) -> None:
    whole = place_of(log, len(BEFORE)).position
    beginning = Position(0, 0, 0, whole.head, whole.head_checksum)
    place = place_of(log, 0)
    saved = SavedLog(str(log), Place(place.path, place.device, place.inode, place.birth, beginning, len(BEFORE)))
    copytruncate(log)
    assert found(recover(saved)) == [("app.log.1", 0), ("app.log", 0)]


def test_empty_log_that_was_written_and_copied(log: Path) -> None:
    old = place_of(log, len(BEFORE)).position
    rotate(log, b"")
    saved = SavedLog(str(log), place_of(log, 0), past=(old,))
    with log.open("ab") as file:
        file.write(b"written while nobody looked\n")
    copytruncate(log)
    assert found(recover(saved)) == [("app.log.1", 0), ("app.log", 0)]


def test_inode_is_used_again_after_an_empty_file(log: Path) -> None:
    """An empty file has no fingerprint: the successors of the last one that was not empty are read."""
    old = place_of(log, len(BEFORE)).position
    rotate(log, b"")
    empty = place_of(log, 0)
    log.unlink()
    log.write_bytes(b"first\n")
    again = place_of(log, 0)
    saved = SavedLog(str(log), Place(empty.path, again.device, again.inode, empty.birth, Position(0), 0), past=(old,))
    rotate(log, b"second\n")
    rotate(log, b"third\n")
    assert found(recover(saved)) == [("app.log.2", 0), ("app.log.1", 0), ("app.log", 0)]


def test_inode_is_used_again_by_another_file(log: Path) -> None:
    place = place_of(log, READ)
    log.write_bytes(b"another file, with the inode of the one before\n" * 50)
    recovered = recover(SavedLog(str(log), place))
    assert found(recovered) == [("app.log", 0)]
    assert recovered.lost == [place]
    assert place.unread == len(BEFORE) - READ


def test_shorter_than_its_offset(log: Path) -> None:
    saved = saved_at(log)
    os.truncate(log, READ - 1)
    recovered = recover(saved)
    assert found(recovered) == [("app.log", 0)]
    assert len(recovered.lost) == 1


def test_gone(log: Path) -> None:
    saved = saved_at(log)
    log.unlink()
    assert recover(saved).lost == [saved.present]


def test_empty_and_gone_is_no_loss(log: Path) -> None:
    log.write_bytes(b"")
    saved = saved_at(log, 0)
    log.unlink()
    assert recover(saved).lost == []


def test_restored_from_a_backup(log: Path) -> None:
    saved = saved_at(log)
    text = log.read_bytes()
    log.unlink()
    log.with_name("other").touch()  # has the inode
    log.write_bytes(text + b"more\n")
    assert found(recover(saved)) == [("app.log", READ)]


def test_next_log_that_begins_as_the_last_one(log: Path) -> None:
    log.write_bytes(b"# header\n" * 200)
    saved = saved_at(log, 900)
    log.rename(f"{log}.1")
    log.write_bytes(b"# header\n" * 200)
    assert found(recover(saved)) == [("app.log.1", 900), ("app.log", 0)]


def test_restored_generation_with_another_inode(log: Path) -> None:
    saved = saved_at(log)
    rotate(log)
    shutil.copy(f"{log}.1", f"{log}.copy")
    os.rename(f"{log}.copy", f"{log}.1")
    assert found(recover(saved)) == [("app.log.1", READ), ("app.log", 0)]


def test_rotated_before_the_instant_never_counts(log: Path) -> None:
    for turn in range(3):
        rotate(log, b"turn %d\n" % turn)
    time.sleep(0.02)
    started = time.time_ns()
    at = started + resume._UNSEEN
    saved = SavedLog(str(log))
    time.sleep(0.02)
    assert found(recover(saved, started, at)) == [("app.log", 0)]
    rotate(log, b"new\n")
    rotate(log, b"newer\n")
    assert found(recover(saved, started, at)) == [("app.log.1", 0), ("app.log", 0)]


def test_older_generations_of_a_log_that_is_gone(log: Path) -> None:
    """The last one that was counted to its end is known by its content, whatever the clock says."""
    old = place_of(log, len(BEFORE)).position
    for turn in range(2):
        rotate(log, b"turn %d\n" % turn)
    saved = SavedLog(
        str(log), place_of(log, 7), past=(old, Path(f"{log}.1") and place_of(Path(f"{log}.1"), 7).position)
    )
    log.unlink()
    log.write_bytes(b"another\n")
    rotate(log, b"present\n")
    recovered = recover(saved, time.time_ns() + 10**12)
    assert found(recovered) == [("app.log.1", 0), ("app.log", 0)]
    assert recovered.lost == [saved.present]


def test_rotated_files_that_are_still_written_to(log: Path) -> None:
    first = place_of(log, READ)
    rotate(log, BEFORE[::-1])
    saved = SavedLog(str(log), place_of(log, 500), (first,))
    rotate(log, b"third\n")
    rotate(log, b"fourth\n")
    names = [("app.log.3", READ), ("app.log.2", 500), ("app.log.1", 0), ("app.log", 0)]
    assert found(recover(saved)) == names


def test_file_of_another_log_is_not_a_successor(log: Path) -> None:
    saved = saved_at(log)
    rotate(log)
    rotate(log)
    inode = os.stat(f"{log}.1").st_ino
    recovered = Finder(opened, 0, lambda fd: os.fstat(fd).st_ino == inode).recover(saved)
    assert found(recovered) == [("app.log.2", READ), ("app.log", 0)]


def test_link_that_was_switched(log: Path) -> None:
    real = log.with_name("real_1")
    log.rename(real)
    log.symlink_to("real_1")
    saved = SavedLog(str(log), place_of(real, READ))
    real.with_name("real_2").write_bytes(b"two\n")
    real.with_name("real_3").write_bytes(b"three\n")
    log.unlink()
    log.symlink_to("real_3")
    assert found(recover(saved)) == [("real_1", READ), ("real_2", 0), ("app.log", 0)]


def test_listing_is_repeated_while_names_change(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Folder._listed
    listings: list[int] = []

    def listed_while_renaming(self: Folder) -> dict[str, int]:
        found = listed(self)
        listings.append(len(found))
        if len(listings) < 4:
            rotate(log, b"turn %d\n" % len(listings))
        return found

    monkeypatch.setattr(Folder, "_listed", listed_while_renaming)
    saved = saved_at(log)
    rotate(log)
    names = [("app.log.4", READ), *((f"app.log.{number}", 0) for number in (3, 2, 1))]
    assert found(recover(saved)) == [*names, ("app.log", 0)]


def test_names_that_change_after_the_listing(log: Path) -> None:
    saved = saved_at(log)
    rotate(log)
    rotate(log, b"two\n")
    turns = [1]

    def rotating(path: str) -> int:
        if turns and path.endswith(".1"):
            turns.pop()
            rotate(log, b"three\n")
        return opened(path)

    recovered = Finder(rotating, 0, lambda fd: False).recover(saved)
    assert found(recovered) == [("app.log.3", READ), ("app.log.2", 0), ("app.log.1", 0), ("app.log", 0)]


def with_head(path: Path) -> Place:
    """Nothing was counted, but the beginning was seen."""
    place = place_of(path, 0)
    with path.open("rb") as file:
        return replace(place, position=Position.at_beginning(file.fileno()))


def rotated_unread(log: Path) -> SavedLog:
    """Four rotated files, of which the oldest was counted: nothing, the beginning and the inode are known of others."""
    for turn in range(4):
        rotate(log, b"turn %d\n" % turn)
    four, three, two, one = (Path(f"{log}.{number}") for number in range(4, 0, -1))
    places = (place_of(four, len(BEFORE)), place_of(three, 0), with_head(two), place_of(one, 0))
    return SavedLog(str(log), place_of(log, 0), places)


def test_files_of_which_little_is_known_stay_in_order(log: Path) -> None:
    saved = rotated_unread(log)
    for number in (3, 2):
        compress(Path(f"{log}.{number}"), Path(f"{log}.{number}.gz"))
    wanted = [("app.log.4", len(BEFORE)), ("app.log.3.gz", 0), ("app.log.2.gz", 0), ("app.log.1", 0), ("app.log", 0)]
    assert found(recover(saved)) == wanted


def test_compressed_file_that_is_known_twice(log: Path) -> None:
    plain = place_of(log, READ)
    rotate(log, suffix=".gz")
    compressed = place_of(Path(f"{log}.1.gz"), 0)
    for places in ((plain, compressed), (compressed, plain)):
        saved = SavedLog(str(log), place_of(log, 0), places)
        assert found(recover(saved)) == [("app.log.1.gz", READ), ("app.log", 0)]


def test_counted_file_that_is_gone_is_no_loss(log: Path) -> None:
    rotate(log, b"")
    saved = SavedLog(str(log), place_of(log, 0), (place_of(Path(f"{log}.1"), len(BEFORE)),))
    os.unlink(f"{log}.1")
    assert not recover(saved).lost
