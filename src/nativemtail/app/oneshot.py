"""One-shot: load the programs, read the logs to their end, print the metrics (spec inputs.md §8)."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING

from nativemtail._core import Store
from nativemtail._render import Page
from nativemtail.app.config import Config, Output
from nativemtail.app.load import open_tailer_of
from nativemtail.app.message_files import Screen
from nativemtail.app.progress import Progress
from nativemtail.io.tailer import Tailer
from nativemtail.programs.faultlog import FaultLog
from nativemtail.programs.manager import Programs

if TYPE_CHECKING:
    from nativemtail.app.keep import Keeper

log = logging.getLogger(__name__)

LOGGED_FAULTS = 100
"""At most this many run-time errors of each program are logged individually; the rest are counted."""


class OutputError(Exception):
    """The metrics cannot be shown in the requested format."""


def read_logs(config: Config, programs: Programs, screen: Screen, keeper: Keeper | None = None) -> bool:
    """Read all sources to their ends; whether any could be read.

    Raises `SourceError` for a socket that cannot be opened.  KeyboardInterrupt may come at any time: the metrics then
    are those of the lines read so far.
    """
    tailer = open_tailer_of(config, programs, keeper)
    faults = FaultLog(programs.engine, logged=config.log_faults, limit=LOGGED_FAULTS, period=math.inf)
    tailer.open()
    if keeper is not None:
        keeper.begin(programs, tailer)
    progress = Progress(tailer.size) if config.progress and os.isatty(2) else None
    screen.before = progress.clear if progress else None
    try:
        for _ in tailer.turns():
            faults.collect()
            if progress and progress.due():
                progress.show(tailer.used, tailer.counters.log_lines_total.total())
        programs.check_filters(tailer.names())
        tailer.finish_records()
        if keeper is not None:
            keeper.fix_last()
    finally:
        tailer.give_up()
        tailer.finish_records()
        screen.before = None
        if progress:
            progress.clear()
        faults.collect()
        faults.summarise()
        _summarise(tailer, config.input.max_line_length)
        has_read = any(not source.errors for source in tailer.status())
        tailer.close()
    return has_read


def _summarise(tailer: Tailer, max_line_length: int) -> None:
    counters = tailer.counters
    for source in tailer.status():
        name = source.name
        log.info("%s: %d lines, %d bytes, %d errors", name, source.lines, source.bytes_read, source.errors)
        if nuls := counters.nuls_total[name]:
            log.info("%s: NUL bytes before lines, and dropped: %d", name, nuls)
        if cut := counters.lines_cut_total[name]:
            log.warning("%s: lines longer than -max_line_length=%d, and cut: %d", name, max_line_length, cut)


def render(store: Store, output: Output) -> bytes:
    """The metrics in the form that `output` says.  Raises OutputError."""
    page = Page(store.snapshot())
    if output.format == "json":
        return page.json(grouped=True)
    try:
        return page.prometheus(emit_prog_label=output.prog_label, emit_timestamp=output.timestamps, strict=True)
    except ValueError as error:
        raise OutputError(str(error)) from None
