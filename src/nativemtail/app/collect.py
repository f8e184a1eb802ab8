"""Adapters from the daemon's parts to the protocols of self-metrics and the status page."""

from __future__ import annotations

import logging
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from nativemtail.compiler.program import Program
from nativemtail.io.patterns import HTTP_SCHEME, STREAM_SCHEMES, LogSpec
from nativemtail.io.tailer import Tailer
from nativemtail.programs.faultlog import FaultLog
from nativemtail.programs.manager import Programs
from nativemtail.telemetry.costs import Costs, ProgramCost
from nativemtail.telemetry.enginecounts import metric_sizes
from nativemtail.telemetry.explain import reasons, with_figures
from nativemtail.telemetry.model import ProgramState, SourceState

log = logging.getLogger(__name__)

LOGGED_FAULTS = 20
FAULT_PERIOD = 60.0
"""At most LOGGED_FAULTS run-time errors of each program are logged in FAULT_PERIOD seconds, the rest are counted."""

LIMITS = ("open_files", "watches", "events", "partial_memory", "request_body", "request_time", "catch_up")


class ProgramStates:
    """The states of all programs seen so far, and their run-time errors, fetched from the engine regularly."""

    def __init__(self, programs: Programs, *, log_faults: bool) -> None:
        self._programs = programs
        self._faults = FaultLog(programs.engine, logged=log_faults, limit=LOGGED_FAULTS, period=FAULT_PERIOD)
        self._lock = threading.Lock()
        self._reasons: tuple[list[Program], list[ProgramCost]] = [], []

    def collect(self) -> None:
        """Fetch and log the engine's run-time errors; from any thread."""
        with self._lock:
            self._faults.collect()

    def summarise(self) -> None:
        """Log how many errors were not logged individually."""
        with self._lock:
            self._faults.summarise()

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        """The states of all programs; `faults` adds their run-time errors and warnings."""
        engine = self._programs.engine
        warnings = self._programs.warnings() if faults else {}
        last = engine.last_faults() if faults else {}
        lines, errors = engine.program_lines(), engine.program_faults()
        return [
            replace(
                status,
                lines=lines.get(name, 0),
                runtime_errors=errors.get(name, 0),
                last_fault=last.get(name),
                warnings=warnings.get(name, ()),
            )
            for name, status in sorted(self._programs.status.copy().items())
        ]

    def dump(self, name: str) -> str | None:
        return self._programs.dump(name)

    def costs(self) -> Costs:
        measured = self._programs.engine.profile()
        # Programs may change in between: show those that are in both.
        programs = [
            with_figures(program, why, measured) for program, why in self._explained() if why.name in measured.programs
        ]
        return Costs(
            lines=measured.lines,
            seconds=measured.seconds,
            prefilter_seconds=measured.prefilter_seconds,
            rest_seconds=measured.rest_seconds,
            programs=programs,
            metrics=sorted(metric_sizes(self._programs.store), key=lambda size: (-size.bytes, size[:2])),
        )

    def _explained(self) -> Iterator[tuple[Program, ProgramCost]]:
        """The running programs and why they cost what they cost, computed once after each change of programs."""
        running = self._programs.running()
        known, explained = self._reasons
        if not (len(known) == len(running) and all(map(operator.is_, known, running))):
            try:
                explained = reasons([(program, []) for program in running])
            except Exception:
                explained = [_explain_alone(program) for program in running]
            self._reasons = running, explained
        return zip(running, explained, strict=True)


def _explain_alone(program: Program) -> ProgramCost:
    """Why a program costs what it costs, as far as that depends on this program alone."""
    try:
        return reasons([(program, [])])[0]
    except Exception as error:
        log.exception("cannot explain what %s costs", program.name)
        return ProgramCost(name=program.name, why=f"cannot be explained: {type(error).__name__}: {error}")


class SourceStates:
    """The states of the tailer's sources.  Its counters are written by another thread, so they are copied first."""

    def __init__(self, tailer: Tailer, specs: Sequence[LogSpec], programs: Programs) -> None:
        self._tailer = tailer
        self._programs = programs
        self._specs = specs

    def states(self) -> Sequence[SourceState]:
        counts = {what: table.copy() for what, table in self._tailer.counters.by_source().items()}
        active = {status.name: status.lag for status in self._tailer.status()}
        return [
            SourceState(
                name=name,
                active=name in active,
                lag=active.get(name),
                **{what: table[name] for what, table in counts.items()},
            )
            for name in sorted({*active, *counts["lines"], *counts["errors"], *counts["opens"]})
        ]

    def patterns(self) -> Sequence[str]:
        return sorted(spec.name for spec in self._specs if spec.kind == "path")

    def problems(self) -> Mapping[str, str]:
        return dict(sorted((self._tailer.problems() | self._programs.problems(self._tailer.names())).items()))

    def dropped(self) -> Mapping[str, int]:
        return {"receive_buffer": self._tailer.counters.datagrams_dropped_total.copy().total()}

    def limits(self) -> Mapping[str, int]:
        counters = self._tailer.counters
        return {
            **{limit: counters.limits_total[limit] for limit in LIMITS},
            "clients": counters.connections_refused_total.copy().total(),
            "silent_clients": counters.connections_dropped_total.copy().total(),
            "datagram_length": counters.datagrams_cut_total.copy().total(),
            "record": self._programs.engine.records_cut(),
            "line_length": counters.lines_cut_total.copy().total(),
        }

    def connections(self) -> Mapping[str, int]:
        counters = self._tailer.counters
        return self._by_scheme(lambda name: counters.connections_total[name] - counters.log_closes_total[name])

    def accepted(self) -> Mapping[str, int]:
        return self._by_scheme(self._tailer.counters.connections_total.__getitem__)

    def denied(self) -> Mapping[str, int]:
        return self._by_scheme(self._tailer.counters.connections_refused_total.__getitem__)

    def _by_scheme(self, count: Callable[[str], int]) -> Mapping[str, int]:
        sums: dict[str, int] = {}
        for spec in self._specs:
            if spec.kind in STREAM_SCHEMES or spec.kind == HTTP_SCHEME:
                # The pages are the service "http".
                service = "http_logs" if spec.kind == HTTP_SCHEME else spec.kind
                sums[service] = sums.get(service, 0) + count(spec.name)
        return sums
