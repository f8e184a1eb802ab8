"""The libraries of the extra `history`.  This module needs none of them."""

from __future__ import annotations

from importlib.util import find_spec

LIBRARIES = ("numpy", "pyarrow", "cramjam")


def missing() -> str | None:
    """What to tell the user if the extra is not installed."""
    names = [name for name in LIBRARIES if find_spec(name) is None]
    if not names:
        return None
    return f"backfill needs {', '.join(names)}: pip install 'nativemtail[history]'"
