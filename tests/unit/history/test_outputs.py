"""Outputs are checked before anything is read, and say what they could not write."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from histories import Receiver, family, one_series, receiving

from nativemtail.history import extras, outputs
from nativemtail.history.outputs import OutputError
from nativemtail.history.series import Family


def families(count: int = 1) -> list[Family]:
    return [family("a", [one_series("a", [(60_000, 1.0)], n=f"{n:03}") for n in range(count)])]


def test_a_file_of_each_format(tmp_path: Path) -> None:
    for name in ("a.om", "a.parquet"):
        (only,) = outputs.outputs(str(tmp_path / name), "")
        assert only.write(families())
    assert (tmp_path / "a.om").read_text().splitlines()[-2:] == ['a{n="000"} 1 60', "# EOF"]
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 1


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out := io.BytesIO()))
    (only,) = outputs.outputs("-", "")
    assert only.write(families())
    assert out.getvalue().endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a.txt", "the name must end in .om"),
        ("missing/a.om", "there is no directory"),
    ],
)
def test_places_that_cannot_be(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(OutputError, match=why):
        outputs.outputs(str(tmp_path / path), "")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "a.om").symlink_to("/dev/full")
    (only,) = outputs.outputs(str(tmp_path / "a.om"), "")
    with pytest.raises(OutputError, match=r"cannot write .*a\.om: No space left on device"):
        only.write(families())


def test_a_directory_in_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.om").mkdir()
    (only,) = outputs.outputs(str(tmp_path / "a.om"), "")
    with pytest.raises(OutputError, match=r"cannot write .*a\.om: Is a directory"):
        only.write(families())


@pytest.mark.parametrize("text", ["no colon\n", "\n: x\n"])
def test_files_of_headers_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "headers").write_text(text)
    with pytest.raises(OutputError, match=r"headers:[12]: a line must be Name: value"):
        outputs.outputs("", "http://127.0.0.1/", str(tmp_path / "headers"))
    with pytest.raises(OutputError, match=r"cannot read .*: No such file"):
        outputs.outputs("", "http://127.0.0.1/", str(tmp_path / "missing"))


def test_a_bad_address() -> None:
    with pytest.raises(OutputError, match="must be http"):
        outputs.outputs("", "prometheus:9090")


def test_both(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("X-Scope-OrgID: logs\n\n")
    with receiving(Receiver()) as receiver:
        for output in outputs.outputs(str(tmp_path / "a.om"), receiver.url, str(tmp_path / "headers")):
            assert output.write(families())
    assert list(receiver.stored.values()) == [[(60_000, 1.0)]]
    assert receiver.headers[0]["X-Scope-OrgID"] == "logs"
    assert (tmp_path / "a.om").exists()


def test_refused_series_are_named_up_to_a_bound(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "NAMED", 2)
    kept = (("__name__", "a"), ("n", "000"))
    with receiving(Receiver(lambda series: None if series == [kept] else (400, "too old", {}))) as receiver:
        (only,) = outputs.outputs("", receiver.url)
        assert not only.write(families(5))
    ours = [record for record in caplog.records if record.name.startswith("nativemtail.history")]
    assert [record.getMessage() for record in ours if record.levelno == logging.ERROR] == [
        f'{receiver.url}: a{{n="001"}}: 1 samples refused: 400 too old',
        f'{receiver.url}: a{{n="002"}}: 1 samples refused: 400 too old',
        f"{receiver.url}: 2 further series were refused",
    ]


def test_a_target_that_cannot_be_written_to() -> None:
    with receiving(Receiver(lambda series: (401, "who are you", {}))) as receiver:
        (only,) = outputs.outputs("", receiver.url)
        with pytest.raises(OutputError, match="401 who are you"):
            only.write(families())


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.missing() is None
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name != "numpy" else object())
    assert extras.missing() == "backfill needs pyarrow, cramjam: pip install 'nativemtail[history]'"
