"""A pattern on its own, by RE2."""

from __future__ import annotations

import pytest

from nativemtail._core import Search


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [(b"b", b"abc", True), (b"^b", b"abc", False), (b"", b"", True), (b"a\\z", b"a\0a", True), (b"b", b"a\0b", True)],
)
def test_search(pattern: bytes, text: bytes, found: bool) -> None:
    assert Search(pattern)(text) is found


def test_a_stepped_pattern_is_tried_at_the_start_only() -> None:
    assert Search(b"(?s:.)*?(b)", stepped=True)(b"ab")
    assert not Search(b"b", stepped=True)(b"ab")


@pytest.mark.parametrize("pattern", [b"(", b"a{2,1}", b"(?:\\pL{1,1000}){1000}"])
def test_what_re2_does_not_take_is_refused(pattern: bytes) -> None:
    with pytest.raises(ValueError, match="too large"):
        Search(pattern)
