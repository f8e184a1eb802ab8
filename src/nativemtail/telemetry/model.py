"""What is known of programs, logs and the process: one record for each thing, and who gives it.

The daemon's parts fill these in; the pages, the self-metrics and `/debug/vars` show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nativemtail._core import Fault

RESERVED = frozenset(
    (
        "mtail_build_info",
        "mtail_lines_total",
        "mtail_log_errors_total",
        "mtail_log_lines_total",
        "mtail_prog_lines_total",
        "mtail_prog_load_errors_total",
        "mtail_prog_loads_total",
        "mtail_prog_runtime_errors_total",
        "mtail_vm_line_processing_duration_seconds",
        "mtail_vm_line_processing_duration_seconds_bucket",
        "mtail_vm_line_processing_duration_seconds_count",
        "mtail_vm_line_processing_duration_seconds_sum",
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
    )
)
"""Names of families and samples that mtail has too: a user's metric of that name fails the page there (§1.6), and is
left out here.  All other families of ours are left out when a user's metric has their name, so that nothing that works
with mtail is missing here."""


PROGRAM_STATES = ("running", "outdated", "failed", "unloaded")
"""Outdated: the newest text fails to load, and the one before it runs on."""


@dataclass(slots=True, kw_only=True)
class ProgramState:
    """One program that was ever seen, by its file name.  `programs` keeps one for each; pages get copies."""

    name: str
    running: bool = False
    error: str = ""
    """Why its newest text does not run; empty when it does."""
    loads: int = 0
    load_errors: int = 0
    unloads: int = 0
    load_seconds: float = 0.0
    """How long the last load took."""
    lines: int = 0
    runtime_errors: int = 0
    last_fault: Fault | None = None
    warnings: Sequence[str] = ()
    """These two only in copies for pages that show them; so are the engine's counts, `lines` and `runtime_errors`."""

    @property
    def state(self) -> str:
        """One of PROGRAM_STATES."""
        if self.running:
            return "outdated" if self.error else "running"
        return "failed" if self.error else "unloaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """One log source that was ever read, by the name that `getfilename()` gives."""

    name: str
    active: bool = True
    """Being read now; others stay for their counts."""
    lines: int = 0
    bytes: int = 0
    lag: int | None = None
    """Bytes between the position and the end of file; None where there is no end (sockets, pipes)."""
    errors: int = 0
    opens: int = 0
    closes: int = 0
    truncations: int = 0
    cut: int = 0
    """Lines cut to the greatest length."""
    nuls: int = 0
    """NULs before lines, which were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCost:
    """What a pattern of a program has cost, and why; one that programs share has cost this in all of them.

    The figures are 0 where nothing was measured.
    """

    pattern: str
    gate: str
    engine: str
    captures: int
    """Groups that are filled."""
    why: str
    hint: str
    """What would make it cheaper, or empty."""
    tried: int = 0
    """Lines that it was matched against."""
    matched: int = 0
    samples: int = 0
    """Matches that were timed."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramCost:
    """What a running program has cost since the last change of any program, and why."""

    name: str
    why: str
    """On which lines it runs, and why on these."""
    lines: int = 0
    """Lines of its sources."""
    runs: int = 0
    """Lines that it ran on."""
    samples: int = 0
    """Runs that were timed."""
    seconds: float = 0.0
    """With those of its patterns, but for the ones that let lines through to it."""
    patterns: Sequence[PatternCost] = ()
    """In the order of the program."""


class MetricSize(NamedTuple):
    """What a metric of a program holds."""

    program: str
    metric: str
    series: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What all running programs have cost since the last change of any."""

    lines: int = 0
    seconds: float = 0.0
    gate_seconds: float = 0.0
    """Of all `seconds`, what it took to find the lines that may concern a program."""
    rest_seconds: float = 0.0
    """What neither that nor the programs took: choosing programs for lines, by their patterns too."""
    programs: Sequence[ProgramCost] = ()
    metrics: Sequence[MetricSize] = ()
    """The largest first."""


class Pool(NamedTuple):
    """A thread pool: its threads, and how many of them wait for work."""

    size: int
    parked: int


class Programs(Protocol):
    """The programs."""

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        """With their last run-time errors if asked for: that may have to wait until a block of lines ends."""

    def dump(self, name: str) -> str | None:
        """The readable form of a running program's plan; None if there is none of that name."""

    def costs(self) -> Costs: ...


class Sources(Protocol):
    """The tailer: everything that is read."""

    def states(self) -> Sequence[SourceState]: ...
    def patterns(self) -> Sequence[str]:
        """The absolute glob patterns, sorted."""

    def problems(self) -> Mapping[str, str]:
        """What is wrong with patterns and logs, by name, sorted."""

    def dropped(self) -> Mapping[str, int]:
        """Lines (or datagrams) that were dropped, by reason; every reason there is, zeros too."""

    def limits(self) -> Mapping[str, int]:
        """How often each limit was hit; every limit there is, zeros too."""

    def connections(self) -> Mapping[str, int]:
        """Open connections of stream sources by scheme."""

    def accepted(self) -> Mapping[str, int]:
        """All that there ever were, by scheme."""

    def denied(self) -> Mapping[str, int]:
        """Connections of stream sources that were refused, by scheme."""


class Listener(Protocol):
    """The HTTP server's counts."""

    def connections(self) -> Mapping[str, int]: ...
    def accepted(self) -> Mapping[str, int]: ...
    def denied(self) -> Mapping[str, int]: ...
    def limits_hit(self) -> Mapping[str, int]: ...
    def pools(self) -> Mapping[str, Pool]: ...
