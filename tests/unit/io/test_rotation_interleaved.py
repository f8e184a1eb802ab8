"""Rotation, step by step: wherever the reader is stopped, each line arrives once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from interleaved import Interleaved

WIDTH = 64
SEEDS = 10


class Ahead:
    """The writer may be a number of rotations ahead, once the first file was seen."""

    def __init__(self, run: Interleaved, lines: int, most: int) -> None:
        self._run = run
        self._lines = lines
        self._most = most
        self._seen = self._complete = 0
        self._counts: Counter[int] = Counter()

    def __call__(self, turn: int) -> bool:
        order = self._run.recorder.order
        for line in order[self._seen :]:
            self._counts[int(line.split()[0])] += 1
        self._seen = len(order)
        while self._counts[self._complete] >= self._lines:
            self._complete += 1
        oldest = turn - self._most
        return self._counts[0] > 0 and (oldest < 0 or (self._complete >= oldest and self._counts[oldest] > 0))


def number(line: bytes) -> tuple[int, int]:
    turn, number = line.split()[:2]
    return int(turn), int(number)


AHEAD = {"rename": 15, "copytruncate": 15, "copytruncate-one": 0, "delete": 0, "replace": 0, "dated": 100}


@pytest.mark.slow
@pytest.mark.parametrize("lines", [30, 100])
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("way", AHEAD)
def test_each_line_once(way: str, pattern: str, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = Interleaved(folder / "app.log", pattern, way, seed, rotations=25, lines=lines, width=WIDTH)
        run.may_rotate = Ahead(run, lines, AHEAD[way])
        run.run(monkeypatch)
        assert run.extra() == Counter(), seed
        assert run.missing() == Counter(), seed
        if pattern == "app.log":
            assert run.recorder.order == sorted(run.recorder.order, key=number), seed
