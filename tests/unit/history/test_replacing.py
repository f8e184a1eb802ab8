"""Output files appear complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nativemtail.history.replacing import replaced


def test_the_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.om"
    path.write_text("old")
    with replaced(str(path)) as out:
        out.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.om"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.om"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced(str(path)) as out:  # noqa: PT012
        out.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.om"]


def test_permissions_are_those_of_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replaced(str(tmp_path / "a")) as out:
            out.write(b"x")
    finally:
        assert os.umask(before) == 0o027
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with replaced(str(tmp_path / "link")) as out:
        out.write(b"x")
    assert os.readlink(tmp_path / "link") == "target"
    assert (tmp_path / "target").read_bytes() == b"x"


def test_a_device_is_written_to(tmp_path: Path) -> None:
    with replaced("/dev/null") as out:
        out.write(b"x")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("path", ["", "missing/a"])
def test_a_place_where_nothing_can_be(tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError), replaced(str(tmp_path / path)):  # noqa: PT011
        pass
    assert os.listdir(tmp_path) == []
