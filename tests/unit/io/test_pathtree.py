"""Paths below a directory, against a plain set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativemtail.io.pathtree import PathTree

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), PATHS)), st.one_of(st.just("/"), PATHS))
def test_it_is_a_set(steps: list[tuple[bool, str]], directory: str) -> None:
    tree, plain = PathTree(), set[str]()
    for is_added, path in steps:
        if is_added:
            tree.add(path)
            plain.add(path)
        else:
            tree.discard(path)
            plain.discard(path)
    start = directory.rstrip("/") + "/"
    assert sorted(tree.below(directory)) == sorted(path for path in plain if path.startswith(start))


def test_nothing_is_kept_of_what_was_removed() -> None:
    tree = PathTree()
    for path in ("/a/b/c", "/a/b", "/d"):
        tree.add(path)
    for path in ("/a/b", "/a/b/c", "/d"):
        tree.discard(path)
    assert not tree._children
    assert not tree._paths


def test_what_lies_elsewhere_is_not_looked_at() -> None:
    """To forget many directories, one after the other, costs as much as they hold."""
    looked = 0

    class Counting(dict[str, set[str]]):
        def get(self, key: str, default: Any = None) -> Any:
            nonlocal looked
            looked += 1
            return super().get(key, default)

    tree = PathTree()
    for number in range(1000):
        tree.add(f"/logs/{number}/app.log")
    tree._children = Counting(tree._children)
    for number in range(1000):
        assert tree.below(f"/logs/{number}") == [f"/logs/{number}/app.log"]
        tree.discard(f"/logs/{number}/app.log")
    assert looked < 10 * 1000
