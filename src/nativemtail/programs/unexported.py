"""Says which metrics no page of Prometheus has, and why: one bad name, and Prometheus would refuse the whole page."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from nativemtail._core import Metric
from nativemtail._render import left_out
from nativemtail.options import Options
from nativemtail.telemetry.model import RESERVED

log = logging.getLogger(__name__)


class LeftOut:
    """What is left out as long as it is: each is said once."""

    def __init__(self, options: Options) -> None:
        self._prog_label = options.emit_prog_label
        self._level = logging.ERROR if options.one_shot else logging.WARNING
        self._wanted = not options.one_shot or options.one_shot_format == "prometheus"
        self._reserved: frozenset[str] = frozenset()
        if not options.one_shot:
            self._reserved = RESERVED
        self._said: set[str] = set()

    def say(self, metrics: Iterable[Metric]) -> dict[str, list[str]]:
        """What is left out, by program.  `metrics` are those of all programs that run from now on."""
        found: dict[str, list[str]] = {}
        if not self._wanted:
            return found
        bad = left_out(metrics, emit_prog_label=self._prog_label, reserved=self._reserved)
        texts = {
            f"{metric.source}: left out of Prometheus' pages: {why}": metric.program for metric, why in bad.items()
        }
        for text, program in texts.items():
            found.setdefault(program, []).append(text)
            if text not in self._said:
                log.log(self._level, "%s", text)
        self._said = set(texts)
        return found
