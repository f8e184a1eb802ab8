"""Works that run side by side in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


def run_in_threads(works: Iterable[Callable[[], object]]) -> None:
    """Run each in a thread of its own; raises what one of them raised, when all have ended."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
