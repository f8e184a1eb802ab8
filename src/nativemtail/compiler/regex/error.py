"""The error for invalid patterns."""

from __future__ import annotations


class RegexError(Exception):
    """A pattern that Go rejects; the message is Go's."""

    def __init__(self, reason: str, excerpt: str) -> None:
        shown = excerpt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        super().__init__(f"error parsing regexp: {reason}: `{shown}`")
