"""The page `/debug/vars`: mtail's expvar variables, and ours in the same form."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from typing import Any

from nativemtail.telemetry.families import PROGRAM_VARIABLES, SOURCE_VARIABLES, label_text, sums
from nativemtail.telemetry.machine import resident_memory
from nativemtail.telemetry.model import ProgramState, SourceState
from nativemtail.telemetry.selfmetrics import SelfMetrics


def variables(own: SelfMetrics) -> dict[str, Any]:
    """All of mtail's expvar variables, and ours in the same form."""
    sources = own.sources.states() if own.sources is not None else ()
    programs = own.programs.states() if own.programs is not None else ()
    connections, denied = own.connections()
    return {
        "cmdline": [label_text(argument) for argument in sys.argv],
        "memstats": _memstats(),
        "lines_total": own.lines.lines_total() if own.lines is not None else 0,
        "log_count": sum(state.active for state in sources),
        **{variable: _counts(sources, what) for variable, (what, _) in SOURCE_VARIABLES.items()},
        **{variable: _counts(programs, attribute) for variable, attribute in PROGRAM_VARIABLES.items()},
        **own.exports.counts(),
        "connection_count": connections,
        "total_connections_denied": denied,
        "lines_dropped_total": dict(own.sources.dropped()) if own.sources is not None else {},
        "limits_hit_total": own.limits(),
        "messages_dropped_total": own.messages_dropped() if own.messages_dropped is not None else 0,
        **_state(own),
        "series_refused_total": own.lines.series_refused() if own.lines is not None else 0,
    }


def _state(own: SelfMetrics) -> dict[str, float]:
    """Nothing if nothing is kept."""
    if own.state is None:
        return {}
    state = own.state()
    return {
        "state_saves_total": state.saves,
        "state_save_bytes_total": state.bytes,
        "state_save_failures_total": state.failures,
        "state_damaged_total": state.damaged,
        "state_lost_logs_total": state.lost_logs,
        "state_restored_series": state.restored_series,
        "state_catch_up_bytes": state.catch_up_bytes,
        **({} if state.age is None else {"state_age_seconds": state.age}),
    }


def page(own: SelfMetrics) -> bytes:
    """The page `/debug/vars`: one variable per line, sorted by key."""
    entries = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(variables(own).items()))
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def _counts(states: Sequence[SourceState] | Sequence[ProgramState], attribute: str) -> dict[str, float]:
    """A map as in expvar: only names with a count have an entry."""
    return sums((state.name, count) for state in states if (count := getattr(state, attribute)))


def _memstats() -> dict[str, int]:
    """Those of Go's names that have a meaning here."""
    return {"Alloc": resident_memory(), "NumGC": sum(generation["collections"] for generation in gc.get_stats())}
