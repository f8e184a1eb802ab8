"""Texts → programs → the plan that the engine runs, as the flags say; from the cache where nothing has changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nativemtail import compiler
from nativemtail._core import Metric, Plan, TimeZone
from nativemtail.compiler import serialize
from nativemtail.compiler.program import Program
from nativemtail.compiler.tables import Tables
from nativemtail.options import Options
from nativemtail.programs import cache

if TYPE_CHECKING:
    from nativemtail.compiler import ast

log = logging.getLogger(__name__)


NO_CACHE = "none"


class Builder:
    """Compiles programs and builds plans; `zone` is `-override_timezone`'s."""

    def __init__(self, options: Options, zone: TimeZone) -> None:
        self._options = options
        self._zone = zone
        default = compiler.Options()
        self._limits = compiler.Options(
            options.max_regexp_length or default.max_regexp_length,
            options.max_recursion_depth or default.max_recursion_depth,
        )
        self._place = os.path.abspath(options.progs)
        self._cache = cache.Cache(_directory(options.cache_dir))
        self._known = self._read()

    def compile(self, name: str, text: bytes) -> Program:
        """Raises CompileError."""
        options = self._options
        program = None
        if not (options.dump_ast or options.dump_ast_types):
            program = self._known_program(name, text)
        if program is None:
            program = compiler.compile_program(name, text, self._limits, self._trace(name))
        if options.dump_bytecode:
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
            self._remember([program for program, _ in programs], tables, built)
        self._known = None
        for warning in built.warnings:
            log.warning("%s", warning)
        return built

    def _plan(self, tables: Tables, database: bytes = b"") -> Plan:
        return Plan(tables, zone=self._zone, patch_year=self._options.syslog_use_current_year, database=database)

    # --- the cache: whatever goes wrong with it, what was to be had from it is made anew ---------------------------

    def _remember(self, programs: Sequence[Program], tables: Tables, built: Plan) -> None:
        try:
            self._cache.put(self._place, repr(self._limits), serialize.dump(programs, tables, built.database()))
        except Exception as error:
            log.debug("what was compiled is not kept: %r", error)

    def _read(self) -> serialize.Stored | None:
        try:
            data = self._cache.get(self._place, repr(self._limits))
            return None if data is None else serialize.load(data)
        except Exception as error:
            log.debug("what was kept is not used: %r", error)
            return None

    def _known_program(self, name: str, text: bytes) -> Program | None:
        try:
            return self._known.program((name, text)) if self._known else None
        except Exception as error:
            log.debug("%s is compiled anew: %r", name, error)
            return None

    def _from_cache(self, programs: Sequence[tuple[Program, list[Metric]]]) -> Plan | None:
        if self._known is None:
            return None
        keys = [serialize.key(program) for program, _ in programs]
        try:
            tables = self._known.plan(keys, [metrics for _, metrics in programs])
            return self._plan(tables, self._known.database) if tables else None
        except Exception as error:
            log.debug("the programs are planned anew: %r", error)
            return None

    def _trace(self, name: str) -> compiler.Trace:
        """Logs the trees that `-dump_ast` and `-dump_ast_types` ask for."""

        def show(stage: str, root: ast.Block) -> None:
            typed = stage not in ("parsed", "folded")
            if self._options.dump_ast_types if typed else self._options.dump_ast and stage == "parsed":
                from nativemtail.compiler import dump

                log.info("%s: %s:\n%s", name, stage, dump.dump(root, types=typed))

        return show


def _directory(option: str) -> str:
    return "" if option == NO_CACHE else option or cache.default_directory()
