"""Which connections continue first."""

from __future__ import annotations

import asyncio

from nativemtail.http.traffic import Turns

OUT_OF_REACH = 10_000


async def record(turns: Turns, order: list[str], name: str, *, gone: bool = False) -> None:
    """Note the name once it is its turn; a name begins with its network."""
    if await turns.turn(name[0], lambda: gone):
        order.append(name)


def test_the_newest_and_the_oldest_of_a_network_go_first() -> None:
    order: list[str] = []

    async def all_of_them() -> None:
        turns = Turns(OUT_OF_REACH)
        tasks = [asyncio.create_task(record(turns, order, f"a{number}")) for number in range(7)]
        await asyncio.sleep(0)
        tasks[6].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not len(turns)

    asyncio.run(all_of_them())
    assert order == ["a5", "a0", "a4", "a1", "a3", "a2"]


def test_newer_ones_without_end_do_not_keep_one_waiting() -> None:
    async def flood() -> int:
        turns = Turns(OUT_OF_REACH)
        oldest = asyncio.create_task(turns.turn("a"))
        others: list[asyncio.Task[bool]] = []
        while not oldest.done() and len(others) < 1000:
            others += (asyncio.create_task(turns.turn("a")) for _ in range(3))
            await asyncio.sleep(0)
        for other in others:
            other.cancel()
        await asyncio.gather(oldest, *others, return_exceptions=True)
        return len(others)

    assert asyncio.run(flood()) < 20


def test_no_network_waits_for_another() -> None:
    order: list[str] = []

    async def all_of_them() -> None:
        turns = Turns(OUT_OF_REACH)
        names = [f"a{number}" for number in range(400)]
        names[100:100] = ["b0", "b1", "c0"]
        await asyncio.gather(*(record(turns, order, name) for name in names))

    asyncio.run(all_of_them())
    assert len(order) == 403
    assert [order.index(name) for name in ("b1", "c0", "b0")] == [1, 2, 4]


def test_those_whose_peer_is_gone_take_no_turn() -> None:
    order: list[str] = []

    async def all_of_them() -> int:
        turns = Turns(OUT_OF_REACH)
        tasks = [asyncio.create_task(record(turns, order, f"a{n}", gone=0 < n < 300)) for n in range(301)]
        steps = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            steps += 1
        return steps

    assert 5 < asyncio.run(all_of_them()) < 30
    assert order == ["a300", "a0"]


def test_too_many_of_a_network_do_not_take_the_places_of_others() -> None:
    order: list[str] = []

    async def all_of_them() -> None:
        turns = Turns(10)
        names = ["b0", "b1", *(f"a{number}" for number in range(20))]
        await asyncio.gather(*(record(turns, order, name) for name in names))

    asyncio.run(all_of_them())
    assert sorted(order) == sorted(["b0", "b1", *(f"a{number}" for number in range(12, 20))])


def test_all_are_refused_at_the_end() -> None:
    order: list[str] = []

    async def all_of_them() -> None:
        turns = Turns(OUT_OF_REACH)
        tasks = [asyncio.create_task(record(turns, order, name)) for name in ("a0", "b0", "a1")]
        await asyncio.sleep(0)
        turns.refuse_all()
        await asyncio.gather(*tasks)

    asyncio.run(all_of_them())
    assert order == []
