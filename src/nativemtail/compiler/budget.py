"""Limits the time and memory that the patterns of one program may take.

A pattern of a kilobyte can take a fifth of a second to analyse, and be a megabyte in the form that an engine takes; a
program can have thousands.  Without a bound one program would keep all others from being loaded.
"""

from __future__ import annotations

SECONDS = 10.0
"""CPU time for parsing a program's patterns, and the same again for planning how to run them."""
BYTES = 256 << 20
"""Total size of the patterns in the engines' forms."""


class Spent:
    """What the patterns of a program have used so far."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.bytes = 0
        self.longest = 0.0
        self.worst = b""
        """The pattern that took longest."""

    def add(self, pattern: bytes, seconds: float, size: int = 0) -> bool:
        """Whether the budget is not exceeded yet."""
        self.count += 1
        self.seconds += seconds
        self.bytes += size
        if seconds >= self.longest:
            self.longest, self.worst = seconds, pattern
        return self.seconds <= SECONDS and self.bytes <= BYTES

    def error(self) -> str:
        """The error for the program, at its most expensive pattern."""
        took = f"{SECONDS:g} seconds" if self.seconds > SECONDS else f"{BYTES >> 20} MiB"
        shown = self.worst.decode("utf-8", "backslashreplace")
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        return (
            f"The patterns of this program take too much: {self.count} of them took {took}. "
            f"This one took longest, {self.longest * 1000:.0f} ms: /{shown}/\n"
            "\tTry simpler patterns, such as \\w for \\pL and fewer repetitions, or split the program."
        )
