"""How far a file was counted, for tests: from what the file holds now."""

from __future__ import annotations

import os
from pathlib import Path

from nativemtail.io.generations import birth
from nativemtail.io.position import Position
from nativemtail.io.saved import Place


def place_of(path: Path, offset: int) -> Place:
    with path.open("rb") as file:
        info = os.fstat(file.fileno())
        position = Position.of(file.fileno(), offset)
        return Place(str(path), info.st_dev, info.st_ino, birth(file.fileno()), position, info.st_size)
