"""Makes what differs small: lines of the log, then lines of the program, are left out as long as it still differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def minimised(items: list[T], still_fails: Callable[[list[T]], bool]) -> list[T]:
    """A part of `items` that fails and of which no chunk can be left out."""
    size = max(len(items) // 2, 1)
    while True:
        at = 0
        while at < len(items):
            fewer = items[:at] + items[at + size :]
            if still_fails(fewer):
                items = fewer
            else:
                at += size
        if size == 1:
            return items
        size //= 2


def program_minimised(text: str, still_fails: Callable[[str], bool]) -> str:
    """Leaves out lines, and blocks with their braces."""

    def fails(lines: list[str]) -> bool:
        return still_fails("".join(lines))

    while True:
        before = text
        text = "".join(minimised(text.splitlines(keepends=True), fails))
        text = _without_blocks(text.splitlines(keepends=True), fails)
        if text == before:
            return text


def _without_blocks(lines: list[str], fails: Callable[[list[str]], bool]) -> str:
    at = 0
    while at < len(lines):
        end = _block_end(lines, at)
        for fewer in (lines[:at] + lines[end + 1 :], lines[:at] + lines[at + 1 : end] + lines[end + 1 :]):
            if end > at and fails(fewer):
                lines = fewer
                break
        else:
            at += 1
    return "".join(lines)


def _block_end(lines: list[str], start: int) -> int:
    """The line that closes the block that opens on line `start`; `start` itself where none does."""
    depth = 0
    for at in range(start, len(lines)):
        line = lines[at].rstrip()
        depth += line.endswith("{") - line.lstrip().startswith("}")
        if depth <= 0:
            return at
    return start
