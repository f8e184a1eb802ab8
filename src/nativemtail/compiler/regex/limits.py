"""Go's limits on a pattern: copies by counted repetitions, height, compiled size, ranges in classes."""

from __future__ import annotations

from nativemtail.compiler.regex import tree
from nativemtail.compiler.regex.error import RegexError

MAX_REPEAT = 1000
MAX_HEIGHT = 1000
MAX_SIZE = (128 << 20) // 40
"""Instructions of the compiled form, as Go counts them."""
MAX_RANGES = 1 << 21
"""Limit for the ranges in all classes of a pattern; Go allows eight times as many."""

UNLIMITED = 1000
"""A pattern shorter than this can't reach any of the limits on height, size and ranges."""


def repeats_within(root: tree.Node, limit: int) -> bool:
    """Whether nested counted repetitions make at most `limit` copies of anything."""
    stack = [(root, limit)]
    while stack:
        node, allowed = stack.pop()
        if isinstance(node, tree.Repeat):
            copies = node.min if node.max is None else node.max
            if node.max == 0:
                continue
            if copies > allowed:
                return False
            allowed //= max(copies, 1)
        stack.extend((sub, allowed) for sub in tree.children(node))
    return True


class Limits:
    """The height of the tree, its size once compiled, and the ranges in its classes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ranges = 0
        self.known: dict[int, tuple[tree.Node, int, int]] = {}

    def check(self, root: tree.Node) -> None:
        """Measure a new node.  Raises `RegexError`."""
        stack = [root]
        while stack:
            node = stack[-1]
            below = tree.children(node)
            unknown = [sub for sub in below if id(sub) not in self.known]
            if unknown and id(node) not in self.known:
                stack.extend(unknown)
                continue
            stack.pop()
            if id(node) in self.known:
                continue
            measured = [self.known[id(sub)] for sub in below]
            height = 1 + max((height for _, height, _ in measured), default=0)
            size = _size(node, [size for _, _, size in measured])
            self.known[id(node)] = (node, height, size)
            if isinstance(node, tree.Class):
                self.ranges += len(node.ranges)
            if size > MAX_SIZE or self.ranges > MAX_RANGES:
                raise RegexError("expression too large", self.text)
            if height > MAX_HEIGHT:
                raise RegexError("expression nests too deeply", self.text)


def _size(node: tree.Node, below: list[int]) -> int:
    size = sum(below)
    if isinstance(node, tree.Literal):
        size = len(node.runes)
    elif isinstance(node, (tree.Capture, tree.Star)):
        size += 2
    elif isinstance(node, (tree.Plus, tree.Quest)):
        size += 1
    elif isinstance(node, tree.Alternate):
        size += len(below) - 1
    elif isinstance(node, tree.Repeat):
        if node.max is not None:
            size = node.max * size + node.max - node.min
        else:
            size = node.min * size + 1 if node.min else size + 2
    return max(size, 1)
