"""What many tests of the sources need: a log that is followed by inotify or by polling."""

from __future__ import annotations

from pathlib import Path

import pytest
from rig import POLLING, QUICK

from nativemtail.io.sources import Settings


@pytest.fixture(params=[QUICK, POLLING], ids=["inotify", "polling"])
def settings(request: pytest.FixtureRequest) -> Settings:
    chosen: Settings = request.param
    return chosen


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"
