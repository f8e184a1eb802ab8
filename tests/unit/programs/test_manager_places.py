"""Programs of several directories and files: their names, clashes, and what happens when one of them disappears."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import COUNT, values

from nativemtail.programs.builder import Settings
from nativemtail.programs.directory import list_all
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.manager import Programs, open_programs

OTHER = COUNT.replace(b"lines", b"others")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path / "one", tmp_path / "two"


def opened(*paths: Path) -> Programs:
    return open_programs(Settings(paths=tuple(map(str, paths))))


def feed(programs: Programs) -> dict[str, object]:
    programs.engine.scan(programs.engine.open("/log"), b"x\n", 0, 2)
    return values(programs)


def test_programs_of_directories_and_files_run_in_the_order_of_their_names(places: tuple[Path, Path]) -> None:
    one, two = places
    (one / "b.mtail").write_bytes(COUNT)
    (two / "a.mtail").write_bytes(COUNT)
    (two / "c.mtail").write_bytes(COUNT)
    programs = opened(one, two / "a.mtail")
    programs.load(strict=True)
    assert programs.names == ["a.mtail", "b.mtail"]
    assert feed(programs) == {"a:lines": 1, "b:lines": 1}


def test_one_file_on_two_ways_is_one_program(places: tuple[Path, Path]) -> None:
    one, two = places
    (one / "a.mtail").write_bytes(COUNT)
    (two / "a.mtail").symlink_to(one / "a.mtail")
    listing = list_all([str(one), f"{one}/", str(one / "a.mtail"), str(two)])
    assert (list(listing.programs), listing.clashes, listing.errors) == (["a.mtail"], {}, [])


def test_of_two_programs_with_one_name_the_first_runs(
    places: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = places
    (one / "a.mtail").write_bytes(COUNT)
    (two / "a.mtail").write_bytes(OTHER)
    message = f"{two}/a.mtail is left out: {one}/a.mtail has the same name; rename one of them"
    programs = opened(one, two)
    with pytest.raises(LoadError) as caught:
        programs.load(strict=True)
    assert str(caught.value) == message
    programs.load(strict=False)
    assert programs.failed == [f"{two}/a.mtail"]
    assert programs.status["a.mtail"].error == ""
    assert feed(programs) == {"a:lines": 1}

    caplog.clear()
    programs.reload(asked=False)
    assert message not in caplog.messages
    programs.reload()
    assert message in caplog.messages

    (one / "a.mtail").unlink()
    programs.reload()
    assert programs.failed == []
    assert feed(programs) == {"a:others": 1}


def test_a_clash_that_is_resolved_is_no_failure(places: tuple[Path, Path]) -> None:
    one, two = places
    (one / "a.mtail").write_bytes(COUNT)
    (two / "a.mtail").write_bytes(OTHER)
    programs = opened(one, two)
    programs.load(strict=False)
    (two / "a.mtail").rename(two / "b.mtail")
    programs.reload()
    assert (programs.names, programs.failed) == (["a.mtail", "b.mtail"], [])


def test_programs_remain_while_their_directory_cannot_be_read(
    places: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = places
    (one / "a.mtail").write_bytes(COUNT)
    (two / "b.mtail").write_bytes(COUNT)
    programs = opened(one, two)
    programs.load(strict=True)
    two.rename(two.with_name("gone"))
    (one / "c.mtail").write_bytes(COUNT)
    programs.reload()
    assert f"-progs: stat {two}: no such file or directory" in caplog.messages
    assert programs.names == ["a.mtail", "b.mtail", "c.mtail"]
    two.mkdir()
    programs.reload()
    assert programs.names == ["a.mtail", "c.mtail"]


def test_directories_without_programs_are_named(places: tuple[Path, Path]) -> None:
    with pytest.raises(LoadError, match=f"no program in {places[0]}, {places[1]}: their names end in .mtail"):
        opened(*places).load(strict=True)
