"""Facts about a pattern that decide which engine may run it, and whether it has to be run at all.

All functions take trees as `parse` gives them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from nativemtail.compiler.regex import tree, ucd
from nativemtail.compiler.regex.simplify import simplify
from nativemtail.compiler.regex.ucd import Ranges

_ASSERTIONS = (tree.BeginLine, tree.EndLine, tree.BeginText, tree.EndText, tree.WordBoundary, tree.NoWordBoundary)

_NEVER = 1 << 40
"""The length of a part that cannot match."""

_MOST_POSITIONS = 400
"""Limit for the characters of the unfolded pattern in `linear`, whose constant factor would be too large beyond it."""


def same_in_pcre2(node: tree.Node) -> bool:
    """Whether PCRE2 finds the same match and groups as Go: no loop around something that can match the empty text."""
    shortest = _shortest(node)
    return all(
        shortest[id(part.sub)] > 0
        for part in tree.postorder(node)
        if isinstance(part, (tree.Star, tree.Plus)) or (isinstance(part, tree.Repeat) and part.max is None)
    )


def same_in_re2(node: tree.Node) -> bool:
    """Whether RE2 finds the same match as Go: its `\\B` also holds inside a character, where only nothing can match."""
    return min_len(node) > 0 or not any(isinstance(part, tree.NoWordBoundary) for part in tree.postorder(node))


def start_optimizable(node: tree.Node) -> bool:
    """Whether PCRE2's JIT may look for the first characters of a match.

    If not, the JIT of releases before 10.43 misses matches, as of `(a|)b*a` (PCRE2Project/pcre2#336).  Affected are
    patterns with an alternative that can match the empty text, unless they are tried only at the start of the text.
    """
    alternations = [part for part in tree.postorder(node) if isinstance(part, tree.Alternate)]
    if not alternations or anchored(node):
        return True
    shortest = _shortest(node)
    return all(shortest[id(sub)] > 0 for part in alternations for sub in part.subs)


def min_len(node: tree.Node) -> int:
    """The least number of bytes that a match has."""
    return _shortest(node)[id(node)]


def anchored(node: tree.Node) -> bool:
    """Whether the pattern begins with `^` (in one-line mode) or `\\A`, whichever alternative is taken."""
    first = node
    while isinstance(first, (tree.Concat, tree.Capture)):
        first = tree.children(first)[0]
    if isinstance(first, tree.BeginText):
        return True
    found: dict[int, bool] = {}
    width = _longest(node)
    for part in tree.postorder(node):
        below = [found[id(sub)] for sub in tree.children(part)]
        if isinstance(part, tree.Concat):
            found[id(part)] = False
            for sub, at_start in zip(part.subs, below, strict=True):
                if at_start or width[id(sub)] != 0:
                    found[id(part)] = at_start
                    break
        elif isinstance(part, tree.Repeat):
            found[id(part)] = part.min > 0 and below[0]
        else:
            required = isinstance(part, (tree.Alternate, tree.Capture, tree.Plus)) and all(below)
            found[id(part)] = required or isinstance(part, tree.BeginText)
    return found[id(node)]


def pure_literal(node: tree.Node) -> bytes | None:
    """The text that is the whole pattern, if it is one and its case matters."""
    if (
        not isinstance(node, tree.Literal)
        or node.fold
        or any(r == "\ufffd" or "\ud800" <= r <= "\udfff" for r in node.runes)
    ):
        return None
    return node.runes.encode()


_EMPTY_ANYWHERE, _EMPTY_AT_START, _EMPTY_AT_END, _WHOLE = 1, 2, 4, 8


def always_matches(node: tree.Node, *, of_records: bool = False) -> bool:
    """Whether the pattern provably matches every text, without newlines unless `of_records`.

    Such are ``, `^`, `$`, `.*`, `x*`, and of lines `^(.*)$`.
    """
    ways: dict[int, int] = {}
    for part in tree.postorder(node):
        ways[id(part)] = _ways(part, [ways[id(sub)] for sub in tree.children(part)])
    return ways[id(node)] & (~_WHOLE if of_records else ~0) != 0


def _ways(node: tree.Node, below: list[int]) -> int:
    """How the node can match every line: the empty text anywhere, at its start, at its end, or all of it."""
    nowhere_special = _EMPTY_ANYWHERE | _EMPTY_AT_START | _EMPTY_AT_END
    if isinstance(node, (tree.Star, tree.Quest)) or (isinstance(node, tree.Repeat) and node.min == 0):
        loop = isinstance(node, tree.Star) or (isinstance(node, tree.Repeat) and node.max is None)
        return nowhere_special | (_WHOLE if loop and _any_char(node.sub) else 0)
    if isinstance(node, (tree.Plus, tree.Capture, tree.Repeat)):
        return below[0] if isinstance(node, tree.Capture) else below[0] & nowhere_special
    if isinstance(node, tree.Alternate):
        return _union_of(below)
    if isinstance(node, tree.Concat):
        return _ways_in_turn(below)
    if isinstance(node, tree.Empty):
        return nowhere_special
    if isinstance(node, (tree.BeginText, tree.BeginLine)):
        return _EMPTY_AT_START
    return _EMPTY_AT_END if isinstance(node, (tree.EndText, tree.EndLine)) else 0


def _union_of(sets: list[int]) -> int:
    union = 0
    for members in sets:
        union |= members
    return union


def _ways_in_turn(below: list[int]) -> int:
    empty = below[0] & ~_WHOLE
    whole = below[0] & _WHOLE
    for ways in below[1:]:
        whole = (ways if empty & _EMPTY_AT_START else 0) & _WHOLE or (whole if ways & _EMPTY_AT_END else 0)
        empty &= ways
    return empty | whole


def _any_char(node: tree.Node) -> bool:
    return isinstance(node, (tree.Any, tree.AnyNotNL)) or (
        isinstance(node, tree.Class) and ucd.complement(node.ranges) in ((), ((10, 10),))
    )


# --- lengths -------------------------------------------------------------------------------------------------


def _shortest(node: tree.Node) -> dict[int, int]:
    """The least number of bytes that each part matches."""
    lengths: dict[int, int] = {}
    for part in tree.postorder(node):
        below = [lengths[id(sub)] for sub in tree.children(part)]
        if isinstance(part, tree.Literal):
            length = (
                sum(map(_fewest_bytes, part.runes))
                if not part.fold
                else sum(min(_fewest_bytes(chr(other)) for other in ucd.orbit(ord(rune))) for rune in part.runes)
            )
        elif isinstance(part, (tree.Class, tree.NoMatch)):
            length = _fewest_bytes(chr(part.ranges[0][0])) if isinstance(part, tree.Class) and part.ranges else _NEVER
            if isinstance(part, tree.Class) and length > 1 and ucd.contains(part.ranges, 0xFFFD):
                length = 1
        elif isinstance(part, (tree.Any, tree.AnyNotNL)):
            length = 1
        elif isinstance(part, tree.Alternate):
            length = min(below)
        elif isinstance(part, tree.Repeat):
            length = part.min * below[0]
        else:
            length = 0 if isinstance(part, (tree.Star, tree.Quest)) else sum(below)
        lengths[id(part)] = min(length, _NEVER)
    return lengths


def _fewest_bytes(rune: str) -> int:
    """An invalid byte counts as U+FFFD."""
    return 1 if rune < "\x80" or rune == "\ufffd" else 2 if rune < "\u0800" else 3 if rune < "\U00010000" else 4


def _longest(node: tree.Node) -> dict[int, int]:
    """The greatest number of characters that each part matches; `_NEVER` where there is no bound."""
    lengths: dict[int, int] = {}
    for part in tree.postorder(node):
        below = [lengths[id(sub)] for sub in tree.children(part)]
        if isinstance(part, tree.Literal):
            length = len(part.runes)
        elif isinstance(part, (tree.Class, tree.Any, tree.AnyNotNL)):
            length = 1
        elif isinstance(part, (tree.Star, tree.Plus)):
            length = _NEVER if below[0] else 0
        elif isinstance(part, tree.Repeat):
            length = below[0] * (_NEVER if part.max is None else part.max)
        else:
            length = max(below, default=0) if isinstance(part, (tree.Alternate, tree.Quest)) else sum(below)
        lengths[id(part)] = min(length, _NEVER)
    return lengths


# --- linear time ---------------------------------------------------------------------------------------------


class _Chars(NamedTuple):
    """A set of characters: a bit for each in ASCII, ranges for the others."""

    ascii: int
    others: Ranges

    def meets(self, other: _Chars) -> bool:
        if self.ascii & other.ascii:
            return True
        return ucd.meet(self.others, other.others)

    def joined(self, other: _Chars) -> _Chars:
        if not other.others or self.others is other.others or self.others == other.others:
            return _Chars(self.ascii | other.ascii, self.others)
        others = ucd.union(self.others + other.others) if self.others else other.others
        return _Chars(self.ascii | other.ascii, others)


_NO_CHARS = _Chars(0, ())


class _Path(NamedTuple):
    """A part for which the next character decides at each point how to go on.

    `first` can begin a match of it; `more` can follow one when it goes on.
    """

    nullable: bool
    first: _Chars
    more: _Chars


_STAY = _Path(True, _NO_CHARS, _NO_CHARS)


def linear(node: tree.Node) -> bool:
    """Whether PCRE2's backtracking is sure to take time linear in the length of the text, over all starting points.

    True in three cases.  The pattern is anchored and deterministic, that is, the next character always decides how to
    go on.  Or it is anchored and deterministic except for one loop over a class, and the rest is as in the third case.
    Or a match cannot begin many times within one stretch of text: there are no unbounded loops, or the first of them
    comes after a character that none of them matches.  An end that cannot fail, such as `.*`, is ignored.
    """
    if _positions(node) > _MOST_POSITIONS:
        return False
    is_anchored = anchored(node)
    node = simplify(node)
    paths = _paths(node)
    items = _without_unfailing_end(_flattened(node), paths)
    if not is_anchored:
        return _restartable(items, paths)
    passed = _STAY
    for i, item in enumerate(items):
        after = _after(passed, item, paths)
        if after is None:
            # The rest is then tried at each point of the text that the loop matches.
            return i > 0 and _char_loop(items[i - 1]) and _restartable(items[i:], paths)
        passed = after
    return True


def _positions(node: tree.Node) -> int:
    """The number of parts after expanding repetitions, counting literals by character."""
    counts: dict[int, int] = {}
    for part in tree.postorder(node):
        own = len(part.runes) if isinstance(part, tree.Literal) else 1
        copies = max(part.min, part.max or 1) if isinstance(part, tree.Repeat) else 1
        counts[id(part)] = own + copies * sum(counts[id(sub)] for sub in tree.children(part))
    return counts[id(node)]


def _flattened(node: tree.Node) -> list[tree.Node]:
    """The parts of a sequence, with groups flattened and literals split into characters."""
    items: list[tree.Node] = []
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, (tree.Concat, tree.Capture)):
            stack.extend(reversed(tree.children(part)))
        elif isinstance(part, tree.Literal) and len(part.runes) > 1:
            stack.extend(tree.Literal(rune, part.fold) for rune in reversed(part.runes))
        else:
            items.append(part)
    return items


def _without_unfailing_end(items: list[tree.Node], paths: dict[int, _Path | None]) -> list[tree.Node]:
    items = list(items)
    before = items[-2] if len(items) > 1 else None
    if isinstance(before, tree.Star) and _any_char(before.sub) and isinstance(items[-1], (tree.EndText, tree.EndLine)):
        items.pop()
    while items:
        last = items[-1]
        if isinstance(last, (tree.Star, tree.Plus, tree.Quest)) and paths[id(last)] is not None:
            items.pop()
            if isinstance(last, tree.Plus):
                items.extend(_flattened(last.sub))
                break
        elif isinstance(last, tree.Empty):
            items.pop()
        else:
            break
    return items


def _char_loop(node: tree.Node) -> bool:
    return isinstance(node, (tree.Star, tree.Plus)) and isinstance(
        node.sub, (tree.Class, tree.Any, tree.AnyNotNL, tree.Literal)
    )


def _restartable(items: list[tree.Node], paths: dict[int, _Path | None]) -> bool:
    """Whether trying the parts at every point of a text takes linear time in all."""
    passed: _Path | None = _STAY
    for item in items:
        passed = passed and _after(passed, item, paths)
    if passed is None:
        return False
    looped = _NO_CHARS
    for item in items:
        for part in tree.postorder(item):
            if isinstance(part, (tree.Star, tree.Plus)):
                for inner in tree.postorder(part):
                    for chars in _chars_of(inner):
                        looped = looped.joined(chars)
    if looped == _NO_CHARS:
        return True
    for item in items:
        if any(isinstance(part, (tree.Star, tree.Plus)) for part in tree.postorder(item)):
            return False
        if isinstance(item, (tree.Literal, tree.Class)) and not any(chars.meets(looped) for chars in _chars_of(item)):
            return True
    return False


def _after(passed: _Path, item: tree.Node, paths: dict[int, _Path | None]) -> _Path | None:
    path = paths[id(item)] if id(item) in paths else _own_path(item)
    return path and _then(passed, path)


def _paths(node: tree.Node) -> dict[int, _Path | None]:
    """The paths of all parts; None if the next character does not always decide."""
    paths: dict[int, _Path | None] = {}
    for part in tree.postorder(node):
        below = []
        for sub in tree.children(part):
            path = paths[id(sub)]
            if path is None:
                break
            below.append(path)
        else:
            paths[id(part)] = _path(part, below)
            continue
        paths[id(part)] = None
    return paths


def _path(node: tree.Node, below: list[_Path]) -> _Path | None:
    if isinstance(node, tree.Alternate):
        return _choice(below)
    if isinstance(node, (tree.Star, tree.Plus, tree.Quest)):
        sub = below[0]
        if sub.nullable:
            return None
        if isinstance(node, tree.Quest):
            return sub._replace(nullable=True)
        if sub.more.meets(sub.first):
            return None
        return _Path(isinstance(node, tree.Star), sub.first, sub.more.joined(sub.first))
    if not below:
        return _own_path(node)
    passed: _Path | None = _STAY
    for path in below:
        passed = passed and _then(passed, path)
    return passed


def _own_path(node: tree.Node) -> _Path:
    """The path of a leaf."""
    if isinstance(node, (*_ASSERTIONS, tree.Empty)):
        return _STAY
    chars = _chars_of(tree.Literal(node.runes[0], node.fold) if isinstance(node, tree.Literal) else node)
    return _Path(False, chars[0] if chars else _NO_CHARS, _NO_CHARS)


def _then(a: _Path, b: _Path) -> _Path | None:
    if a.more.meets(b.first) or (a.nullable and a.first.meets(b.first)):
        return None
    return _Path(
        a.nullable and b.nullable,
        a.first.joined(b.first) if a.nullable else a.first,
        b.more.joined(b.first).joined(a.more) if b.nullable else b.more,
    )


def _choice(paths: list[_Path]) -> _Path | None:
    first = more = _NO_CHARS
    for path in paths:
        if path.first.meets(first):
            return None
        first, more = first.joined(path.first), more.joined(path.more)
    nullable = sum(path.nullable for path in paths)
    return _Path(nullable > 0, first, more) if nullable < 2 else None


def _chars_of(node: tree.Node) -> list[_Chars]:
    """The sets of the successive characters that a leaf matches."""
    if isinstance(node, tree.Literal):
        return [_chars(tree.char_ranges(tree.Literal(rune, node.fold))) for rune in node.runes]
    return [_chars(tree.char_ranges(node))] if isinstance(node, (tree.Class, tree.Any, tree.AnyNotNL)) else []


@lru_cache(maxsize=512)
def _chars(ranges: Ranges) -> _Chars:
    bits = 0
    others = []
    for low, high in ranges:
        if low < 0x80:
            bits |= (1 << (min(high, 0x7F) + 1)) - (1 << low)
        if high >= 0x80:
            others.append((max(low, 0x80), high))
    return _Chars(bits, tuple(others))
