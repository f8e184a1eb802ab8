"""Go's normal forms of sequences and alternatives (spec language.md §8).

They matter because types of capture groups are derived from the tree (§5.4).  Adjacent characters become one literal,
alternatives of single characters one class, and common prefixes of alternatives are factored out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from nativemtail.compiler.regex import tree, ucd


def simple_class(node: tree.Class, modes: int) -> tree.Node:
    """A class of one character, or of one in its two cases, is a literal."""
    ranges = node.ranges
    if len(ranges) > 2 or not ranges:
        return node
    low, high = ranges[0][0], ranges[-1][1]
    if low == high:
        return tree.Literal(chr(low), False, modes & ~tree.FOLD)
    pair = high == low + 1 if len(ranges) == 1 else ranges[0][1] == low and ranges[1][0] == high
    return tree.Literal(chr(low), True, modes | tree.FOLD) if pair and ucd.orbit(low) == (low, high) else node


def named_any(node: tree.Node) -> tree.Node:
    if isinstance(node, tree.Class):
        if node.ranges == ucd.EVERYTHING:
            return tree.Any()
        if node.ranges == ucd.ALL_BUT_NEWLINE:
            return tree.AnyNotNL()
    return node


def union_of_chars(nodes: list[tree.Node]) -> tree.Node:
    """Merge nodes that each match one character into one."""
    first = nodes[0]
    if isinstance(first, tree.Literal) and all(
        isinstance(node, tree.Literal) and node.runes == first.runes and node.modes == first.modes for node in nodes
    ):
        return first
    return named_any(tree.Class(ucd.union(r for node in nodes for r in tree.char_ranges(node))))


def concatenation(items: list[tree.Node]) -> tree.Node:
    if not items:
        return tree.Empty()
    joined: list[tree.Node] = []
    run: list[tree.Literal] = []
    for item in items:
        if isinstance(item, tree.Literal):
            if run and run[0].fold != item.fold:
                joined.append(_joined(run))
                run = []
            run.append(item)
            continue
        if run:
            joined.append(_joined(run))
            run = []
        joined.append(item)
    if run:
        joined.append(_joined(run))
    if len(joined) == 1:
        return joined[0]
    subs: list[tree.Node] = []
    for node in joined:
        if isinstance(node, tree.Concat):
            subs.extend(node.subs)
        else:
            subs.append(node)
    return tree.Concat(tuple(subs))


def _joined(run: list[tree.Literal]) -> tree.Literal:
    return run[0] if len(run) == 1 else tree.Literal("".join(item.runes for item in run), run[0].fold, run[0].modes)


_Factoring = Generator[list[tree.Node], tree.Node, tree.Node]
"""Yields lists of alternatives; receives their factored forms."""


def alternation(alternatives: list[tree.Node]) -> _Factoring:
    """Two or more alternatives as one node: common prefixes factored out, single characters and empties merged."""
    flat: list[tree.Node] = []
    for node in alternatives:
        if isinstance(node, tree.Alternate):
            flat.extend(node.subs)
        else:
            flat.append(node)
    flat = yield from _factor(flat, _literal_prefixes(flat))
    flat = yield from _factor(flat, _char_prefixes(flat))
    merged = _without_doubled_empties(_merge_chars(flat))
    return merged[0] if len(merged) == 1 else tree.Alternate(tuple(merged))


_Prefix = tuple[tree.Node, int]
"""A prefix and how many alternatives in a row have it."""


def _factor(
    alternatives: list[tree.Node], prefixes: Iterable[_Prefix]
) -> Generator[list[tree.Node], tree.Node, list[tree.Node]]:
    factored: list[tree.Node] = []
    done = 0
    for prefix, count in prefixes:
        if count == 1:
            factored.append(alternatives[done])
        else:
            rest = yield [_without_prefix(node, prefix) for node in alternatives[done : done + count]]
            factored.append(tree.Concat((prefix, rest)))
        done += count
    return factored


def _head(node: tree.Node) -> tree.Node:
    return node.subs[0] if isinstance(node, tree.Concat) else node


def _literal_prefixes(alternatives: list[tree.Node]) -> list[_Prefix]:
    """Runs of neighbours that begin with the same literal text."""
    runs: list[_Prefix] = []
    common: tree.Literal | None = None
    count = 0
    for node in alternatives:
        head = _head(node)
        if common is not None and isinstance(head, tree.Literal) and head.fold == common.fold:
            same = _common_length(common.runes, head.runes)
            if same:
                if same < len(common.runes):
                    common = tree.Literal(common.runes[:same], common.fold, common.modes)
                count += 1
                continue
        if count:
            runs.append((common or tree.Empty(), count))
        common = head if isinstance(head, tree.Literal) else None
        count = 1
    runs.append((common or tree.Empty(), count))
    return runs


def _common_length(a: str, b: str) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _char_prefixes(alternatives: list[tree.Node]) -> list[_Prefix]:
    """Runs of neighbours that begin with the same single character or class, or a fixed number of it."""
    runs: list[_Prefix] = []
    first: tree.Node | None = None
    count = 0
    for node in alternatives:
        head = _head(node)
        if first is not None and _same_char(first, head):
            count += 1
            continue
        if first is not None:
            runs.append((first, count))
        first, count = head, 1
    assert first is not None
    runs.append((first, count))
    return runs


def _same_char(a: tree.Node, b: tree.Node) -> bool:
    if isinstance(a, tree.Repeat) and isinstance(b, tree.Repeat):
        fixed = a.min == a.max == b.min == b.max and a.greedy == b.greedy
        return fixed and _same_char(a.sub, b.sub) and not isinstance(a.sub, tree.Repeat)
    if not tree.is_char(a) or type(a) is not type(b):
        return False
    if isinstance(a, tree.Literal) and isinstance(b, tree.Literal):
        return a.runes == b.runes and a.fold == b.fold
    return not isinstance(a, tree.Class) or not isinstance(b, tree.Class) or a.ranges == b.ranges


def _without_prefix(node: tree.Node, prefix: tree.Node) -> tree.Node:
    head = _head(node)
    rest: tree.Node = tree.Empty()
    if isinstance(head, tree.Literal) and isinstance(prefix, tree.Literal) and len(head.runes) > len(prefix.runes):
        rest = tree.Literal(head.runes[len(prefix.runes) :], head.fold, head.modes)
    if not isinstance(node, tree.Concat):
        return rest
    subs = node.subs[1:] if isinstance(rest, tree.Empty) else (rest, *node.subs[1:])
    return subs[0] if len(subs) == 1 else tree.Concat(subs)


def _merge_chars(alternatives: list[tree.Node]) -> list[tree.Node]:
    merged: list[tree.Node] = []
    run: list[tree.Node] = []
    for node in alternatives:
        if tree.is_char(node):
            run.append(node)
            continue
        if run:
            merged.append(run[0] if len(run) == 1 else union_of_chars(run))
            run = []
        merged.append(node)
    if run:
        merged.append(run[0] if len(run) == 1 else union_of_chars(run))
    return merged


def _without_doubled_empties(alternatives: list[tree.Node]) -> list[tree.Node]:
    kept: list[tree.Node] = []
    for node in alternatives:
        if not (kept and isinstance(node, tree.Empty) and isinstance(kept[-1], tree.Empty)):
            kept.append(node)
    return kept
