"""Messages that nobody reads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from waiting import PATIENCE, wait_until

from nativemtail.app import outbox
from nativemtail.app.outbox import Outbox, write_in_time


class Place:
    """Takes messages while it is `open`, and refuses them while it is `broken`."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def write(self, data: bytes) -> None:
        self.open.wait(PATIENCE)
        if self.broken:
            raise OSError(28, "No space left on device")
        self.taken.append(data)

    def loss_notice(self, count: int) -> bytes:
        return b"%d dropped" % count


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.open.set()


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    monkeypatch.setattr(outbox, "_outboxes", [])
    monkeypatch.setattr(outbox, "LIMIT", 100)
    monkeypatch.setattr(outbox, "PATIENCE", PATIENCE)
    return Outbox()


def test_all_is_written_in_order(box: Outbox, place: Place) -> None:
    messages = [b"%d" % number for number in range(20)]
    for message in messages:
        box.put(place, message)
    box.flush()
    assert place.taken == messages
    assert outbox.dropped() == 0


def test_nobody_waits_for_who_does_not_read(box: Outbox, place: Place) -> None:
    place.open.clear()
    begin = time.monotonic()
    for _ in range(10_000):
        box.put(place, b"0123456789")
    assert time.monotonic() - begin < PATIENCE
    assert outbox.dropped() == 10_000 - 10
    place.open.set()
    wait_until(lambda: len(place.taken) == 11)
    assert place.taken == [b"0123456789"] * 10 + [b"9990 dropped"]
    box.put(place, b"on")
    box.flush()
    assert place.taken[-1] == b"on"


def test_what_could_not_be_written_is_said_once_it_can(box: Outbox, place: Place) -> None:
    place.broken = True
    for _ in range(3):
        box.put(place, b"lost")
        box.flush()
    assert (place.taken, outbox.dropped()) == ([], 3)
    place.broken = False
    box.put(place, b"there")
    wait_until(lambda: len(place.taken) == 2)
    assert place.taken == [b"there", b"3 dropped"]
    box.put(place, b"more")
    box.flush()
    assert place.taken[2:] == [b"more"]


def test_without_a_thread_who_has_a_message_writes_it(
    box: Outbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        box.put(place, b"one")
        assert place.taken == [b"one"]
        place.broken = True
        box.put(place, b"lost")
        assert outbox.dropped() == 1
        place.broken = False
    box.put(place, b"two")
    wait_until(lambda: place.taken == [b"one", b"two", b"1 dropped"])


def test_places_do_not_disturb_each_other(box: Outbox, place: Place) -> None:
    broken = Place()
    broken.broken = True
    for target in (broken, place, broken, place):
        box.put(target, b"x")
    box.flush()
    assert place.taken == [b"x", b"x"]
    assert outbox.dropped() == 2


@pytest.mark.slow
def test_the_end_waits_once_and_not_for_ever(box: Outbox, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.5)
    place.open.clear()
    box.put(place, b"x")
    begin = time.monotonic()
    for _ in range(100):
        box.flush()
    assert 0.4 < time.monotonic() - begin < 100 * 0.5


def test_from_many_threads(box: Outbox, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LIMIT", 1 << 20)
    writers = [threading.Thread(target=lambda: [box.put(place, b"x") for _ in range(1000)]) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    box.flush()
    wait_until(lambda: len(place.taken) == 8000)
    assert outbox.dropped() == 0


def test_a_full_pipe_is_not_waited_for() -> None:
    read, write = os.pipe()
    try:
        begin = time.monotonic()
        write_in_time(write, bytes(1 << 20), 0.3)
        assert time.monotonic() - begin < PATIENCE
        assert len(os.read(read, 1 << 20)) >= 65536 - 4096
        os.close(read)
        write_in_time(write, b"x", 0.3)
    finally:
        os.close(write)


def test_a_pipe_that_is_read_takes_all() -> None:
    read, write = os.pipe()
    taken = bytearray()

    def drain() -> None:
        while data := os.read(read, 1000):
            taken.extend(data)

    reader = threading.Thread(target=drain)
    reader.start()
    write_in_time(write, bytes(300_000), PATIENCE)
    os.close(write)
    reader.join()
    os.close(read)
    assert len(taken) == 300_000
