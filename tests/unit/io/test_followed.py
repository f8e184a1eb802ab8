"""A regular file that is followed, with and without a descriptor."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rig import QUICK, Recorder, append

from nativemtail.io.descriptors import OPEN_FLAGS, Descriptors
from nativemtail.io.followed import Followed, LogPath
from nativemtail.io.listing import Listings
from nativemtail.io.position import identity
from nativemtail.io.sources import Context


def test_what_was_written_while_it_was_closed_is_still_to_be_read(log: Path) -> None:
    """Whoever opens it again before its turn, those after it in its lineage wait."""
    log.write_bytes(b"1\n")
    sink = Recorder()
    context = Context(sink, QUICK)
    owner = cast(
        Any,
        SimpleNamespace(
            descriptors=Descriptors(8),
            find=lambda file: os.open(log, OPEN_FLAGS),
            catch_up=lambda: True,
        ),
    )
    fd = os.open(log, OPEN_FLAGS)
    path = LogPath(str(log), context.hold(str(log)))
    with closing(Followed(owner, context, cast(Listings, None), str(log), fd, identity(os.fstat(fd)), 0)) as file:
        file.paths.append(path)
        file.count_under_paths()
        while file.turn():
            pass
        assert file.eof
        assert file.set_aside()
        append(log, b"2\n")
        file.news = True
        assert file.must_be_opened
        assert os.fstat(file.fd).st_size == 4
        assert not file.must_be_opened
        assert not file.eof
        while file.turn():
            pass
        assert file.eof
        assert sink.order == [b"1", b"2"]
