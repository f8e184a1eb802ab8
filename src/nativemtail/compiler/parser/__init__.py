"""Tokens to the syntax tree (spec language.md §3, successor.md §2.1, §2.3, §2.4).

Recursive descent, but the two kinds of nesting, blocks and expressions, are kept on explicit stacks, so that no program
can exhaust Python's stack.  Positions are those that mtail prints.  mtail keeps a single position, the *mark*, for all
constructs that begin with a keyword, a builtin or a slash; so a construct that contains another one is reported at the
position of the inner one.
"""

from __future__ import annotations

from nativemtail.compiler import ast
from nativemtail.compiler.includes import NOTHING_INCLUDED, Included
from nativemtail.compiler.parser.inclusion import Inclusion
from nativemtail.compiler.parser.statements import Parser


def parse(
    name: str, source: bytes, included: Included = NOTHING_INCLUDED, sources: dict[str, bytes] | None = None
) -> ast.Block:
    """The tree of the program `name`.  Raises CompileError: lexical errors, then at most one syntax error (§3.2).

    `sources` gets the texts of included files, by the names that positions have for them.
    """
    return Parser(name, source, Inclusion(name, included, sources)).parse()
