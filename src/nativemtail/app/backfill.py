"""`nativemtail backfill`: old logs into the series of a time-series database."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nativemtail import gotext
from nativemtail._core import Metric
from nativemtail.app import config
from nativemtail.app.config import ConfigError
from nativemtail.app.ignore import ignore
from nativemtail.app.progress import Progress
from nativemtail.app.streams import BROKEN_PIPE, FAILURE, INTERRUPTED, SUCCESS, write
from nativemtail.compiler import divisible
from nativemtail.compiler.divisible import Reason
from nativemtail.compiler.program import Program
from nativemtail.globs import Glob
from nativemtail.history import blueprint, ordered, parts, pool, run
from nativemtail.history.blueprint import Blueprint, Times
from nativemtail.history.outputs import Output, OutputError, outputs
from nativemtail.history.parts import Log, Part
from nativemtail.history.series import Family
from nativemtail.history.spool import Spool, SpoolError, identity
from nativemtail.history.worker import Result
from nativemtail.io.files import find
from nativemtail.io.patterns import parse_logs
from nativemtail.options import Options, format_duration
from nativemtail.programs import builder
from nativemtail.programs.directory import list_all, read_text
from nativemtail.programs.loaded import Loaded, LoadError, cannot_compile
from nativemtail.programs.metrics import check_kinds, make_metrics
from nativemtail.telemetry.explain import division

log = logging.getLogger(__name__)

MEMORY_LIMIT = 1 << 30
MILLISECOND = 1_000_000
LOGGED_FAULTS = 100
"""At most this many run-time errors of each program are logged."""


class Compiled(NamedTuple):
    """A program, and why it cannot be divided."""

    program: Program
    metrics: list[Metric]
    reasons: list[Reason]


def compile_all(settings: builder.Settings) -> list[Compiled]:
    """The programs in load order.  Raises LoadError for the first that cannot be loaded."""
    listing = list_all(settings.paths)
    for message in (*listing.errors, *listing.clashes.values()):
        raise LoadError(message)
    found: list[Compiled] = []
    loaded: list[Loaded] = []
    for name, file in listing.programs.items():
        try:
            text = read_text(file, settings.include_path)
            program, reasons = divisible.compile_program(name, text.source, settings.limits, text.included)
            metrics = make_metrics(name, program.metrics, naming=settings.naming)
            loaded.append(Loaded(text, program, metrics))
            check_kinds(loaded[-1], loaded[:-1])
        except OSError as error:
            raise LoadError(gotext.explain(error, "open", file)) from None
        except Exception as error:
            raise LoadError(cannot_compile(name, error)) from None
        for warning in program.warnings:
            log.warning("%s", warning)
        found.append(Compiled(program, metrics, reasons))
    if not found:
        raise LoadError(f"no program in {', '.join(settings.paths)}: their names end in .mtail")
    return found


def backfill(options: Options) -> int:
    """Do what the flags say; the exit status.  Raises ConfigError, LoadError, and what the sources raise."""
    settings = config.program_settings(options)
    if not settings.paths:
        raise ConfigError(config.NO_PROGRAMS)
    programs = compile_all(settings)
    if options.explain:
        return write(1, division({each.program.name: each.reasons for each in programs}).encode())
    _check(options)
    try:
        made = outputs(options.output, options.remote_write, options.remote_write_headers)
        with _Run(options, settings, programs, _logs(options)) as running:
            return running.run(made)
    except OutputError as error:
        raise ConfigError(str(error)) from None


def _check(options: Options) -> None:
    if not options.logs:
        raise ConfigError(config.NO_LOGS)
    if not options.output and not options.remote_write:
        raise ConfigError("backfill needs -output FILE, -output - for standard output, or -remote_write URL")
    for name in ("step", "max_gap"):
        value: float = getattr(options, name)
        if value <= 0 or round(value * 1e9) % MILLISECOND:
            raise ConfigError(f"-{name} must be positive, in whole milliseconds: {format_duration(value)}")
    if options.assume_time not in ("", "mtime"):
        raise ConfigError(f"-assume_time takes mtime: {options.assume_time}")
    if options.part_size < 1 or options.workers < 0:
        raise ConfigError("-part_size must be positive, and -workers must not be negative")


def _logs(options: Options) -> list[Log]:
    """The files in their order.  Raises ConfigError if there is none."""
    specs = parse_logs(options.logs)
    for spec in specs:
        if spec.kind != "path":
            raise ConfigError(f"backfill reads files, which {spec.name} is not")
    found = find([Glob(spec.name) for spec in specs], ignore(options.ignore_filename_regex_pattern))
    paths = [each.path for each in found if not each.is_fifo]
    if not paths:
        raise ConfigError("no log can be read")
    return [parts.examine(path) for path in parts.in_order(paths)]


class _Run:
    """The blueprints: one for all programs that can be divided, one for each of the others."""

    def __init__(
        self, options: Options, settings: builder.Settings, programs: Sequence[Compiled], logs: list[Log]
    ) -> None:
        self._options = options
        self._logs = logs
        self._workers = options.workers or len(os.sched_getaffinity(0))
        times = Times(round(options.step * 1e9), options.year, options.assume_time == "mtime")
        divided = [(each.program, each.metrics) for each in programs if not each.reasons]
        groups = [(divided, False)] if divided else []
        groups += [([(each.program, each.metrics)], True) for each in programs if each.reasons]
        self._blueprints = [
            blueprint.draw(
                group,
                zone=settings.zone,
                times=times,
                in_order=in_order,
                max_line_length=options.max_line_length,
            )
            for group, in_order in groups
        ]
        self._table = run.Table(self._blueprints, options.memory_limit or MEMORY_LIMIT)
        self._counts = run.Counts()
        self._spools: list[Spool] = []
        self._progress = Progress(None) if not options.quiet and os.isatty(2) else None

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.__exit__(None, None, None)
        for spool in self._spools:
            spool.close(remove=False)

    def run(self, made: Sequence[Output]) -> int:
        """Count, and write to the outputs; the exit status.  Raises OutputError."""
        try:
            problems = [message for number in range(len(self._blueprints)) for message in self._count(number)]
        except KeyboardInterrupt:
            self._clear()
            log.error("interrupted: %s", self._how_to_go_on())
            return INTERRUPTED
        except pool.PartFailed as error:
            self._clear()
            log.error("%s; %s", error, self._how_to_go_on())
            return FAILURE
        except SpoolError as error:
            log.error("%s", error)
            return FAILURE
        self._clear()
        self._log_faults()
        try:
            taken = [output.write(self._families()) for output in made]
        except BrokenPipeError:
            return BROKEN_PIPE
        for message in problems:
            log.error("%s", message)
        for spool in self._spools:
            spool.close(remove=True)
        self._spools.clear()
        return SUCCESS if all(taken) and not problems else FAILURE

    def _families(self) -> Iterator[Family]:
        options = self._options
        return self._table.families(
            round(options.step * 1e9), round(options.max_gap * 1e9), prog_label=options.emit_prog_label
        )

    def _count(self, number: int) -> list[str]:
        """Count by one blueprint; what to report."""
        plan = self._blueprints[number]
        counts = run.Counts()
        divided = self._divided(plan)
        spool = self._spool(number, plan, divided)
        size = sum(part.end - part.start for part in divided)
        done = 0
        ends = {part.number: part.end - part.start for part in divided}
        if self._progress is not None:
            self._progress = Progress(size)

        def on_result(result: Result) -> None:
            nonlocal done
            counts.add(result)
            self._table.add(number, result)
            done += ends.get(result.part, 0)
            if self._progress is not None:
                self._progress.show(done, sum(counts.lines.values()))

        if plan.in_order:
            ordered.count(plan, divided, self._options.memory_limit or MEMORY_LIMIT, on_result)
        else:
            run.count(plan, divided, self._workers, spool, on_result)
        self._counts.faults += counts.faults
        for name, more in counts.more_faults.items():
            self._counts.more_faults[name] = self._counts.more_faults.get(name, 0) + more
        if counts.cut:
            limit = self._options.max_line_length
            log.warning("lines longer than -max_line_length=%d, and cut: %d", limit, counts.cut)
        problems = [message for _, message in sorted(counts.problems)]
        return [*dict.fromkeys(problems), *counts.left_out(divided)]

    def _divided(self, plan: Blueprint) -> list[Part]:
        size = sum(each.size for each in self._logs)
        part_size = parts.part_size_for(size, self._workers, self._options.part_size)
        if "part_size" in self._options.given:
            part_size = self._options.part_size
        return parts.divide(self._logs, part_size, whole=plan.in_order or blueprint.has_records(plan))

    def _spool(self, number: int, plan: Blueprint, divided: Sequence[Part]) -> Spool | None:
        """Where the results are kept; None if the output has no name to derive one from."""
        options = self._options
        path = options.continue_ or (f"{options.output}.parts" if options.output not in ("", "-") else "")
        if not path or plan.in_order:
            return None
        spool = Spool(path, identity(plan, divided))
        self._spools.append(spool)
        return spool

    def _how_to_go_on(self) -> str:
        if self._spools:
            return f"the same command with -continue {self._spools[0].path} goes on from the parts that are done"
        return "with -continue FILE, the next run can go on from the parts that are done"

    def _clear(self) -> None:
        if self._progress is not None:
            self._progress.clear()

    def _log_faults(self) -> None:
        written: dict[str, int] = {}
        for fault in self._counts.faults:
            written[fault.program] = written.get(fault.program, 0) + 1
            if self._options.vm_logs_runtime_errors and written[fault.program] <= LOGGED_FAULTS:
                log.error("%s: Runtime error: %s", fault.program, fault)
        for program in sorted({*written, *self._counts.more_faults}):
            count = max(0, written.get(program, 0) - LOGGED_FAULTS) + self._counts.more_faults.get(program, 0)
            if count and self._options.vm_logs_runtime_errors:
                log.error("%s: %d further runtime errors", program, count)
