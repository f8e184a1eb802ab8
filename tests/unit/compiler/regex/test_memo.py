"""Results are kept as long as all together are small enough."""

from __future__ import annotations

import pytest

from nativemtail.compiler.regex.memo import remembered


class Made:
    """A function that is remembered, and what it was asked for."""

    def __init__(self, most: int) -> None:
        self.asked: list[bytes] = []
        self.known = remembered(most, len)(self._make)

    def _make(self, text: bytes) -> bytes:
        self.asked.append(text)
        if text == b"wrong":
            raise ValueError
        return text * 9


def test_what_is_known_is_not_made_again() -> None:
    made = Made(100)
    assert made.known(b"a") is made.known(b"a")
    assert made.asked == [b"a"]


def test_the_oldest_go_first() -> None:
    made = Made(30)
    for text in (b"a", b"b", b"c", b"d", b"b", b"d", b"a"):
        assert made.known(text) == text * 9
    assert made.asked == [b"a", b"b", b"c", b"d", b"a"]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    made = Made(30)
    for text in (b"a", b"large", b"large", b"a"):
        made.known(text)
    assert made.asked == [b"a", b"large", b"large"]


def test_errors_are_not_kept() -> None:
    made = Made(100)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^$"):
            made.known(b"wrong")
    assert made.asked == [b"wrong", b"wrong"]
