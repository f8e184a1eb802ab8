"""The installed command is killed at random while logs are written at full speed and rotated in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemons import Place
from killing import Trial

KILLS = 30

pytestmark = pytest.mark.slow


def test_every_line_counts_once(tmp_path: Path) -> None:
    place = Place(tmp_path.resolve())
    trial = Trial(place, seed=1)
    try:
        trial.run(KILLS)
    finally:
        place.close()
    assert trial.kills.total() == KILLS
    assert trial.lines > 0
