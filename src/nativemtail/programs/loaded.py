"""A compiled program with its metrics, and the errors of one that cannot be loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from nativemtail._core import Metric, Plan
from nativemtail.compiler.errors import CompileError, internal
from nativemtail.compiler.includes import Text
from nativemtail.compiler.program import Program

log = logging.getLogger(__name__)

Compile = Callable[[str, Text], Program]
"""Takes name and text, gives the compiled program.  Raises CompileError."""

Build = Callable[[list[tuple[Program, list[Metric]]]], Plan]
"""Takes the programs and their metrics, one for each declaration."""


class LoadError(Exception):
    """A program, or the directory of programs, cannot be loaded; the text says why."""


class Loaded(NamedTuple):
    """A compiled program and its metrics in the order of declaration; equal ones share one (`dup-shared`)."""

    text: Text
    program: Program
    metrics: list[Metric]

    @property
    def distinct(self) -> list[Metric]:
        return list({id(metric): metric for metric in self.metrics}.values())


def cannot_compile(name: str, error: Exception) -> str:
    """The message for a program that is left out; any error but CompileError and LoadError is a bug of nativemtail."""
    if isinstance(error, LoadError):
        return str(error)
    if not isinstance(error, CompileError):
        log.debug("what went wrong with %s:", name, exc_info=error)
        error = internal(name, error)
    return f"compile failed for {name}:\n{error}"


class Failure(NamedTuple):
    """Why a program was left out."""

    text: Text | None
    """None if it could not be read."""
    message: str
    hopeless: bool = False
    """Whether that text can never run, whatever other programs there are."""
    program: Program | None = None
    """The compiled program if it only cannot run beside others: it is not compiled again."""
    beside: dict[str, Text] | None = None
    """The texts of the programs beside which it could not be planned."""

    def is_known(self, before: Failure | None) -> bool:
        """Whether `before` was the same text and reason."""
        return before is not None and (self.text, self.message) == (before.text, before.message)
