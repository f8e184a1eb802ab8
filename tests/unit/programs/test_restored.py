"""Programs that are loaded over the metrics of an earlier run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from loading import values

from nativemtail._core import Delta, Metric, restore_series
from nativemtail.programs.builder import Settings
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.manager import Programs, open_programs

BEGIN = (
    b'gauge g by k\nhidden gauge seen by k\nbegin {\n  g["new"] = 1\n}\n/(\\w+)/ {\n  g[$1] = 2\n  seen[$1] = 1\n}\n'
)
COUNT = b"counter lines by word\n/(\\w+)/ {\n  lines[$1]++\n}\n"


def version(text: bytes) -> str:
    return f"{len(text)}:{text!r}"


def write(directory: Path, **texts: bytes) -> None:
    for name, text in texts.items():
        (directory / f"{name}.mtail").write_bytes(text)


def started(directory: Path, metrics: list[Metric], *, strict: bool = True) -> Programs:
    programs = open_programs(Settings(paths=(str(directory),), cache_directory=""))
    programs.restore(metrics, version)
    programs.load(strict=strict)
    return programs


def feed(programs: Programs, *lines: bytes) -> None:
    programs.engine.scan(programs.engine.open("/log"), b"".join(line + b"\n" for line in lines))


def kept(programs: Programs) -> list[Metric]:
    """The metrics as a file would have them."""
    delta = Delta(programs.store, whole=True)
    delta.fix()
    delta.copy()
    found = []
    for place, (number, m, head, count) in enumerate(delta.metrics()):
        copy = Metric(m.name, m.program, m.kind, m.type, m.keys, m.source, m.buckets, m.limit, m.hidden, m.version)
        slabs = [(slab, image) for slab, image in delta.slabs(place) if image is not None]
        restore_series(copy, number, head, count, slabs)
        found.append(copy)
    return found


def test_a_program_goes_on_where_it_was(tmp_path: Path) -> None:
    write(tmp_path, a=COUNT)
    first = started(tmp_path, [])
    feed(first, b"x", b"x", b"y")
    second = started(tmp_path, kept(first))
    assert values(second) == {"a:lines:x": 2, "a:lines:y": 1}
    feed(second, b"x")
    assert values(second) == {"a:lines:x": 3, "a:lines:y": 1}
    assert values(started(tmp_path, kept(second))) == values(second)


def test_begin_is_not_run_again_for_the_same_text(tmp_path: Path) -> None:
    write(tmp_path, a=BEGIN)
    first = started(tmp_path, [])
    feed(first, b"new", b"x")
    wanted = {"a:g:new": 2, "a:g:x": 2, "a:seen:new": 1, "a:seen:x": 1}
    assert values(first) == wanted
    metrics = kept(first)
    assert {metric.version for metric in metrics} == {version(BEGIN)}
    assert values(started(tmp_path, metrics)) == wanted


def test_begin_is_run_for_another_text(tmp_path: Path) -> None:
    write(tmp_path, a=BEGIN)
    first = started(tmp_path, [])
    write(tmp_path, a=BEGIN.replace(b'g["new"] = 1', b'g["new"] = 1\n  g["newer"] = 1'))
    feed(first, b"new")
    second = started(tmp_path, kept(first))
    assert values(second) == {"a:g:new": 2, "a:g:newer": 1, "a:seen:new": 1}


def test_begin_is_run_again_at_a_later_change(tmp_path: Path) -> None:
    """Only the first load continues the earlier run."""
    write(tmp_path, a=BEGIN)
    second = started(tmp_path, kept(started(tmp_path, [])))
    write(tmp_path, a=COUNT)
    second.reload()
    write(tmp_path, a=BEGIN)
    second.reload()
    assert values(second) == {"a:g:new": 1}


def test_what_still_fits_is_carried_over(tmp_path: Path) -> None:
    write(tmp_path, a=COUNT + b"counter all\n/$/ {\n  all++\n}\n")
    first = started(tmp_path, [])
    feed(first, b"x", b"y")
    write(
        tmp_path,
        a=COUNT.replace(b"by word", b"by word, kind").replace(b"[$1]", b'[$1]["k"]')
        + b"counter all\n/$/ {\n  all++\n}\n",
    )
    second = started(tmp_path, kept(first))
    feed(second, b"x")
    assert values(second) == {"a:lines:x:k": 1, "a:all": 3}


def test_metrics_of_a_program_that_is_gone_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, a=COUNT, b=COUNT)
    first = started(tmp_path, [])
    feed(first, b"x")
    (tmp_path / "b.mtail").unlink()
    assert values(started(tmp_path, kept(first))) == {"a:lines:x": 1}


def test_a_program_with_an_error_keeps_what_it_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    write(tmp_path, a=COUNT, b=COUNT)
    first = started(tmp_path, [])
    feed(first, b"x")
    write(tmp_path, b=b"counter\n")
    second = started(tmp_path, kept(first), strict=False)
    feed(second, b"x")
    assert values(second) == {"a:lines:x": 2, "b:lines:x": 1}
    third = started(tmp_path, kept(second), strict=False)
    assert values(third) == {"a:lines:x": 2, "b:lines:x": 1}
    write(tmp_path, b=COUNT)
    assert third.reload()
    feed(third, b"x")
    assert values(third) == {"a:lines:x": 3, "b:lines:x": 2}


def test_a_program_with_an_error_that_goes_takes_its_metrics_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    write(tmp_path, a=COUNT, b=COUNT)
    first = started(tmp_path, [])
    feed(first, b"x")
    write(tmp_path, b=b"counter\n")
    second = started(tmp_path, kept(first), strict=False)
    (tmp_path / "b.mtail").unlink()
    assert second.reload()
    assert values(second) == {"a:lines:x": 1}
    assert not second.reload()


def test_a_directory_that_cannot_be_listed_drops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    directory = tmp_path / "progs"
    directory.mkdir()
    write(directory, a=COUNT)
    first = started(directory, [])
    feed(first, b"x")
    metrics = kept(first)
    directory.rename(tmp_path / "away")
    second = started(directory, metrics, strict=False)
    assert values(second) == {"a:lines:x": 1}
    (tmp_path / "away").rename(directory)
    assert second.reload()
    feed(second, b"x")
    assert values(second) == {"a:lines:x": 2}


def test_a_load_that_fails_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, a=COUNT)
    first = started(tmp_path, [])
    feed(first, b"x")
    write(tmp_path, a=b"counter\n")
    with pytest.raises(LoadError):
        started(tmp_path, kept(first))


def test_metrics_keep_their_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=b"counter one\ncounter two\nhidden gauge h\nhidden gauge i\n/$/ {\n  one++\n  two++\n  h = 1\n  i = 2\n}\n",
        b=b"counter two\ncounter three\n/$/ {\n  two++\n  three++\n}\n",
    )
    first = started(tmp_path, [])
    order = [(m.name, m.program) for m in first.store.metrics()]
    feed(first, b"x")
    second = started(tmp_path, kept(first))
    assert [(m.name, m.program) for m in second.store.metrics()] == order
    assert values(second) == values(first)


def test_an_included_file_that_changed_runs_begin_again(tmp_path: Path) -> None:
    write(tmp_path, a=b'include "x.inc"\ngauge g by k\nbegin {\n  g["new"] = 1\n}\n/^/ + X {\n  del g["new"]\n}\n')
    (tmp_path / "x.inc").write_bytes(b"const X /x/\n")
    first = started(tmp_path, [])
    assert values(first) == {"a:g:new": 1}
    feed(first, b"x")
    second = started(tmp_path, kept(first))
    assert values(second) == {}
    (tmp_path / "x.inc").write_bytes(b"const X /y/\n")
    third = started(tmp_path, kept(second))
    assert values(third) == {"a:g:new": 1}
