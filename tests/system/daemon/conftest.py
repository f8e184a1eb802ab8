"""A place with programs and logs, where black-box tests start daemons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory of programs, one of logs, and daemons that are killed when the test ends."""
    place = Place(tmp_path.resolve())
    yield place
    place.close()
