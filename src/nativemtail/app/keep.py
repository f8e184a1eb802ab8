"""What `--state_dir` keeps between two runs: opened before the programs are loaded, saved until the last line."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from nativemtail.app.config import State
from nativemtail.io.saved import Saved
from nativemtail.io.tailer import Tailer
from nativemtail.programs.manager import Programs
from nativemtail.state.metrics import version_of
from nativemtail.state.restore import open_state
from nativemtail.state.saver import Counts, Saver
from nativemtail.telemetry.model import StateCounts

log = logging.getLogger(__name__)

LAST_SAVE_SECONDS = 10.0
"""Longest time for the last save."""


class Keeper:
    """Holds the directory from its start to its `end`.

    Call `restore`, then `begin` once the logs are open and before they are read; `fix_last` in the thread that reads,
    after its last line; and `end`.
    """

    def __init__(self, settings: State) -> None:
        """Raises StateError."""
        began = time.monotonic()
        opened = open_state(settings.directory, Saved.of)
        kept = opened.kept
        self._counts = counts = Counts(kept.time)
        counts.damaged = 1 if opened.damaged else 0
        counts.restored_series = sum(map(len, kept.metrics))
        self.saved = replace(kept.logs, at=kept.time)
        self._settings = settings
        self._opened = opened
        self._saver: Saver | None = None
        if kept.time:
            log.info(
                "%d series and %d logs restored from %s in %.2f s",
                counts.restored_series,
                len(kept.logs.logs),
                settings.directory,
                time.monotonic() - began,
            )
        else:
            log.info("metrics and reading positions are kept in %s from now on", settings.directory)

    def restore(self, programs: Programs) -> None:
        """Before they are loaded."""
        programs.restore(self._opened.kept.metrics, version_of)
        self._opened.kept.metrics.clear()

    def begin(self, programs: Programs, tailer: Tailer) -> None:
        """Save a first time, so that what is there now is found again.  Raises RuntimeError without a thread."""
        kept = self._opened.kept
        if lost := programs.engine.restore_records(kept.unfinished):
            log.warning("dropped %d unfinished records, whose record statement no program has any more", lost)
        self._saver = Saver(
            self._opened.database,
            programs.store,
            self._counts,
            interval=self._settings.interval,
            between_turns=tailer.call,
            fix=lambda delta, wait: programs.engine.fix(delta, wait=wait),
            prepare=tailer.prepare_positions,
            positions=lambda: tailer.positions().items(),
            records=kept.records,
            unfinished=kept.unfinished,
        )
        self._saver.save()
        tailer.when_discovered(self._saver.request)
        self._saver.start()

    def counts(self, tailer: Tailer) -> StateCounts:
        """From any thread."""
        counts = self._counts
        return StateCounts(
            saves=counts.saves,
            seconds=counts.seconds,
            bytes=counts.bytes,
            failures=counts.failures,
            age=counts.age(),
            restored_series=counts.restored_series,
            damaged=counts.damaged,
            catch_up_bytes=tailer.catching_up,
            lost_logs=tailer.counters.lost_logs_total,
        )

    def fix_last(self) -> None:
        """What is saved last is what is there now."""
        if self._saver is not None:
            self._saver.fix_last()

    def end(self) -> bool:
        """Write the last instant and let go of the directory; whether it could be written."""
        if self._saver is None:
            self._opened.database.close()
        elif not self._saver.stop(LAST_SAVE_SECONDS):
            return False  # it may still be writing: the end of the process lets go of the directory
        self._opened.lock.close()
        return True
