"""Which connections continue first."""

from __future__ import annotations

import asyncio

from nativemtail.http.traffic import Turns


def test_the_newest_and_the_oldest_go_first() -> None:
    order: list[int] = []

    async def one(turns: Turns, number: int) -> None:
        await turns.turn()
        order.append(number)

    async def all_of_them() -> None:
        turns = Turns()
        tasks = [asyncio.create_task(one(turns, number)) for number in range(7)]
        await asyncio.sleep(0)
        tasks[6].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    assert order == [5, 0, 4, 1, 3, 2]


def test_newer_ones_without_end_do_not_keep_one_waiting() -> None:
    async def flood() -> int:
        turns = Turns()
        oldest = asyncio.create_task(turns.turn())
        others: list[asyncio.Task[None]] = []
        while not oldest.done() and len(others) < 1000:
            others += (asyncio.create_task(turns.turn()) for _ in range(3))
            await asyncio.sleep(0)
        for other in others:
            other.cancel()
        await asyncio.gather(oldest, *others, return_exceptions=True)
        return len(others)

    assert asyncio.run(flood()) < 20
