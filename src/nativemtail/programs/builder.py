"""Program texts → programs → the plan that the engine runs; from the cache where nothing has changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nativemtail import compiler
from nativemtail._core import Metric, Plan, TimeZone
from nativemtail.compiler import serialize
from nativemtail.compiler.includes import Text
from nativemtail.compiler.program import Program
from nativemtail.compiler.tables import Tables
from nativemtail.programs import cache
from nativemtail.programs.metrics import NOTHING_ADDED, Naming
from nativemtail.programs.zones import UTC, Zone

if TYPE_CHECKING:
    from nativemtail.compiler import ast

log = logging.getLogger(__name__)


_DEFAULT_LIMITS = compiler.Options()


class Settings(NamedTuple):
    """How programs are found, compiled and planned."""

    paths: Sequence[str]
    """Directories with programs, and single files."""
    zone: Zone = UTC
    """Time zone of timestamps that name none."""
    limits: compiler.Options = _DEFAULT_LIMITS
    patch_year: bool = True
    """Assume the current year for timestamps without one."""
    include_path: tuple[str, ...] = ()
    """Directories in which included files are looked for."""
    naming: Naming = NOTHING_ADDED
    """What is added to the metrics of all programs."""
    cache_directory: str = ""
    """Empty: nothing is cached."""
    is_cache_wanted: bool = False
    """Whether a flag names the directory: an unusable one is then reported as a warning."""
    dump_ast: bool = False
    dump_ast_types: bool = False
    dump_bytecode: bool = False


class Builder:
    """Compiles programs and builds plans."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._zone = TimeZone(settings.zone)
        self._place = "\n".join(map(os.path.abspath, settings.paths))
        self._cache = cache.Cache(settings.cache_directory, is_wanted=settings.is_cache_wanted)
        self._known = self._read()
        self._unkept: tuple[list[Program], Tables, Plan] | None = None

    def compile(self, name: str, text: Text) -> Program:
        """Raises CompileError."""
        settings = self._settings
        program = None
        if not (settings.dump_ast or settings.dump_ast_types):
            program = self._known_program(name, text)
        if program is None:
            program = compiler.compile_program(name, text.source, settings.limits, self._trace(name), text.included)
        if settings.dump_bytecode:
            from nativemtail.compiler import disasm

            log.info("%s", disasm.dump(program))
        return program

    def build(self, programs: Sequence[tuple[Program, list[Metric]]]) -> Plan:
        """The plan of these programs, each with its metrics.  Raises ValueError if the engine cannot run them."""
        built = self._from_cache(programs)
        if built is None:
            from nativemtail.compiler import plan

            tables = plan.build(programs)
            built = self._plan(tables)
            self._unkept = [program for program, _ in programs], tables, built
        self._known = None
        for warning in built.warnings:
            log.warning("%s", warning)
        return built

    def _plan(self, tables: Tables, database: bytes = b"") -> Plan:
        return Plan(tables, zone=self._zone, patch_year=self._settings.patch_year, database=database)

    # --- the cache: if anything goes wrong with it, programs are compiled and planned again ---------------------------

    def keep(self, plan: Plan) -> None:
        """Store `plan` in the cache for the next start, if it was built last and did not come from there."""
        if self._unkept is None or self._unkept[2] is not plan:
            return
        programs, tables, built = self._unkept
        self._unkept = None
        try:
            data = serialize.dump(programs, tables, built.database())
            self._cache.put(self._place, repr(self._settings.limits), data)
        except Exception as error:
            log.debug("what was compiled is not kept: %r", error)

    def _read(self) -> serialize.Stored | None:
        try:
            data = self._cache.get(self._place, repr(self._settings.limits))
            return None if data is None else serialize.load(data)
        except Exception as error:
            log.debug("what was kept is not used: %r", error)
            return None

    def _known_program(self, name: str, text: Text) -> Program | None:
        try:
            return self._known.program(serialize.key(name, text.source, text.included.files)) if self._known else None
        except Exception as error:
            log.debug("%s is compiled anew: %r", name, error)
            return None

    def _from_cache(self, programs: Sequence[tuple[Program, list[Metric]]]) -> Plan | None:
        if self._known is None:
            return None
        keys = [serialize.key_of(program) for program, _ in programs]
        try:
            tables = self._known.plan(keys, [metrics for _, metrics in programs])
            return self._plan(tables, self._known.database) if tables else None
        except Exception as error:
            log.debug("the programs are planned anew: %r", error)
            return None

    def _trace(self, name: str) -> compiler.Trace:
        """A callback that logs the trees for `-dump_ast` and `-dump_ast_types`."""

        def show(stage: str, root: ast.Block) -> None:
            typed = stage not in ("parsed", "folded")
            if self._settings.dump_ast_types if typed else self._settings.dump_ast and stage == "parsed":
                from nativemtail.compiler import dump

                log.info("%s: %s:\n%s", name, stage, dump.dump(root, types=typed))

        return show
