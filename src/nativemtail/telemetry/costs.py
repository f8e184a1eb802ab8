"""Records of what programs cost, for `/profile` and `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternCost:
    """The cost of a pattern of a program, and its reason; for a shared pattern, the cost in all programs together.

    The figures are 0 where nothing was measured.
    """

    pattern: str
    """A regular expression without its slashes, or a field pattern."""
    is_regex: bool
    prefilter: str
    """Its required literals, as text."""
    engine: str
    captures: int
    """The number of groups that are captured."""
    why: str
    hint: str
    """What would make it cheaper, or empty."""
    tried: int = 0
    """Number of lines that it was matched against."""
    matched: int = 0
    samples: int = 0
    """Number of timed matches."""
    seconds: float = 0.0

    @property
    def shown(self) -> str:
        """The pattern as a program writes it."""
        return f"/{self.pattern}/" if self.is_regex else self.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramCost:
    """The cost of a running program since the last change of any program, and its reason."""

    name: str
    why: str
    """On which lines it runs, and why."""
    lines: int = 0
    """Number of lines of its sources."""
    runs: int = 0
    """Number of lines that it ran on."""
    samples: int = 0
    """Number of timed runs."""
    seconds: float = 0.0
    """CPU time, including its patterns except the triggers that select it."""
    patterns: Sequence[PatternCost] = ()
    """In the order of the program."""


class MetricSize(NamedTuple):
    """Size of a metric."""

    program: str
    metric: str
    series: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The cost of all running programs since the last change of any."""

    lines: int = 0
    seconds: float = 0.0
    prefilter_seconds: float = 0.0
    """The part of `seconds` that the prefilter took."""
    rest_seconds: float = 0.0
    """The remaining part: choosing programs for lines, including matching triggers."""
    programs: Sequence[ProgramCost] = ()
    metrics: Sequence[MetricSize] = ()
    """The largest first."""
