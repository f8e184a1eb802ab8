"""Logs run-time errors of programs; their text is `str` of the engine's `Fault`, as on the pages."""

from __future__ import annotations

import logging
import time

from nativemtail._core import Engine, Fault

log = logging.getLogger(__name__)


class FaultLog:
    """Logs run-time errors (spec runtime.md §4), at most `limit` per program in `period` seconds."""

    def __init__(self, engine: Engine, *, logged: bool, limit: int, period: float) -> None:
        self._engine = engine
        self._logged = logged
        self._limit = limit
        self._period = period
        self._since = time.monotonic()
        self._written: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def collect(self) -> None:
        """Fetch the engine's errors since the last call, and log them."""
        faults, more = self._engine.faults()
        if time.monotonic() - self._since >= self._period:
            self.summarise()
        for fault in faults:
            self._log(fault)
        for name, count in more.items():
            self._left_out[name] = self._left_out.get(name, 0) + count

    def _log(self, fault: Fault) -> None:
        written = self._written.get(fault.program, 0)
        if written < self._limit:
            self._written[fault.program] = written + 1
            if self._logged:
                log.error("%s: Runtime error: %s", fault.program, fault)
        else:
            self._left_out[fault.program] = self._left_out.get(fault.program, 0) + 1

    def summarise(self) -> None:
        """Log how many were left out, and begin a new period."""
        for name, count in self._left_out.items():
            if count and self._logged:
                log.error("%s: %d further runtime errors", name, count)
        self._since = time.monotonic()
        self._written.clear()
        self._left_out.clear()
