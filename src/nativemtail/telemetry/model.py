"""Records of programs, logs and the process, and protocols of the parts that provide them.

The daemon's parts fill these in; the pages, the self-metrics and `/debug/vars` show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nativemtail._core import Fault
from nativemtail.telemetry.counters import Latency

if TYPE_CHECKING:
    from nativemtail.telemetry.costs import Costs

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
"""Names of families and samples that mtail has too: there, a user's metric of that name breaks the page (spec
metrics-export.md §1.6); here, it is left out.  Our other families are left out if a user's metric has their name, so
that everything that works with mtail is shown."""


PROGRAM_STATES = ("running", "outdated", "failed", "unloaded")
"""Outdated: the newest text fails to load, and the previous one keeps running."""


@dataclass(slots=True, kw_only=True)
class ProgramState:
    """A program seen since the start, by its file name.  `programs` keeps these records; pages get copies."""

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
    """This and `last_fault` are set only in copies for pages that show them; `lines`, `runtime_errors` in copies."""

    @property
    def state(self) -> str:
        """One of PROGRAM_STATES."""
        if self.running:
            return "outdated" if self.error else "running"
        return "failed" if self.error else "unloaded"


class SourceState(NamedTuple):
    """A log source read since the start, by the name that `getfilename()` returns."""

    name: str
    active: bool = True
    """Whether it is being read now; others are kept for their counts."""
    lines: int = 0
    bytes: int = 0
    lag: int | None = None
    """Bytes between the position and the end of the file; None for sockets and pipes."""
    errors: int = 0
    opens: int = 0
    closes: int = 0
    truncations: int = 0
    cut: int = 0
    """Lines cut to `--max_line_length`."""
    nuls: int = 0
    """NULs dropped before lines."""


class Pool(NamedTuple):
    """A thread pool: its threads, and how many of them wait for work."""

    size: int
    parked: int


class StateCounts(NamedTuple):
    """What is kept between runs (`--state_dir`); counts since the start."""

    saves: int
    seconds: Latency
    """How long a save took."""
    bytes: int
    """Written by saves."""
    failures: int
    age: float | None
    """Seconds since the last instant that was saved; None if there is none."""
    restored_series: int
    damaged: int
    """How often what was kept turned out to be damaged."""
    catch_up_bytes: int
    """Bytes until all logs are read to where they ended at the start."""
    lost_logs: int
    """Files that were not read to their ends, and are gone."""


class Programs(Protocol):
    """The programs."""

    def states(self, *, faults: bool = False) -> Sequence[ProgramState]:
        """All states; `faults` adds the last run-time errors, which may have to wait for the end of a block."""

    def dump(self, name: str) -> str | None:
        """A readable dump of a running program's code; None if none of that name runs."""

    def costs(self) -> Costs: ...


class Sources(Protocol):
    """The tailer: everything that is read."""

    def states(self) -> Sequence[SourceState]: ...
    def patterns(self) -> Sequence[str]:
        """The absolute glob patterns, sorted."""

    def problems(self) -> Mapping[str, str]:
        """What is wrong with patterns and logs, by name, sorted."""

    def dropped(self) -> Mapping[str, int]:
        """Lines (or datagrams) that were dropped, by reason; includes all reasons, even with 0."""

    def limits(self) -> Mapping[str, int]:
        """How often each limit was hit; includes all limits, even with 0."""

    def connections(self) -> Mapping[str, int]:
        """Open connections of stream sources by scheme."""

    def accepted(self) -> Mapping[str, int]:
        """Connections accepted since the start, by scheme."""

    def denied(self) -> Mapping[str, int]:
        """Connections of stream sources that were refused, by scheme."""


class Listener(Protocol):
    """The HTTP server's counts."""

    def connections(self) -> Mapping[str, int]: ...
    def accepted(self) -> Mapping[str, int]: ...
    def denied(self) -> Mapping[str, int]: ...
    def limits_hit(self) -> Mapping[str, int]: ...
    def pools(self) -> Mapping[str, Pool]: ...
