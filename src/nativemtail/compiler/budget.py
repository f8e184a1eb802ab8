"""How much time and room the patterns of one program may take.

A pattern of a kilobyte can take a fifth of a second to analyse, and be a megabyte in the form that an engine takes; a
program can have thousands.  Without a bound one program would keep all others from being loaded.
"""

from __future__ import annotations

SECONDS = 10.0
"""Of processor time, for reading a program's patterns, and as much for planning how to run them."""
BYTES = 256 << 20
"""Of patterns as the engines take them."""


class Spent:
    """What the patterns of a program have taken so far."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.bytes = 0
        self.longest = 0.0
        self.worst = b""
        """The pattern that took longest."""

    def add(self, pattern: bytes, seconds: float, size: int = 0) -> bool:
        """Whether all is still within the bounds."""
        self.count += 1
        self.seconds += seconds
        self.bytes += size
        if seconds >= self.longest:
            self.longest, self.worst = seconds, pattern
        return self.seconds <= SECONDS and self.bytes <= BYTES

    def error(self) -> str:
        """What is wrong with the program, at the worst pattern."""
        took = f"{SECONDS:g} seconds" if self.seconds > SECONDS else f"{BYTES >> 20} MiB"
        shown = self.worst.decode("utf-8", "backslashreplace")
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        return (
            f"The patterns of this program take too much: {self.count} of them took {took}. "
            f"This one took longest, {self.longest * 1000:.0f} ms: /{shown}/\n"
            "\tTry simpler patterns, such as \\w for \\pL and fewer repetitions, or split the program."
        )
