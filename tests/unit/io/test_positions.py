"""The positions of many logs: only those that moved are looked at, most of them before the instant."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from lives import Lives
from rig import QUICK, Recorder, append

from nativemtail.io import positions
from nativemtail.io.moved import Moved
from nativemtail.io.patterns import parse_logs
from nativemtail.io.saved import Saved
from nativemtail.io.segments import SegmentDirectory
from nativemtail.io.tailer import Tailer

MANY = 60


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{number}.log" for number in range(MANY)]
    for log in found:
        log.write_bytes(b"before\n")
    return found


@pytest.fixture
def process(tmp_path: Path, logs: list[Path]) -> Lives:
    return Lives(tmp_path / "*.log")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the logs whose records are taken."""
    found: list[str] = []
    look_at = positions.Positions._look_at

    def note(self: positions.Positions, name: str, archives: list[positions.ArchiveReader]) -> None:
        found.append(name)
        look_at(self, name, archives)

    monkeypatch.setattr(positions.Positions, "_look_at", note)
    return found


def write(process: Lives, logs: list[Path], text: bytes) -> None:
    """Append a line to each of the logs, and read it."""
    before = len(process.lines)
    for log in logs:
        append(log, text)
    process.run(lambda: len(process.lines) == before + len(logs))


def prepared(process: Lives) -> int:
    """Prepare the next save; how many steps that took."""
    for steps in range(10 * MANY):
        if process.prepare():
            return steps
    raise AssertionError("never ready")


def test_logs_that_do_not_move_are_not_looked_at(process: Lives, logs: list[Path], looked_at: list[str]) -> None:
    with process:
        for _ in range(50):
            process.step()
        looked_at.clear()
        assert process.tailer.positions() == {}
        assert looked_at == []
        write(process, logs[3:5], b"1\n")
        assert len(process.tailer.positions()) == 2
        assert sorted(looked_at) == sorted(map(str, logs[3:5]))


def test_most_is_done_before_the_instant(process: Lives, logs: list[Path], looked_at: list[str]) -> None:
    with process:
        write(process, logs, b"1\n")
        looked_at.clear()
        prepared(process)
        assert len(looked_at) >= MANY - positions.FEW
        looked_at.clear()
        assert len(process.tailer.positions()) == MANY  # those that were prepared, too
        assert len(looked_at) <= positions.FEW


def test_work_is_done_in_small_parts(process: Lives, logs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_SLICE", 1e-9)
    with process:
        write(process, logs, b"1\n")
        left = len(process.tailer._context.moved)
        assert not process.prepare()
        assert len(process.tailer._context.moved) >= left - 1


def test_what_moves_while_positions_are_prepared_is_of_the_instant(process: Lives, logs: list[Path]) -> None:
    """All logs are read on between two steps, so all that was prepared is old."""
    with process:
        write(process, logs, b"1\n")
        prepared(process)
        write(process, logs, b"2\n")
        prepared(process)
        write(process, logs[::2], b"3\n")
        process.save()
        process.restart()
        assert sorted(process.lines) == [b"1"] * MANY + [b"2"] * MANY + [b"3"] * (MANY // 2)
        write(process, logs, b"4\n")
        assert process.lines.count(b"4") == MANY


def test_what_was_prepared_and_not_saved_is_saved_later(process: Lives, logs: list[Path]) -> None:
    with process:
        write(process, logs, b"1\n")
        prepared(process)
        process.kill()
        process.start()
        process.run(lambda: len(process.lines) == MANY)  # they count again, since nothing was saved
        prepared(process)
        process.stop()
        process.start()
        assert process.lines == [b"1"] * MANY


@pytest.mark.slow
def test_logs_that_appear_and_disappear_while_positions_are_prepared(process: Lives, logs: list[Path]) -> None:
    with process:
        new = logs[0].with_name("new.log")
        new.touch()
        process.run(lambda: str(new) in process.tailer.names())
        write(process, [*logs, new], b"1\n")
        prepared(process)
        for log in (new, logs[7]):
            log.unlink()
        process.run(lambda: len(process.tailer.names()) == MANY - 1)
        process.save()
        assert process.kept.keys() >= {str(log) for log in (*logs[:7], *logs[8:])}


def test_a_log_whose_record_cannot_be_taken_is_tried_again(
    process: Lives, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reader: object) -> None:
        raise OSError("the file server does not answer")

    with process:
        write(process, logs[:2], b"1\n")
        with monkeypatch.context() as patched:
            patched.setattr(positions, "_place_of", fail)
            with pytest.raises(OSError, match="does not answer"):
                process.tailer.positions()
        assert process.save().keys() == {str(log) for log in logs[:2]}


def test_a_later_file_that_was_read_as_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if its reader is where that of the file before was in memory."""
    monkeypatch.setattr(positions, "id", lambda reader: 0, raising=False)
    log = tmp_path / "a.log"
    with Lives(tmp_path / "*.log", settings=replace(QUICK, linger=0.02)) as process:
        for text in (b"line 1\n", b"line 2\n"):
            log.unlink(missing_ok=True)
            process.run(lambda: not process.tailer.names())
            write(process, [log], text)
            process.save()
            assert process.kept[str(log)]["present"]["at"][2] == zlib.crc32(text)


def test_what_was_found_before_a_failure_is_saved_later(
    tmp_path: Path, logs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment's record cannot be taken; those of the logs can, and what is kept once."""

    def fail(segments: object) -> None:
        raise OSError("the file server does not answer")

    (tmp_path / "segments").mkdir()
    tailer = Tailer(parse_logs([f"{tmp_path}/*.log", f"zstd://{tmp_path}/segments"]), Recorder(), saved=Saved())
    tailer.open()
    with monkeypatch.context() as patched:
        patched.setattr(SegmentDirectory, "positions", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="does not answer"):
                tailer.positions()
    assert tailer.positions().keys() == {"", *map(str, logs)}
    assert tailer.positions() == {}
    tailer.close()


def test_few_awaited_logs_are_looked_for_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time others, until each has been looked for."""
    directory = tmp_path / "mount"
    directory.mkdir()
    for number in range(MANY):
        (directory / f"{number}.log").write_bytes(b"1\n")
    with Lives(directory / "*.log") as process:
        process.kill()
        directory.rename(tmp_path / "elsewhere")
        asked: list[str] = []
        process.start()
        is_awaited = process.tailer._discovery.positions._is_awaited  # type: ignore[union-attr]

        def ask(name: str) -> bool:
            asked.append(name)
            return is_awaited(name)

        monkeypatch.setattr(process.tailer._discovery.positions, "_is_awaited", ask)  # type: ignore[union-attr]
        assert process.tailer.positions() == {}
        assert len(asked) < MANY / 2
        for _ in range(MANY):
            assert process.tailer.positions() == {}
        assert len(set(asked)) == MANY
        directory.mkdir()
        for _ in range(MANY):
            process.save()
        assert process.kept.keys() == {""}


def test_nothing_is_noted_if_no_positions_are_kept() -> None:
    moved = Moved()
    moved.note("a")
    assert len(moved) == 0
    moved.is_kept = True
    moved.note("a")
    moved.note("b")
    moved.note("a")
    assert {moved.take(), moved.take()} == {"a", "b"}
    assert len(moved) == 0


def test_a_tailer_without_files_is_always_prepared(tmp_path: Path) -> None:
    tailer = Tailer(parse_logs([f"unixgram://{tmp_path}/socket"]), Recorder(), saved=Saved())
    assert tailer.prepare_positions()
