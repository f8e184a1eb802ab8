"""What was made of patterns, kept for the next who asks, and bounded by its size: a pattern of a kilobyte with classes
such as `[\\pL…]` can have a tree of megabytes, so that to count entries is not enough."""

from __future__ import annotations

from _thread import allocate_lock  # `threading`, without what that imports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def remembered(most: int, weigh: Callable[[T], int]) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Keep the results of a function of a text while all together weigh no more than `most`; the oldest go first."""

    def decorated(make: Callable[[bytes], T]) -> Callable[[bytes], T]:
        kept: dict[bytes, tuple[T, int]] = {}
        total = 0
        lock = allocate_lock()

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
