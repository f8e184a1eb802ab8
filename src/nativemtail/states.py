"""The daemon's parts as the self-metrics and the status page want to see them: the protocols of selfmetrics.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from nativemtail._core import Engine, Fault, Store
from nativemtail.io.patterns import STREAM_SCHEMES, LogSpec
from nativemtail.io.tailer import Tailer
from nativemtail.programs import FaultLog, Programs
from nativemtail.selfmetrics import ProgramState, SourceState

LOGGED_FAULTS = 20
FAULT_PERIOD = 60.0
"""So many run-time errors of each program are logged in so many seconds, the rest as a number."""

LIMITS = ("open_files", "watches", "events", "partial_memory")


class ProgramStates:
    """Programs that were ever seen, and their run-time errors, fetched from the engine now and then."""

    def __init__(self, programs: Programs, *, log_faults: bool) -> None:
        self._programs = programs
        self._faults = FaultLog(programs, logged=log_faults, limit=LOGGED_FAULTS, period=FAULT_PERIOD)
        self._last: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def collect(self) -> None:
        """Fetch and log the engine's run-time errors; from any thread."""
        with self._lock:
            self._faults.collect()

    def remember(self) -> None:
        """Keep the last errors of the programs that are about to give way; waits for nobody."""
        self._last.update(self._programs.engine.last_faults())

    def summarise(self) -> None:
        """Log how many errors were not logged one by one."""
        with self._lock:
            self._faults.summarise()

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        engine = self._programs.engine
        last = self._last | engine.last_faults() if faults else {}
        lines, errors = engine.program_lines(), engine.program_faults()
        return [
            ProgramState(
                name=name,
                running=status.running,
                error=status.error,
                loads=status.loads,
                load_errors=status.load_errors,
                unloads=status.unloads,
                lines=lines.get(name, 0),
                runtime_errors=errors.get(name, 0),
                last_fault=last.get(name),
            )
            for name, status in sorted(self._programs.status.copy().items())
        ]

    def dump(self, name: str) -> str | None:
        return self._programs.dump(name)


class LineStates:
    """The engine's counts."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def lines_total(self) -> int:
        return self._engine.lines_total()

    def program_times(self) -> Mapping[str, tuple[Sequence[int], float]]:
        return self._engine.program_times()

    def series_refused(self) -> int:
        return self._store.refused


class SourceStates:
    """What the tailer reads and has read.  Its counters are written by another thread: they are copied first."""

    def __init__(self, tailer: Tailer, specs: Sequence[LogSpec]) -> None:
        self._tailer = tailer
        self._specs = specs

    def states(self) -> Sequence[SourceState]:
        counters = self._tailer.counters
        lines, bytes_read = counters.log_lines_total.copy(), counters.log_bytes_total.copy()
        errors, opens = counters.log_errors_total.copy(), counters.log_opens_total.copy()
        active = {status.name: status.lag for status in self._tailer.status()}
        return [
            SourceState(
                name=name,
                active=name in active,
                lines=lines[name],
                bytes=bytes_read[name],
                lag=active.get(name),
                errors=errors[name],
                opens=opens[name],
                closes=counters.log_closes_total[name],
                truncations=counters.file_truncates_total[name],
                cut=counters.lines_cut_total[name],
            )
            for name in sorted({*active, *lines, *errors, *opens})
        ]

    def patterns(self) -> Sequence[str]:
        return sorted(spec.name for spec in self._specs if spec.kind == "path")

    def dropped(self) -> Mapping[str, int]:
        return {"receive_buffer": self._tailer.counters.datagrams_dropped_total.copy().total()}

    def limits(self) -> Mapping[str, int]:
        counters = self._tailer.counters
        return {
            **{limit: counters.limits_total[limit] for limit in LIMITS},
            "clients": counters.connections_refused_total.copy().total(),
            "datagram_length": counters.datagrams_cut_total.copy().total(),
            "line_length": counters.lines_cut_total.copy().total(),
        }

    def connections(self) -> Mapping[str, int]:
        counters = self._tailer.counters
        return self._by_scheme(
            lambda name: counters.connections_total[name] - counters.log_closes_total[name]
        )

    def denied(self) -> Mapping[str, int]:
        return self._by_scheme(self._tailer.counters.connections_refused_total.__getitem__)

    def _by_scheme(self, count: Callable[[str], int]) -> Mapping[str, int]:
        sums: dict[str, int] = {}
        for spec in self._specs:
            if spec.kind in STREAM_SCHEMES:
                sums[spec.kind] = sums.get(spec.kind, 0) + count(spec.name)
        return sums
