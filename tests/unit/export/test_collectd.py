"""collectd's lines, as Debian's mtail sends them, and what collectd answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE

from nativemtail._render import View
from nativemtail.export import collectd
from nativemtail.export.textformat import exported
from nativemtail.export.transport import Budget


def test_lines(snapshot: Any) -> None:
    lines = [
        entry
        for metric in exported(snapshot, text=False)
        for entry in collectd.entries(snapshot, metric, host_name="host", interval=60, prefix="x-")
    ]
    assert b"".join(lines).decode() == "".join(
        f'PUTVAL "host/x-mtail-a.mtail/{name}" interval=60 1795295856:{value}\n'
        for name, value in (
            ("counter-c-x-foo", "1"),
            ("counter-c-x-bar", "3"),
            ("gauge-g-h", "4"),
            ("histogram-h-x-foo", "2.25"),
            ("histogram-h-x-bar", "1.234567895e+08"),
            ("gauge-f-a-foo-z-2.25", "2.25"),
        )
    )


def test_answers_are_read_and_refusals_told_once(
    live: Callable[[str], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The peer answers each line with more than it was sent, and reads no further until its answer is taken."""
    run = live("counter c by x\n/(?P<x>.*)/ {\n c[$x]++\n}\n")
    run.feed(*map(str, range(5000)))
    path = str(tmp_path / "sock")
    lines = 0

    def serve(server: socket.socket) -> None:
        nonlocal lines
        for _ in range(2):
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines_in:
                for line in lines_in:
                    lines += 1
                    refused = b"x-7 " in line or b'x-7"' in line
                    said = b"No such type" if refused else b"Success " + 300 * b"."
                    connection.sendall(b"%d %s\n" % (-refused, said))

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        target = collectd.Collectd(path, host_name="h", interval=1)
        for _ in range(2):
            target.push(View(run.store), Budget(20), lambda what, n: None)
        thread.join(PATIENCE)
    assert lines == 10_000
    assert [record.getMessage() for record in caplog.records] == [f"{path} refused 1 values: -1 No such type"]
