"""FOLLOW sets: whether the next characters decide how far an item goes."""

from __future__ import annotations

from collections.abc import Sequence

from nativemtail.compiler.regex.onepass.items import (
    ANY_NUMBER,
    WIDTH,
    Choice,
    End,
    Escaped,
    Item,
    Mark,
    Run,
    Word,
)

_END_OF_TEXT = 1 << 128
"""The bit for the end of the text, after those for 128 characters."""


def following(items: Sequence[Item]) -> tuple[int, bool]:
    """The characters that can begin a match of `items`, and whether it can also be empty before more text."""
    chars = 0
    for item in items:
        match item:
            case Run():
                chars |= item.chars
                if item.least:
                    return chars, False
            case Escaped():
                chars |= item.chars | 1 << item.escape
            case End():
                return chars | _END_OF_TEXT, False
            case Word():
                return 2 * _END_OF_TEXT - 1, False
            case Choice(branches):
                empty = False
                for branch in branches:
                    more, may_be_empty = following(branch)
                    chars |= more
                    empty |= may_be_empty
                if not empty:
                    return chars, False
    return chars, True


def _prefix(items: Sequence[Item]) -> list[int]:
    """The sets of the first characters of every match, as far as they are known."""
    sets: list[int] = []
    for at, item in enumerate(items):
        if isinstance(item, Mark):
            continue
        if isinstance(item, Run):
            if len(sets) + item.least > WIDTH:
                return [*sets, *[item.chars] * (WIDTH - len(sets))]
            sets += [item.chars] * item.least
        if not isinstance(item, Run) or not item.exact:
            chars, empty = following(items[at:])
            if isinstance(item, Run) and item.least:
                more, empty = following(items[at + 1 :])
                chars = item.chars | more
            return sets if empty else [*sets, chars]
    return sets


def apart(one: Sequence[Item], other: Sequence[Item]) -> bool:
    """Whether no text begins with a match of both."""
    return any(not a & b for a, b in zip(_prefix(one), _prefix(other), strict=False))


def given_back(run: Run, rest: Sequence[Item]) -> int | None:
    """How many characters that the run could match are left to `rest` in every match; None if that varies."""
    chars, empty = following(rest)
    if not chars & run.chars and not empty:
        return 0
    if empty and not run.lazy:
        return 0  # what follows cannot fail
    if run.most != ANY_NUMBER:
        return None
    if not run.lazy and _takes_over(run, rest):
        return 0
    count = 0
    for at, item in enumerate(rest):
        if isinstance(item, Mark):
            continue
        chars, empty = following(rest[at:])
        if not chars & run.chars and not empty:
            return count
        if not isinstance(item, Run) or not item.exact or item.chars & ~run.chars:
            return None
        count += item.least
    return None


def _takes_over(run: Run, rest: Sequence[Item]) -> bool:
    """Whether the next item is a run that would match all that is given back, and gives nothing back itself."""
    for at, item in enumerate(rest):
        if isinstance(item, Mark):
            continue
        if not isinstance(item, Run) or run.chars & ~item.chars or (item.least, item.most) != (0, ANY_NUMBER):
            return False
        return not item.lazy and given_back(item, rest[at + 1 :]) == 0
    return False
