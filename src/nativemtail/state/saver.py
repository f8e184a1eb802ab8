"""Saves the state regularly, in a thread of its own.

A save takes an instant between two turns of the sources: then the store has every line before the reading positions and
none after them.  Only the instant is fixed there.  The saver's thread copies what has changed, slice by slice, and
writes it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from nativemtail import __version__
from nativemtail._core import Delta, Store
from nativemtail.state import metrics
from nativemtail.state.database import NAME, Changes, Damaged, Database, Record, is_damage, move_aside, reason
from nativemtail.telemetry.counters import Latency

log = logging.getLogger(__name__)

Positions = Callable[[], Iterable[tuple[str, Record | None]]]
"""The records of the logs that changed since the last call; None: the log is gone."""

Fix = Callable[[Delta, bool], Sequence[Record] | None]
"""Fixes the delta's instant: the unfinished records of several lines at it; None if that failed.

The flag: wait while a snapshot is being copied.
"""

Prepare = Callable[[], bool]
"""Does a part of the work of the next `Positions`; whether what is left of it takes only a moment."""

_SLICES = 2000
"""So often the work of `Positions` is prepared at most: logs may move faster."""
_TRIES = 100
"""So often the thread that reads is asked again while snapshots are copied; then it waits for the copy."""
_TRY_SECONDS = 0.005
_SPACING = 0.05
"""Seconds between two saves at least, however often they are requested."""


class Counts:
    """Counts for the self-metrics; written by the saver, read by any thread."""

    def __init__(self, kept: int = 0) -> None:
        """`kept` is when an earlier run saved for the last time, in nanoseconds since the epoch; 0: never."""
        self.saves = 0
        self.failures = 0
        self.bytes = 0
        self.damaged = 0
        self.restored_series = 0
        self.seconds = Latency()
        self.saved_at = time.monotonic() - max(0.0, time.time() - kept / 1e9) if kept else None
        """When the last instant that was saved was fixed, of time.monotonic()."""

    def age(self) -> float | None:
        """Seconds since the last instant that was saved; None: there is none."""
        return time.monotonic() - self.saved_at if self.saved_at is not None else None


class _Instant(NamedTuple):
    """The store at an instant, and what changed of the logs until then."""

    delta: Delta
    logs: dict[str, Record | None]
    unfinished: Sequence[Record]
    time: int
    """In nanoseconds since the epoch."""
    fixed_at: float
    """The same, of time.monotonic()."""


def _fix_only(delta: Delta, wait: bool) -> Sequence[Record] | None:
    return () if delta.fix(wait=wait) else None


class Saver:
    """Saves the store and the positions every `interval` seconds, and soon after a `request`.

    `between_turns` has the thread that reads call a function, soon.  `prepare` and `positions` are called in that
    thread.

    Call `save` and `start`; at the end `fix_last` in the thread that reads, after its last line, and `stop`.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        counts: Counts,
        *,
        interval: float,
        between_turns: Callable[[Callable[[], None]], None],
        fix: Fix = _fix_only,
        prepare: Prepare = lambda: True,
        positions: Positions,
        records: dict[str, Record],
        unfinished: Sequence[Record] = (),
    ) -> None:
        """`records` are the logs' records that the database has, `unfinished` those of several lines."""
        self.counts = counts
        self._database: Database | None = database
        self._directory = database.directory
        self._store = store
        self._interval = interval
        self._between_turns = between_turns
        self._fix_store = fix
        self._prepare = prepare
        self._positions = positions
        self._records = dict(records)
        self._unfinished = unfinished
        self._unsaved: dict[str, Record | None] = {}
        self._metrics: dict[int, Record] = {}
        self._whole = False
        self._is_failing = False
        self._last: _Instant | None = None
        self._ending = False
        self._wake = threading.Event()
        self._answer = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError if there can be no thread."""
        self._thread.start()

    def request(self) -> None:
        """Save soon; from any thread."""
        self._wake.set()

    def save(self) -> bool:
        """Save now, before `start`, in the thread that reads; whether it succeeded."""
        try:
            instant = self._fix()
        except Exception as error:
            self._failed(error)
            return False
        return instant is not None and self._write(instant)

    def fix_last(self) -> None:
        """Fix the last instant, in the thread that reads, for the saver's thread to write."""
        self._idle.wait()  # a save that fails gives back what it took from the store
        if self._ending:
            return
        try:
            self._last = self._fix()
        except Exception as error:
            self._failed(error)
        self._end()

    def stop(self, patience: float) -> bool:
        """Fix no further instant, and end the thread once the last one is written.

        False: that failed, or takes longer than `patience` seconds.
        """
        self._end()
        if self._thread.ident is not None:
            self._thread.join(patience)
            if self._thread.is_alive():
                log.error("the state could not be written to %s within %.0f s", self._directory, patience)
                return False
        if self._database is not None:
            self._database.close()
        return not self._is_failing

    def _end(self) -> None:
        self._ending = True
        self._answer.set()
        self._wake.set()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(self._interval)
            self._wake.clear()
            instant = self._ask()
            if instant is not None:
                self._write(instant)
            self._idle.set()
            if not self._ending:
                time.sleep(_SPACING)
        if self._last is not None:
            self._write(self._last)

    def _ask(self) -> _Instant | None:
        """Have an instant fixed between two turns; None if none is to be fixed any more, or that failed."""
        answers: list[_Instant | Exception] = []
        self._prepare_positions()
        for tried in range(_TRIES):
            self._answer.clear()
            if self._ending:
                break
            self._between_turns(partial(self._answer_with, answers, wait=tried == _TRIES - 1))
            self._answer.wait()
            for answer in answers:
                if not isinstance(answer, Exception):
                    return answer
                self._failed(answer)
                return None
            time.sleep(_TRY_SECONDS)
        return None

    def _prepare_positions(self) -> None:
        """Have the reader look at the logs that moved, a few between two turns, until few are left."""
        is_ready = False

        def look() -> None:
            nonlocal is_ready
            try:
                is_ready = self._ending or self._prepare()
            except Exception as error:
                log.debug("positions cannot be prepared", exc_info=error)
                is_ready = True  # taking them will say why
            self._answer.set()

        for _ in range(_SLICES):
            self._answer.clear()
            if self._ending or is_ready:
                break
            self._between_turns(look)
            self._answer.wait()

    def _answer_with(self, answers: list[_Instant | Exception], *, wait: bool) -> None:
        """In the thread that reads.  No answer: a snapshot is being copied."""
        if not self._ending:
            try:
                instant = self._fix(wait=wait)
            except Exception as error:
                answers.append(error)
            else:
                if instant is not None:
                    self._idle.clear()
                    answers.append(instant)
        self._answer.set()

    def _fix(self, *, wait: bool = True) -> _Instant | None:
        """In the thread that reads; without `wait`, None if a snapshot is being copied."""
        delta = Delta(self._store, whole=self._whole)
        try:
            unfinished = self._fix_store(delta, wait)
            if unfinished is None:
                return None
            return _Instant(delta, dict(self._positions()), unfinished, time.time_ns(), time.monotonic())
        except BaseException:
            delta.release()
            delta.revert()
            raise

    # --- writing -----------------------------------------------------------------------------------------------------

    def _write(self, instant: _Instant) -> bool:
        """Copy, encode and write what has changed; whether it is on the disk."""
        began = time.perf_counter()
        delta = instant.delta
        unsaved = {**self._unsaved, **instant.logs}
        try:
            delta.copy()
            slabs = metrics.slabs(delta)
            delta.release()
            known = metrics.records(delta)
            unfinished = instant.unfinished
            if slabs or unsaved or self._whole or known != self._metrics or unfinished != self._unfinished:
                about: Record = {"time": instant.time, "nativemtail": __version__}
                if unfinished:
                    about["unfinished"] = list(unfinished)
                logs = {**self._records, **unsaved} if self._whole else unsaved
                written = self._open().write(Changes(known, slabs, logs, about))
                self.counts.saves += 1
                self.counts.bytes += written.bytes
                self.counts.seconds.observe(time.perf_counter() - began)
        except Exception as error:
            delta.release()
            delta.revert()
            self._unsaved = unsaved
            self._failed(error)
            return False
        self._metrics = known
        self._unfinished = unfinished
        self._note(unsaved)
        self.counts.saved_at = instant.fixed_at
        return True

    def _open(self) -> Database:
        """The database; a new one if the last was damaged or is gone.  Raises what `Database` raises."""
        if self._database is not None and not self._database.is_there():
            raise Damaged("it was removed or replaced")
        if self._database is None:
            if os.path.lexists(os.path.join(self._directory, NAME)):
                log.error("the damaged state is now %s; all of it is written again", move_aside(self._directory))
            self._database = Database(self._directory)
        return self._database

    def _note(self, written: dict[str, Record | None]) -> None:
        """These records are on the disk."""
        self._unsaved = {}
        self._whole = False
        for key, record in written.items():
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        if self._is_failing:
            self._is_failing = False
            log.warning("the state is saved in %s again", self._directory)

    def _failed(self, error: Exception) -> None:
        self.counts.failures += 1
        log.debug("a save failed", exc_info=error)
        if not self._is_failing:
            self._is_failing = True
            log.error(
                "the state cannot be saved in %s: %s; counting continues, and saving is tried again",
                self._directory,
                reason(error),
            )
        if is_damage(error) and self._database is not None:
            self.counts.damaged += 1
            self._database.close()
            self._database = None
            self._whole = True
            self._wake.set()
