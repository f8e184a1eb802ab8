"""Lets the tests import what starts the systems, and the daemon as tests/system/daemon starts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Place
from systems import Root, Systems, unpacked

PROGRAM = r"""counter lines_total
counter words_total by word
gauge last
histogram sizes buckets 0, 1, 10, 100
/(?P<word>\w+) (?P<size>\d+)$/ {
  words_total[$word]++
  last = $size
  sizes = $size
}
/$/ {
  lines_total++
}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A directory of programs, one of logs, and daemons that are killed when the test ends."""
    place = Place(tmp_path.resolve())
    (place.progs / "count.mtail").write_text(PROGRAM)
    yield place
    place.close()


@pytest.fixture(scope="session")
def root() -> Root:
    return unpacked()


@pytest.fixture
def systems(root: Root, tmp_path: Path) -> Iterator[Systems]:
    """Starts the real programs; they are killed when the test ends."""
    systems = Systems(root, tmp_path.resolve())
    yield systems
    systems.close()
