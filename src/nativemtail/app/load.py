"""Loading the programs of a configuration, and the checks that need to know logs and pages."""

from __future__ import annotations

import logging

from nativemtail.app.config import Config, Output
from nativemtail.io import doubts
from nativemtail.programs.manager import Programs, open_programs
from nativemtail.programs.unexported import LeftOut


def open_programs_of(config: Config) -> Programs:
    """Not loaded yet.  What is loaded is checked against the logs, and against the pages that show it."""
    left_out = _left_out(config.output)
    return open_programs(
        config.programs,
        lambda name: doubts.of_filter(name, config.specs),
        left_out.say if left_out else None,
    )


def _left_out(output: Output) -> LeftOut | None:
    if not output.one_shot:
        return LeftOut(prog_label=output.prog_label)
    if output.format == "prometheus":
        return LeftOut(prog_label=output.prog_label, level=logging.ERROR, reserved=frozenset())
    return None
