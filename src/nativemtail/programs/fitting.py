"""Finds programs to leave out when all compile but cannot be planned together."""

from __future__ import annotations

import os

from nativemtail.compiler.errors import CompileError
from nativemtail.programs.loaded import Build, Loaded, cannot_compile
from nativemtail.programs.metrics import Exporters, check_kinds


def in_load_order(programs: dict[str, Loaded]) -> dict[str, Loaded]:
    return dict(sorted(programs.items(), key=lambda item: os.fsencode(item[0])))


class Fitting:
    """Adds programs to `programs`, which can be planned together, as long as that remains so."""

    def __init__(self, programs: dict[str, Loaded], build: Build) -> None:
        self.programs = programs
        self.refused: dict[str, str] = {}
        """Why others cannot."""
        self.hopeless: set[str] = set()
        """The refused programs that cannot be planned alone either."""
        self._build = build

    def add(self, fresh: dict[str, Loaded], error: Exception) -> None:
        """Add those of `fresh` that fit; `error` is the result of planning all at once."""
        if isinstance(error, CompileError) and error.program in fresh:
            self.refused[error.program] = cannot_compile(error.program, error)
            self.hopeless.add(error.program)
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
        """Why these cannot be planned together; None if they can."""
        try:
            exporters = Exporters(programs)
            for name, loaded in programs.items():
                check_kinds(loaded, exporters.sharing(name, loaded))
            self._build([(loaded.program, loaded.metrics) for loaded in in_load_order(programs).values()])
        except Exception as error:
            return error
        return None

    def _refuse(self, name: str, loaded: Loaded, error: Exception) -> None:
        if type(error) is ValueError:  # raised by the plan on purpose, so not a bug
            error = CompileError(name, [(None, f"{name}: {error}")])
        reason = cannot_compile(name, error)
        if self.programs and self._plans({name: loaded}) is None:
            reason += f"\n{name}: it is left out, as it cannot run beside the programs that are loaded"
        elif isinstance(error, CompileError):
            self.hopeless.add(name)
        self.refused[name] = reason
