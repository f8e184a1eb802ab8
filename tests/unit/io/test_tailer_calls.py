"""Calls that other threads have made between two turns of the sources."""

from __future__ import annotations

import threading
from pathlib import Path

from rig import PATIENCE, Recorder, Rig, append

from nativemtail.io.patterns import parse_logs
from nativemtail.io.tailer import Tailer


def test_a_call_is_made_between_two_turns_by_the_thread_that_reads(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    seen: list[tuple[str, int, int]] = []
    done = threading.Event()
    with Rig(log) as rig:
        rig.sink.may_scan.clear()
        append(log, b"one\n")
        rig.wait(lambda: rig.sink.entered)

        def look() -> None:
            status = rig.tailer.status()[0]
            assert status.offset is not None
            seen.append((threading.current_thread().name, len(rig.sink.order), status.offset))
            done.set()

        rig.tailer.call(look)
        assert not done.wait(0.05)
        rig.sink.may_scan.set()
        assert done.wait(PATIENCE)
    (name, lines, offset) = seen[0]
    assert name != threading.current_thread().name
    assert (lines, offset) == (1, 4)


def test_an_idle_tailer_is_woken(tmp_path: Path) -> None:
    done = threading.Event()
    with Rig(tmp_path / "none.log") as rig:
        rig.tailer.call(done.set)
        assert done.wait(PATIENCE)


def test_the_end_is_told_after_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    sink = Recorder()
    tailer = Tailer(parse_logs([str(log)]), sink)
    tailer.open()
    append(log, b"one\ntwo\n")
    tailer.stop()
    seen: list[tuple[int, int]] = []
    tailer.run(lambda: seen.append((len(sink.order), tailer.log_count)))
    assert seen == [(2, 1)]
