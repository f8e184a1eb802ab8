"""Reports the metrics left out of Prometheus' pages, and why: one bad name makes Prometheus refuse the whole page."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from nativemtail._core import Metric
from nativemtail._render import left_out
from nativemtail.telemetry.model import RESERVED

log = logging.getLogger(__name__)


class LeftOut:
    """Logs each metric that is left out once, and again if it is fixed and breaks again."""

    def __init__(self, *, prog_label: bool, level: int = logging.WARNING, reserved: frozenset[str] = RESERVED) -> None:
        """`level` is that of the messages; `reserved` has the sample names that the page always contains."""
        self._prog_label = prog_label
        self._level = level
        self._reserved = reserved
        self._logged: set[str] = set()

    def report(self, metrics: Iterable[Metric]) -> dict[str, list[str]]:
        """Log what is left out of `metrics`, those of all programs that will run; returns the texts by program."""
        found: dict[str, list[str]] = {}
        bad = left_out(metrics, emit_prog_label=self._prog_label, reserved=self._reserved)
        texts = {
            f"{metric.source}: left out of Prometheus' pages: {why}": metric.program for metric, why in bad.items()
        }
        for text, program in texts.items():
            found.setdefault(program, []).append(text)
            if text not in self._logged:
                log.log(self._level, "%s", text)
        self._logged = set(texts)
        return found
