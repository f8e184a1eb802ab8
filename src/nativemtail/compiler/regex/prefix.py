"""Leading groups whose extent a plain scan of the line finds, such as the date of a syslog line.

Assume that a pattern is anchored, begins with a group of single-character parts, and for each part the next character
decides whether it goes on.  Then every match on a line has that group at the same place, whatever follows.  So if the
pattern matches at all, the group's text is known without running it.
"""

from __future__ import annotations

from typing import NamedTuple

from nativemtail.compiler.regex import tree, ucd
from nativemtail.compiler.regex.ucd import Ranges


class Run(NamedTuple):
    """A greedy run of `least` to `most` (None: any number) characters of a set."""

    ranges: Ranges
    least: int
    most: int | None

    @property
    def fixed(self) -> bool:
        return self.least == self.most


def leading_group(node: tree.Node, group: int) -> list[Run] | None:
    """The runs of the group that begins every match; None if a scan cannot find its extent."""
    parts = list(node.subs) if isinstance(node, tree.Concat) else [node]
    if len(parts) < 2 or not isinstance(parts[0], tree.BeginText):
        return None
    first = parts[1]
    if not isinstance(first, tree.Capture) or first.index != group:
        return None
    runs = _runs(first.sub)
    if runs is None or not _decided(runs, parts[2:]):
        return None
    return runs


def _runs(node: tree.Node) -> list[Run] | None:
    runs: list[Run] = []
    for part in node.subs if isinstance(node, tree.Concat) else [node]:
        found = _run(part)
        if found is None:
            return None
        runs += found
    return runs


def _run(part: tree.Node) -> list[Run] | None:
    match part:
        case tree.Literal():
            return [Run(tree.char_ranges(tree.Literal(rune, part.fold)), 1, 1) for rune in part.runes]
        case tree.Class() | tree.AnyNotNL():
            return [Run(tree.char_ranges(part), 1, 1)]
        case tree.Star(sub, True):
            least, most = 0, None
        case tree.Plus(sub, True):
            least, most = 1, None
        case tree.Quest(sub, True):
            least, most = 0, 1
        case tree.Repeat(sub, least, most, greedy) if greedy or least == most:
            pass
        case _:
            return None
    inner = _run(sub) if not isinstance(sub, (tree.Star, tree.Plus, tree.Quest, tree.Repeat)) else None
    return [Run(inner[0].ranges, least, most)] if inner and len(inner) == 1 else None


def _decided(runs: list[Run], rest: list[tree.Node]) -> bool:
    """Whether no run of varying length can leave a character to what follows it."""
    for at, run in enumerate(runs):
        if run.fixed:
            continue
        following = _following(runs[at + 1 :], rest)
        if following is None or ucd.intersection(run.ranges, following):
            return False
    return True


def _following(runs: list[Run], rest: list[tree.Node]) -> Ranges | None:
    """The characters that can come next; None if unknown."""
    chars: list[tuple[int, int]] = []
    for run in runs:
        chars += run.ranges
        if run.least:
            return ucd.union(chars)
    if not rest or isinstance(rest[0], tree.EndText):
        return ucd.union(chars)
    head = rest[0]
    while isinstance(head, (tree.Capture, tree.Concat)) and not (isinstance(head, tree.Concat) and not head.subs):
        head = head.sub if isinstance(head, tree.Capture) else head.subs[0]
    found = _run(head)
    if not found or not found[0].least:
        return None
    return ucd.union([*chars, *found[0].ranges])
