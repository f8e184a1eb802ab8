"""The logs whose records may have changed since they were taken last, so that a save looks only at these."""

from __future__ import annotations


class Moved:
    """Names of logs: more than have really changed, but none is missing.  Belongs to the loop's thread.

    Nothing is noted unless positions are kept (`is_kept`): nobody would take it.
    """

    __slots__ = ("_names", "is_kept")

    def __init__(self) -> None:
        self.is_kept = False
        self._names: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def note(self, name: str) -> None:
        """A file of that log was read, or became one of its files, or is none any more."""
        if self.is_kept:
            self._names[name] = None

    def take(self) -> str:
        """One of them, which is no longer noted."""
        return self._names.popitem()[0]
