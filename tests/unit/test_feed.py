"""What is done between two blocks is done soon, by whoever comes first, and its errors reach who asked."""

from __future__ import annotations

import threading
import time
from typing import cast

import pytest

from nativemtail._core import Engine
from nativemtail.feed import Feed


class Busy:
    """Stands for an engine: counts blocks, and notes whether something else was done during one."""

    def __init__(self) -> None:
        self.blocks = 0
        self.inside = False

    def scan(self, source: int, block: bytearray, start: int, end: int) -> int:
        self.inside = True
        time.sleep(0.001)
        self.inside = False
        self.blocks += 1
        return 1


@pytest.fixture
def engine() -> Busy:
    return Busy()


@pytest.fixture
def feed(engine: Busy) -> Feed:
    return Feed(cast(Engine, engine))


def test_at_once_when_nothing_flows(feed: Feed) -> None:
    done: list[int] = []
    feed.between_blocks(lambda: done.append(1))
    assert done == [1]


def test_under_load(feed: Feed, engine: Busy) -> None:
    """A tail thread that never pauses does not keep others waiting, and never runs a block meanwhile."""
    stopping = threading.Event()

    def tail() -> None:
        while not stopping.is_set():
            feed.scan(0, bytearray(b"x\n"), 0, 2)

    thread = threading.Thread(target=tail)
    thread.start()
    met: list[bool] = []
    slowest = 0.0
    for _ in range(50):
        begin = time.monotonic()
        feed.between_blocks(lambda: met.append(engine.inside))
        slowest = max(slowest, time.monotonic() - begin)
    stopping.set()
    thread.join()
    assert met == [False] * 50
    assert engine.blocks > 0
    assert slowest < 1


def test_errors_reach_who_asked(feed: Feed) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        feed.between_blocks(fail)
    assert feed.scan(0, bytearray(b"x\n"), 0, 2) == 1
