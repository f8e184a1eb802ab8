"""A directory of programs for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)
