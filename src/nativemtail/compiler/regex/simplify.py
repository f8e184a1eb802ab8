"""Trees without counted repetitions, as Go's Simplify makes them."""

from __future__ import annotations

from nativemtail.compiler.regex import tree


def simplify(root: tree.Node) -> tree.Node:
    """The tree without counted repetitions, as Go's Simplify: `x{2,4}` → `xx(?:x(?:x)?)?`.

    Copies are one shared node, so memory grows with the sum of the counts.
    """
    simple: dict[int, tree.Node] = {}
    for node in tree.postorder(root):
        below = tree.children(node)
        subs = tuple(simple[id(sub)] for sub in below)
        if isinstance(node, (tree.Star, tree.Plus, tree.Quest)):
            simple[id(node)] = _repetition(type(node), subs[0], node.greedy, node)
        elif isinstance(node, tree.Repeat):
            simple[id(node)] = _expanded(node, subs[0])
        elif all(sub is old for sub, old in zip(subs, below, strict=True)):
            simple[id(node)] = node
        elif isinstance(node, tree.Capture):
            simple[id(node)] = tree.Capture(node.index, node.name, subs[0])
        else:
            simple[id(node)] = tree.Concat(subs) if isinstance(node, tree.Concat) else tree.Alternate(subs)
    return simple[id(root)]


def _repetition(
    kind: type[tree.Star | tree.Plus | tree.Quest], sub: tree.Node, greedy: bool, node: tree.Node | None = None
) -> tree.Node:
    if isinstance(sub, tree.Empty):
        return sub
    if isinstance(sub, (tree.Star, tree.Plus, tree.Quest)) and type(sub) is kind and sub.greedy == greedy:
        return sub
    if node is not None and tree.children(node) == (sub,):
        return node
    return kind(sub, greedy)


def _expanded(node: tree.Repeat, sub: tree.Node) -> tree.Node:
    low, high = node.min, node.max
    if high == 0:
        return tree.Empty()
    if high is None:
        if low < 2:
            return _repetition(tree.Plus if low else tree.Star, sub, node.greedy)
        return tree.Concat((sub,) * (low - 1) + (_repetition(tree.Plus, sub, node.greedy),))
    if low == high == 1:
        return sub
    optional: tree.Node | None = None
    for _ in range(low, high):
        optional = _repetition(tree.Quest, sub if optional is None else tree.Concat((sub, optional)), node.greedy)
    if not low:
        assert optional is not None
        return optional
    return tree.Concat((sub,) * low + ((optional,) if optional is not None else ()))
