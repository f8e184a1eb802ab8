"""How old the text of a rotated file is."""

from __future__ import annotations

import os
from pathlib import Path

from nativemtail.io.generations import birth, text_age


def test_a_compressed_file_is_as_old_as_its_text(tmp_path: Path) -> None:
    following, compressed = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    following.touch()
    compressed.touch()
    with following.open("rb") as one, compressed.open("rb") as other:
        born = birth(one.fileno())
        os.utime(compressed, ns=(born, born - 1))
        assert text_age(other.fileno(), str(compressed)) == born - 1
        assert text_age(one.fileno(), str(following)) == born
