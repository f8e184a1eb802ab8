"""The programs of a directory or file: loading, reloading, and the swap of what runs (spec runtime.md §6, §4).

A change is made in two steps.  `prepare` does what takes long beside the running engine: compile, build the plan, run
the begin blocks.  `commit` carries the data over and swaps; whoever scans must call it, between two blocks.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nativemtail import plainfile
from nativemtail._core import Engine, Fault, Metric, Plan, Store, TimeZone
from nativemtail.compiler.errors import CompileError, internal
from nativemtail.compiler.program import MetricDecl, Program
from nativemtail.gotext import go_quote, reason, utf8
from nativemtail.options import Options
from nativemtail.programs import zones
from nativemtail.programs.builder import Builder
from nativemtail.programs.unexported import LeftOut

Compile = Callable[[str, bytes], Program]
"""Takes name and text, gives the compiled program.  Raises CompileError."""

Build = Callable[[list[tuple[Program, list[Metric]]]], Plan]
"""Takes the programs and their metrics, one for each declaration."""

log = logging.getLogger(__name__)

SUFFIX = ".mtail"
MAX_SIZE = 16 << 20
"""Bytes of a program."""
GONE_KEPT = 1000
"""Of so many programs that are there no more something is known; the counts of others vanish."""
KIND_NAMES = {1: "Counter", 2: "Gauge", 3: "Timer", 4: "Text", 5: "Histogram"}


class LoadError(Exception):
    """A program, or the place where programs are, cannot be loaded; the text says why."""


@dataclass(slots=True)
class Status:
    """What is known of a program that was ever seen."""

    error: str = ""
    """Why its newest text does not run; empty when it does."""
    loads: int = 0
    load_errors: int = 0
    unloads: int = 0
    runtime_errors: int = 0
    last_runtime_error: str = ""
    running: bool = False
    load_seconds: float = 0.0
    """How long the last load took."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A compiled program and its metrics in the order of the declarations; equal ones are one (`dup-shared`)."""

    text: bytes
    program: Program
    metrics: list[Metric]

    @property
    def distinct(self) -> list[Metric]:
        return list({id(metric): metric for metric in self.metrics}.values())


@dataclass(slots=True)
class Change:
    """What `commit` will do."""

    running: dict[str, Loaded]
    plan: Plan
    replaced: list[Metric] = field(default_factory=list)
    added: list[Metric] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)


class Programs:
    """Owns the store, the engine and the programs that run in it."""

    def __init__(
        self,
        path: str,
        compile: Compile,
        build: Build,
        *,
        about_to_run: Callable[[list[Metric]], None] | None = None,
        doubt_filter: Callable[[str], str] = lambda name: "",
    ) -> None:
        """`about_to_run` gets the metrics of all programs, before those of a change run.

        `doubt_filter` says what is wrong with a name of a log_filter, if anything.
        """
        self._doubt_filter = doubt_filter
        self.store = Store()
        self.engine = Engine(self.store)
        self.path = path
        self.status: dict[str, Status] = {}
        self._compile = compile
        self._build = build
        self._about_to_run = about_to_run
        self._running: dict[str, Loaded] = {}
        self._planned = False

    @property
    def names(self) -> list[str]:
        """The running programs, in load order."""
        return list(self._running)

    @property
    def failed(self) -> list[str]:
        """The programs whose last load failed."""
        return [name for name, status in self.status.items() if status.error]

    def running(self) -> list[Program]:
        """The compiled forms of the running programs, in load order."""
        return [loaded.program for loaded in self._running.values()]

    def warnings(self) -> dict[str, list[str]]:
        """What the running programs were warned of when they were loaded; from any thread."""
        return {name: loaded.program.warnings for name, loaded in self._running.copy().items()}

    def dump(self, name: str) -> str | None:
        """What a running program was compiled to, for people; None when none of that name runs."""
        from nativemtail.compiler import disasm

        running = self._running.get(name)
        return disasm.dump(running.program) if running else None

    def load(self, *, strict: bool) -> None:
        """Load everything.  `strict`: the first failure raises LoadError and nothing runs."""
        change = self.prepare(strict=strict)
        if change:
            self.commit(change)

    def reload(self) -> bool:
        """Load what has changed; whether anything did.  To be called between two blocks; failures are logged."""
        change = self.prepare()
        if change:
            self.commit(change)
        return change is not None

    def prepare(self, *, strict: bool = False) -> Change | None:
        """Compile what is new or changed; None when the running plan stays as it is.

        The state that others see does not change, but for `status`.  Raises LoadError if `strict`.
        """
        try:
            files = list_programs(self.path)
        except OSError as error:
            self._fail(os.path.basename(self.path), _cannot_list(self.path, error), strict, counted=False)
            files, keep = [], set(self._running)
        else:
            keep = {name for name, _ in files}
            self._forget_errors(keep)
            self._forget_gone(keep)
            if not files and not self._planned:
                message = f"no program in {self.path}: their names end in .mtail"
                if strict:
                    raise LoadError(message)
                log.error("%s", message)
        wanted = {name: loaded for name, loaded in self._running.items() if name in keep}
        fresh: list[str] = []
        exporters = _Exporters(wanted)
        for name, path in files:
            loaded = self._load_one(name, path, exporters, strict)
            if loaded:
                exporters.put(name, loaded)
                fresh.append(name)
        if self._planned and not fresh and len(wanted) == len(self._running):
            return None
        try:
            return self._change(wanted, fresh)
        except Exception as error:
            if not fresh:
                raise
            return self._without_unbuildable(wanted, fresh, error, strict)

    def _forget_errors(self, there: set[str]) -> None:
        """What is deleted has failed no longer."""
        for name, status in self.status.copy().items():
            if name not in there:
                status.error = ""

    def _forget_gone(self, there: set[str]) -> None:
        """Have what is known of programs not grow with each new name."""
        gone = [name for name, status in self.status.copy().items() if name not in there and not status.running]
        surplus = gone[: max(0, len(gone) - GONE_KEPT)]
        for name in surplus:
            del self.status[name]
        self.engine.forget_programs(surplus)

    def _without_unbuildable(
        self, wanted: dict[str, Loaded], fresh: list[str], error: Exception, strict: bool
    ) -> Change | None:
        """Programs compile but cannot be planned, alone or with the others: their old ones, if any, stay."""
        base = {name: self._running.get(name) if name in fresh else loaded for name, loaded in wanted.items()}
        fitting = _Fitting({name: loaded for name, loaded in base.items() if loaded}, self._build)
        fitting.add({name: wanted[name] for name in fresh}, error)
        for name, message in fitting.refused.items():
            self._fail(name, message, strict)
        fresh = [name for name in fresh if name not in fitting.refused]
        if self._planned and not fresh and len(fitting.programs) == len(self._running):
            return None
        return self._change(fitting.programs, fresh)

    def _load_one(self, name: str, path: str, exporters: _Exporters, strict: bool) -> Loaded | None:
        """The program compiled, or None when it is unchanged or wrong."""
        status = self.status.setdefault(name, Status())
        started = time.monotonic()
        try:
            text = read_program(path)
        except OSError as error:
            message = f'Failed to read program "{path}": open {path}: {reason(error)}'
            self._fail(name, message, strict)
            return None
        except Exception as error:
            self._fail(name, cannot_compile(name, error), strict)
            return None
        running = self._running.get(name)
        if running and running.text == text:
            status.error = ""
            return None
        try:
            program = self._compile(name, text)
            loaded = Loaded(text, program, make_metrics(name, program.metrics))
            check_kinds(loaded, exporters.sharing(name, loaded))
        except Exception as error:
            self._fail(name, cannot_compile(name, error), strict)
            return None
        for note in program.notes:
            log.info("%s", note)
        for warning in program.warnings:
            log.warning("%s", warning)
        for doubt in self._filter_doubts(program):
            log.warning("%s: %s", name, doubt)
        status.load_seconds = time.monotonic() - started
        return loaded

    def _filter_doubts(self, program: Program) -> list[str]:
        return [doubt for name in sorted(program.log_filter or ()) if (doubt := self._doubt_filter(name))]

    def problems(self) -> dict[str, str]:
        """The running programs whose filters fit no log, and why; from any thread."""
        found = {name: self._filter_doubts(loaded.program) for name, loaded in self._running.copy().items()}
        return {name: "; ".join(texts) for name, texts in found.items() if texts}

    def _fail(self, name: str, message: str, strict: bool, counted: bool = True) -> None:
        if counted:
            status = self.status[name]
            status.error = message
            status.load_errors += 1
        if strict:
            raise LoadError(message)
        log.error("%s", message)

    def _change(self, wanted: dict[str, Loaded], fresh: list[str]) -> Change:
        wanted = _in_load_order(wanted)
        plan = self._build([(loaded.program, loaded.metrics) for loaded in wanted.values()])
        gone = [name for name in self._running if name not in wanted]
        change = Change(wanted, plan, loaded=fresh, unloaded=gone)
        for index, name in enumerate(wanted):
            if name in fresh:
                change.added += wanted[name].distinct
                if wanted[name].program.begin:
                    self.engine.begin(plan, index)
        for name in (*gone, *fresh):
            if name in self._running:
                change.replaced += self._running[name].distinct
        self._tell([metric for loaded in wanted.values() for metric in loaded.distinct])
        return change

    def _tell(self, metrics: list[Metric]) -> None:
        try:
            if self._about_to_run is not None:
                self._about_to_run(metrics)
        except Exception:
            log.exception("what pages leave out of the metrics could not be found out")

    def commit(self, change: Change) -> None:
        """Make the change take effect, in one step as seen by readers and by lines.

        No other change may have been committed since it was prepared.
        """
        old, new = _identified(change.replaced), _identified(change.added)
        pairs = [(metric, old[identity]) for identity, metric in new.items() if identity in old]
        self.engine.exchange(change.plan, change.replaced, change.added, pairs)
        self._running = change.running
        self._planned = True
        for name in change.unloaded:
            status = self.status[name]
            status.running = False
            status.unloads += 1
            log.info("Unloaded program %s", name)
        for name in change.loaded:
            status = self.status[name]
            status.running = True
            status.error = ""
            status.loads += 1
            log.info("Loaded program %s", name)


def list_programs(path: str) -> list[tuple[str, str]]:
    """Names and paths of the programs that `path`, a directory or a file, stands for.  Raises OSError.

    Names are UTF-8 and differ, whatever bytes the file names are made of.
    """
    if stat.S_ISDIR(os.stat(path).st_mode):
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        paths = [os.path.join(path, name) for name in sorted(names, key=os.fsencode)]
    else:
        paths = [path]
    found: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(path)
        if name.endswith(SUFFIX) and not name.startswith("."):
            name = utf8(name)
            while name in found:
                name = name.removesuffix(SUFFIX) + "~" + SUFFIX
            found[name] = path
    return list(found.items())


def read_program(path: str) -> bytes:
    """The text of a program.  Raises OSError, also for what is no regular file or too large."""
    return plainfile.read(path, MAX_SIZE)


def _cannot_list(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"-progs: stat {path}: {reason(error)}"
    return f'Failed to list programs in "{path}": open {path}: {reason(error)}'


def make_metrics(program: str, declarations: Sequence[MetricDecl]) -> list[Metric]:
    """A metric for each declaration; those of equal name, kind, type and keys share the one made from the last.

    A hidden one is a variable of its own.
    """
    identities = [(*_declared(d), at if d.hidden else -1) for at, d in enumerate(declarations)]
    last = dict(zip(identities, declarations, strict=True))
    made = {
        identity: Metric(d.name, program, d.kind, d.type, d.keys, d.source, d.buckets, d.limit, d.hidden)
        for identity, d in last.items()
    }
    return [made[identity] for identity in identities]


class _Fitting:
    """Finds which of some programs can be planned together with `programs`, which can be; puts them there."""

    def __init__(self, programs: dict[str, Loaded], build: Build) -> None:
        self.programs = programs
        self.refused: dict[str, str] = {}
        """Why others cannot."""
        self._build = build

    def add(self, fresh: dict[str, Loaded], error: Exception) -> None:
        """`error`: what came of all of them at once."""
        if isinstance(error, CompileError) and error.program in fresh:
            self.refused[error.program] = cannot_compile(error.program, error)
            self._try({name: loaded for name, loaded in fresh.items() if name != error.program})
        elif len(fresh) == 1:
            self._refuse(*fresh.popitem(), error)
        else:
            names = list(fresh)
            for half in (names[: len(names) // 2], names[len(names) // 2 :]):
                self._try({name: fresh[name] for name in half})

    def _try(self, fresh: dict[str, Loaded]) -> None:
        together = self.programs | fresh
        error = self._plans(together)
        if error is None:
            self.programs = together
        elif fresh:
            self.add(fresh, error)

    def _plans(self, programs: dict[str, Loaded]) -> Exception | None:
        """Why these cannot be planned together."""
        try:
            exporters = _Exporters(programs)
            for name, loaded in programs.items():
                check_kinds(loaded, exporters.sharing(name, loaded))
            self._build([(loaded.program, loaded.metrics) for loaded in _in_load_order(programs).values()])
        except Exception as error:
            return error
        return None

    def _refuse(self, name: str, loaded: Loaded, error: Exception) -> None:
        if type(error) is ValueError:  # the plan's own, and no defect
            error = CompileError(name, [(None, f"{name}: {error}")])
        reason = cannot_compile(name, error)
        if self.programs and self._plans({name: loaded}) is None:
            reason += f"\n{name}: it is left out, as it cannot run beside the programs that are loaded"
        self.refused[name] = reason


def cannot_compile(name: str, error: Exception) -> str:
    """What is said of a program that is left out; any error but CompileError and LoadError is a defect of ours."""
    if isinstance(error, LoadError):
        return str(error)
    if not isinstance(error, CompileError):
        log.debug("what went wrong with %s:", name, exc_info=error)
        error = internal(name, error)
    return f"compile failed for {name}:\n{error}"


def _in_load_order(programs: dict[str, Loaded]) -> dict[str, Loaded]:
    return dict(sorted(programs.items(), key=lambda item: os.fsencode(item[0])))


def _declared(d: MetricDecl) -> tuple[object, ...]:
    return d.name, d.kind, d.type, tuple(d.keys)


def _identified(metrics: Sequence[Metric]) -> dict[tuple[object, ...], Metric]:
    """Metrics by what makes them the same after a reload; other buckets make another one (`reload-change`).

    Of hidden ones a program may have several of one name: they are told apart by their order.
    """
    found: dict[tuple[object, ...], Metric] = {}
    equal: dict[tuple[object, ...], int] = {}
    for metric in metrics:
        key = (metric.program, metric.name, metric.type, tuple(metric.keys), tuple(metric.buckets))
        equal[key] = equal.get(key, 0) + 1
        found[(*key, equal[key])] = metric
    return found


class _Exporters:
    """Which of some programs, by name, have a metric of which name; `put` adds one to them."""

    def __init__(self, programs: dict[str, Loaded]) -> None:
        self._programs = programs
        self._of: dict[str, set[str]] = {}
        for name, loaded in programs.items():
            self._note(name, loaded)

    def put(self, name: str, loaded: Loaded) -> None:
        self._programs[name] = loaded
        self._note(name, loaded)

    def sharing(self, name: str, loaded: Loaded) -> list[Loaded]:
        """The programs but that of this name which have, or had, a metric of a name that `loaded` has."""
        names = {other for metric in loaded.metrics for other in self._of.get(metric.name, ())}
        return [self._programs[other] for other in sorted(names - {name})]

    def _note(self, name: str, loaded: Loaded) -> None:
        for metric in loaded.metrics:
            self._of.setdefault(metric.name, set()).add(name)


def check_kinds(loaded: Loaded, others: Sequence[Loaded]) -> None:
    """Raise LoadError when a name is exported with two kinds (spec language.md §9.5); hidden metrics don't count."""
    kinds = {metric.name: metric.kind for other in others for metric in other.metrics if not metric.hidden}
    for metric in loaded.distinct:
        if metric.hidden:
            continue
        kind = kinds.setdefault(metric.name, metric.kind)
        if kind != metric.kind:
            raise LoadError(
                f"metric {metric.name} has different kind {KIND_NAMES[metric.kind]} to existing {KIND_NAMES[kind]}"
            )


class FaultLog:
    """Logs run-time errors (spec runtime.md §4), at most `limit` of each program in `period` seconds."""

    def __init__(self, programs: Programs, *, logged: bool, limit: int, period: float) -> None:
        self._programs = programs
        self._logged = logged
        self._limit = limit
        self._period = period
        self._since = time.monotonic()
        self._written: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def collect(self) -> None:
        """Take the engine's errors since the last call."""
        faults, more = self._programs.engine.faults()
        if time.monotonic() - self._since >= self._period:
            self.summarise()
        for fault in faults:
            self._take(fault)
        for name, count in more.items():
            self._count(name, count)
            self._left_out[name] = self._left_out.get(name, 0) + count

    def _take(self, fault: Fault) -> None:
        text = fault_text(fault)
        self._count(fault.program, 1)
        self._programs.status.setdefault(fault.program, Status()).last_runtime_error = text
        written = self._written.get(fault.program, 0)
        if written < self._limit:
            self._written[fault.program] = written + 1
            if self._logged:
                log.error("%s: Runtime error: %s", fault.program, text)
        else:
            self._left_out[fault.program] = self._left_out.get(fault.program, 0) + 1

    def _count(self, name: str, count: int) -> None:
        self._programs.status.setdefault(name, Status()).runtime_errors += count

    def summarise(self) -> None:
        """Say how many were left out, and begin a new period."""
        for name, count in self._left_out.items():
            if count and self._logged:
                log.error("%s: %d further runtime errors", name, count)
        self._since = time.monotonic()
        self._written.clear()
        self._left_out.clear()


def fault_text(fault: Fault) -> str:
    """The error as the log and the status page show it."""
    return (
        f"{fault.message}\nError occurred, originating in {fault.program} at line {fault.line}\n"
        f"Full input text from {go_quote(fault.source)} was {go_quote(fault.input)}"
    )


def open_programs(options: Options, doubt_filter: Callable[[str], str] = lambda name: "") -> Programs:
    """The programs that the flags name, not loaded yet.  Raises LoadError for an unknown time zone."""
    try:
        zone = TimeZone(zones.load(options.override_timezone))
    except LookupError as error:
        raise LoadError(str(error)) from None
    builder = Builder(options, zone)
    say = LeftOut(options).say
    return Programs(options.progs, builder.compile, builder.build, about_to_run=say, doubt_filter=doubt_filter)
