"""Finding files."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from nativemtail.globs import Glob
from nativemtail.io.files import find


def paths(*patterns: str, ignored: str = "") -> list[str]:
    return [found.path for found in find(map(Glob, patterns), lambda name: name == ignored)]


def test_each_path_once_in_order(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "c.txt"):
        (tmp_path / name).touch()
    root = str(tmp_path)
    assert paths(f"{root}/c.txt", f"{root}/*", f"{root}/a.log") == [
        f"{root}/{name}" for name in ("c.txt", "a.log", "b.log")
    ]


def test_ignored_names(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).touch()
    assert paths(f"{tmp_path}/*", ignored="a.log") == [f"{tmp_path}/b.log"]


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "directory link"])
def test_one_file_is_read_once(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "a.log"
    log.touch()
    if kind == "symbolic link":
        (tmp_path / "b.log").symlink_to("a.log")
    elif kind == "hard link":
        (tmp_path / "b.log").hardlink_to(log)
    else:
        (tmp_path / "d").symlink_to(".")
    found = paths(f"{tmp_path}/*.log", f"{tmp_path}/d/*.log", str(log))
    assert found == [str(log)]
    assert caplog.text.count(f"is the same file as {log}") == 1


def test_links_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    assert paths(f"{tmp_path}/link") == [f"{tmp_path}/link"]


def test_pipes_are_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert [found.is_fifo for found in find([Glob(f"{tmp_path}/*")], lambda name: False)] == [False, True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "no file matches {}/none"),
        ("directory", "{}/directory is a directory"),
        ("dangling", "stat {}/dangling: no such file or directory"),
    ],
)
def test_what_cannot_be_read(name: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with caplog.at_level(logging.INFO):
        assert paths(f"{tmp_path}/{name}") == []
    assert message.format(tmp_path) in caplog.messages


def test_devices_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert paths("/dev/null") == []
    assert 'unsupported file type: "/dev/null"' in caplog.messages
