"""`-ignore_filename_regex_pattern`: Go's patterns on base names."""

from __future__ import annotations

import pytest

from nativemtail.app.ignore import BadIgnore, ignore


@pytest.mark.parametrize(
    ("pattern", "name", "ignored"),
    [
        ("", "a", False),
        (r"\.gz$", "a.gz", True),
        (r"\.gz$", "a.gz.log", False),
        (r"\.gz$", "a.gz\n", False),
        ("^a", "ba", False),
        ("b", "abc", True),
        (r"(?i)LOG", "x.log", True),
        (r"a(?i)b", "aB", True),
        (r"\.(gz|bz2|[[:digit:]]+)\z", "app.17", True),
        (r"^\pL+$", "äpp", True),
        (r"^\pL+$", "app1", False),
        (r"\Q.*\E", "a.*b", True),
        (r"\Q.*\E", "ab", False),
        (r"^a{2,3}$", "aa", True),
        (r"^a{2,3}$", "aaaa", False),
        (r"^(?:a|bc)*?x??y+$", "abcay", True),
        (r"^.$", "é", True),
        (r"^[^a-c]$", "d", True),
        (r"^[\]\-^]$", "]", True),
        (r"\bx\b", "a-x-b", True),
        (r"\bx\b", "axb", False),
        (r"a\Bx", "ax", True),
        (r"(?m)^b$", "a\nb", True),
        (r"(?s)a.b", "a\nb", True),
        (r"a.b", "a\nb", False),
        (r"a[^\x00-\x{10FFFF}]", "ab", False),
        (r"()", "anything", True),
        (r"^.$", "\udcff", True),
        (r"^.\B.$", "éa", False),
        (r"\B", "é", True),
        (r"é\B$", "é", True),
    ],
)
def test_ignore(pattern: str, name: str, ignored: bool) -> None:
    assert bool(ignore(pattern)(name)) is ignored


@pytest.mark.parametrize(
    ("pattern", "name", "ignored"),
    [
        ("^(a|aa)+$", 10_000 * "a" + "b", False),
        ("(a*)*(a*)*(a*)*$", 10_000 * "a" + "b", True),
        ("(x+x+)+y", 10_000 * "x", False),
        (950 * "(" + "a" + 950 * ")", "ba", True),
        (300 * "(?:a?" + 300 * ")" + "b$", 300 * "a" + "bc", False),
    ],
    ids=["alternatives", "loops", "loop of loops", "deep", "options"],
)
def test_a_hostile_pattern_takes_linear_time(pattern: str, name: str, ignored: bool) -> None:
    """Backtracking would take longer than the test may; a tree so deep would exceed Python's stack."""
    assert ignore(pattern)(name) is ignored


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(", "-ignore_filename_regex_pattern: error parsing regexp: missing closing ): `a(`"),
        ("*", "-ignore_filename_regex_pattern: error parsing regexp: missing argument to repetition"),
    ],
)
def test_refused(pattern: str, message: str) -> None:
    with pytest.raises(BadIgnore) as caught:
        ignore(pattern)
    assert str(caught.value).startswith(message)
