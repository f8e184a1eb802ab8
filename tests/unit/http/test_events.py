"""Few of the files that are ready are handled in a turn; all of them are, in turn."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import PATIENCE, wait_until

from nativemtail.http.events import EACH_TURN, FewEvents
from nativemtail.http.server import Server

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    with contextlib.ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3 * EACH_TURN)]
        for pair in made:
            for sock in pair:
                stack.enter_context(sock)
        yield made


def registered(pairs: Pairs) -> FewEvents:
    few = FewEvents()
    for near, far in pairs:
        few.register(near, selectors.EVENT_READ)
        far.send(b"x")
    return few


def test_each_gets_its_turn(pairs: Pairs) -> None:
    """Also while all stay ready, because nobody reads."""
    with contextlib.closing(registered(pairs)) as few:
        seen: Counter[Any] = Counter()
        for _ in range(6):
            found = few.select(0)
            assert len(found) == EACH_TURN
            seen.update(key.fileobj for key, _ in found)
        assert set(seen.values()) == {2}


def test_those_that_were_closed_meanwhile_are_left_out(pairs: Pairs) -> None:
    with contextlib.closing(registered(pairs)) as few:
        first = {key.fileobj for key, _ in few.select(0)}
        left = [near for near, _ in pairs if near not in first]
        for near in left[:-2]:
            few.unregister(near)
        few.modify(left[-1], selectors.EVENT_WRITE)
        assert [key.fileobj for key, _ in few.select(0)] == [left[-2]]
        again = [*few.select(0), *few.select(0)]
        assert (left[-1], selectors.EVENT_WRITE) in [(key.fileobj, events) for key, events in again]


def test_a_turn_of_the_server_reads_from_few(
    serve: Callable[..., Server], peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connections have sent something while the loop was busy."""
    turns: list[int] = []
    real = FewEvents.select

    def select(few: FewEvents, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = real(few, timeout)
        turns.append(len(found))
        return found

    monkeypatch.setattr(FewEvents, "select", select)
    server = serve()
    request = b"GET /-/nothing HTTP/1.1\r\nHost: h\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(peer(server)) for _ in range(300)]
        wait_until(lambda: server.connections()["http"] == 300)
        for client in clients:
            client.send(request)
        for client in clients:
            client.socket.settimeout(PATIENCE)
            assert client.socket.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert 0 < max(turns, default=0) <= EACH_TURN
