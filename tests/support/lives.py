"""A process that keeps its state, is killed and starts again, without threads: lines since the last save are lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from rig import Recorder
from waiting import PATIENCE

from nativemtail.io.patterns import parse_logs
from nativemtail.io.saved import Saved
from nativemtail.io.sources import Settings
from nativemtail.io.tailer import Tailer


class Lives:
    """`with Lives("/dir/*.log") as process:` starts it the first time."""

    def __init__(self, *logs: str | Path, settings: Settings | None = None, **options: Any) -> None:
        self.logs = logs
        self.settings = settings or Settings()
        self.options = options
        self.kept: dict[str, Any] = {}
        self.saved_lines: list[bytes] = []
        self.saved_at = 0
        self.start()

    def start(self) -> None:
        """With what was saved."""
        self.sink = Recorder()
        self.sink.order = list(self.saved_lines)
        saved = replace(Saved.of(json.loads(json.dumps(self.kept))), at=self.saved_at)
        self.tailer = Tailer(parse_logs(map(str, self.logs)), self.sink, self.settings, saved=saved, **self.options)
        self.tailer.open()
        self._turns = self.tailer.turns()
        self.save()

    @property
    def lines(self) -> list[bytes]:
        return self.sink.order

    def step(self) -> None:
        self.tailer.nudge()
        next(self._turns, None)

    def run(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"not in time; lines so far: {self.lines[-20:]}"
            self.step()

    def read(self, lines: list[bytes]) -> None:
        """Run until so many lines have come; they must be these."""
        self.run(lambda: len(self.lines) >= len(lines))
        for _ in range(20):
            self.step()
        assert self.lines == lines

    def save(self) -> dict[str, Any]:
        """What changed."""
        changed = self.tailer.positions()
        self._look_at_all_logs()
        for key, record in changed.items():
            if record is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = record
        self.saved_lines = list(self.lines)
        self.saved_at = time.time_ns()
        return changed

    def prepare(self) -> bool:
        """Take some of the positions of the next save."""
        return self.tailer.prepare_positions()

    def _look_at_all_logs(self) -> None:
        """Nothing may be found that was not noted as moved."""
        discovery = self.tailer._discovery
        if discovery is not None:
            for name in [*discovery._table.paths, *discovery._table.generations, *discovery.positions._keys]:
                self.tailer._context.moved.note(name)
            discovery.positions._look()
            assert not discovery.positions._found

    def kill(self) -> None:
        """What was not saved is lost."""
        self.tailer.close()

    def stop(self) -> None:
        """As at SIGTERM."""
        self.tailer.stop()
        self.tailer.run(self.save)

    def restart(self, *logs: str | Path) -> None:
        self.kill()
        self.logs = logs or self.logs
        self.start()

    def __enter__(self) -> Lives:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tailer.close()
