"""How much is left of the logs after a start, and when a log no longer counts."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from lives import Lives
from rig import Recorder, append

from nativemtail.io import catch_up
from nativemtail.io.catch_up import PATIENCE, CatchUp, FileBacklog
from nativemtail.io.descriptors import Descriptors
from nativemtail.io.sources import Context, Counters, Settings
from nativemtail.io.table import Table

QUICK = Settings(poll_interval=0.02, poll_log_interval=0.02)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.touch()
    return path


def test_nothing_is_left_at_a_first_start(log: Path) -> None:
    log.write_bytes(b"line\n" * 1000)
    with Lives(log) as process:
        assert process.tailer.catching_up == 0


def test_what_is_written_after_the_start_does_not_count(log: Path) -> None:
    settings = Settings(max_line_length=100)
    with Lives(log, settings=settings) as process:
        process.kill()
        append(log, b"line\n" * 100)
        process.start()
        assert process.tailer.catching_up == 500
        append(log, b"line\n" * 200_000)
        process.run(lambda: not process.tailer.catching_up)
        assert 100 <= len(process.lines) < 200_100


def test_log_without_progress(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.write_bytes(b"12345\n")
    clock, counters, pending = Clock(), Counters(), {str(log): 1.0}
    backlog = FileBacklog(Table(Context(Recorder(), QUICK)), pending, list)
    progress = CatchUp([backlog], counters, clock)
    assert progress.left == 6
    clock.now = PATIENCE - 1
    assert progress.check()
    clock.now = PATIENCE
    with caplog.at_level(logging.WARNING):
        assert not progress.check()
    assert progress.left == 0
    assert counters.limits_total["catch_up"] == 1
    assert "app.log: no progress for 60 seconds: the metrics are shown without the 6 bytes that are left" in caplog.text


@pytest.mark.slow
def test_progress_renews_the_patience(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(catch_up.CatchUp.__init__, "__defaults__", (clock,))
    with Lives(log, settings=Settings(max_line_length=10)) as process:
        process.kill()
        append(log, b"a line\n" * 300_000)
        process.start()
        steps = 0
        while process.tailer.catching_up and len(process.lines) < 300_000:
            process.step()
            clock.now += PATIENCE / 2
            process.tailer._catch_up.check()
            steps += 1
        assert steps > 4
        assert not process.tailer.counters.limits_total


def test_log_that_cannot_be_opened_at_first(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lives(log, settings=QUICK) as process:
        append(log, b"line 1\n")
        process.read([b"line 1"])
        process.save()
        process.kill()
        append(log, b"line 2\n")
        allowed = Descriptors.open

        def refused(self: Descriptors, path: str) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Descriptors, "open", refused)
        process.start()
        for _ in range(5):
            process.step()
        assert process.tailer.catching_up == log.stat().st_size
        process.save()
        process.restart()
        process.save()
        monkeypatch.setattr(Descriptors, "open", allowed)
        process.run(lambda: not process.tailer.catching_up)
        assert process.lines == [b"line 1", b"line 2"]
        assert not process.tailer.counters.lost_logs_total
