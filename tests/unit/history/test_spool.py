"""Results of parts that outlive an interrupted run."""

from __future__ import annotations

import os

import pytest

from nativemtail.history.spool import Spool, SpoolError
from nativemtail.history.worker import Result, Untimed

ID = b"x" * 32


def result(part: int) -> Result:
    return Result(part, 10 * part, {}, {"p.mtail": Untimed(part, [1, 2])}, [], {}, 0, "")


def test_results_are_there_again(tmp_path):
    path = str(tmp_path / "kept")
    spool = Spool(path, ID)
    assert list(spool.results()) == []
    spool.add(result(3))
    spool.add(result(1))
    spool.close(remove=False)
    spool = Spool(path, ID)
    assert list(spool.results()) == [result(3), result(1)]
    spool.add(result(2))
    spool.close(remove=False)
    spool = Spool(path, ID)
    assert [each.part for each in spool.results()] == [3, 1, 2]
    spool.close(remove=True)
    assert not os.path.exists(path)


def test_what_follows_an_incomplete_result_is_written_anew(tmp_path):
    path = tmp_path / "kept"
    spool = Spool(str(path), ID)
    list(spool.results())
    spool.add(result(1))
    spool.close(remove=False)
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, 51, -7):
        path.write_bytes(whole[:cut])
        spool = Spool(str(path), ID)
        assert list(spool.results()) == []
        spool.add(result(2))
        spool.close(remove=False)
        spool = Spool(str(path), ID)
        assert list(spool.results()) == [result(2)]
        spool.close(remove=False)


def test_damaged_results_are_not_used(tmp_path):
    path = tmp_path / "kept"
    spool = Spool(str(path), ID)
    list(spool.results())
    spool.add(result(1))
    spool.close(remove=False)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    spool = Spool(str(path), ID)
    assert list(spool.results()) == []
    spool.close(remove=False)


def test_the_file_of_another_run_or_user_is_refused(tmp_path):
    path = tmp_path / "kept"
    Spool(str(path), ID).close(remove=False)
    with pytest.raises(SpoolError, match="is not of this run"):
        Spool(str(path), b"y" * 32)
    os.chmod(path, 0o666)
    with pytest.raises(SpoolError, match="others may write to it"):
        Spool(str(path), ID)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        Spool(str(tmp_path / "link"), ID)
