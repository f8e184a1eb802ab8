"""Directories of programs for tests: written, loaded, fed with lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nativemtail import _core
from nativemtail.programs.builder import Settings
from nativemtail.programs.manager import Programs, open_programs
from nativemtail.telemetry.model import ProgramState

COUNT = b"counter lines\n/$/ {\n  lines++\n}\n"
TEXT_IN_GAUGE = b"gauge lines\n/(?P<text>\\S+)/ {\n  lines = $text\n}\n"
"""A program with a warning."""
BAD = b"counter lines\n/$/ {\n  other++\n}\n"

Planned = list[tuple[Any, list[_core.Metric]]]


class Rig:
    """A directory of programs and what runs of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = open_programs(Settings(paths=(str(directory),)))

    def write(self, **programs: bytes) -> Rig:
        for name, text in programs.items():
            (self.directory / f"{name}.mtail").write_bytes(text)
        return self

    def load(self) -> Rig:
        self.programs.load(strict=True)
        return self

    def feed(self, *lines: bytes, source: str = "/log") -> Rig:
        block = b"".join(line + b"\n" for line in lines)
        self.programs.engine.scan(self.programs.engine.open(source), block, 0, len(block))
        return self

    def values(self) -> dict[str, object]:
        """Values by `program:name`, and the labels if there are any."""
        return values(self.programs)

    def status(self, name: str) -> ProgramState:
        return self.programs.status[f"{name}.mtail"]


def values(programs: Programs) -> dict[str, object]:
    snapshot = programs.store.snapshot()
    return {
        ":".join([metric.program.removesuffix(".mtail"), metric.name, *row.labels]): row.value
        for metric in snapshot.metrics()
        for row in snapshot.rows(metric)
    }


def limit_plans(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception, refused: Callable[[set[str]], bool]
) -> None:
    """Have `error` for plans of programs whose texts' first words are `refused`."""
    build = rig.programs._build

    def building(programs: Planned) -> _core.Plan:
        if refused({metric.name for _, metrics in programs for metric in metrics}):
            raise error
        return build(programs)

    monkeypatch.setattr(rig.programs, "_build", building)


def named(*names: str) -> dict[str, bytes]:
    """Programs, each with one counter of its own name."""
    return {name: COUNT.replace(b"lines", name.encode()) for name in names}
