"""A cache of results by pattern, bounded by their size.

Counting entries is not enough: a pattern of a kilobyte with classes such as `[\\pL…]` can have a tree of megabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


def remembered(most: int, weigh: Callable[[T], int]) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Cache the results of a function of a text, up to a total weight of `most`; the oldest are evicted first."""

    def decorated(make: Callable[[bytes], T]) -> Callable[[bytes], T]:
        kept: dict[bytes, tuple[T, int]] = {}
        total = 0
        lock = Lock()

        def known(text: bytes) -> T:
            nonlocal total
            found = kept.get(text)
            if found is not None:
                return found[0]
            result = make(text)
            weight = weigh(result) + len(text)
            with lock:
                if text not in kept and weight <= most:
                    kept[text] = result, weight
                    total += weight
                while total > most:
                    total -= kept.pop(next(iter(kept)))[1]
            return result

        return known

    return decorated
