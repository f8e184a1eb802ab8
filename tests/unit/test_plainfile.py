"""Small files that somebody else wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nativemtail import plainfile


def test_as_many_bytes_as_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, 1, 4095, 4096, 4097, 10_000):
        path.write_bytes(b"x" * size)
        assert plainfile.read(str(path), 10_000) == b"x" * size
    path.write_bytes(b"x" * 10_001)
    with pytest.raises(OSError, match="larger than"):
        plainfile.read(str(path), 10_000)


def test_a_file_that_says_it_is_empty_is_read_to_the_bound() -> None:
    with pytest.raises(OSError, match="larger than 1 MiB"):
        plainfile.read("/proc/self/pagemap", 1 << 20)


@pytest.mark.parametrize("name", ["pipe", "directory", "/dev/zero", "/dev/ptmx", "socket"])
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_not_opened(
    name: str, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    elif name == "directory":
        path.mkdir()
    elif name == "socket":
        os.mknod(path, 0o140600)
    if linked:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    monkeypatch.setattr(os, "open", None)
    with pytest.raises(OSError, match="not a regular file"):
        plainfile.read(str(path), 1 << 20)


def test_what_turns_into_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    real = os.open

    def swapping(*arguments: object) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swapping)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="not a regular file"):
        plainfile.read(str(path), 1 << 20)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["pipe", "directory", "/dev/zero", "/dev/ptmx"])
def test_only_regular_files_are_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="not a regular file"):
        plainfile.open_file(str(tmp_path / name))
    assert os.listdir("/proc/self/fd") == before
    (tmp_path / "file").write_text("text")
    with plainfile.open_file(str(tmp_path / "file")) as file:
        assert file.read() == b"text"
    assert os.listdir("/proc/self/fd") == before
