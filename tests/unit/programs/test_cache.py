"""The cache on disk: what was put comes back, anything else counts as absent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import nativemtail
from nativemtail.programs import cache
from nativemtail.programs.cache import Cache

BODY = b"what was compiled" * 100


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "new" / "cache"


def own(directory: Path) -> Path:
    return directory / cache.SUBDIRECTORY


def put(directory: Path, place: str = "/etc/mtail", question: str = "q") -> Path:
    before = set(own(directory).glob("*"))
    Cache(str(directory)).put(place, question, BODY)
    (path,) = set(own(directory).glob("*")) - before
    return path


def get(directory: Path, place: str = "/etc/mtail", question: str = "q") -> bytes | None:
    return Cache(str(directory)).get(place, question)


def test_what_was_put_comes_back_and_only_the_user_may_read_it(directory: Path) -> None:
    assert get(directory) is None
    path = put(directory)
    assert get(directory) == BODY
    for made in (directory.parent, directory, own(directory)):
        assert made.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_the_same_whatever_the_umask(umask: int, directory: Path) -> None:
    before = os.umask(umask)
    try:
        test_what_was_put_comes_back_and_only_the_user_may_read_it(directory)
    finally:
        os.umask(before)


def test_another_place_or_question_gets_nothing(directory: Path) -> None:
    put(directory)
    assert get(directory, place="/etc/other") is None
    assert get(directory, question="r") is None
    put(directory, place="/etc/other")
    assert get(directory) == get(directory, place="/etc/other") == BODY


def test_places_with_one_checksum_do_not_mix(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(directory)
    monkeypatch.setattr(cache, "_name", lambda head: path.name)
    assert get(directory) == BODY
    assert get(directory, place="/etc/other") is None


def test_another_version_gets_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(directory)
    this = cache.versions()
    monkeypatch.setattr(cache, "versions", lambda: "another")
    assert get(directory) is None
    put(directory)
    assert get(directory) == BODY
    monkeypatch.setattr(cache, "versions", lambda: this)
    assert get(directory) == BODY  # side by side


def test_versions_name_python_the_core_and_the_compiler() -> None:
    found = cache.versions()
    assert found.startswith(nativemtail.__version__ + "\n")
    assert all(name in found for name in ("3.", "_core.", "parser.py", "assemble.py", "builder.py"))
    compiler = Path(nativemtail.__file__).parent / "compiler"
    files = Counter(path.name for path in compiler.rglob("*.py"))
    assert files["statements.py"] > 1
    assert all(found.count(f"\n{name} ") >= count for name, count in files.items())


@pytest.mark.slow
def test_no_changed_or_missing_byte_goes_unnoticed(directory: Path) -> None:
    path = put(directory)
    kept = Cache(str(directory))
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ 0x20]), at)
            assert kept.get("/etc/mtail", "q") is None, at
            os.pwrite(file.fileno(), bytes([byte]), at)
        for length in reversed(range(len(whole))):
            file.truncate(length)
            assert kept.get("/etc/mtail", "q") is None, length
    path.write_bytes(whole)
    assert kept.get("/etc/mtail", "q") == BODY


def test_a_directory_or_file_where_others_may_write_is_not_read(directory: Path) -> None:
    path = put(directory)
    for at in (path, own(directory), directory):
        mode = at.stat().st_mode
        at.chmod(mode | 0o020)
        assert get(directory) is None
        at.chmod(mode)
    assert get(directory) == BODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_directory_or_file_of_another_user_is_not_read_and_not_written(directory: Path) -> None:
    path = put(directory)
    for at in (path, own(directory), directory):
        os.chown(at, 12345, -1)
        assert get(directory) is None
        os.chown(at, 0, -1)
    for at in (own(directory), directory):
        os.chown(at, 12345, -1)
        Cache(str(directory)).put("/etc/new", "q", BODY)
        os.chown(at, 0, -1)
    assert os.listdir(own(directory)) == [path.name]
    assert os.listdir(directory) == [own(directory).name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("where", ["directory", "parent", "middle"])
def test_another_user_s_link_is_not_followed(where: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "cache").mkdir(parents=True)
    home = tmp_path / "home"
    home.mkdir()
    link = {"directory": home / "cache", "parent": home / "up", "middle": home / "mid"}[where]
    link.symlink_to(victim / "cache" if where == "directory" else victim)
    directory = link if where == "directory" else link / "cache"
    if where == "middle":  # our own link leads to theirs
        (home / "ours").symlink_to("mid/cache")
        directory = home / "ours"
    os.chown(link, 12345, -1, follow_symlinks=False)
    put_and_get_nothing(directory)
    assert os.listdir(victim / "cache") == []
    os.chown(link, 0, -1, follow_symlinks=False)
    put(directory)
    assert get(directory) == BODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_nothing_is_made_in_another_user_s_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    put_and_get_nothing(tmp_path / "new" / "cache")
    put_and_get_nothing(tmp_path)
    assert os.listdir(tmp_path) == []


def put_and_get_nothing(directory: Path) -> None:
    Cache(str(directory)).put("/etc/mtail", "q", BODY)
    assert get(directory) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_our_link_in_another_user_s_directory_is_not_followed(tmp_path: Path) -> None:
    """Who owns the directory may have moved it there from elsewhere."""
    (tmp_path / "target").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "cache").symlink_to(tmp_path / "target")
    os.chown(tmp_path / "theirs", 12345, -1)
    put_and_get_nothing(tmp_path / "theirs" / "cache")
    assert os.listdir(tmp_path / "target") == []
    os.chown(tmp_path / "theirs", 0, -1)
    put(tmp_path / "theirs" / "cache")
    assert get(tmp_path / "theirs" / "cache") == BODY


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    put_and_get_nothing(tmp_path / "a")


def test_links_of_our_own_lead_on(tmp_path: Path) -> None:
    (tmp_path / "disk" / "cache").mkdir(parents=True)
    (tmp_path / "disk" / "cache" / "up").symlink_to("..")
    (tmp_path / "a").symlink_to(tmp_path / "disk" / "." / "cache" / "up" / "cache")
    put(tmp_path / "a")
    assert len(os.listdir(own(tmp_path / "disk" / "cache"))) == 1
    assert get(tmp_path / "a") == BODY


def test_our_sub_directory_is_no_link(directory: Path, tmp_path: Path) -> None:
    put(directory)
    own(directory).rename(tmp_path / "moved")
    own(directory).symlink_to(tmp_path / "moved")
    put_and_get_nothing(directory)


@pytest.mark.slow
@pytest.mark.parametrize("sub", ["", cache.SUBDIRECTORY])
def test_what_we_did_not_make_is_never_deleted(
    sub: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(directory)
    place = directory / sub
    for number in range(80):
        (place / f"letter-{number}.txt").touch()
        (place / f"{number:07x}.plan").touch()  # not as we name them
        (place / f"{number:08x}.plan.bak").touch()
    (place / "00000001.plan").symlink_to(tmp_path)
    (place / "00000002.plan").mkdir()
    (place / "0000000a.plan.x.new").touch()
    for path in place.iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    before = set(os.listdir(place))
    monkeypatch.setattr(cache, "MAX_FILES", 1)
    put(directory, place="/other")
    assert before - set(os.listdir(place)) == ({first.name} if sub else set())


def test_an_old_cache_is_left_alone(directory: Path) -> None:
    """Earlier versions kept files in the directory itself."""
    directory.mkdir(parents=True, mode=0o700)
    (directory / "229c556e.plan").write_bytes(b"nativemtail cache 1\n")
    put(directory)
    assert (directory / "229c556e.plan").read_bytes() == b"nativemtail cache 1\n"


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


def test_there_is_room_for_so_many_bytes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(directory)
    size = first.stat().st_size
    first.unlink()
    monkeypatch.setattr(cache, "MAX_SIZE", 3 * size + 10)
    for number in range(5):
        path = put_place(directory, f"/etc/{number:05}")
        os.utime(path, (1000 + number, 1000 + number))
        assert sum(file.stat().st_size for file in own(directory).iterdir()) <= cache.MAX_SIZE
    assert [number for number in range(5) if get(directory, place=f"/etc/{number:05}")] == [2, 3, 4]


def put_place(directory: Path, place: str) -> Path:
    """The newest file."""
    Cache(str(directory)).put(place, "q", BODY)
    return max(own(directory).iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_what_a_killed_process_left_goes(directory: Path) -> None:
    path = put(directory)
    old, new, same = (path.with_name(f"{path.name}.{number}.new") for number in (1, 2, os.getpid()))
    for each in (old, new, same):
        each.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    Cache(str(directory)).put("/etc/mtail", "q", BODY)
    assert set(own(directory).iterdir()) == {path, new}


def test_many_processes_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_FILES", 2)

    def work(number: int) -> None:
        for _ in range(20):
            Cache(str(directory)).put(f"/{number}", "q", BODY)

    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(number)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    put(directory, place="/last")
    assert len(list(own(directory).iterdir())) <= 2
    assert get(directory, place="/last") == BODY


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


def _is_a_file(place: Path) -> None:
    place.write_text("")


def _is_a_link_to_nowhere(place: Path) -> None:
    place.symlink_to("/proc/nowhere/at/all")


def _belongs_to_others(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


@pytest.mark.parametrize("make", [_is_a_file, _is_a_link_to_nowhere, _belongs_to_others])
@pytest.mark.parametrize(("is_wanted", "level"), [(True, "WARNING"), (False, "INFO")])
def test_a_directory_that_cannot_be_used_is_told_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Path], None],
    is_wanted: bool,
    level: str,
) -> None:
    caplog.set_level("INFO")
    make(tmp_path / "cache")
    unusable = cache.Cache(str(tmp_path / "cache"), is_wanted=is_wanted)
    for _ in range(3):
        assert unusable.get("place", "question") is None
        unusable.put("place", "question", b"body")
    [record] = caplog.records
    assert record.levelname == level
    assert str(tmp_path / "cache") in record.message
    assert "--cache_dir names another directory, or none" in record.message
