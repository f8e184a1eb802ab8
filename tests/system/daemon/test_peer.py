"""The same things done to nativemtail and to Debian's mtail give the same metrics, as far as mtail has the feature.

What the specification changes on purpose (its table of deviations, and that values at the lowest edge of a histogram
are counted) is left out here; the other files test that.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from daemons import Daemon, Place, append, free_port
from waiting import wait_until

OURS = ("lines_total", "words_total", "last", "sizes")


class Scene:
    """A place, what to follow in it, and the daemon that a scenario is played to."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.logs = place.logs / name
        self.logs.mkdir()
        self.log = self.logs / "a.log"
        self.is_peer = name == "mtail"
        self.daemon: Daemon

    def start(self, *logs: str) -> None:
        start = self.place.start_peer if self.is_peer else self.place.start
        self.daemon = start(logs=logs or [f"{self.logs}/*.log"])

    def lines(self, count: int) -> None:
        self.daemon.wait_for("lines_total", count)

    def opened(self, path: Path, times: int) -> None:
        """Until the file has been opened so often: mtail begins at the end of what it finds."""
        wait_until(lambda: f'"{path}": {times}' in self.variables("log_opens_total"), self.variables)

    def variables(self, name: str = "") -> str:
        text = self.daemon.ask("/debug/vars")[1].decode()
        return next((line for line in text.splitlines() if line.startswith(f'"{name}"')), text)

    def metrics(self) -> dict[str, float]:
        """What the program made."""
        return {key: value for key, value in self.daemon.metrics().items() if key.startswith(OURS)}


def appended(scene: Scene) -> None:
    scene.log.write_bytes(b"old 1\nold 2\n")
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.log, b"a 1\nb 20\n")
    append(scene.log, b"a ")
    scene.lines(2)
    append(scene.log, b"300\nsomething else\n\n")
    scene.lines(5)


def renamed(scene: Scene) -> None:
    scene.log.touch()
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.log, b"a 1\n")
    scene.lines(1)
    for turn in range(3):
        fresh = scene.logs / "fresh"
        fresh.write_bytes(b"b 2\nb 3\n")
        os.link(scene.log, scene.logs / f"a.{turn}")
        fresh.rename(scene.log)
        scene.lines(3 + 2 * turn)


def truncated(scene: Scene) -> None:
    scene.log.write_bytes(b"old 1\n" * 100)
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.log, b"a 1\n" * 10)
    scene.lines(10)
    os.truncate(scene.log, 0)
    wait_until(lambda: str(scene.log) in scene.variables("file_truncates_total"), scene.variables)
    append(scene.log, b"b 2\n")
    scene.lines(11)


def deleted(scene: Scene) -> None:
    scene.log.touch()
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.log, b"a 1\nunfinished 2")
    scene.lines(1)
    scene.log.unlink()
    scene.lines(2)
    scene.log.touch()
    scene.opened(scene.log, 2)
    append(scene.log, b"b 1\n")
    scene.lines(3)


def swapped(scene: Scene) -> None:
    for name in ("one", "two"):
        (scene.logs / name).touch()
    scene.log.symlink_to("one")
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.logs / "one", b"a 1\n")
    scene.lines(1)
    (scene.logs / "link").symlink_to("two")
    (scene.logs / "link").rename(scene.log)
    scene.opened(scene.log, 2)
    append(scene.logs / "two", b"b 2\n")
    scene.lines(2)


def found_later(scene: Scene) -> None:
    scene.start(f"{scene.logs}/*/x.log")
    inner = scene.logs / "inner"
    inner.mkdir()
    (inner / "x.log").touch()
    scene.opened(inner / "x.log", 1)
    append(inner / "x.log", b"a 5\n")
    scene.lines(1)


def piped(scene: Scene) -> None:
    pipe = scene.logs / "pipe"
    os.mkfifo(pipe)
    scene.start(str(pipe))
    with pipe.open("wb", buffering=0) as writer:
        writer.write(b"a 1\nb")
        scene.lines(1)
        writer.write(b" 2\nc 3\n")
        scene.lines(3)


def connected(scene: Scene) -> None:
    port = free_port()
    scene.start(f"tcp://127.0.0.1:{port}")
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for number, peer in enumerate(peers, 1):
        peer.sendall(b"a %d\nha" % number)
    scene.lines(5)
    for peer in peers:
        peer.sendall(b"lf 7\n")
        peer.close()
    scene.lines(10)


def connected_by_path(scene: Scene) -> None:
    path = str(scene.logs / "s")
    scene.start(f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(b"a 1\nb 2\nrest 3")
    scene.lines(3)


def datagrams(scene: Scene) -> None:
    port = free_port(socket.SOCK_DGRAM)
    scene.start(f"udp://127.0.0.1:{port}")
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        for number in range(1, 21):
            peer.sendto(b"a %d\nb 1\n" % number, ("127.0.0.1", port))
    scene.lines(40)


def datagrams_by_path(scene: Scene) -> None:
    path = str(scene.logs / "d")
    scene.start(f"unixgram://{path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        for number in range(1, 21):
            peer.sendto(b"a %d\n" % number, path)
    scene.lines(20)


def reloaded(scene: Scene) -> None:
    scene.log.touch()
    scene.start()
    scene.opened(scene.log, 1)
    append(scene.log, b"a 1\n")
    scene.lines(1)
    program = scene.place.progs / "count.mtail"
    before = program.read_bytes()
    program.write_bytes(before.replace(b"words_total[$word]++", b"words_total[$word] += 10"))
    scene.daemon.send(signal.SIGHUP)
    wait_until(lambda: '"count.mtail": 2' in scene.variables("prog_loads_total"), scene.variables)
    append(scene.log, b"a 2\n")
    scene.lines(2)
    program.write_bytes(b"counter lines\n/$/ { lines+++ }\n")
    scene.daemon.send(signal.SIGHUP)
    wait_until(lambda: '"count.mtail": 1' in scene.variables("prog_load_errors_total"), scene.variables)
    append(scene.log, b"a 3\n")
    scene.lines(3)
    program.write_bytes(before)


SCENARIOS: Sequence[Callable[[Scene], None]] = (
    appended,
    renamed,
    truncated,
    deleted,
    swapped,
    found_later,
    piped,
    connected,
    connected_by_path,
    datagrams,
    datagrams_by_path,
    reloaded,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_same_metrics(scenario: Callable[[Scene], None], place: Place) -> None:
    found = []
    for name in ("nativemtail", "mtail"):
        scene = Scene(place, name)
        scenario(scene)
        found.append(scene.metrics())
        assert scene.daemon.stop() == 0
    assert found[0] == found[1]
    assert found[0]["lines_total"] > 0
