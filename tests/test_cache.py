"""The cache on disk: what was put comes back, anything else counts as absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nativemtail import cache
from nativemtail.cache import Cache

BODY = b"what was compiled" * 100


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "new" / "cache"


def put(directory: Path, place: str = "/etc/mtail", question: str = "q") -> Path:
    before = set(directory.glob("*"))
    Cache(str(directory)).put(place, question, BODY)
    (path,) = set(directory.glob("*")) - before
    return path


def get(directory: Path, place: str = "/etc/mtail", question: str = "q") -> bytes | None:
    return Cache(str(directory)).get(place, question)


def test_what_was_put_comes_back_and_only_the_user_may_read_it(directory: Path) -> None:
    assert get(directory) is None
    path = put(directory)
    assert get(directory) == BODY
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_place_or_question_gets_nothing(directory: Path) -> None:
    put(directory)
    assert get(directory, place="/etc/other") is None
    assert get(directory, question="r") is None
    put(directory, place="/etc/other")
    assert get(directory) == get(directory, place="/etc/other") == BODY


def test_places_with_one_checksum_do_not_mix(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(directory)
    other = Cache(str(directory))
    monkeypatch.setattr(other, "_path", lambda place: str(path))
    assert other.get("/etc/other", "q") is None


def test_another_version_gets_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(directory)
    monkeypatch.setattr(cache, "versions", lambda: "another")
    assert get(directory) is None


def test_versions_name_python_the_core_and_the_compiler() -> None:
    found = cache.versions()
    assert all(name in found for name in ("3.", "_core.", "parser.py", "syntax.py", "builder.py"))


def test_no_changed_or_missing_byte_goes_unnoticed(directory: Path) -> None:
    path = put(directory)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        assert get(directory) is None, at
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert get(directory) is None, length
    path.write_bytes(whole)
    assert get(directory) == BODY


def test_a_directory_or_file_where_others_may_write_is_not_read(directory: Path) -> None:
    path = put(directory)
    for at in (path, directory):
        mode = at.stat().st_mode
        at.chmod(mode | 0o020)
        assert get(directory) is None
        at.chmod(mode)
    assert get(directory) == BODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_directory_or_file_of_another_user_is_not_read_and_not_written(directory: Path) -> None:
    path = put(directory)
    for at in (path, directory):
        os.chown(at, 12345, -1)
        assert get(directory) is None
        os.chown(at, 0, -1)
    os.chown(directory, 12345, -1)
    Cache(str(directory)).put("/etc/new", "q", BODY)
    assert os.listdir(directory) == [path.name]


def test_links_and_pipes_are_not_read(directory: Path, tmp_path: Path) -> None:
    path = put(directory)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert get(directory) is None
    path.unlink()
    os.mkfifo(path)
    assert get(directory) is None


def test_the_oldest_files_go(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_FILES", 3)
    for number in range(5):
        path = put(directory, place=f"/{number}")
        os.utime(path, (1000 + number, 1000 + number))
    Cache(str(directory)).put("/5", "q", BODY)
    assert [number for number in range(6) if get(directory, place=f"/{number}")] == [3, 4, 5]


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        Cache(str(directory)).put("p", "q", BODY)
        assert get(directory, "p") is None


def test_a_body_beyond_the_bound_is_not_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SIZE", len(BODY) - 1)
    Cache(str(directory)).put("p", "q", BODY)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/nativemtail", "HOME": "/h"}, "/var/cache/nativemtail"),
        ({"CACHE_DIRECTORY": "/var/cache/one:/var/cache/two"}, "/var/cache/one"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/nativemtail"),
        ({"HOME": "/h"}, "/h/.cache/nativemtail"),
        ({"XDG_CACHE_HOME": "relative"}, ""),
        ({}, ""),
    ],
)
def test_where_it_is(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache.default_directory() == expected
