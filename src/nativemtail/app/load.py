"""Opens what a configuration names: the programs, with the checks that depend on pages, and the state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nativemtail.app.config import Config, Output
from nativemtail.io.tailer import Tailer
from nativemtail.options import Mode
from nativemtail.programs.manager import Programs, open_programs
from nativemtail.programs.unexported import LeftOut

if TYPE_CHECKING:  # SQLite is imported only if something is kept
    from nativemtail.app.keep import Keeper


def open_keeper_of(config: Config) -> Keeper | None:
    """The state, held and read; None if nothing is kept.  Raises StateError."""
    if config.state is None:
        return None
    from nativemtail.app.keep import Keeper

    return Keeper(config.state)


def open_programs_of(config: Config) -> Programs:
    """The programs, not loaded yet.  Loading checks their metrics against the pages."""
    left_out = _left_out(config.output)
    return open_programs(config.programs, left_out.report if left_out else None)


def _left_out(output: Output) -> LeftOut | None:
    if not output.one_shot:
        return LeftOut(prog_label=output.prog_label)
    if output.format == "prometheus":
        return LeftOut(prog_label=output.prog_label, level=logging.ERROR, reserved=frozenset())
    return None


def open_tailer_of(config: Config, programs: Programs, keeper: Keeper | None) -> Tailer:
    """Reads the logs for the programs, from where they were counted to by the last run if that is kept."""
    programs.engine.max_record = config.input.max_line_length
    return Tailer(
        config.specs,
        programs.engine,
        config.input,
        until_end=config.mode is Mode.ONE_SHOT,
        saved=keeper.saved if keeper is not None else None,
        read_from_beginning=config.read_from_beginning,
    )
