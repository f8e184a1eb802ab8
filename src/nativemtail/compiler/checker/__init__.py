"""Names and types: decorates the tree and reports every semantic error (spec language.md §4, §5, §6, §9).

The walk is recursive; `max_recursion_depth` bounds it, counted in the nodes that mtail's own tree has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nativemtail.compiler import ast
from nativemtail.compiler.ast import Position
from nativemtail.compiler.checker.context import MAX_DEPTH, Context, Limits
from nativemtail.compiler.checker.patterns import Patterns, TooExpensive
from nativemtail.compiler.checker.statements import Statements
from nativemtail.compiler.errors import CompileError
from nativemtail.compiler.symbols import TooComplex

_FRAMES_PER_NODE = 5


@contextmanager
def recursion_room(depth: int = MAX_DEPTH) -> Iterator[None]:
    """Raise Python's recursion limit to what a tree of `depth` levels needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 1000 + min(depth, MAX_DEPTH) * _FRAMES_PER_NODE))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def check(name: str, root: ast.Block, limits: Limits) -> list[tuple[Position | None, str]]:
    """Decorate the tree; returns notes on unused capture groups.  Raises CompileError with all errors."""
    context = Context(name, limits)
    patterns = Patterns(context)
    statements = Statements(context, patterns)
    try:
        with recursion_room(context.max_depth):
            statements.block(root, 1)
    except TooComplex:
        context.errors.append((context.current, "Too many nested decorators to look names up in"))
    except TooExpensive:
        context.errors.append((patterns.places[patterns.spent.worst], patterns.spent.error()))
    if context.errors:
        raise CompileError(name, context.errors)
    statements.finish()
    return context.notes
