"""When records are checked for silence."""

from __future__ import annotations

from collections.abc import Callable

from rig import Recorder

from nativemtail.io.loop import Loop
from nativemtail.io.silence import Silence


class Sink(Recorder):
    """Takes notes of checks; `left` is what they answer."""

    has_records = True

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.left: float | None = 0.2

    def finish_silent(self) -> float | None:
        self.events.append("check")
        return self.left


class Reader:
    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self.events = events

    def turn(self) -> bool:
        self.events.append(self.name)
        return True


class Timers(Loop):
    """Its timers are called by the tests."""

    def __init__(self) -> None:
        super().__init__()
        self.coming: list[tuple[float, Callable[[], None]]] = []

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        self.coming.append((delay, callback))


def test_all_that_is_there_is_read_before_a_check() -> None:
    loop, events = Timers(), list[str]()
    silence = Silence(Sink(events), loop, lambda: False)
    silence.lines_came()
    assert events == ["check"]
    for name in "ab":
        loop.queue(Reader(name, events))
    [(delay, callback)] = loop.coming
    assert delay == 0.2
    callback()
    for _ in range(4):
        loop.run_once()
    assert events == ["check", "a", "b", "check", "a"]
    loop.close()


def test_checks_end_with_the_records_and_begin_again() -> None:
    loop, events = Timers(), list[str]()
    sink = Sink(events)
    silence = Silence(sink, loop, lambda: False)
    sink.left = None
    silence.lines_came()
    assert (events, loop.coming) == (["check"], [])
    sink.left = 60.0
    silence.lines_came()
    silence.lines_came()
    assert events == ["check"] * 2
    assert [delay for delay, _ in loop.coming] == [0.5]
    loop.close()


def test_no_check_without_record_statements() -> None:
    loop, events = Timers(), list[str]()
    sink = Sink(events)
    sink.has_records = False
    Silence(sink, loop, lambda: False).lines_came()
    assert (events, loop.coming) == ([], [])
    loop.close()


def test_no_record_is_silent_before_its_log_is_read() -> None:
    loop, events = Timers(), list[str]()
    behind = 1
    silence = Silence(Sink(events), loop, lambda: behind)
    silence.lines_came()
    assert events == []
    behind = 0
    loop.coming[0][1]()
    loop.run_once()
    assert events == ["check"]
    loop.close()
