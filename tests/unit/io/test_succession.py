"""After a gap the directory tells: all generations of a path are read, oldest first."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from compression import compress
from events import lose_events
from lives import Lives
from rig import POLLING, Rig, append

from nativemtail.io import archive, generations, succession, watch
from nativemtail.io.changes import Changes
from nativemtail.io.generations import Made, Scheme, name_of, newer
from nativemtail.io.lineage import Generation, Lineage
from nativemtail.io.listing import Listings
from nativemtail.io.loop import Loop
from nativemtail.io.position import Position, identity
from nativemtail.io.sources import Settings

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02, linger=0.4, flush=0.2)
TURNS = 150


@contextlib.contextmanager
def stopped(rig: Rig, log: Path) -> Iterator[None]:
    """The sink does not come back from a block as long as this lasts."""
    append(log, b"0\n")
    rig.expect([b"0"])
    rig.sink.may_scan.clear()
    append(log, b"0\n")
    time.sleep(0.05)
    yield
    rig.sink.may_scan.set()


def dated(log: Path, turn: int) -> None:
    log.rename(f"{log}-{20260000 + turn}")


def numbered(log: Path, turn: int) -> None:
    for number in range(turn, 0, -1):
        if os.path.exists(f"{log}.{number}"):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
    log.rename(f"{log}.1")


def before_the_extension(log: Path, turn: int) -> None:
    log.rename(log.with_name(f"app-{2026 + turn // 300}-{turn % 300:03}.log"))


def elsewhere(log: Path, turn: int) -> None:
    (log.parent / "old").mkdir(exist_ok=True)
    log.rename(log.parent / "old" / f"{log.name}.{turn:05}")


def counting_up(log: Path, turn: int) -> None:
    log.rename(f"{log}.{turn}")


def stamped(log: Path, turn: int) -> None:
    """As svlogd and multilog."""
    log.rename(log.with_name(f"@40000000{0x69AA0000 + turn:08x}{turn * 0x1234567 % 0x3B9ACA00:08x}.s"))


ROTATIONS = [dated, numbered, before_the_extension, elsewhere, counting_up, stamped]


def rotate(log: Path, rotation: Callable[[Path, int], None], turns: int) -> list[bytes]:
    """What must be read of it."""
    for turn in range(1, turns + 1):
        append(log, b"%d\n" % turn)
        rotation(log, turn)
        log.touch()
    append(log, b"%d\n" % (turns + 1))
    return [b"0", b"0", *(b"%d" % turn for turn in range(1, turns + 2))]


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_stopped_while_a_log_is_renamed(rotation: Callable[[Path, int], None], tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            lines = rotate(log, rotation, TURNS)
        rig.expect(lines)
        rig.stays(lines)


@pytest.mark.slow
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_events_are_lost(
    rotation: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[bool] = []
    lose_events(monkeypatch, lost)
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            lost.append(True)
            lines = rotate(log, rotation, TURNS)
        rig.expect(lines)


@pytest.mark.slow
@pytest.mark.parametrize("rotation", [dated, numbered])
def test_stopped_by_a_signal_before_it_could_read(rotation: Callable[[Path, int], None], tmp_path: Path) -> None:
    """At the end too: the generations come first, in their order."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig, stopped(rig, log):
        lines = rotate(log, rotation, TURNS)
        rig.tailer.stop()
    assert rig.lines == lines


@pytest.mark.parametrize("rotation", [dated, numbered])
def test_a_new_log_is_renamed_before_anybody_looked(rotation: Callable[[Path, int], None], tmp_path: Path) -> None:
    other, log = tmp_path / "other.log", tmp_path / "app.log"
    other.touch()
    with Rig(tmp_path / "*.log", settings=QUICK) as rig:
        with stopped(rig, other):
            lines = rotate(log, rotation, 20)
        rig.expect(lines)


def test_generations_that_links_led_to(tmp_path: Path) -> None:
    """As `current` that leads to the newest of dated files."""
    log = tmp_path / "current"
    first = tmp_path / "app-1.log"
    first.touch()
    log.symlink_to(first)
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            for turn in range(2, 13):
                (tmp_path / f"app-{turn}.log").write_bytes(b"%d\n" % turn)
                (tmp_path / "link").symlink_to(tmp_path / f"app-{turn}.log")
                (tmp_path / "link").rename(log)
        rig.expect([b"0", b"0", *(b"%d" % turn for turn in range(2, 13))])


def test_what_is_not_opened_ahead_is_found_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "OPEN_AHEAD", 4)
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            lines = rotate(log, numbered, 60)
        rig.expect(lines)


def test_what_is_compressed_and_not_opened_ahead_is_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search goes on behind a compressed file, whose reader is closed when it is read."""
    monkeypatch.setattr(succession, "OPEN_AHEAD", 2)
    monkeypatch.setattr(archive, "_FRESH", 0)
    log = tmp_path / "app.log"
    log.touch()
    with Lives(log, settings=replace(POLLING, linger=30.0, flush=30.0)) as process:
        append(log, b"0\n")
        process.read([b"0"])
        lines = [b"0", *(b"%d of a length that is no coincidence%s" % (turn, b"." * 64) for turn in range(1, 11))]
        for turn, line in enumerate(lines[1:], 1):
            append(log, line + b"\n")
            dated(log, turn)
            log.touch()
            time.sleep(0.01)  # the clock of the file system is coarse
        for old in sorted(tmp_path.glob("app.log-*"))[1:]:
            compress(old)
        append(log, b"last\n")
        process.read([*lines, b"last"])


@pytest.mark.parametrize("ahead", [4, succession.OPEN_AHEAD])
def test_names_are_shifted_while_files_are_opened(ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was listed stands for a younger generation when it is opened, more often than listings are made."""
    monkeypatch.setattr(succession, "OPEN_AHEAD", ahead)
    log = tmp_path / "app.log"
    log.touch()
    lost: list[bool] = []
    lose_events(monkeypatch, lost)
    real = succession.Succession._newer
    shifts = list(range(1, 25))

    def shifted(self: succession.Succession, *values: Any) -> dict[str, int]:
        found = real(self, *values)
        if shifts:
            for number in range(100, shifts[0] - 1, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{log}.{number}", f"{log}.{number + 1}")
            del shifts[0]
        return found

    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            lost.append(True)
            lines = rotate(log, numbered, 30)
            monkeypatch.setattr(succession.Succession, "_newer", shifted)
        rig.expect(lines)


def test_events_that_wait_may_tell_of_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "_PATIENCE", 0.0)
    log = tmp_path / "app.log"
    names = [log.with_name(f"app.log-{turn}") for turn in range(20260001, 20260006)] + [log]
    for name in names:
        name.touch()
        time.sleep(0.01)  # the clock of the file system is coarse
    found: list[Generation] = []

    def adopt(path: str, fd: int) -> Generation:
        found.append(Reader(fd))
        return found[-1]

    class Reader:
        closed, eof, is_idle, used, is_open, must_be_opened = False, False, False, 0, True, False
        is_untouched = True
        is_compressed = False
        lineage: Lineage | None = None

        def __init__(self, fd: int) -> None:
            self.fd, self.identity = fd, identity(os.fstat(fd))

    def opened(path: Path) -> Any:
        return Reader(os.open(path, os.O_RDONLY))

    first, last = opened(names[0]), opened(log)
    known = {first.identity, last.identity}
    gaps = succession.Succession(
        Loop(), lambda: False, adopt, known.__contains__, lambda path: os.open(path, os.O_RDONLY), Listings(Changes())
    )
    gaps.arrived(str(log))
    gaps.replaced(str(log), first, last)
    gaps.resolve()
    assert [name_of(reader.fd) for reader in first.lineage] == [str(name) for name in names]
    for reader in first.lineage:
        os.close(reader.fd)


class Opened:
    """The reader of a file that nothing was read of; it is named after what is compressed, if it is."""

    closed, eof, is_idle, used, is_open, must_be_opened, is_untouched = False, False, False, 0, True, False, True
    lineage: Lineage | None = None

    def __init__(self, fd: int) -> None:
        self.fd, self.identity = fd, identity(os.fstat(fd))
        self.name = os.path.basename(name_of(fd) or "")
        self.is_compressed = self.name.endswith(".gz")


def searched(log: Path, before: Path, *seen: Opened) -> list[Opened]:
    """The readers in order, after a search between `before` and the file at the log's path.

    Between them, those that read what was `seen` there are known already.
    """
    loop = Loop()
    first, last = (Opened(os.open(path, os.O_RDONLY)) for path in (before, log))
    line = [first, *seen, last]
    known = {reader.identity for reader in line}
    gaps = succession.Succession(
        loop,
        lambda: True,
        lambda path, fd: Opened(fd),  # type: ignore[arg-type, return-value]
        known.__contains__,
        lambda path: os.open(path, os.O_RDONLY),
        Listings(Changes()),
    )
    for older, newer_ in pairwise(line):
        gaps.replaced(str(log), older, newer_)  # type: ignore[arg-type]
    gaps.resolve()
    found: list[Any] = gaps.order(str(log))
    for reader in found:
        os.close(reader.fd)
    loop.close()
    return found


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_follows_was_there_before_a_file_was_compressed(suffix: str, tmp_path: Path) -> None:
    """When the text of the compressed file was begun decides, not when that file was made."""
    log = tmp_path / "app.log"
    names = [f"{log.name}-{day}" for day in (20260001, 20260002, 20260003)]
    for name in names:
        append(tmp_path / name, b"a line\n")
        time.sleep(0.01)  # the clock of the file system is coarse
    log.touch()
    if suffix:
        for name in reversed(names):
            time.sleep(0.01)
            compress(tmp_path / name, suffix)
    found = searched(log, tmp_path / f"{names[0]}{suffix}")
    assert [reader.name for reader in found] == [*(name + suffix for name in names), log.name]


def test_only_the_first_was_compressed(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for name in ("app.log-20260001", "app.log-20260002", "app.log"):
        append(tmp_path / name, b"a line\n")
        time.sleep(0.01)
    before = compress(tmp_path / "app.log-20260001")
    assert [reader.name for reader in searched(log, before)] == [before.name, "app.log-20260002", "app.log"]


@pytest.mark.parametrize(("compressed", "is_seen"), [(3, False), (2, False), (2, True)])
@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_made_at_one_time(
    pause: float, compressed: int, is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that is coarse.  What was seen before it was compressed has no name any more."""
    log = tmp_path / "app.log"
    names = [f"{log.name}.{number}" for number in (4, 3, 2)]
    for name in names:
        append(tmp_path / name, b"a line\n")
        time.sleep(pause)
    log.touch()
    moment = os.stat(f"{log}.4").st_mtime_ns
    if not pause:
        for path in tmp_path.iterdir():
            os.utime(path, ns=(moment, moment))
    monkeypatch.setattr(generations, "_birth", lambda fd, path: moment)
    old = Path(f"{log}.{compressed}")
    seen = [Opened(os.open(old, os.O_RDONLY))] if is_seen else []
    new = compress(old)
    found = [reader.name for reader in searched(log, Path(f"{log}.4"), *seen)]
    if is_seen:
        found.remove(new.name)  # it is compared with what was seen, and contains nothing else
    assert [name.removesuffix(".gz") for name in found] == [*names, log.name]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Older ones, those of other logs, and what is named by another scheme."""
    log = tmp_path / "app1.log"
    log.touch()
    Path(f"{log}.9").write_bytes(b"from before the start\n")
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            lines = rotate(log, numbered, 3)
            (tmp_path / "app2.log.1").write_bytes(b"of another log\n")
            Path(f"{log}.8").write_bytes(b"older than all\n")
            Path(f"{log}.1.gz").write_bytes(b"\x1f\x8b compressed\n")
            Path(f"{log}-2026").write_bytes(b"of another scheme\n")
        rig.expect(lines)
        rig.stays(lines)


@pytest.mark.parametrize(
    ("base", "anchor", "names", "expected"),
    [
        ("a", "a.3", ["a", "a.1", "a.2", "a.3", "a.4", "a.10", "a.2.gz"], ["a.2", "a.1"]),
        ("a", "a.10", ["a.9", "a.11"], ["a.9"]),
        ("a", "a-20261130", ["a-20261129", "a-20261201", "a-20270101", "a-1"], ["a-20261201", "a-20270101"]),
        ("a", "a.000002", ["a.000001", "a.000010", "a.000003"], ["a.000003", "a.000010"]),
        ("a.log", "a.2026-11-30.1.log", ["a.2026-11-30.2.log", "a.2026-11-29.9.log"], ["a.2026-11-30.2.log"]),
        ("web1.log", "web1.log.2", ["web2.log.1", "web1.log.1"], ["web1.log.1"]),
        ("web1.log", "web1-001.log", ["web2-002.log", "web1-002.log"], ["web1-002.log"]),
        ("1.log", "1-20261130.log", ["2-20261201.log", "12-20261201.log", "1-20261201.log"], ["1-20261201.log"]),
        ("a-7.log", "a-3.log", ["a-2.log", "a-4.log", "a-7.log", "a-8.log"], ["a-4.log"]),
        ("a", "a.old", ["a.older", "a.1"], []),
        ("a", None, ["a.2", "a.1", "b.1", "a-x"], ["a.2", "a.1"]),
    ],
)
def test_which_names_are_newer(base: str, anchor: str | None, names: list[str], expected: list[str]) -> None:
    assert newer(names, base, anchor) == expected


@pytest.mark.parametrize(
    ("anchor", "oldest_first", "expected"),
    [
        ("a.1001", ["a.1001", "a.1000", "a.999", "a.2", "a.1"], ["a.1000", "a.999", "a.2", "a.1"]),
        ("a.999", ["a.2", "a.999", "a.1000", "a.1001"], ["a.1000", "a.1001"]),
        ("a-1130", ["a-1129", "a-1130", "a-1201", "a-1128"], ["a-1201"]),
        ("a-1130", ["a-1130", "a-1128"], []),  # a backup restored the second one
    ],
)
def test_times_show_whether_numbers_are_shifted(anchor: str, oldest_first: list[str], expected: list[str]) -> None:
    names = sorted(oldest_first)
    assert newer(names, "a", anchor, lambda name: oldest_first.index(name) + 1) == expected


def test_a_name_without_a_number_has_no_scheme() -> None:
    assert Scheme.of("app.log", "app.log.old") is None
    assert Scheme.of("app1.log", "app1.log") is None


def test_two_paths_do_not_wait_for_each_other() -> None:
    class Reader:
        fd, closed, eof, is_idle, used, is_untouched, must_be_opened = -1, False, False, False, 0, False, False
        is_compressed = False
        lineage: Lineage | None = None

    one, two = Reader(), Reader()
    here, there = Lineage(), Lineage()
    for lineage, readers in ((here, (one, two)), (there, (two, one))):
        for reader in readers:
            lineage.append(reader)  # type: ignore[arg-type]
    assert not (here.waits(two) and there.waits(one))  # type: ignore[arg-type]


def test_what_was_set_aside_is_waited_for() -> None:
    """It was idle when it was renamed, and then somebody wrote to it."""

    class Reader:
        fd, closed, eof, used, is_untouched = -1, False, True, 7, False
        is_compressed = False
        lineage: Lineage | None = None
        is_idle, must_be_opened = True, False

    lineage = Lineage()
    before, after = Reader(), Reader()
    lineage.append(before)  # type: ignore[arg-type]
    lineage.append(after)  # type: ignore[arg-type]
    before.is_idle, before.must_be_opened = False, True
    assert lineage.waits(after)  # type: ignore[arg-type]
    before.must_be_opened = False
    assert not lineage.waits(after)  # type: ignore[arg-type]


def test_what_is_found_late_goes_before_what_is_younger() -> None:
    class Reader:
        fd, closed, eof, is_idle, used, must_be_opened = -1, False, False, False, 0, False
        lineage: Lineage | None = None

        def __init__(self, age: int, is_untouched: bool = True) -> None:
            self.age, self.is_untouched = age, is_untouched

    lineage = Lineage()
    for reader in (Reader(1, is_untouched=False), Reader(3), Reader(4)):
        lineage.append(reader)  # type: ignore[arg-type]
    lineage.insert(Reader(2), lambda reader: reader.age)  # type: ignore[arg-type, attr-defined]
    assert [reader.age for reader in lineage] == [1, 2, 3, 4]  # type: ignore[attr-defined]


class Aged:
    fd, closed, eof, is_idle, used, must_be_opened = -1, False, False, False, 0, False
    is_compressed = False
    lineage: Lineage | None = None

    def __init__(self, age: int, is_untouched: bool = True) -> None:
        self.age, self.is_untouched = age, is_untouched


def aged(reader: Any) -> int:
    return int(reader.age)


def lineage_of(*readers: Any) -> Lineage:
    lineage = Lineage()
    for reader in readers:
        lineage.append(reader)
    return lineage


def test_compressed_files_stand_for_none_that_came_to_the_path() -> None:
    """The plain file may have been opened too, before it was deleted: one that is missing would not be looked for."""
    readers: list[Any] = [Aged(1, is_untouched=False), Aged(3), Aged(4), Aged(5)]
    readers[2].is_compressed = True
    lineage = lineage_of(*readers)
    lineage.begin_gap(readers[0], aged)
    assert lineage.count_from_gap == 2


def test_what_is_found_late_goes_before_the_gap() -> None:
    """The gap before the third was closed, because as many files as were reported had been seen."""
    late: Any = Aged(2)
    readers: list[Any] = [Aged(1, is_untouched=False), Aged(3), Aged(4)]
    lineage = lineage_of(*readers)
    lineage.begin_gap(readers[1], aged)
    lineage.insert(late, aged)
    assert [aged(reader) for reader in lineage] == [1, 2, 3, 4]
    assert lineage.gap is readers[2]


@pytest.mark.parametrize("before", [1, 3])
def test_younger_ones_were_found_before_the_current_one(before: int) -> None:
    """A listing made for an earlier gap had them; `before` was last seen at the path, or renamed from it."""
    readers: list[Any] = [Aged(1), Aged(2), Aged(4), Aged(5), Aged(3)]
    lineage = lineage_of(*readers)
    lineage.begin_gap(readers[before], aged)
    assert lineage.gap is readers[2]
    lineage.close_gap(aged)
    assert [aged(reader) for reader in lineage] == [1, 2, 3, 4, 5]


def test_the_last_one_was_delivered_before_younger_ones_were() -> None:
    readers: list[Any] = [Aged(3), Aged(2)]
    lineage, first = lineage_of(readers[0]), Aged(1, is_untouched=False)
    lineage.prepend(first)  # type: ignore[arg-type]
    lineage.append(readers[1])
    lineage.begin_gap(first, aged)  # type: ignore[arg-type]
    lineage.close_gap(aged)
    assert [aged(reader) for reader in lineage] == [1, 2, 3]


@pytest.mark.parametrize(("late", "is_counted"), [(0, True), (1, True), (100, False)])
def test_a_file_is_seen_before_the_event_that_reports_it(late: int, is_counted: bool) -> None:
    """As long as events come, one that was seen may stand for another that was not."""
    events = iter(range(late))
    loop = Loop()

    def catch_up() -> bool:
        if next(events, None) is not None:
            succession_.arrived("/log")
        return True

    succession_ = succession.Succession(
        loop, catch_up, lambda path, fd: None, lambda who: False, lambda path: -1, Listings(Changes())
    )
    assert succession_._count_arrivals() is is_counted
    loop.close()


def test_the_inode_of_a_file_that_was_read_is_used_again(tmp_path: Path) -> None:
    """By a file that was renamed before it was seen at the path."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        with stopped(rig, log):
            dated(log, 1)
            append(log, b"1\n")
            again = os.stat(log)
            assert rig.tailer._discovery is not None
            gone = Made(again.st_dev, again.st_ino, 1)
            rig.tailer._discovery._table.remember(gone, Position(0))
            dated(log, 2)
            append(log, b"2\n")
        rig.expect([b"0", b"0", b"1", b"2"])


@pytest.mark.slow
def test_a_file_that_was_read_is_reported_after_it_was_deleted(tmp_path: Path) -> None:
    """Under a name that it had before: it is not read again."""
    log = tmp_path / "app.log"
    log.touch()
    with Rig(log, settings=QUICK) as rig:
        append(log, b"0\n")
        rig.expect([b"0"])
        file = os.open(log, os.O_PATH)
        log.unlink()
        rig.wait(lambda: rig.tailer.counters.log_closes_total[str(log)] == 1)
        discovery = rig.tailer._discovery
        assert discovery is not None
        directory = discovery._directories.watch(str(log.parent))
        assert directory is not None
        event = watch.Event(directory.watch, watch.MOVED_TO, 0, log.name, file)
        rig.tailer.call(lambda: discovery._follow_sighted([event]))
        append(log, b"1\n")
        rig.expect([b"0", b"1"])


def test_the_current_one_turns_out_not_to_be_the_last(tmp_path: Path) -> None:
    """Younger ones were found: they wait until it is delivered."""

    class Reader:
        closed, eof, is_idle, used, is_untouched, must_be_opened = False, False, False, 0, True, False
        is_compressed = False
        lineage: Lineage | None = None

        def __init__(self, age: int, fd: int) -> None:
            self.age, self.fd = age, fd

    (tmp_path / "log").write_bytes(b"line\n")
    with (tmp_path / "log").open("rb") as file:
        before, current, younger = (Reader(age, file.fileno()) for age in range(3))
        before.eof = True
        lineage = Lineage()
        lineage.append(before)  # type: ignore[arg-type]
        lineage.append(current)  # type: ignore[arg-type]
        before.eof = True
        lineage.gap = current  # type: ignore[assignment]
        lineage.insert(younger)  # type: ignore[arg-type]
        lineage.close_gap(lambda reader: reader.age)  # type: ignore[attr-defined]
        assert not lineage.waits(current)  # type: ignore[arg-type]
        assert lineage.waits(younger)  # type: ignore[arg-type]
        current.used = 5
        assert not lineage.waits(younger)  # type: ignore[arg-type]
