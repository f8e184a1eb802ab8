"""Records of logs: written, read back, and refused if they are wrong in any way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from places import place_of

from nativemtail.io.position import Position
from nativemtail.io.saved import Place, Saved, SavedLog, SavedSegment, key_of, tail_record

PLACE = Place("/var/log/app.log", 8, 11, 12, Position(2000, 1024, 7, 1024, 9, (1, 2, 3, 4)), 2010, in_cut_line=True)
LOG = SavedLog("/var/log/app.log", PLACE, (PLACE, PLACE), (Position(5, 5, 6, 5, 6),))
SEGMENT = SavedSegment("zstd:///var/log/kumo", "20261201-1", 5, 100, 7)


def records(*entries: SavedLog | SavedSegment) -> dict[str, object]:
    return dict([tail_record(5, ["/b", "/a"])]) | {key_of(entry): entry.to_dict() for entry in entries}


def test_round_trip_through_json() -> None:
    saved = Saved.of(json.loads(json.dumps(records(LOG, SEGMENT))))
    assert saved.logs == {LOG.path: LOG}
    assert saved.segments == {SEGMENT.source: {("20261201-1", 5): SEGMENT}}
    assert (saved.started, saved.patterns) == (5, {"/a", "/b"})


def test_positions_of_the_first_version() -> None:
    """They have no checksums of beginnings."""
    given: Any = records(LOG)
    given[LOG.path]["past"] = [[500, 500, 6, 500, 6]]
    assert Saved.of(given).logs[LOG.path].past == (Position(500, 500, 6, 500, 6),)


def test_nothing_is_no_state() -> None:
    assert Saved.of({}) == Saved(0)


def test_path_that_is_not_unicode() -> None:
    log = SavedLog(os.fsdecode(b"/var/log/\xff.log"))
    key = key_of(log)
    key.encode()
    assert key == "/var/log/\\xff.log"
    saved = Saved.of(json.loads(json.dumps({**records(), key: log.to_dict()})))
    assert saved.logs == {log.path: log}


def broken(change: Any) -> dict[str, object]:
    given: Any = json.loads(json.dumps(records(LOG, SEGMENT)))
    change(given)
    return given


@pytest.mark.parametrize(
    "change",
    [
        lambda all: all.pop(""),
        lambda all: all[""].update(started=-1),
        lambda all: all[""].update(started=True),
        lambda all: all[""].update(patterns="/a"),
        lambda all: all[""].update(patterns=[1]),
        lambda all: all.update({"/x": {}}),
        lambda all: all.update({"/x": None}),
        lambda all: all.update({"/x": {"kind": "cheese"}}),
        lambda all: all.update({"/x": all[LOG.path]}),
        lambda all: all[LOG.path].update(more=1),
        lambda all: all[LOG.path].pop("past"),
        lambda all: all[LOG.path].update(path="app.log"),
        lambda all: all[LOG.path].update(path="/a\0b"),
        lambda all: all[LOG.path].update(path="/\ud800"),
        lambda all: all[LOG.path].update(path=None),
        lambda all: all[LOG.path].update(past=[[0, 0, 0, 0, 0]] * 4),
        lambda all: all[LOG.path].update(past=[[0, 0, 0, 0]]),
        lambda all: all[LOG.path].update(past=[[5, 6, 0, 0, 0]]),
        lambda all: all[LOG.path].update(past=[[5000, 1025, 0, 0, 0]]),
        lambda all: all[LOG.path].update(past=[[5000, 5, 0, 1025, 0]]),
        lambda all: all[LOG.path].update(past=[[5, 5, 1 << 32, 5, 0]]),
        lambda all: all[LOG.path].update(past=[[1 << 63, 0, 0, 0, 0]]),
        lambda all: all[LOG.path].update(past=[[0.5, 0, 0, 0, 0]]),
        lambda all: all[LOG.path].update(past=[[500, 500, 0, 500, 0, [1, 2, 3, 4]]]),
        lambda all: all[LOG.path].update(past=[[5000, 5, 0, 1024, 0, [1, 2, 3, 4, 5]]]),
        lambda all: all[LOG.path].update(past=[[5000, 5, 0, 1024, 0, [1 << 32]]]),
        lambda all: all[LOG.path].update(past=[[5000, 5, 0, 1024, 0, 1]]),
        lambda all: all[LOG.path].update(past=[[5000, 5, 0, 1024, 0, [], []]]),
        lambda all: all[LOG.path].update(rotated={}),
        lambda all: all[LOG.path].update(present=[]),
        lambda all: all[LOG.path]["present"].update(file=[1, 2]),
        lambda all: all[LOG.path]["present"].update(file=[1, -2, 3]),
        lambda all: all[LOG.path]["present"].update(seen="5"),
        lambda all: all[LOG.path]["present"].update(in_cut_line=1),
        lambda all: all[LOG.path]["present"].update(path=""),
        lambda all: all[key_of(SEGMENT)].update(name="../x"),
        lambda all: all[key_of(SEGMENT)].update(name=".x"),
        lambda all: all[key_of(SEGMENT)].update(offset=-1),
        lambda all: all[key_of(SEGMENT)].update(is_done=0),
    ],
)
def test_wrong_records_are_refused(change: Any) -> None:
    with pytest.raises(ValueError, match=r"record|segment|file|fingerprint"):
        Saved.of(broken(change))


def test_fingerprint_fits_a_file_that_grew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\n")
    place = place_of(log, 4)
    log.write_bytes(b"one\nanother\n")
    with log.open("rb") as file:
        assert place.fits(file.fileno()) is True
        assert place.is_inode_of(file.fileno())
    assert place.unread == 4


@pytest.mark.parametrize("text", [b"", b"on", b"xne\ntwo\n"])
def test_fingerprint_does_not_fit_another_file(tmp_path: Path, text: bytes) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\n")
    place = place_of(log, 4)
    log.write_bytes(text)
    with log.open("rb") as file:
        assert place.fits(file.fileno()) is False


def test_nothing_is_known_of_nothing_and_of_nuls(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\0" * 100)
    with log.open("rb") as file:
        assert place_of(log, 0).fits(file.fileno()) is None
        assert place_of(log, 50).fits(file.fileno()) is None


def test_beginning_of_which_nothing_was_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"unfinished")
    whole = place_of(log, 10).position
    place = Place(str(log), 0, 0, 0, Position(0, 0, 0, whole.head, whole.head_checksum), 10)
    with log.open("rb") as file:
        assert place.fits(file.fileno()) is True
        log.write_bytes(b"something else")
        assert place.fits(file.fileno()) is False


def test_inode_that_was_given_to_another_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    place = place_of(log, 4)
    with log.open("rb") as file:
        later = Place(place.path, place.device, place.inode, place.birth + 1, place.position, 4)
        assert not later.is_inode_of(file.fileno()) or not place.birth
        moved = Place(place.path, place.device + 1, place.inode, place.birth, place.position, 4)
        assert moved.is_inode_of(file.fileno()) == bool(place.birth)  # devices are numbered by the kernel
