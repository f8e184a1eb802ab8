"""Tables that forget their oldest entries."""

from __future__ import annotations

from typing import Any


def trim(table: dict[Any, Any], size: int) -> None:
    """Forget the oldest entries beyond `size`."""
    while len(table) > size:
        del table[next(iter(table))]
