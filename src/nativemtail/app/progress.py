"""The progress line of one-shot on the terminal."""

from __future__ import annotations

import contextlib
import os
import time

INTERVAL = 0.1
CLEAR = "\r\x1b[K"


class Progress:
    """Shows bytes, lines per second and time left; to be rewritten when `due`, ten times a second.

    `total` is in bytes, or None if unknown.
    """

    def __init__(self, total: int | None, fd: int = 2) -> None:
        self._total = total
        self._fd = fd
        self._start = self._next = time.monotonic()
        self._shown = False

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def show(self, done: int, lines: int) -> None:
        """Show the bytes of the total, and the lines, that have been read."""
        now = time.monotonic()
        self._next = now + INTERVAL
        self._write(CLEAR + describe(done, self._total, lines, now - self._start))
        self._shown = True

    def clear(self) -> None:
        """Erase the line; the next `show` writes it again."""
        if self._shown:
            self._shown = False
            self._write(CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())


def describe(done: int, total: int | None, lines: int, seconds: float) -> str:
    """One line of plain text, within eighty columns."""
    rate = f"{short(lines / seconds)} lines/s" if seconds > 0 else ""
    if not total:
        return f"{short(done)}B  {rate}"
    part = min(done / total, 1.0)
    left = f"{clock(seconds * (1 - part) / part)} left" if part > 0 and seconds >= 1 else ""
    bar = "#" * round(part * 20)
    return f"[{bar:<20}] {part:4.0%}  {short(done)}B of {short(total)}B  {rate}  {left}".rstrip()


def short(number: float) -> str:
    """Three digits and a unit: `1.23M`."""
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
