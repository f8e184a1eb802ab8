"""The programs of directories and files: loading, reloading, and swapping plans (spec runtime.md §6, §4).

A change takes two steps.  `prepare` does the slow part while the engine keeps running: compile, build the plan, run the
begin blocks.  `commit` carries the data over and swaps the plans between two blocks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from nativemtail._core import Engine, Metric, Plan, Store
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.includes import Text
from nativemtail.compiler.program import Program
from nativemtail.gotext import reason
from nativemtail.programs.builder import Builder, Settings
from nativemtail.programs.directory import list_all, read_text
from nativemtail.programs.fitting import Fitting, in_load_order
from nativemtail.programs.loaded import Build, Compile, Failure, Loaded, LoadError, cannot_compile
from nativemtail.programs.metrics import NOTHING_ADDED, Exporters, Naming, check_kinds, identified, make_metrics
from nativemtail.programs.restored import Restored
from nativemtail.telemetry.model import ProgramState

log = logging.getLogger(__name__)

_FITS_NONE = "log_filter fits none of the logs"
GONE_KEPT = 1000
"""The state and counts of at most this many deleted programs are kept."""


@dataclass(slots=True)
class Change:
    """A prepared change, for `commit`."""

    running: dict[str, Loaded]
    plan: Plan
    replaced: list[Metric] = field(default_factory=list)
    added: list[Metric] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    inherited: list[str] = field(default_factory=list)
    """Programs whose restored metrics end with this change."""


class Programs:
    """Owns the store, the engine and the programs that run in it."""

    def __init__(
        self,
        paths: Sequence[str],
        compile: Compile,
        build: Build,
        *,
        keep: Callable[[Plan], None] = lambda plan: None,
        about_to_run: Callable[[list[Metric]], dict[str, list[str]]] | None = None,
        include_path: tuple[str, ...] = (),
        naming: Naming = NOTHING_ADDED,
    ) -> None:
        """`keep` is called with each plan that starts to run.

        `about_to_run` is called with the metrics of all programs before a change takes effect; it returns warnings by
        program.
        """
        self.store = Store()
        self.engine = Engine(self.store)
        self.paths = paths
        self.status: dict[str, ProgramState] = {}
        self._compile = compile
        self._build = build
        self._keep = keep
        self._include_path = include_path
        self._naming = naming
        self._about_to_run = about_to_run
        self._running: dict[str, Loaded] = {}
        self._planned = False
        self._unexported: dict[str, list[str]] = {}
        self._failures: dict[str, Failure] = {}
        self._asked = True
        self._restored = Restored()
        self._doubted: dict[str, Loaded] = {}
        """Programs of which it was said that their filter fits no log."""

    def restore(self, metrics: Sequence[Metric], version: Callable[[bytes], str]) -> None:
        """Begin with the metrics of an earlier run, before the first `load`.

        Programs inherit from them as at a reload.  `begin` is not run again for an unchanged text, for which `version`
        gives the same as for the text that the metrics come from.
        """
        self.store.replace((), metrics)
        self._restored = Restored(metrics, version)

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
        """The warnings about the running programs when they were loaded; from any thread."""
        more = self._unexported
        return {n: [*loaded.program.warnings, *more.get(n, ())] for n, loaded in self._running.copy().items()}

    def dump(self, name: str) -> str | None:
        """A readable dump of a running program's code; None if none of that name runs."""
        from nativemtail.compiler import disasm

        running = self._running.get(name)
        return disasm.dump(running.program) if running else None

    def load(self, *, strict: bool) -> None:
        """Load everything.  `strict`: the first failure raises LoadError and nothing runs."""
        change = self.prepare(strict=strict)
        if change:
            self.commit(change)

    def reload(self, *, asked: bool = True) -> bool:
        """Load what has changed; whether anything did.  Must be called between two blocks; failures are logged."""
        change = self.prepare(asked=asked)
        if change:
            self.commit(change)
        return change is not None

    def prepare(self, *, strict: bool = False, asked: bool = True) -> Change | None:
        """Compile what is new or changed; None if the running plan stays.

        `asked`: a person requested it, so persisting errors are reported again (spec runtime.md §6.3).

        Nothing visible to others changes, except `status`.  Raises LoadError if `strict`.
        """
        self._asked = asked
        files, keep = self._list(strict)
        wanted = {name: loaded for name, loaded in self._running.items() if name in keep}
        fresh: list[str] = []
        exporters = Exporters(wanted)
        for name, path in files.items():
            loaded = self._load_one(name, path, exporters, strict)
            if loaded:
                exporters.put(name, loaded)
                fresh.append(name)
        unchanged = len(wanted) == len(self._running) and not self._restored.without_file
        if self._planned and not fresh and unchanged:
            return None
        if self._are_refused_again(wanted, fresh, strict):
            return None
        try:
            return self._change(wanted, fresh)
        except Exception as error:
            if not fresh:
                raise
            return self._without_unbuildable(wanted, fresh, error, strict)

    def _list(self, strict: bool) -> tuple[dict[str, str], set[str]]:
        """The paths of the programs by name, and which programs remain: all as long as a path cannot be read."""
        listing = list_all(self.paths)
        for message in listing.errors:
            self._raise_or_log(message, strict)
        keep = set(listing.programs)
        if listing.errors:
            keep |= set(self._running)
        else:
            self._restored.there = keep
            self._forget_errors(keep | set(listing.clashes))
            self._forget_gone(keep | set(listing.clashes))
            if not keep and not self._planned:
                self._raise_or_log(f"no program in {', '.join(self.paths)}: their names end in .mtail", strict)
        for path, message in listing.clashes.items():
            self.status.setdefault(path, ProgramState(name=path))
            self._fail(path, Failure(None, message), strict)
        return listing.programs, keep

    def _forget_errors(self, there: set[str]) -> None:
        """Forget the errors of programs that were deleted."""
        for name, status in self.status.copy().items():
            if name not in there:
                status.error = ""

    def _forget_gone(self, there: set[str]) -> None:
        """Bound the number of deleted programs that are remembered."""
        gone = [name for name, status in self.status.copy().items() if name not in there and not status.running]
        surplus = gone[: max(0, len(gone) - GONE_KEPT)]
        for name in surplus:
            del self.status[name]
            self._failures.pop(name, None)
        self.engine.forget_programs(surplus)

    def _are_refused_again(self, wanted: dict[str, Loaded], fresh: list[str], strict: bool) -> bool:
        """Whether all that is new is what could not be planned beside the running programs, which stay."""
        beside = {name: loaded.text for name, loaded in self._running.items() if name in wanted}
        failures = {name: self._failures.get(name) for name in fresh}
        for name, failure in failures.items():
            if failure is None or failure.text != wanted[name].text or failure.beside != beside:
                return False
        if len(beside) < len(self._running) or not self._planned or self._restored.without_file:
            return False
        for name, failure in failures.items():
            if failure is not None:
                self._fail(name, failure, strict)
        return True

    def _without_unbuildable(
        self, wanted: dict[str, Loaded], fresh: list[str], error: Exception, strict: bool
    ) -> Change | None:
        """Leave out programs that compile but cannot be planned, alone or together; their old versions stay."""
        base = {name: self._running.get(name) if name in fresh else loaded for name, loaded in wanted.items()}
        fitting = Fitting({name: loaded for name, loaded in base.items() if loaded}, self._build)
        fitting.add({name: wanted[name] for name in fresh}, error)
        beside = {name: loaded.text for name, loaded in fitting.programs.items()}
        for name, message in fitting.refused.items():
            text, program = wanted[name].text, wanted[name].program
            self._fail(name, Failure(text, message, name in fitting.hopeless, program, beside), strict)
        fresh = [name for name in fresh if name not in fitting.refused]
        unchanged = len(fitting.programs) == len(self._running) and not self._restored.without_file
        if self._planned and not fresh and unchanged:
            return None
        return self._change(fitting.programs, fresh)

    def _load_one(self, name: str, path: str, exporters: Exporters, strict: bool) -> Loaded | None:
        """The compiled program; None if it is unchanged or has an error."""
        status = self.status.setdefault(name, ProgramState(name=name))
        started = time.monotonic()
        try:
            text = read_text(path, self._include_path)
        except OSError as error:
            message = f'Failed to read program "{path}": open {path}: {reason(error)}'
            self._fail(name, Failure(None, message), strict)
            return None
        except Exception as error:
            self._fail(name, Failure(None, cannot_compile(name, error)), strict)
            return None
        running = self._running.get(name)
        if running and running.text == text:
            if status.error:
                log.info("Program %s is again what it was before the error, and keeps running", name)
            status.error = ""
            return None
        failure = self._failures.get(name)
        if failure and failure.text != text:
            failure = None
        if failure and failure.hopeless:
            self._fail(name, failure, strict)
            return None
        program = failure.program if failure else None
        try:
            program = program or self._compile(name, text)
            loaded = Loaded(text, program, self._make_metrics(name, text, program))
            check_kinds(loaded, exporters.sharing(name, loaded))
        except Exception as error:
            message = cannot_compile(name, error)
            self._fail(name, Failure(text, message, isinstance(error, CompileError), program), strict)
            return None
        if failure is None or failure.beside is None:
            self._log_doubts(program)
        status.load_seconds = time.monotonic() - started
        return loaded

    def _make_metrics(self, name: str, text: Text, program: Program) -> list[Metric]:
        return make_metrics(name, program.metrics, self._restored.version(text.whole), self._naming)

    def _log_doubts(self, program: Program) -> None:
        for note in program.notes:
            log.info("%s", note)
        for warning in program.warnings:
            log.warning("%s", warning)

    def included(self) -> set[str]:
        """The paths where included files were looked for; from any thread."""
        texts = [loaded.text for loaded in self._running.copy().values()]
        texts += [failure.text for failure in self._failures.copy().values() if failure.text is not None]
        return {file.path for text in texts for file in text.included.files}

    def problems(self, logs: Collection[str]) -> dict[str, str]:
        """The running programs whose filters fit none of the open `logs`; from any thread."""
        return {name: _FITS_NONE for name, loaded in self._running.copy().items() if logs and _is_idle(loaded, logs)}

    def check_filters(self, logs: Collection[str]) -> None:
        """Log `problems`, each once as long as the program is not changed."""
        for name in self.problems(logs):
            loaded = self._running.get(name)
            if loaded is not None and self._doubted.get(name) is not loaded:
                self._doubted[name] = loaded
                log.warning("%s: %s", name, _FITS_NONE)

    def _fail(self, name: str, failure: Failure, strict: bool) -> None:
        """Count and log a failure; a known one only if a person requested the reload."""
        status = self.status[name]
        known = bool(status.error) and failure.is_known(self._failures.get(name))
        self._failures[name] = failure
        if known and not self._asked and not strict:
            return
        status.error = failure.message
        status.load_errors += 1
        self._raise_or_log(failure.message, strict, name)

    @staticmethod
    def _raise_or_log(message: str, strict: bool, name: str = "") -> None:
        if strict:
            raise LoadError(message)
        log.error("%s", message if name in message else f"{name}: {message}")

    def _change(self, wanted: dict[str, Loaded], fresh: list[str]) -> Change:
        wanted = in_load_order(wanted)
        plan = self._build([(loaded.program, loaded.metrics) for loaded in wanted.values()])
        gone = [name for name in self._running if name not in wanted]
        change = Change(wanted, plan, loaded=fresh, unloaded=gone, inherited=[*fresh, *self._restored.without_file])
        for index, name in enumerate(wanted):
            if name in fresh:
                change.added += wanted[name].distinct
                if wanted[name].program.begin and not self._restored.is_of(name, wanted[name].text.whole):
                    self.engine.begin(plan, index)
        for name in (*gone, *fresh):
            if name in self._running:
                change.replaced += self._running[name].distinct
        change.replaced += self._restored.of(change.inherited)
        self._collect_warnings([metric for loaded in wanted.values() for metric in loaded.distinct])
        return change

    def _collect_warnings(self, metrics: list[Metric]) -> None:
        try:
            if self._about_to_run is not None:
                self._unexported = self._about_to_run(metrics)
        except Exception:
            log.exception("cannot determine which metrics the pages leave out")

    def commit(self, change: Change) -> None:
        """Make the change take effect, in one step as seen by readers and by lines.

        No other change may have been committed since this one was prepared.
        """
        old, new = identified(change.replaced), identified(change.added)
        pairs = [(metric, old[identity]) for identity, metric in new.items() if identity in old]
        self.engine.exchange(change.plan, change.replaced, change.added, pairs)
        self._running = change.running
        self._restored.drop(change.inherited)
        self._planned = True
        self._keep(change.plan)
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


def _is_idle(loaded: Loaded, logs: Collection[str]) -> bool:
    log_filter = loaded.program.log_filter
    return log_filter is not None and not any(map(log_filter.fits, logs))


def open_programs(
    settings: Settings,
    about_to_run: Callable[[list[Metric]], dict[str, list[str]]] | None = None,
) -> Programs:
    """The programs that the settings name, not loaded yet; for the callbacks see `Programs`."""
    builder = Builder(settings)
    return Programs(
        settings.paths,
        builder.compile,
        builder.build,
        keep=builder.keep,
        about_to_run=about_to_run,
        include_path=settings.include_path,
        naming=settings.naming,
    )
