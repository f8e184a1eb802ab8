"""How old the text of a rotated file is."""

from __future__ import annotations

import os
from pathlib import Path

from nativemtail.io.generations import birth, text_age


def test_compressed_file_is_older_than_the_next_that_was_created_within_a_tick(tmp_path: Path) -> None:
    following, compressed = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    following.touch()
    compressed.touch()
    with following.open("rb") as one, compressed.open("rb") as other:
        born = birth(one.fileno())
        os.utime(compressed, ns=(born, born))
        assert text_age(other.fileno(), str(compressed)) < text_age(one.fileno(), str(following)) == born
