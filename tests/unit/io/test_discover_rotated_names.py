"""A pattern that also matches the names of rotated files, and a reader that is late: generations are read in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from rig import Rig, append, busy

from nativemtail.io.sources import Settings

LATEST = 8


def rotate(log: Path) -> None:
    """Shift the rotated files by one, as logrotate does, and begin a new log."""
    names = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, LATEST + 1))]
    for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
        if newer.exists():
            newer.rename(older)
    log.touch()


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_rotated_while_busy(settings: Settings, turns: int, earlier: int, log: Path) -> None:
    log.touch()
    with Rig(f"{log}*", settings=settings) as rig:
        wanted: list[bytes] = []
        for turn in range(earlier):
            append(log, b"earlier %d\n" % turn)
            wanted.append(b"earlier %d" % turn)
            rig.expect(wanted)
            rotate(log)
            rig.wait(lambda count=turn + 2: rig.tailer.log_count == count)
        with busy(rig, log):
            for turn in range(turns):
                append(log, b"%d\n" % turn)
                rotate(log)
            append(log, b"end\n")
        wanted += [b"first", b"busy", *(b"%d" % turn for turn in range(turns)), b"end"]
        rig.expect(wanted)
        assert rig.of(log) == wanted
