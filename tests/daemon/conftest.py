"""Lets the black-box tests import their subject, whatever the import mode; makes a place with programs and logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from subject import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory of programs, one of logs, and daemons that are killed when the test ends."""
    place = Place(tmp_path.resolve())
    yield place
    place.close()
