"""Waiting for what another thread or process does.  However busy the machine, only what never happens takes as long."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds, for each wait whose end a test demands."""


def wait_until(condition: Callable[[], object], what: object = "", patience: float = PATIENCE) -> None:
    """Wait until `condition` is true; `what` (called if it can be) says what was seen instead."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not in time: {what() if callable(what) else what}")
        time.sleep(0.005)


def assert_prompt(action: Callable[[], object], seconds: float) -> None:
    """Repeat `action` until it takes less than `seconds` once: load delays some of its runs, a fault all of them."""

    def is_prompt() -> bool:
        begin = time.monotonic()
        action()
        return time.monotonic() - begin < seconds

    wait_until(is_prompt, f"it never takes less than {seconds} s")
