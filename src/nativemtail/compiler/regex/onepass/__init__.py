"""Patterns that can be matched in one pass: sequences of literals, runs of characters, options and escapes.

Most patterns for log lines are of this kind: in each part the next characters decide how far it goes.  The one-pass
matcher (core/onepass.hpp) always takes Go's first choice: the longest run, the first alternative.  If it succeeds, it
has found Go's match, whatever the pattern.  A failure means that there is no match only if no other choice could have
succeeded.  After the first part for which that is not proven, a failure is undecided, and another engine is tried.

It is for ASCII text only.
"""

from __future__ import annotations

from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.onepass.assemble import Assembler
from nativemtail.compiler.regex.onepass.items import Reader, Unfit, leading_literal
from nativemtail.compiler.tables import OnePass


def onepass(node: tree.Node, captures: int) -> OnePass | None:
    """How to match `node` and find its groups up to `captures` (-1: not even its extent), if it is one-pass."""
    parts = list(node.subs) if isinstance(node, tree.Concat) else [node]
    anchored = isinstance(parts[0], tree.BeginText)
    try:
        items = Reader(captures).items(tree.Concat(tuple(parts[anchored:])))
        prefix = b"" if anchored else leading_literal(items)
        return Assembler(prefix, items).result()
    except Unfit:
        return None
